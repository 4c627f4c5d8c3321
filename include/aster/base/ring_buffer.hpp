// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace aster::inline v0::detail {

/// A first-in first-out queue in one block of memory that grows and is kept: once it has
/// had its greatest size it allocates no more, as `std::deque` does.
template <class T>
class RingBuffer {
 public:
  RingBuffer() noexcept = default;
  RingBuffer(const RingBuffer&) = delete;
  RingBuffer& operator=(const RingBuffer&) = delete;
  ~RingBuffer() {
    clear();
    release();
  }

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// The oldest item; there must be one.
  [[nodiscard]] T& front() noexcept { return items_[head_]; }

  /// Adds a newest item. When it throws, nothing was added.
  void push_back(T&& item) {
    if (size_ == capacity_) [[unlikely]]
      grow();
    std::construct_at(items_ + ((head_ + size_) & (capacity_ - 1)), std::move(item));
    ++size_;
  }

  /// Destroys the oldest item; there must be one.
  void pop_front() noexcept {
    std::destroy_at(items_ + head_);
    head_ = (head_ + 1) & (capacity_ - 1);
    --size_;
  }

  void clear() noexcept {
    while (!empty()) pop_front();
  }

 private:
  void grow() {
    const std::size_t capacity = capacity_ == 0 ? 8 : 2 * capacity_;
    T* items = std::allocator<T>().allocate(capacity);
    std::size_t moved = 0;
    try {
      for (; moved < size_; ++moved) {
        std::construct_at(items + moved,
                          std::move_if_noexcept(items_[(head_ + moved) & (capacity_ - 1)]));
      }
    } catch (...) {
      std::destroy_n(items, moved);
      std::allocator<T>().deallocate(items, capacity);
      throw;
    }
    const std::size_t size = size_;
    clear();
    release();
    items_ = items;
    capacity_ = capacity;
    head_ = 0;
    size_ = size;
  }
  void release() noexcept {
    if (items_ != nullptr) std::allocator<T>().deallocate(items_, capacity_);
  }

  T* items_ = nullptr;
  std::size_t capacity_ = 0;  // A power of two, or 0.
  std::size_t head_ = 0;      // Where the oldest item is.
  std::size_t size_ = 0;
};

}  // namespace aster::inline v0::detail
