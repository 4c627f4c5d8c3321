// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/base/time.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace aster::inline v0::detail {

/// Something that runs at a time; embedded in sleepers, timeouts and timer
/// handles. When due it joins the ready queue as the runnable it is.
class Timer : public Runnable {
 public:
  explicit constexpr Timer(const RunnableOps* ops) noexcept : Runnable(ops) {}

  [[nodiscard]] bool is_scheduled() const noexcept { return index_ != unscheduled; }

 private:
  friend class TimerQueue;
  static constexpr std::uint32_t unscheduled = UINT32_MAX;
  std::uint32_t index_ = unscheduled;  // Its place in the heap.
};

/// The timers of a loop by deadline, equal deadlines first in first out. A heap
/// of four children a node whose entries carry the keys, so that sifting touches
/// no timer; each timer knows its place, so that cancelling one removes it.
class ASTER_API TimerQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
  /// The earliest deadline; the queue must not be empty.
  [[nodiscard]] TimePoint earliest() const noexcept { return heap_.front().when; }

  /// Adds `timer`, which must not be scheduled. Throws only `std::bad_alloc`.
  void add(Timer& timer, TimePoint when) {
    ASTER_ASSERT(!timer.is_scheduled());
    heap_.push_back(Entry{when, sequence_++, &timer});
    sift_up(heap_.size() - 1);
  }

  /// Takes `timer` out; nothing when it is not scheduled.
  void remove(Timer& timer) noexcept {
    const std::uint32_t index = timer.index_;
    if (index == Timer::unscheduled) return;
    timer.index_ = Timer::unscheduled;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (index == heap_.size()) return;
    heap_[index] = last;
    if (index > 0 && last < heap_[(index - 1) / width]) {
      sift_up(index);
    } else {
      sift_down(index);
    }
  }

  /// The earliest timer, taken out; the queue must not be empty.
  Timer& pop() noexcept {
    Timer& timer = *heap_.front().timer;
    remove(timer);
    return timer;
  }

  [[nodiscard]] TimePoint deadline(const Timer& timer) const noexcept {
    return timer.is_scheduled() ? heap_[timer.index_].when : TimePoint::max();
  }

 private:
  struct Entry {
    TimePoint when;
    std::uint64_t sequence;
    Timer* timer;
    bool operator<(const Entry& other) const noexcept {
      return when < other.when || (when == other.when && sequence < other.sequence);
    }
  };
  static constexpr std::size_t width = 4;

  void place(std::size_t index, const Entry& entry) noexcept {
    heap_[index] = entry;
    entry.timer->index_ = static_cast<std::uint32_t>(index);
  }

  void sift_up(std::size_t index) noexcept {
    const Entry entry = heap_[index];
    while (index > 0) {
      const std::size_t parent = (index - 1) / width;
      if (!(entry < heap_[parent])) break;
      place(index, heap_[parent]);
      index = parent;
    }
    place(index, entry);
  }

  void sift_down(std::size_t index) noexcept {
    const Entry entry = heap_[index];
    const std::size_t size = heap_.size();
    for (;;) {
      const std::size_t first = index * width + 1;
      if (first >= size) break;
      const std::size_t end = first + width < size ? first + width : size;
      std::size_t least = first;
      for (std::size_t child = first + 1; child < end; ++child) {
        if (heap_[child] < heap_[least]) least = child;
      }
      if (!(heap_[least] < entry)) break;
      place(index, heap_[least]);
      index = least;
    }
    place(index, entry);
  }

  std::vector<Entry> heap_;
  std::uint64_t sequence_ = 0;
};

}  // namespace aster::inline v0::detail
