// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/promise.hpp>
#include <aster/coro/result.hpp>
#include <aster/task/wait_list.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace aster::inline v0::detail {

class QueueBase;
class QueueWait;

/// The getters or the putters of a queue.
struct ASTER_API QueueEnd {
  WaitList waiters;        // Of `QueueWait`s.
  std::size_t claims = 0;  // Woken ones that take what they waited for as they resume.

  void wake_one() noexcept {
    if (!waiters.empty()) wake();
  }

 private:
  void wake() noexcept;
};

/// A task that waits at an end of a queue; lives in the awaiting frame.
///
/// asyncio wakes a getter when an item comes but lets others take it before the getter
/// runs, which then waits again, at the tail. A coroutine that is resumed cannot wait
/// again inside the same await. So each woken getter claims an item (or putter a place),
/// and who takes what is claimed sends a getter on a detour first: a coroutine that
/// the getter will be found to have called, and that looks, and waits, as often as need
/// be. A getter without a detour finds what it was woken for, and costs no frame.
class ASTER_API QueueWait : public WaitNode {
 protected:
  explicit QueueWait(QueueEnd& end, bool claims) noexcept : end_(&end), claims_(claims) {}
  QueueWait(QueueWait&& other) noexcept
      : WaitNode(static_cast<WaitNode&&>(other)), end_(other.end_), claims_(other.claims_) {}
  ~QueueWait() = default;

  template <class Promise>
  void suspend(QueueBase& queue, std::coroutine_handle<Promise> handle) {
    Driver& driver = driver_of(handle);
    if (!end_->waiters.is_bound()) [[unlikely]]
      bind(queue, driver);
    begin(end_->waiters, driver);
    frame_ = &handle.promise();
  }
  /// As it goes on: if it has waited and was cancelled, passes on its wake-up and throws.
  void resumed(QueueBase& queue) {
    if (has_begun()) waited(queue);
  }
  /// As it goes on from its detour instead.
  void came_by_detour() noexcept {
    static_cast<void>(take_driver());
    claims_ = true;
  }
  /// As its frame is destroyed.
  void destroyed(QueueBase& queue) noexcept {
    if (is_linked()) [[unlikely]]
      withdraw(queue);
  }

  /// Makes the coroutine that does its work from the start, as called by `frame`.
  virtual void start_detour(PromiseBase& frame) = 0;

 private:
  friend struct QueueEnd;
  friend class QueueBase;
  static void bind(QueueBase& queue, Driver& driver);
  /// Leaves the queue of those that wait; whether it had been woken.
  bool leave_end() noexcept;
  void waited(QueueBase& queue);
  void withdraw(QueueBase& queue) noexcept;

  QueueEnd* end_;
  PromiseBase* frame_ = nullptr;  // That it suspended.
  bool claims_;                   // Its kind claims, and it is not on a detour.
};

/// The call of a detour, which its frame never made; in the same shape as `CallAwaiter`.
template <class T>
class QueueDetour final : CallLink {
 public:
  QueueDetour() noexcept = default;
  ~QueueDetour() {
    if (child_ != nullptr) PromiseBase::destroy(*child_);
  }
  void start(PromiseBase& frame, Coroutine<T> detour) {
    auto& promise = detour.release();
    promise.deliver_to(result_);
    child_ = &promise;
    call(frame, promise);
  }
  [[nodiscard]] bool was_taken() const noexcept { return child_ != nullptr; }
  T result() {
    PromiseBase::destroy(*std::exchange(child_, nullptr));
    return result_.take();
  }

 private:
  Result<T> result_;  // Right behind the link.
};

/// What all queues share, whatever they hold.
class ASTER_API QueueBase {
  class Joining;

 public:
  QueueBase(const QueueBase&) = delete;
  QueueBase& operator=(const QueueBase&) = delete;

  /// As it was given: zero or less for a queue without bounds.
  [[nodiscard]] std::ptrdiff_t maxsize() const noexcept { return maxsize_; }
  /// How many items are in it.
  [[nodiscard]] std::size_t qsize() const noexcept { return size_; }
  /// Whether there are no items.
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Whether there are `maxsize()` items; never when it has no bounds.
  [[nodiscard]] bool full() const noexcept { return places() == 0; }

  /// Says that what was got from the queue is done; once for each item. The last one
  /// ends the `join`s. ValueError when called more often than there were items.
  void task_done();

