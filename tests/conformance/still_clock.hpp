// SPDX-License-Identifier: MIT
#pragma once

#include <aster/loop/backend.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace aster::conformance {

/// A real back end with a clock that stands until it is moved, so that scenarios
/// with timers neither sleep nor depend on the machine's speed. It does not wait for
/// less than for ever; one that `jumps` shows then that the time has passed.
class StillClock : public IoBackend {
 public:
  explicit StillClock(std::unique_ptr<IoBackend> real, bool jumps = false) noexcept
      : real_(std::move(real)), jumps_(jumps) {}

  void advance(Duration time) noexcept { now_ += time; }

  [[nodiscard]] TimePoint now() noexcept override { return now_; }
  void poll(Duration timeout) noexcept override {
    real_->poll(timeout == Duration::max() ? timeout : Duration::zero());
    if (jumps_ && timeout != Duration::max()) now_ += timeout;
  }

  // The rest is the real one's.
  [[nodiscard]] std::string_view name() const noexcept override { return real_->name(); }
  [[nodiscard]] bool is_watching() const noexcept override { return real_->is_watching(); }
  [[nodiscard]] bool is_poll_due() const noexcept override { return real_->is_poll_due(); }
  [[nodiscard]] std::shared_ptr<Waker> waker() const noexcept override { return real_->waker(); }
  bool submit(Operation& operation) noexcept override { return real_->submit(operation); }
  bool cancel(Operation& operation) noexcept override { return real_->cancel(operation); }
  void reclaim(Operation& operation) noexcept override { real_->reclaim(operation); }
  int set_watch(native_socket fd, unsigned events, Watch& watch) noexcept override {
    return real_->set_watch(fd, events, watch);
  }
  std::int64_t open_socket(int family, int type, int protocol) noexcept override {
    return real_->open_socket(family, type, protocol);
  }
  void forget(native_socket fd) noexcept override { real_->forget(fd); }
  int close_socket(native_socket fd) noexcept override { return real_->close_socket(fd); }
  int bind(native_socket fd, const void* address, std::uint32_t size) noexcept override {
    return real_->bind(fd, address, size);
  }
  int listen(native_socket fd, int backlog) noexcept override { return real_->listen(fd, backlog); }
  int local_address(native_socket fd, void* address, std::uint32_t& size) noexcept override {
    return real_->local_address(fd, address, size);
  }
  int peer_address(native_socket fd, void* address, std::uint32_t& size) noexcept override {
    return real_->peer_address(fd, address, size);
  }
  int set_option(native_socket fd, int level, int option, const void* value,
                 std::uint32_t size) noexcept override {
    return real_->set_option(fd, level, option, value, size);
  }
  int set_no_delay(native_socket fd) noexcept override { return real_->set_no_delay(fd); }
  int get_option(native_socket fd, int level, int option, void* value,
                 std::uint32_t& size) noexcept override {
    return real_->get_option(fd, level, option, value, size);
  }
  std::int64_t send_now(native_socket fd, const char* data, std::size_t size) noexcept override {
    return real_->send_now(fd, data, size);
  }
  std::int64_t send_now(native_socket fd,
                        std::span<const std::string_view> pieces) noexcept override {
    return real_->send_now(fd, pieces);
  }
  std::int64_t send_to_now(native_socket fd, std::string_view data, const void* address,
                           std::uint32_t address_size) noexcept override {
    return real_->send_to_now(fd, data, address, address_size);
  }
  std::int64_t recv_from_now(native_socket fd, std::span<char> buffer, void* peer,
                             std::uint32_t& peer_size) noexcept override {
    return real_->recv_from_now(fd, buffer, peer, peer_size);
  }
  int shutdown_write(native_socket fd) noexcept override { return real_->shutdown_write(fd); }
  [[nodiscard]] int pollable_fd() const noexcept override { return real_->pollable_fd(); }
  void abandon_after_fork() noexcept override { real_->abandon_after_fork(); }

 private:
  std::unique_ptr<IoBackend> real_;
  bool jumps_;
  TimePoint now_{std::chrono::hours(1)};
};

}  // namespace aster::conformance
