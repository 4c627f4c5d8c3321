// SPDX-License-Identifier: MIT
#pragma once

#include "testing/sim_network.hpp"

#include <aster/base/error.hpp>
#include <aster/testing/sim_backend.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <vector>

/// What a SimBackend keeps besides its network: operations, watches, faults. Private
/// to src/testing.
namespace aster::inline v0::testing {

namespace detail {

/// Runs `call`, whose exceptions become error numbers.
template <class Call>
auto guarded(Call&& call) noexcept -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (const ValueError&) {  // An address of impossible size.
    return -EINVAL;
  }
}

class SimWaker final : public Waker {
 public:
  // An atomic flag unless somebody really waits, so that a signal handler may
  // call it while no thread is waited for.
  void wake() noexcept override {
    woken_.store(true);
    if (!waiting_.load()) return;
    {
      const std::lock_guard lock(mutex_);
    }
    changed_.notify_all();
  }

  // True when there was a wake since the last call.
  bool take() noexcept { return woken_.exchange(false); }

  // Waits for a wake, and takes it; false when none comes.
  bool wait() noexcept {
    constexpr std::chrono::seconds patience(60);
    std::unique_lock lock(mutex_);
    waiting_.store(true);
    const bool woken = changed_.wait_for(lock, patience, [this] { return woken_.load(); });
    waiting_.store(false);
    woken_.store(false);
    return woken;
  }

 private:
  std::atomic<bool> woken_{false};
  std::atomic<bool> waiting_{false};  // Set before woken_ is looked at; see wake().
  std::mutex mutex_;
  std::condition_variable changed_;
};

inline int write_address(const Address& from, void* address, std::uint32_t& size) noexcept {
  if (address != nullptr) std::memcpy(address, from.data(), std::min(size, from.size()));
  size = from.size();
  return 0;
}

/// The address of a call; none when `size` is 0.
inline Address target_of(const void* address, std::uint32_t size) {
  return size == 0 ? Address() : Address::from_native(address, size);
}

/// 0: it reads; 1: it writes.
[[nodiscard]] std::size_t direction_of(const Operation& operation) noexcept;

}  // namespace detail

class SimBackend::Impl {
 public:
  static constexpr std::size_t call_count = static_cast<std::size_t>(SimCall::set_watch) + 1;

  explicit Impl(const SimOptions& chosen)
      : options(chosen), network(chosen), inline_left(chosen.inline_budget) {}

  // Something of one socket that a poll found ready.
  struct Ready {
    detail::SimSocketRef socket;
    Operation* operation = nullptr;  // Null: its watch.
    std::uint64_t tag = 0;           // Of the operation, whose record may be used anew.
  };
  struct Script {
    int error;
    std::size_t times;
  };

  detail::SimSocket* checked(native_socket fd, const char* call);
  void violation(const std::string& text);

  std::int64_t attempt(detail::SimSocket& socket, Operation& operation);
  std::int64_t attempt_accept(detail::SimSocket& socket, Operation& operation);
  std::int64_t attempt_recv(detail::SimSocket& socket, Operation& operation);
  std::optional<std::int64_t> start(detail::SimSocket& socket, Operation& operation);
  bool submit(Operation& operation);
  bool end_in_submit(Operation& operation, std::int64_t result) noexcept;
  bool take_back(Operation& operation, const char* verb);

  bool is_ready(const detail::SimSocket& socket, const Operation& operation) const;
  [[nodiscard]] bool is_anything_ready() const;
  void collect();
  bool collect_within(Duration timeout);
  void creep(Duration timeout);
  void deliver(const Ready& ready);
  void deliver_orphans();
  void complete(Operation& operation, std::int64_t result) noexcept;

  void drop_claims(detail::SimSocket& socket, const char* call);
  std::int64_t send_now(native_socket fd, std::span<const std::string_view> pieces,
                        const Address& target);
  std::int64_t recv_from_now(native_socket fd, std::span<char> buffer, Address& from);

  [[nodiscard]] bool is_scripted(SimCall call) const noexcept {
    return !scripts[static_cast<std::size_t>(call)].empty();
  }
  int scripted_error(SimCall call) noexcept;

  SimOptions options;
  detail::SimNetwork network;
  std::shared_ptr<detail::SimWaker> waker = std::make_shared<detail::SimWaker>();
  std::array<std::deque<Script>, call_count> scripts;
  std::vector<std::string> violations;
  std::vector<Ready> batch;
  std::vector<Operation*> orphans;  // Their descriptor was closed under them.
  std::unique_ptr<char[]> lent;     // Exactly what was lent last, so that ASan sees misuse.
  std::uint64_t tag_count = 0;
  std::size_t pending_count = 0;
  std::size_t watch_count = 0;
  std::size_t inline_left;
  int busy_polls = 0;  // See creep().
  bool deadlocked = false;
};

}  // namespace aster::inline v0::testing
