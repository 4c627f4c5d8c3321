// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstdint>

namespace aster::inline v0::detail {

template <class>
class NarrowList;

/// A link of a `NarrowList`; derive from it. Unlinked when made.
class NarrowNode {
 public:
  NarrowNode() noexcept = default;
  NarrowNode(const NarrowNode&) = delete;
  NarrowNode& operator=(const NarrowNode&) = delete;

  [[nodiscard]] bool is_linked() const noexcept { return next_ != 0; }

  /// Leaves whatever list holds it; nothing when none does.
  inline void unlink() noexcept;

 protected:
  ~NarrowNode() = default;

 private:
  friend struct Layout;
  template <class>
  friend class NarrowList;

  static constexpr std::uintptr_t root_tag = 1;
  [[nodiscard]] bool is_last() const noexcept { return (next_ & root_tag) != 0; }
  // NOLINTBEGIN(performance-no-int-to-ptr): tagged.
  [[nodiscard]] NarrowNode* next() const noexcept { return reinterpret_cast<NarrowNode*>(next_); }
  [[nodiscard]] NarrowNode** root() const noexcept {
    return reinterpret_cast<NarrowNode**>(next_ - root_tag);
  }
  // NOLINTEND(performance-no-int-to-ptr)

  std::uintptr_t next_ = 0;     // The next node; of the last one the list's word, with the tag.
  NarrowNode* prev_ = nullptr;  // The node before; of the first one the last.
};

/// An `IntrusiveList` of one word, for what exists in great number and mostly has no item
/// or one. Joining and leaving take a few steps more. Must not move while it has items.
template <class T>
class NarrowList {
 public:
  NarrowList() noexcept = default;
  NarrowList(const NarrowList&) = delete;
  NarrowList& operator=(const NarrowList&) = delete;
  ~NarrowList() { ASTER_ASSERT(empty()); }

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  /// Null when it is empty.
  [[nodiscard]] T* first() noexcept { return static_cast<T*>(first_); }
  /// The item after `item`, or null at the end. `item` may be unlinked afterwards.
  [[nodiscard]] T* next(T& item) noexcept {
    const NarrowNode& node = item;
    return node.is_last() ? nullptr : static_cast<T*>(node.next());
  }

  void push_back(T& item) noexcept {
    NarrowNode& node = item;
    node.next_ = reinterpret_cast<std::uintptr_t>(&first_) | NarrowNode::root_tag;
    if (first_ == nullptr) {
      first_ = node.prev_ = &node;
      return;
    }
    NarrowNode& last = *first_->prev_;
    last.next_ = reinterpret_cast<std::uintptr_t>(&node);
    node.prev_ = &last;
    first_->prev_ = &node;
  }

  T& pop_front() noexcept {
    NarrowNode& node = *first_;
    if (node.is_last()) {
      first_ = nullptr;
    } else {
      first_ = node.next();
      first_->prev_ = node.prev_;
    }
    node.next_ = 0;
    return static_cast<T&>(node);
  }

 private:
  friend struct Layout;
  NarrowNode* first_ = nullptr;
};

// --------------------------------------------------------------------------------

inline void NarrowNode::unlink() noexcept {
  if (next_ == 0) return;
  const bool was_first = prev_->is_last();  // What is before the first is the last.
  if (is_last()) {
    NarrowNode*& first = *root();
    if (was_first) {
      first = nullptr;
    } else {
      prev_->next_ = next_;
      first->prev_ = prev_;
    }
  } else {
    if (was_first) {
      *prev_->root() = next();
    } else {
      prev_->next_ = next_;
    }
    next()->prev_ = prev_;
  }
  next_ = 0;
}

}  // namespace aster::inline v0::detail
