// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/time.hpp>
#include <aster/loop/operation.hpp>

#include <any>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

/// Waiting for descriptors without an event loop: the counterpart of Python's
/// `selectors` module. Programs with an event loop use `add_reader`, sockets or
/// streams instead.
///
///     DefaultSelector selector;
///     selector.register_(listener, EVENT_READ, std::string("listener"));
///     for (const SelectorEvent& event : selector.select(1s)) {
///       std::cout << std::any_cast<std::string>(event.key.data) << " is ready\n";
///     }
///
/// Thread rule: one thread at a time. The descriptors stay the caller's.
namespace aster::inline v0 {

/// In a mask of events: can be read.
inline constexpr unsigned EVENT_READ = 1;
/// In a mask of events: can be written.
inline constexpr unsigned EVENT_WRITE = 2;

/// What a selector knows of a descriptor.
struct SelectorKey {
  /// Nothing.
  SelectorKey() = default;
  /// From its parts.
  SelectorKey(native_socket fd_, unsigned events_, std::any data_)
      : fd(fd_), events(events_), data(std::move(data_)) {}

  native_socket fd = static_cast<native_socket>(-1);
  unsigned events = 0;  ///< What is waited for: a mask.
  std::any data;        ///< The caller's own.
};

/// A descriptor that is ready.
struct SelectorEvent {
  /// From its parts.
  SelectorEvent(SelectorKey key_, unsigned events_) : key(std::move(key_)), events(events_) {}

  SelectorKey key;
  unsigned events = 0;  ///< What it is ready for; limited to `key.events`.
};

namespace detail {

/// The part of a selector that asks the system.
class ASTER_API SelectorFacility {
 public:
  SelectorFacility() noexcept = default;
  SelectorFacility(const SelectorFacility&) = delete;
  SelectorFacility& operator=(const SelectorFacility&) = delete;
  virtual ~SelectorFacility();

  using Keys = std::map<native_socket, SelectorKey>;
  /// Begins, changes and ends the wait for a descriptor; throw `std::system_error`.
  virtual void add(native_socket fd, unsigned events) = 0;
  virtual void change(native_socket fd, unsigned events) = 0;
  virtual void remove(native_socket fd) noexcept = 0;
  /// Waits; `Duration::max()` is for ever. Nothing when a signal came.
  virtual std::vector<std::pair<native_socket, unsigned>> wait(Duration timeout) = 0;
  [[nodiscard]] virtual native_socket fileno() const = 0;
};

}  // namespace detail

/// What all selectors can do. After `close` every call but `get_map` and `close` is a
/// RuntimeError "Selector is closed".
class ASTER_API BaseSelector {
 public:
  BaseSelector(const BaseSelector&) = delete;
  BaseSelector& operator=(const BaseSelector&) = delete;
  ~BaseSelector();

  /// Waits for `events` of `fd` from now on; `data` comes back with its key. ValueError
  /// for a negative descriptor or an impossible mask, KeyError when it is registered
  /// already, `std::system_error` when the system refuses it (a regular file, with
  /// epoll).
  SelectorKey register_(native_socket fd, unsigned events, std::any data = {});
  /// The same for an object with a descriptor.
  template <has_fileno T>
  SelectorKey register_(const T& object, unsigned events, std::any data = {}) {
    return register_(object.fileno(), events, std::move(data));
  }

  /// Waits for it no longer; gives its last key. Also for a descriptor that is closed
  /// already. KeyError when it is not registered.
  SelectorKey unregister(native_socket fd);
  /// The same for an object with a descriptor.
  template <has_fileno T>
  SelectorKey unregister(const T& object) {
    return unregister(object.fileno());
  }

  /// Changes mask and data; without a system call when the mask stays. ValueError and
  /// KeyError as above; when the system refuses the change it is registered no longer.
  SelectorKey modify(native_socket fd, unsigned events, std::any data = {});
  /// The same for an object with a descriptor.
  template <has_fileno T>
  SelectorKey modify(const T& object, unsigned events, std::any data = {}) {
    return modify(object.fileno(), events, std::move(data));
  }

  /// Waits until something is ready, at most `timeout` (empty or infinite: for ever;
  /// 0 or less: not at all); nothing when time is up or a signal came. Never early
  /// (but a finite timeout counts as a day at most): epoll and poll wait whole
  /// milliseconds. An error or hang-up makes a descriptor ready for all that is waited
  /// for.
  [[nodiscard]] std::vector<SelectorEvent> select(std::optional<Delay> timeout = {});

  /// The key of a descriptor; KeyError when it is not registered.
  [[nodiscard]] const SelectorKey& get_key(native_socket fd) const;
  /// The same for an object with a descriptor.
  template <has_fileno T>
  [[nodiscard]] const SelectorKey& get_key(const T& object) const {
    return get_key(object.fileno());
  }
  /// All keys by descriptor; null once closed. Valid until then.
  [[nodiscard]] const std::map<native_socket, SelectorKey>* get_map() const noexcept {
    return facility_ != nullptr ? &keys_ : nullptr;
  }

  /// Frees what the system holds; descriptors stay open. Nothing when closed already.
  void close() noexcept;

 protected:
  explicit BaseSelector(std::unique_ptr<detail::SelectorFacility> facility);
  [[nodiscard]] detail::SelectorFacility& facility(const char* call) const;

 private:
  std::unique_ptr<detail::SelectorFacility> facility_;  // Null once closed.
  std::map<native_socket, SelectorKey> keys_;
};

/// On `select`: everywhere; descriptors below FD_SETSIZE only (ValueError).
class ASTER_API SelectSelector final : public BaseSelector {
 public:
  /// With nothing registered.
  SelectSelector();
};

/// On `poll`.
class ASTER_API PollSelector final : public BaseSelector {
 public:
  /// With nothing registered.
  PollSelector();
};

#if ASTER_HAS_EPOLL
/// On `epoll`: Linux.
class ASTER_API EpollSelector final : public BaseSelector {
 public:
  /// With nothing registered; `std::system_error` when the system refuses.
  EpollSelector();
  /// The epoll set's descriptor.
  [[nodiscard]] native_socket fileno() const { return facility("fileno").fileno(); }
};
#endif

#if ASTER_HAS_KQUEUE
/// On `kqueue`: BSD and macOS.
class ASTER_API KqueueSelector final : public BaseSelector {
 public:
  /// With nothing registered; `std::system_error` when the system refuses.
  KqueueSelector();
  /// The queue's descriptor.
  [[nodiscard]] native_socket fileno() const { return facility("fileno").fileno(); }
};
#endif

/// The first that works of kqueue, epoll, poll and select.
class ASTER_API DefaultSelector final : public BaseSelector {
 public:
  /// With nothing registered.
  DefaultSelector();
};

}  // namespace aster::inline v0