  /// Waits until every item that was put has been got and its `task_done` called. Does not
  /// suspend when that is so.
  [[nodiscard]] inline WaitList::Wait<Joining> join() noexcept;

 protected:
  explicit QueueBase(std::ptrdiff_t maxsize) noexcept
      : maxsize_(maxsize), capacity_(maxsize > 0 ? static_cast<std::size_t>(maxsize) : SIZE_MAX) {}
  ~QueueBase() {
    getters_.waiters.check_unused();
    putters_.waiters.check_unused();
  }

  /// How many items can be put now.
  [[nodiscard]] std::size_t places() const noexcept {
    return capacity_ > size_ ? capacity_ - size_ : 0;
  }
  [[nodiscard]] bool is_shut_down() const noexcept { return shut_down_; }
  /// Whether `get` has an answer at once; `put` likewise.
  [[nodiscard]] bool can_get() const noexcept { return size_ > 0 || shut_down_; }
  [[nodiscard]] bool can_put() const noexcept { return places() > 0 || shut_down_; }

  /// Before an item is added or taken: QueueShutDown, QueueFull, QueueEmpty; and whose
  /// place or item that is must look again. May fail, for memory; then nothing changed.
  void check_put() {
    if (putters_.claims >= places() || shut_down_) [[unlikely]]
      check_put_again();
  }
  void check_get() {
    if (getters_.claims >= size_) [[unlikely]]
      check_get_again();
  }
  /// After that.
  void added() noexcept {
    ++size_;
    ++unfinished_;
    getters_.wake_one();
  }
  void taken() noexcept {
    --size_;
    putters_.wake_one();
  }
  /// `shutdown`, before the items are dropped when `immediate`.
  void shut_down(bool immediate);

  void check_thread(const char* call) const {
    getters_.waiters.check_thread(call);
    putters_.waiters.check_thread(call);
  }
  [[nodiscard]] std::string text(const char* type) const;

  /// First thing in a detour: the cancellation of a task that was on its way.
  class Arrival;
  /// A wait that is part of a detour.
  class Again;

  QueueEnd getters_;
  QueueEnd putters_;

 private:
  friend class QueueWait;
  void check_put_again();
  void check_get_again();
  /// Until no more than that many claims are left.
  static void send_on_detour(QueueEnd& end, std::size_t claims);
  /// Wakes the next one, if there is what it waits for and nobody has claimed it.
  void pass_on(QueueEnd& end) noexcept;

  std::ptrdiff_t maxsize_;
  std::size_t capacity_;
  std::size_t size_ = 0;
  std::size_t unfinished_ = 0;  // Items put whose `task_done` was not called.
  bool shut_down_ = false;
  WaitList joiners_;  // None while unfinished_ is 0.
};

// -------------------------------------------------------------------------------

class QueueBase::Joining {
 public:
  explicit Joining(QueueBase& queue) noexcept : queue_(&queue) {}
  [[nodiscard]] WaitList& list() const noexcept { return queue_->joiners_; }
  [[nodiscard]] bool ready() const noexcept { return queue_->unfinished_ == 0; }
  void granted() const noexcept {}
  void withdraw(bool) const noexcept {}
  void result() const noexcept {}

 private:
  QueueBase* queue_;
};

inline WaitList::Wait<QueueBase::Joining> QueueBase::join() noexcept {
  return WaitList::Wait<Joining>(Joining(*this));
}

class QueueBase::Arrival {
 public:
  using aster_awaiter = void;
  Arrival(QueueBase& queue, QueueEnd& end) noexcept : queue_(queue), end_(end) {}
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    driver_ = &driver_of(handle);
    return false;
  }
  void await_resume() {
    if (!driver_->has_pending()) return;
    queue_.pass_on(end_);
    driver_->throw_pending();
  }

 private:
  QueueBase& queue_;
  QueueEnd& end_;
  Driver* driver_ = nullptr;
};

class QueueBase::Again final : QueueWait {
 public:
  using aster_awaiter = void;
  Again(QueueBase& queue, QueueEnd& end) noexcept : QueueWait(end, false), queue_(queue) {}
  ~Again() { destroyed(queue_); }
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    suspend(queue_, handle);
  }
  void await_resume() { resumed(queue_); }

 private:
  [[noreturn]] void start_detour(PromiseBase& frame) override;
  QueueBase& queue_;
};

}  // namespace aster::inline v0::detail
