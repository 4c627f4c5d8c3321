// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>

#include "base/sys.hpp"
#include "io/selector_facilities.hpp"

#include <cerrno>
#include <string>

namespace aster::inline v0::detail {
namespace {

class Select final : public SelectorFacility {
 public:
  Select() {
    FD_ZERO(&readable_);
    FD_ZERO(&writable_);
  }

  void add(native_socket fd, unsigned events) override {
    if (fd >= FD_SETSIZE) {
      throw ValueError("register: descriptor " + std::to_string(fd) +
                       " is too large for select, which takes them below " +
                       std::to_string(FD_SETSIZE));
    }
    if ((events & EVENT_READ) != 0) FD_SET(fd, &readable_);
    if ((events & EVENT_WRITE) != 0) FD_SET(fd, &writable_);
    if (fd >= end_) end_ = fd + 1;
  }

  void change(native_socket fd, unsigned events) override {
    remove(fd);
    add(fd, events);
  }

  void remove(native_socket fd) noexcept override {
    FD_CLR(fd, &readable_);
    FD_CLR(fd, &writable_);
    while (end_ > 0 && !is_wanted(end_ - 1)) --end_;
  }

  std::vector<std::pair<native_socket, unsigned>> wait(Duration timeout) override {
    fd_set readable = readable_;
    fd_set writable = writable_;
    const int count = sys::select(end_, &readable, &writable, timeout);
    std::vector<std::pair<native_socket, unsigned>> found;
    if (count == -EINTR) return found;
    if (count < 0) throw_system_error(-count, "select");
    for (int fd = 0; fd < end_; ++fd) {
      const unsigned events = (FD_ISSET(fd, &readable) ? EVENT_READ : 0U) |
                              (FD_ISSET(fd, &writable) ? EVENT_WRITE : 0U);
      if (events != 0) found.emplace_back(fd, events);
    }
    return found;
  }

  [[nodiscard]] native_socket fileno() const override { return -1; }

 private:
  [[nodiscard]] bool is_wanted(int fd) const noexcept {
    return FD_ISSET(fd, &readable_) || FD_ISSET(fd, &writable_);
  }

  fd_set readable_;
  fd_set writable_;
  int end_ = 0;  // One more than the highest.
};

}  // namespace

std::unique_ptr<SelectorFacility> make_select_facility() { return std::make_unique<Select>(); }

}  // namespace aster::inline v0::detail
