// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace aster::inline v0::detail {

/// Bytes in a queue: added at the end, removed from the front, contiguous. Never
/// fills memory with zeros; gives it back when it is empty.
class Buffer {
 public:
  Buffer() noexcept = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data_); }

  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] char* data() noexcept { return data_ + begin_; }

  /// Adds a copy of `bytes`. Throws `std::bad_alloc` and is then unchanged.
  void append(std::string_view bytes) {
    if (capacity_ - end_ < bytes.size()) make_room(bytes.size());
    std::memcpy(data_ + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
  }

  /// Removes `count` bytes from the front; there must be as many.
  void consume(std::size_t count) noexcept {
    ASTER_ASSERT(count <= size());
    begin_ += count;
    if (empty()) clear();
  }

  /// Changes places with `other`; no byte moves in memory.
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

  /// Removes everything and gives the memory back.
  void clear() noexcept {
    std::free(data_);
    data_ = nullptr;
    begin_ = end_ = capacity_ = 0;
  }

 private:
  void make_room(std::size_t more) {
    const std::size_t held = size();
    if (held + more <= capacity_ && begin_ >= held) {
      std::memcpy(data_, data_ + begin_, held);
    } else {
      const std::size_t wanted =
          std::max(held + more, std::min(2 * capacity_, held + more + (1U << 20U)));
      char* bigger = static_cast<char*>(std::malloc(wanted));
      if (bigger == nullptr) throw std::bad_alloc();
      if (held > 0) std::memcpy(bigger, data_ + begin_, held);
      std::free(data_);
      data_ = bigger;
      capacity_ = wanted;
    }
    begin_ = 0;
    end_ = held;
  }

  char* data_ = nullptr;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace aster::inline v0::detail
