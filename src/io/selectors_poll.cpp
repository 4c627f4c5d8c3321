// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>

#include "base/sys.hpp"
#include "io/selector_facilities.hpp"

#include <algorithm>
#include <cerrno>

namespace aster::inline v0::detail {
namespace {

class Poll final : public SelectorFacility {
 public:
  void add(native_socket fd, unsigned events) override { set_.push_back({fd, mask(events), 0}); }

  void change(native_socket fd, unsigned events) override { find(fd)->events = mask(events); }

  void remove(native_socket fd) noexcept override {
    const auto at = find(fd);
    if (at != set_.end()) set_.erase(at);
  }

  std::vector<std::pair<native_socket, unsigned>> wait(Duration timeout) override {
    const int count = sys::poll(set_.data(), set_.size(), sys::whole_milliseconds(timeout));
    std::vector<std::pair<native_socket, unsigned>> found;
    if (count == -EINTR) return found;
    if (count < 0) throw_system_error(-count, "poll");
    for (const pollfd& one : set_) {
      // Whatever is not of one direction alone is of both: errors, hang-ups (SEL-11).
      const unsigned events = ((one.revents & ~POLLOUT) != 0 ? EVENT_READ : 0U) |
                              ((one.revents & ~POLLIN) != 0 ? EVENT_WRITE : 0U);
      if (events != 0) found.emplace_back(one.fd, events);
    }
    return found;
  }

  [[nodiscard]] native_socket fileno() const override { return -1; }

 private:
  static short mask(unsigned events) noexcept {
    return static_cast<short>(((events & EVENT_READ) != 0 ? POLLIN : 0) |
                              ((events & EVENT_WRITE) != 0 ? POLLOUT : 0));
  }
  [[nodiscard]] std::vector<pollfd>::iterator find(native_socket fd) noexcept {
    return std::find_if(set_.begin(), set_.end(), [fd](const pollfd& one) { return one.fd == fd; });
  }

  std::vector<pollfd> set_;  // In the order of registration.
};

}  // namespace

std::unique_ptr<SelectorFacility> make_poll_facility() { return std::make_unique<Poll>(); }

}  // namespace aster::inline v0::detail
