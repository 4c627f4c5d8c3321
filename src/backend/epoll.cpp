// SPDX-License-Identifier: MIT
//
// How epoll keeps its set
//
// A descriptor that has only operations is registered once, when one of them first
// has to wait, edge-triggered for everything, and stays so until `forget`: no
// epoll_ctl per wait, and events without a waiting operation are noted by
// `Readiness`. EPOLLPRI is among them to learn of out-of-band data, EPOLLRDHUP to
// learn of an end of stream that comes together with data.
//
// A descriptor that is watched is registered level-triggered, for exactly what the
// watch and the pending operations want; a wider mask would spin. When the watch
// ends it goes back to edge-triggered if an operation is pending (the change makes
// the kernel report the present state again, so nothing is missed), else it is
// taken out, as its owner may close it without a word.
//
// The kernel drops a registration when the last descriptor of a *file* closes, not
// when this descriptor does. So `remove` is not left to close: with a duplicate in a
// child process events would come for ever, with no way left to stop them. On the
// other hand a watched descriptor may have been closed behind our back: ENOENT of a
// change means that it must be added, EEXIST of an addition that it must be changed.
//
// `epoll_event.data` holds the descriptor and the generation of its entry.
#include "backend/epoll.hpp"

#include <aster/base/error.hpp>

#include "backend/readiness.hpp"
#include "base/sys.hpp"

#include <array>
#include <cerrno>

namespace aster::inline v0::detail {

namespace {

// Entry::armed: 0, `edge`, or `level` with Watch's mask.
constexpr std::uint8_t edge = 0x80;
constexpr std::uint8_t level = 0x40;

constexpr std::uint64_t wake_key = ~std::uint64_t{0};  // -1 is no descriptor.

std::uint32_t kernel_mask(std::uint8_t armed) noexcept {
  if (armed == edge) return EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  return ((armed & Watch::readable) != 0 ? std::uint32_t{EPOLLIN} : 0U) |
         ((armed & Watch::writable) != 0 ? std::uint32_t{EPOLLOUT} : 0U);
}

class Epoll final : public Readiness {
  static_assert(unsigned{found_readable} == EPOLLIN && unsigned{found_urgent} == EPOLLPRI &&
                unsigned{found_writable} == EPOLLOUT &&
                unsigned{found_failed} == (EPOLLERR | EPOLLHUP) &&
                unsigned{found_end} == EPOLLRDHUP);

 public:
  Epoll() : Readiness(true, edge) {
    reserve_notes(events_.size());
    set_ = sys::epoll_create();
    if (set_ < 0) throw_system_error(-set_, "epoll_create1");
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = wake_key;
    const int result = sys::epoll_ctl(set_, EPOLL_CTL_ADD, wake_event().fd(), &event);
    if (result < 0) {
      sys::close(set_);
      throw_system_error(-result, "epoll_ctl of the wake-up descriptor");
    }
  }

  ~Epoll() override {
    if (set_ >= 0) sys::close(set_);
  }

  [[nodiscard]] std::string_view name() const noexcept override { return "epoll"; }
  [[nodiscard]] int pollable_fd() const noexcept override { return set_; }

 private:
  void wait(Duration timeout) noexcept override;
  int update(int fd, Entry& entry) noexcept override;
  void remove(int fd, Entry& entry) noexcept override;
  void abandon() noexcept override;
  int control(int action, int fd, std::uint8_t armed, std::uint32_t generation) noexcept;

  int set_ = -1;
  bool has_exact_wait_ = true;  // Until the kernel says otherwise.
  std::array<epoll_event, 256> events_;
};

void Epoll::wait(Duration timeout) noexcept {
  const int size = static_cast<int>(events_.size());
  int count = -ENOSYS;
  if (has_exact_wait_) {
    count = sys::epoll_wait_exact(set_, events_.data(), size, timeout);
    // Filters of system calls that are older than it answer EPERM.
    if (count == -ENOSYS || count == -EPERM) has_exact_wait_ = false;
  }
  if (!has_exact_wait_) count = sys::epoll_wait(set_, events_.data(), size, timeout);

  for (const epoll_event* event = events_.data(); count > 0; ++event, --count) {
    const std::uint64_t key = event->data.u64;
    if (key == wake_key) {
      wake_event().seen();
      continue;
    }
    note(static_cast<int>(key & 0xffffffffU), static_cast<std::uint32_t>(key >> 32), event->events);
  }
}

int Epoll::update(int fd, Entry& entry) noexcept {
  if (entry.watch == nullptr && entry.armed == edge) [[likely]]
    return 0;
  const unsigned wanted = interest(entry);
  std::uint8_t armed = 0;
  if (entry.watch != nullptr) {
    armed = static_cast<std::uint8_t>(level | wanted);
  } else if (wanted != 0) {
    armed = edge;
  }
  if (armed == entry.armed) return 0;
  if (armed == 0) {
    remove(fd, entry);
    return 0;
  }

  int result = 0;
  if (entry.armed == 0) {
    result = control(EPOLL_CTL_ADD, fd, armed, entry.generation);
    if (result == -EEXIST) result = control(EPOLL_CTL_MOD, fd, armed, entry.generation);
  } else {
    result = control(EPOLL_CTL_MOD, fd, armed, entry.generation);
    if (result == -ENOENT) result = control(EPOLL_CTL_ADD, fd, armed, entry.generation);
  }
  if (result == 0) entry.armed = armed;
  return result;
}

void Epoll::remove(int fd, Entry& entry) noexcept {
  // Fails only when the kernel has dropped it by itself.
  static_cast<void>(control(EPOLL_CTL_DEL, fd, 0, 0));
  entry.armed = 0;
}

int Epoll::control(int action, int fd, std::uint8_t armed, std::uint32_t generation) noexcept {
  epoll_event event{};
  event.events = kernel_mask(armed);
  event.data.u64 = std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
  return sys::epoll_ctl(set_, action, fd, &event);
}

void Epoll::abandon() noexcept {
  // No EPOLL_CTL_DEL: the set is the parent's too, and would go deaf there.
  sys::close(set_);
  set_ = -1;
}

}  // namespace

std::unique_ptr<IoBackend> make_epoll_backend() { return std::make_unique<Epoll>(); }

}  // namespace aster::inline v0::detail
