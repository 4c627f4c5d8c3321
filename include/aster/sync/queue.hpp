// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/ring_buffer.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/result.hpp>
#include <aster/sync/error.hpp>
#include <aster/sync/queue_base.hpp>

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace aster::inline v0 {

namespace detail {

/// The waits and calls of a queue whose items are kept in an `Items`: `push`, `pop`, `clear`.
template <class T, class Items>
class BasicQueue : public QueueBase {
 public:
  using value_type = T;
  class Putting;
  class Getting;

  /// Puts an item; waits while the queue is full, behind the putters that wait already.
  /// QueueShutDown once the queue is shut down. When the await throws, the item was not
  /// put and goes with the awaitable.
  [[nodiscard]] Putting put(T item) { return Putting(*this, std::move(item)); }
  /// Puts an item at once, before the putters that wait; QueueFull when there is no
  /// place, QueueShutDown once the queue is shut down.
  void put_nowait(T item) {
    if (!getters_.waiters.empty()) check_thread("Queue.put_nowait");
    put_now(std::move(item));
  }

  /// Gives the next item; waits while the queue is empty, behind the getters that wait
  /// already. QueueShutDown once it is shut down and empty. When the await throws, no
  /// item was taken.
  [[nodiscard]] Getting get() noexcept { return Getting(*this); }
  /// Gives the next item at once, before the getters that wait; QueueEmpty when there is
  /// none, QueueShutDown once the queue is shut down and empty.
  T get_nowait() {
    if (!putters_.waiters.empty()) check_thread("Queue.get_nowait");
    return get_now();
  }

  /// Ends the queue: from now on `put` throws QueueShutDown, and `get` once the queue is
  /// empty. With `immediate` the items are dropped, counted as done, and `get` throws at
  /// once. Tasks that wait in `put` or `get` are woken. May be called again, also to drop the
  /// items after all. `task_done` and `join` go on as before.
  void shutdown(bool immediate = false) {
    shut_down(immediate);
    if (immediate) items_.clear();
  }

 protected:
  template <class... Args>
  explicit BasicQueue(std::ptrdiff_t maxsize, Args&&... args)
      : QueueBase(maxsize), items_(std::forward<Args>(args)...) {}
  ~BasicQueue() = default;

 private:
  void put_now(T&& item) {
    check_put();
    items_.push(std::move(item));
    added();
  }
  T get_now() {
    check_get();
    T item = std::move(items_.next());
    items_.drop();
    taken();
    return item;
  }
  Coroutine<> put_again(T& item) {
    co_await Arrival(*this, putters_);
    while (!can_put()) co_await Again(*this, putters_);
    put_now(std::move(item));
  }
  Coroutine<T> get_again() {
    co_await Arrival(*this, getters_);
    while (!can_get()) co_await Again(*this, getters_);
    co_return get_now();
  }

  Items items_;
};

/// The await of `put`.
template <class T, class Items>
class [[nodiscard("put does nothing until it is awaited")]] BasicQueue<T, Items>::Putting final
    : QueueWait {
 public:
  using aster_awaiter = void;
  Putting(BasicQueue& queue, T&& item)
      : QueueWait(queue.putters_, true), queue_(&queue), item_(std::move(item)) {}
  Putting(Putting&& other) noexcept
      : QueueWait(std::move(other)), queue_(other.queue_), item_(std::move(other.item_)) {}
  Putting& operator=(Putting&&) = delete;
  ~Putting() { destroyed(*queue_); }

  [[nodiscard]] bool await_ready() const noexcept { return queue_->can_put(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    suspend(*queue_, handle);
  }
  void await_resume() {
    if (detour_.was_taken()) [[unlikely]] {
      came_by_detour();
      return detour_.result();
    }
    resumed(*queue_);
    queue_->put_now(std::move(item_));
  }

 private:
  void start_detour(PromiseBase& frame) override { detour_.start(frame, queue_->put_again(item_)); }

  BasicQueue* queue_;
  T item_;
  QueueDetour<void> detour_;
};

/// The await of `get`.
template <class T, class Items>
class [[nodiscard("get does nothing until it is awaited")]] BasicQueue<T, Items>::Getting final
    : QueueWait {
 public:
  using aster_awaiter = void;
  explicit Getting(BasicQueue& queue) noexcept : QueueWait(queue.getters_, true), queue_(&queue) {}
  Getting(Getting&& other) noexcept : QueueWait(std::move(other)), queue_(other.queue_) {}
  Getting& operator=(Getting&&) = delete;
  ~Getting() { destroyed(*queue_); }

  [[nodiscard]] bool await_ready() const noexcept { return queue_->can_get(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    suspend(*queue_, handle);
  }
  T await_resume() {
    if (detour_.was_taken()) [[unlikely]] {
      came_by_detour();
      return detour_.result();
    }
    resumed(*queue_);
    return queue_->get_now();
  }

 private:
  void start_detour(PromiseBase& frame) override { detour_.start(frame, queue_->get_again()); }

  BasicQueue* queue_;
  QueueDetour<T> detour_;
};

/// First in, first out.
template <class T>
class FifoItems {
 public:
  void push(T&& item) { items_.push_back(std::move(item)); }
  [[nodiscard]] T& next() noexcept { return items_.front(); }
  void drop() noexcept { items_.pop_front(); }
  void clear() noexcept { items_.clear(); }

 private:
  RingBuffer<T> items_;
};

/// An item in a vector, also a bool.
template <class T>
struct QueueSlot {
  explicit QueueSlot(T&& item) : value(std::move(item)) {}
  T value;
};

/// Last in, first out.
template <class T>
class LifoItems {
 public:
  void push(T&& item) { items_.emplace_back(std::move(item)); }
  [[nodiscard]] T& next() noexcept { return items_.back().value; }
  void drop() noexcept { items_.pop_back(); }
  void clear() noexcept { items_.clear(); }

 private:
  std::vector<QueueSlot<T>> items_;
};

/// The smallest first: a heap.
template <class T, class Compare>
class PriorityItems {
 public:
  explicit PriorityItems(Compare compare) : compare_(std::move(compare)) {}
  void push(T&& item) {
    items_.emplace_back(std::move(item));
    std::push_heap(items_.begin(), items_.end(), larger());
  }
  [[nodiscard]] T& next() {
    std::pop_heap(items_.begin(), items_.end(), larger());
    return items_.back().value;
  }
  void drop() noexcept { items_.pop_back(); }
  void clear() noexcept { items_.clear(); }

 private:
  auto larger() noexcept {
    return
        [this](const QueueSlot<T>& a, const QueueSlot<T>& b) { return compare_(b.value, a.value); };
  }
  std::vector<QueueSlot<T>> items_;
  [[no_unique_address]] Compare compare_;
};

}  // namespace detail

/// Passes items from tasks that put to tasks that get, first in, first out; the
/// counterpart of asyncio.Queue.
///
///     Queue<Job> jobs{100};
///     Coroutine<> producer() { co_await jobs.put(next_job()); jobs.shutdown(); }
///     Coroutine<> worker() {   // Ends with QueueShutDown.
///       for (;;) { Job job = co_await jobs.get(); co_await job.run(); jobs.task_done(); }
///     }
///
/// `put` waits while there are `maxsize` items: the way to keep producers from running
/// ahead. Who waits is served in the order of arrival. `T` needs a move constructor only.
/// A cancelled `get` takes no item and a cancelled `put` adds none; the wake-up that it
/// may have had goes to the next one. Bound to the first loop that a task waits on
/// (RuntimeError on another). Thread rule: that loop's thread; to and from other threads
/// by `call_soon_threadsafe` or `run_coroutine_threadsafe`. Must outlive its waiters
/// (asserted). Keeps the memory of its greatest size.
template <class T>
class Queue : public detail::BasicQueue<T, detail::FifoItems<T>> {
 public:
  /// For at most `maxsize` items; zero or less: as many as there is memory for.
  explicit Queue(std::ptrdiff_t maxsize = 0)
      : detail::BasicQueue<T, detail::FifoItems<T>>(maxsize) {}

  /// The queue in one line for people: "<Queue maxsize=8 qsize=2 tasks=2>".
  friend std::string to_string(const Queue& queue) { return queue.text("Queue"); }
};

/// A `Queue` that gives the newest item first; the counterpart of asyncio.LifoQueue.
template <class T>
class LifoQueue : public detail::BasicQueue<T, detail::LifoItems<T>> {
 public:
  /// For at most `maxsize` items; zero or less: as many as there is memory for.
  explicit LifoQueue(std::ptrdiff_t maxsize = 0)
      : detail::BasicQueue<T, detail::LifoItems<T>>(maxsize) {}

  /// The queue in one line for people.
  friend std::string to_string(const LifoQueue& queue) { return queue.text("LifoQueue"); }
};

/// A `Queue` that gives the smallest item first, as `Compare` says; the counterpart of
/// asyncio.PriorityQueue. Which of equal items comes first is not told.
///
///     PriorityQueue<std::pair<int, std::string>> jobs;
///     jobs.put_nowait({2, "sleep"});
///     jobs.put_nowait({1, "eat"});         // The first that `get` gives.
template <class T, class Compare = std::less<T>>
class PriorityQueue : public detail::BasicQueue<T, detail::PriorityItems<T, Compare>> {
 public:
  /// For at most `maxsize` items; zero or less: as many as there is memory for.
  explicit PriorityQueue(std::ptrdiff_t maxsize = 0, Compare compare = Compare())
      : detail::BasicQueue<T, detail::PriorityItems<T, Compare>>(maxsize, std::move(compare)) {}

  /// The queue in one line for people.
  friend std::string to_string(const PriorityQueue& queue) { return queue.text("PriorityQueue"); }
};

}  // namespace aster::inline v0
