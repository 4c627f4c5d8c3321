// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/promise.hpp>
#include <aster/task/scheduler.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace aster::inline v0 {

class WaitList;

namespace detail {

struct Layout;

/// One wait in a `WaitList`; lives in the awaiting frame. In the list from its
/// suspension to its resumption, as a woken or cancelled task has its place in the
/// queue until it runs.
class ASTER_API WaitNode : public Waiter, public ListNode {
 public:
  enum class State : std::uint8_t { idle, waiting, woken, cancelled };

  /// Who waits here; null unless somebody does.
  [[nodiscard]] Driver* driver() const noexcept { return driver_; }

 protected:
  WaitNode() noexcept = default;
  /// Waits are values until they begin.
  WaitNode(WaitNode&& other) noexcept : Waiter(), ListNode() {
    ASTER_ASSERT(other.driver_ == nullptr);
  }
  ~WaitNode() = default;  // Who derives from it leaves the list.

  /// Suspends `driver` at the tail of `list`. RuntimeError when `list` is bound to
  /// another loop; it does not suspend then.
  inline void begin(WaitList& list, Driver& driver);
  /// Leaves the list, if it is in one; what had become of the wait.
  inline State leave() noexcept;
  [[nodiscard]] bool is_woken() const noexcept { return state_ == State::woken; }
  /// Whether it suspended and has not gone on yet.
  [[nodiscard]] bool has_begun() const noexcept { return driver_ != nullptr; }
  /// The driver that suspended here, once; null when none did.
  [[nodiscard]] Driver* take_driver() noexcept { return std::exchange(driver_, nullptr); }

 private:
  friend struct Layout;
  friend class aster::WaitList;
  bool cancel(Driver& driver, std::string& message) noexcept final;

  Driver* driver_ = nullptr;
  WaitList* list_ = nullptr;  // Null when it is in none.
  State state_ = State::idle;
};

struct NeverReady {
  bool operator()() const noexcept { return false; }
};
struct NothingLost {
  void operator()() const noexcept {}
};
template <class Ready, class Lost>
class Parking;

}  // namespace detail

/// Tasks that wait for something, oldest first: what primitives are made of. It
/// owns the order of the queue and its cancellation; waiting allocates nothing.
///
///     class Gate {
///      public:
///       void open() { open_ = true; waiters_.wake_all(); }
///       auto pass() { return waiters_.park_unless([this] { return open_; }); }
///      private:
///       bool open_ = false;
///       WaitList waiters_;
///     };
///
/// A woken task goes on in a later turn, in the order of the wake-ups. A waiting task
/// that is cancelled is not woken any more; one that is cancelled after it was woken
/// calls the `lost` function it was parked with, which gives back or passes on what the
/// wake-up stood for, so that nothing is lost; so does one that is destroyed then.
/// Bound to the first loop that a task waits on: RuntimeError on another. Thread rule:
/// that loop's thread. Must outlive its waiters: checked, unless the loop is closed.
class ASTER_API WaitList {
  template <class Ready, class Lost>
  using Parking = detail::Parking<Ready, Lost>;
  using Never = detail::NeverReady;
  using NothingLost = detail::NothingLost;

 public:
  /// One wait, an awaitable that moves until it is awaited. `Kind` says what it is for:
  ///
  ///     WaitList& list();            // Where it waits.
  ///     bool ready();                // When awaited: true, there is no need to wait.
  ///     void begun() noexcept;       // Optional: it has been put into the list.
  ///     void granted() noexcept;     // Woken, about to go on.
  ///     void withdraw(bool woken) noexcept;  // Cancelled or destroyed: passes on.
  ///     R result();                  // What the await gives.
  template <class Kind>
  class Wait;

  WaitList() noexcept = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  ~WaitList() {
    if (!nodes_.empty()) [[unlikely]]
      abandon();
    if (bound_ != nullptr) bound_->release_reference();
  }

