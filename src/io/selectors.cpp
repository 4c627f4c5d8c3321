// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/io/selectors.hpp>

#include "io/selector_facilities.hpp"

#include <string>
#include <system_error>
#include <utility>

namespace aster::inline v0 {
namespace {

void check_events(unsigned events, const char* call) {
  if (events == 0 || (events & ~(EVENT_READ | EVENT_WRITE)) != 0) {
    throw ValueError(std::string(call) + ": invalid events " + std::to_string(events));
  }
}

void check_descriptor(native_socket fd, const char* call) {
  if (fd < 0) {
    throw ValueError(std::string(call) + ": invalid file descriptor " + std::to_string(fd));
  }
}

[[noreturn]] void throw_unknown(native_socket fd, const char* call) {
  throw KeyError(std::string(call) + ": " + std::to_string(fd) + " is not registered");
}

std::unique_ptr<detail::SelectorFacility> make_default() {
#if ASTER_HAS_KQUEUE || ASTER_HAS_EPOLL
  try {
#if ASTER_HAS_KQUEUE
    return detail::make_kqueue_facility();
#else
    return detail::make_epoll_facility();
#endif
  } catch (const std::system_error&) {
    // A kernel without it, or a sandbox: poll works.
  }
#endif
  return detail::make_poll_facility();
}

}  // namespace

detail::SelectorFacility::~SelectorFacility() = default;

BaseSelector::BaseSelector(std::unique_ptr<detail::SelectorFacility> facility)
    : facility_(std::move(facility)) {}

BaseSelector::~BaseSelector() = default;

detail::SelectorFacility& BaseSelector::facility(const char* call) const {
  if (facility_ == nullptr) throw RuntimeError(std::string(call) + ": Selector is closed");
  return *facility_;
}

SelectorKey BaseSelector::register_(native_socket fd, unsigned events, std::any data) {
  detail::SelectorFacility& system = facility("register");
  check_events(events, "register");
  check_descriptor(fd, "register");
  const auto [at, is_new] = keys_.try_emplace(fd, fd, events, std::move(data));
  if (!is_new) throw KeyError("register: " + std::to_string(fd) + " is already registered");
  try {
    system.add(fd, events);
  } catch (...) {
    keys_.erase(at);
    throw;
  }
  return at->second;
}

SelectorKey BaseSelector::unregister(native_socket fd) {
  detail::SelectorFacility& system = facility("unregister");
  check_descriptor(fd, "unregister");
  const auto at = keys_.find(fd);
  if (at == keys_.end()) throw_unknown(fd, "unregister");
  SelectorKey key = std::move(at->second);
  keys_.erase(at);
  system.remove(fd);
  return key;
}

SelectorKey BaseSelector::modify(native_socket fd, unsigned events, std::any data) {
  detail::SelectorFacility& system = facility("modify");
  check_events(events, "modify");
  check_descriptor(fd, "modify");
  const auto at = keys_.find(fd);
  if (at == keys_.end()) throw_unknown(fd, "modify");
  if (events != at->second.events) {
    try {
      system.change(fd, events);
    } catch (...) {
      keys_.erase(at);
      system.remove(fd);
      throw;
    }
  }
  at->second.events = events;
  at->second.data = std::move(data);
  return at->second;
}

std::vector<SelectorEvent> BaseSelector::select(std::optional<Delay> timeout) {
  detail::SelectorFacility& system = facility("select");
  const Duration limit = timeout ? timeout->checked("select") : Duration::max();
  std::vector<SelectorEvent> events;
  for (const auto& [fd, found] : system.wait(limit)) {
    const auto at = keys_.find(fd);
    if (at == keys_.end()) continue;
    const unsigned ready = found & at->second.events;
    if (ready != 0) events.emplace_back(at->second, ready);
  }
  return events;
}

const SelectorKey& BaseSelector::get_key(native_socket fd) const {
  static_cast<void>(facility("get_key"));
  const auto at = keys_.find(fd);
  if (at == keys_.end()) throw_unknown(fd, "get_key");
  return at->second;
}

void BaseSelector::close() noexcept {
  facility_.reset();
  keys_.clear();
}

SelectSelector::SelectSelector() : BaseSelector(detail::make_select_facility()) {}
PollSelector::PollSelector() : BaseSelector(detail::make_poll_facility()) {}
#if ASTER_HAS_EPOLL
EpollSelector::EpollSelector() : BaseSelector(detail::make_epoll_facility()) {}
#endif
#if ASTER_HAS_KQUEUE
KqueueSelector::KqueueSelector() : BaseSelector(detail::make_kqueue_facility()) {}
#endif
DefaultSelector::DefaultSelector() : BaseSelector(make_default()) {}

}  // namespace aster::inline v0
