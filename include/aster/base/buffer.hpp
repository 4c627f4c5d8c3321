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
/// fills memory with zeros; gives it back when it is empty, and is then one null pointer.
class Buffer {
 public:
  Buffer() noexcept = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(block_); }

  [[nodiscard]] bool empty() const noexcept { return block_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return empty() ? 0 : block_->size(); }
  [[nodiscard]] char* data() noexcept {
    return empty() ? nullptr : block_->bytes() + block_->begin;
  }

  /// Adds a copy of `bytes`. Throws `std::bad_alloc` and is then unchanged.
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    if (empty() || block_->capacity - block_->end < bytes.size()) make_room(bytes.size());
    std::memcpy(block_->bytes() + block_->end, bytes.data(), bytes.size());
    block_->end += bytes.size();
  }

  /// Removes `count` bytes from the front; there must be as many.
  void consume(std::size_t count) noexcept {
    ASTER_ASSERT(count <= size());
    if (empty()) return;
    block_->begin += count;
    if (block_->size() == 0) clear();
  }

  /// Changes places with `other`; no byte moves in memory.
  void swap(Buffer& other) noexcept { std::swap(block_, other.block_); }

  /// Removes everything and gives the memory back.
  void clear() noexcept { std::free(std::exchange(block_, nullptr)); }

 private:
  /// In front of the bytes, of which there are some.
  struct Block {
    std::size_t begin;
    std::size_t end;
    std::size_t capacity;
    [[nodiscard]] std::size_t size() const noexcept { return end - begin; }
    [[nodiscard]] char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
  };

  void make_room(std::size_t more) {
    const std::size_t held = size();
    if (!empty() && held + more <= block_->capacity && block_->begin >= held) {
      std::memcpy(block_->bytes(), data(), held);
    } else {
      const std::size_t capacity = empty() ? 0 : block_->capacity;
      const std::size_t wanted =
          std::max(held + more, std::min(2 * capacity, held + more + (1U << 20U)));
      void* const memory = std::malloc(sizeof(Block) + wanted);
      if (memory == nullptr) throw std::bad_alloc();
      auto* const bigger = ::new (memory) Block{0, 0, wanted};
      if (held > 0) std::memcpy(bigger->bytes(), data(), held);
      std::free(std::exchange(block_, bigger));
    }
    block_->begin = 0;
    block_->end = held;
  }

  Block* block_ = nullptr;
};

}  // namespace aster::inline v0::detail