  /// Whether nobody waits to be woken.
  [[nodiscard]] bool empty() const noexcept { return first_waiting_ == nullptr; }
  /// Whether somebody waits, or was woken and has not run yet: who comes now is behind
  /// them.
  [[nodiscard]] bool has_live() const noexcept {
    return first_waiting_ != nullptr || woken_count_ != 0;
  }
  /// How many wait, the woken ones included that have not run yet. Counts them.
  [[nodiscard]] std::size_t live_count() const noexcept;

  /// Waits until woken.
  [[nodiscard]] inline Wait<Parking<Never, NothingLost>> park() noexcept;
  /// The same; `lost()` is called when a cancellation arrives after the wake-up.
  template <class Lost>
  [[nodiscard]] Wait<Parking<Never, Lost>> park(Lost lost) noexcept {
    return Wait<Parking<Never, Lost>>(Parking<Never, Lost>(*this, Never(), std::move(lost)));
  }
  /// Does not suspend when `ready()` is true as it is awaited; else waits until woken.
  template <class Ready>
  [[nodiscard]] Wait<Parking<Ready, NothingLost>> park_unless(Ready ready) noexcept {
    return park_unless(std::move(ready), NothingLost());
  }
  /// The same, with `lost`.
  template <class Ready, class Lost>
  [[nodiscard]] Wait<Parking<Ready, Lost>> park_unless(Ready ready, Lost lost) noexcept {
    return Wait<Parking<Ready, Lost>>(
        Parking<Ready, Lost>(*this, std::move(ready), std::move(lost)));
  }

  /// Wakes the task that has waited longest; false when nobody waits.
  bool wake_one() noexcept { return wake_next() != nullptr; }
  /// The same, giving the wait that was woken; null when nobody waits.
  detail::WaitNode* wake_next() noexcept {
    detail::WaitNode* node = first_waiting_;
    if (node != nullptr) wake(*node);
    return node;
  }
  /// Wakes the oldest wait of all if that is still waiting. Nothing when it was woken
  /// or cancelled and has not run yet: whoever relies on this calls it again from
  /// `granted` or `withdraw`, as asyncio's Lock does.
  void wake_oldest() noexcept {
    if (first_waiting_ != nullptr && nodes_.first() == first_waiting_) wake(*first_waiting_);
  }
  /// Wakes all that wait now, oldest first.
  void wake_all() noexcept {
    while (first_waiting_ != nullptr) wake(*first_waiting_);
  }

  /// The oldest wait in the list, in whichever state, or null.
  [[nodiscard]] detail::WaitNode* oldest() noexcept { return nodes_.first(); }
  /// The one behind `node`, or null.
  [[nodiscard]] detail::WaitNode* behind(detail::WaitNode& node) noexcept {
    return nodes_.next(node);
  }

  /// Binds it to the loop of `scheduler` before anybody waits. RuntimeError when it is bound
  /// to another.
  void bind(Scheduler& scheduler) {
    if (&scheduler != bound_) [[unlikely]]
      bind_first(scheduler);
  }
  /// Whether it is bound to a loop.
  [[nodiscard]] bool is_bound() const noexcept { return bound_ != nullptr; }
  /// In debug mode, RuntimeError off the thread of the loop that it is bound to.
  void check_thread(const char* call) const {
    if (bound_ != nullptr) bound_->check_thread(call);
  }
  /// Asserts that no task waits, nor was woken without having run yet, unless their
  /// loop is closed: for destructors of what a woken task still touches.
  void check_unused() const noexcept {
    if (has_live()) [[unlikely]]
      require_closed();
  }

 private:
  friend struct detail::Layout;
  friend class detail::WaitNode;

