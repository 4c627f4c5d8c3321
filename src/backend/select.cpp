// SPDX-License-Identifier: MIT
//
// The back end on select, for systems (and tests) that have nothing better. A closed
// descriptor makes the whole call fail without a name: then each is asked.
#include "backend/select.hpp"

#include <aster/base/error.hpp>

#include "backend/readiness.hpp"
#include "base/sys.hpp"

#include <algorithm>
#include <cerrno>

namespace aster::inline v0::detail {

namespace {

class Select final : public Readiness {
 public:
  Select() : Readiness(false, never_settled, FD_SETSIZE) {
    const int waker = wake_event().fd();
    if (waker >= FD_SETSIZE) throw_system_error(EMFILE, "wake-up descriptor for select");
    FD_ZERO(&readable_);
    FD_ZERO(&writable_);
    FD_SET(waker, &readable_);
    end_ = waker + 1;
    reserve_notes(FD_SETSIZE);
  }

  [[nodiscard]] std::string_view name() const noexcept override { return "select"; }

 private:
  void wait(Duration timeout) noexcept override;
  void find_closed() noexcept;
  int update(int fd, Entry& entry) noexcept override;
  void remove(int fd, Entry& entry) noexcept override;
  void abandon() noexcept override {}

  fd_set readable_;
  fd_set writable_;
  int end_;  // No descriptor of the sets is this or larger.
};

void Select::wait(Duration timeout) noexcept {
  fd_set readable = readable_;
  fd_set writable = writable_;
  int count = sys::select(end_, &readable, &writable, timeout);
  if (count == -EBADF) return find_closed();
  if (count <= 0) return;

  const int waker = wake_event().fd();
  if (FD_ISSET(waker, &readable)) {
    FD_CLR(waker, &readable);
    wake_event().drain();
    --count;
  }
  for (int fd = 0; count > 0 && fd < end_; ++fd) {
    unsigned found = 0;
    if (FD_ISSET(fd, &readable)) {
      found |= found_readable;
      --count;
    }
    if (FD_ISSET(fd, &writable)) {
      found |= found_writable;
      --count;
    }
    if (found != 0) note(fd, generation(fd), found);
  }
}

void Select::find_closed() noexcept {
  for (int fd = 0; fd < end_; ++fd) {
    if (fd == wake_event().fd()) continue;
    if (!FD_ISSET(fd, &readable_) && !FD_ISSET(fd, &writable_)) continue;
    if (sys::fcntl(fd, F_GETFD) == -EBADF) note(fd, generation(fd), found_closed);
  }
}

int Select::update(int fd, Entry& entry) noexcept {
  const unsigned wanted = interest(entry);
  if (wanted == entry.armed) return 0;
  if (wanted == 0) {
    remove(fd, entry);
    return 0;
  }
  if ((wanted & Watch::readable) != 0) {
    FD_SET(fd, &readable_);
  } else {
    FD_CLR(fd, &readable_);
  }
  if ((wanted & Watch::writable) != 0) {
    FD_SET(fd, &writable_);
  } else {
    FD_CLR(fd, &writable_);
  }
  entry.armed = static_cast<std::uint8_t>(wanted);
  end_ = std::max(end_, fd + 1);
  return 0;
}

void Select::remove(int fd, Entry& entry) noexcept {
  FD_CLR(fd, &readable_);
  FD_CLR(fd, &writable_);
  entry.armed = 0;
  // The waker is in the set, which ends the search.
  while (!FD_ISSET(end_ - 1, &readable_) && !FD_ISSET(end_ - 1, &writable_)) --end_;
}

}  // namespace

std::unique_ptr<IoBackend> make_select_backend() { return std::make_unique<Select>(); }

}  // namespace aster::inline v0::detail
