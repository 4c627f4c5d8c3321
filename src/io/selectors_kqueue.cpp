// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>

#include "base/sys.hpp"
#include "io/selector_facilities.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>

namespace aster::inline v0::detail {
namespace {

class Kqueue final : public SelectorFacility {
 public:
  Kqueue() : queue_(sys::kqueue()) {
    if (queue_ < 0) throw_system_error(-queue_, "kqueue");
  }
  ~Kqueue() override { static_cast<void>(sys::close(queue_)); }

  void add(native_socket fd, unsigned events) override { set(fd, events, "register"); }
  void change(native_socket fd, unsigned events) override { set(fd, events, "modify"); }

  // It fails for a descriptor that is closed, of which nothing is left (SEL-4).
  void remove(native_socket fd) noexcept override {
    const auto at = wanted_.find(fd);
    if (at == wanted_.end()) return;
    if ((at->second & EVENT_READ) != 0) static_cast<void>(control(fd, EVFILT_READ, EV_DELETE));
    if ((at->second & EVENT_WRITE) != 0) static_cast<void>(control(fd, EVFILT_WRITE, EV_DELETE));
    wanted_.erase(at);
  }

  std::vector<std::pair<native_socket, unsigned>> wait(Duration timeout) override {
    std::vector<struct kevent> events(std::clamp<std::size_t>(2 * wanted_.size(), 1, 4096));
    const int count =
        sys::kevent(queue_, nullptr, events.data(), static_cast<int>(events.size()), timeout);
    std::vector<std::pair<native_socket, unsigned>> found;
    if (count == -EINTR) return found;
    if (count < 0) throw_system_error(-count, "kevent");
    for (int i = 0; i < count; ++i) {
      const struct kevent& event = events[static_cast<std::size_t>(i)];
      const auto fd = static_cast<native_socket>(event.ident);
      const unsigned ready = event.filter == EVFILT_READ ? EVENT_READ : EVENT_WRITE;
      const auto same = std::find_if(found.begin(), found.end(),
                                     [fd](const auto& one) { return one.first == fd; });
      if (same != found.end()) {
        same->second |= ready;
      } else {
        found.emplace_back(fd, ready);
      }
    }
    return found;
  }

  [[nodiscard]] native_socket fileno() const override { return queue_; }

 private:
  int control(native_socket fd, int filter, int action) noexcept {
    struct kevent change;
    EV_SET(&change, static_cast<std::uintptr_t>(fd), static_cast<short>(filter),
           static_cast<unsigned short>(action), 0, 0, nullptr);
    return sys::kevent(queue_, &change, nullptr, 0, Duration::zero());
  }

  // A filter of its own for each direction.
  void set(native_socket fd, unsigned events, const char* call) {
    unsigned& wanted = wanted_[fd];
    for (const unsigned direction : {EVENT_READ, EVENT_WRITE}) {
      if (((wanted ^ events) & direction) == 0) continue;
      const bool adds = (events & direction) != 0;
      const int result = control(fd, direction == EVENT_READ ? EVFILT_READ : EVFILT_WRITE,
                                 adds ? EV_ADD : EV_DELETE);
      if (result < 0) {
        remove(fd);
        throw_system_error(-result, std::string(call) + " descriptor " + std::to_string(fd));
      }
      wanted ^= direction;
    }
  }

  int queue_;
  std::map<native_socket, unsigned> wanted_;  // The filters that are set.
};

}  // namespace

std::unique_ptr<SelectorFacility> make_kqueue_facility() { return std::make_unique<Kqueue>(); }

}  // namespace aster::inline v0::detail