  void wake(detail::WaitNode& node) noexcept {
    node.state_ = detail::WaitNode::State::woken;
    ++woken_count_;
    skip(node);
    node.driver_->wake();
  }
  /// `node`, the first that waits, does so no more.
  void skip(detail::WaitNode& node) noexcept {
    detail::WaitNode* next = &node;
    do {
      next = nodes_.next(*next);
    } while (next != nullptr && next->state_ != detail::WaitNode::State::waiting);
    first_waiting_ = next;
  }
  void bind_first(Scheduler& scheduler);
  void abandon() noexcept;
  void require_closed() const noexcept;

  detail::IntrusiveList<detail::WaitNode> nodes_;  // Oldest first; all that have not resumed.
  detail::WaitNode* first_waiting_ = nullptr;      // Null when none is `waiting`.
  std::size_t woken_count_ = 0;                    // Of those in `nodes_`.
  Scheduler* bound_ = nullptr;                     // Counted; null until a task waits.
};

// -------------------------------------------------------------------------------

namespace detail {

inline void WaitNode::begin(WaitList& list, Driver& driver) {
  list.bind(driver.scheduler());
  driver_ = &driver;
  list_ = &list;
  state_ = State::waiting;
  list.nodes_.push_back(*this);
  if (list.first_waiting_ == nullptr) list.first_waiting_ = this;
  driver.suspend(*this);
}

inline WaitNode::State WaitNode::leave() noexcept {
  if (list_ != nullptr) {
    if (state_ == State::woken) [[likely]] {
      --list_->woken_count_;
    } else if (list_->first_waiting_ == this) {
      list_->skip(*this);
    }
    unlink();
    list_ = nullptr;
  }
  return std::exchange(state_, State::idle);
}

}  // namespace detail

/// One wait; moves until it is awaited.
template <class Kind>
class [[nodiscard("a wait does nothing until it is awaited")]] WaitList::Wait final
    : detail::WaitNode {
 public:
  using aster_awaiter = void;
  /// A wait that has not begun.
  explicit Wait(Kind kind) noexcept : kind_(std::move(kind)) {}
  Wait(Wait&& other) noexcept : WaitNode(std::move(other)), kind_(std::move(other.kind_)) {}
  Wait& operator=(Wait&&) = delete;
  ~Wait() {
    if (is_linked()) [[unlikely]]
      destroyed();
  }

  [[nodiscard]] bool await_ready() { return kind_.ready(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    begin(kind_.list(), detail::driver_of(handle));
    if constexpr (requires { kind_.begun(); }) kind_.begun();
  }
  decltype(auto) await_resume() {
    if (has_begun()) waited();
    return kind_.result();
  }

 private:
  void waited() {
    detail::Driver& driver = *take_driver();
    const State left = leave();
    if (driver.has_pending()) [[unlikely]] {
      kind_.withdraw(left == State::woken);
      driver.throw_pending();
    }
    ASTER_ASSERT(left == State::woken);
    kind_.granted();
  }
  [[gnu::noinline]] void destroyed() noexcept {  // With the frame it lives in.
    const State left = leave();
    if (left != State::waiting) kind_.withdraw(left == State::woken);
  }

  [[no_unique_address]] Kind kind_;
};

namespace detail {

/// The kind of wait that `park` gives.
template <class Ready, class Lost>
class Parking {
 public:
  Parking(WaitList& list, Ready ready, Lost lost) noexcept
      : list_(&list), ready_(std::move(ready)), lost_(std::move(lost)) {}
  [[nodiscard]] WaitList& list() const noexcept { return *list_; }
  [[nodiscard]] bool ready() { return ready_(); }
  void granted() const noexcept {}
  void withdraw(bool woken) noexcept {
    if (woken) lost_();
  }
  void result() const noexcept {}

 private:
  WaitList* list_;
  [[no_unique_address]] Ready ready_;
  [[no_unique_address]] Lost lost_;
};

}  // namespace detail

inline WaitList::Wait<WaitList::Parking<WaitList::Never, WaitList::NothingLost>>
WaitList::park() noexcept {
  return park(NothingLost());
}

}  // namespace aster::inline v0
