// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>

#include "base/sys.hpp"
#include "io/selector_facilities.hpp"

#include <algorithm>
#include <cerrno>
#include <string>

namespace aster::inline v0::detail {
namespace {

class Epoll final : public SelectorFacility {
 public:
  Epoll() : set_(sys::epoll_create()) {
    if (set_ < 0) throw_system_error(-set_, "epoll_create1");
  }
  ~Epoll() override { static_cast<void>(sys::close(set_)); }

  void add(native_socket fd, unsigned events) override {
    control(EPOLL_CTL_ADD, fd, events, "register");
    ++count_;
  }

  void change(native_socket fd, unsigned events) override {
    control(EPOLL_CTL_MOD, fd, events, "modify");
  }

  // It fails for a descriptor that is closed, of which nothing is left (SEL-4).
  void remove(native_socket fd) noexcept override {
    epoll_event none{};
    static_cast<void>(sys::epoll_ctl(set_, EPOLL_CTL_DEL, fd, &none));
    --count_;
  }

  std::vector<std::pair<native_socket, unsigned>> wait(Duration timeout) override {
    std::vector<epoll_event> events(std::clamp<std::size_t>(count_, 1, 4096));
    const int count =
        sys::epoll_wait(set_, events.data(), static_cast<int>(events.size()), timeout);
    std::vector<std::pair<native_socket, unsigned>> found;
    if (count == -EINTR) return found;
    if (count < 0) throw_system_error(-count, "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      // Whatever is not of one direction alone is of both: errors, hang-ups (SEL-11).
      const unsigned both = ((event.events & ~std::uint32_t{EPOLLOUT}) != 0 ? EVENT_READ : 0U) |
                            ((event.events & ~std::uint32_t{EPOLLIN}) != 0 ? EVENT_WRITE : 0U);
      found.emplace_back(event.data.fd, both);
    }
    return found;
  }

  [[nodiscard]] native_socket fileno() const override { return set_; }

 private:
  void control(int action, native_socket fd, unsigned events, const char* call) {
    epoll_event event{};
    event.events = ((events & EVENT_READ) != 0 ? std::uint32_t{EPOLLIN} : 0U) |
                   ((events & EVENT_WRITE) != 0 ? std::uint32_t{EPOLLOUT} : 0U);
    event.data.fd = fd;
    const int result = sys::epoll_ctl(set_, action, fd, &event);
    if (result < 0) {
      throw_system_error(-result, std::string(call) + " descriptor " + std::to_string(fd));
    }
  }

  int set_;
  std::size_t count_ = 0;  // Registered descriptors.
};

}  // namespace

std::unique_ptr<SelectorFacility> make_epoll_facility() { return std::make_unique<Epoll>(); }

}  // namespace aster::inline v0::detail
