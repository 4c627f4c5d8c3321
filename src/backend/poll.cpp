// SPDX-License-Identifier: MIT
//
// The back end on poll: an array of exactly what is wanted, the waker first, and for
// each descriptor the place where it stands.
#include "backend/poll.hpp"

#include "backend/readiness.hpp"
#include "base/sys.hpp"

#include <cerrno>
#include <new>

namespace aster::inline v0::detail {

namespace {

class Poll final : public Readiness {
 public:
  Poll() : Readiness(false) { set_.push_back({wake_event().fd(), POLLIN, 0}); }

  [[nodiscard]] std::string_view name() const noexcept override { return "poll"; }

 private:
  void wait(Duration timeout) noexcept override;
  int update(int fd, Entry& entry) noexcept override;
  void remove(int fd, Entry& entry) noexcept override;
  void abandon() noexcept override {}
  [[nodiscard]] std::size_t& place(int fd) noexcept { return places_[static_cast<unsigned>(fd)]; }

  std::vector<pollfd> set_;          // [0] is the waker; the others in no order.
  std::vector<std::size_t> places_;  // By descriptor: where in set_; valid while armed.
};

void Poll::wait(Duration timeout) noexcept {
  int count = sys::poll(set_.data(), set_.size(), timeout);
  if (count <= 0) return;
  if (set_[0].revents != 0) {
    wake_event().drain();
    --count;
  }
  for (std::size_t i = 1; count > 0 && i < set_.size(); ++i) {
    const short bits = set_[i].revents;
    if (bits == 0) continue;
    const unsigned found = (bits & POLLNVAL) != 0
                               ? found_closed
                               : ((bits & POLLIN) != 0 ? found_readable : 0U) |
                                     ((bits & POLLOUT) != 0 ? found_writable : 0U) |
                                     ((bits & (POLLERR | POLLHUP)) != 0 ? found_failed : 0U);
    note(set_[i].fd, generation(set_[i].fd), found);
    --count;
  }
}

int Poll::update(int fd, Entry& entry) noexcept {
  const unsigned wanted = interest(entry);
  if (wanted == entry.armed) return 0;
  if (wanted == 0) {
    remove(fd, entry);
    return 0;
  }
  if (entry.armed == 0) {
    try {
      const auto number = static_cast<unsigned>(fd);
      if (number >= places_.size()) places_.resize(number + 1U);
      reserve_notes(set_.size());
      set_.push_back({fd, 0, 0});
    } catch (const std::bad_alloc&) {
      return -ENOMEM;
    }
    place(fd) = set_.size() - 1;
  }
  set_[place(fd)].events = static_cast<short>(((wanted & Watch::readable) != 0 ? POLLIN : 0) |
                                              ((wanted & Watch::writable) != 0 ? POLLOUT : 0));
  entry.armed = static_cast<std::uint8_t>(wanted);
  return 0;
}

void Poll::remove(int fd, Entry& entry) noexcept {
  const std::size_t hole = place(fd);
  const pollfd last = set_.back();
  set_.pop_back();
  if (hole != set_.size()) {
    set_[hole] = last;
    place(last.fd) = hole;
  }
  entry.armed = 0;
}

}  // namespace

std::unique_ptr<IoBackend> make_poll_backend() { return std::make_unique<Poll>(); }

}  // namespace aster::inline v0::detail
