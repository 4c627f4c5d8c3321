// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

namespace aster::inline v0::detail {

/// A link of an `IntrusiveList`; derive from it. Unlinked when made.
class ListNode {
 public:
  ListNode() noexcept = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  [[nodiscard]] bool is_linked() const noexcept { return next_ != nullptr; }

  /// Leaves whatever list holds it; nothing when none does.
  void unlink() noexcept {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = nullptr;
    prev_ = nullptr;
  }

 protected:
  ~ListNode() = default;

 private:
  friend struct Layout;
  template <class>
  friend class IntrusiveList;
  ListNode* next_ = nullptr;
  ListNode* prev_ = nullptr;
};

/// A doubly linked list of nodes that live elsewhere: joining and leaving
/// allocate nothing and never fail. `T` derives from `ListNode`.
template <class T>
class IntrusiveList {
 public:
  IntrusiveList() noexcept { reset(); }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    ASTER_ASSERT(empty());
    root_.next_ = nullptr;
  }

  [[nodiscard]] bool empty() const noexcept { return root_.next_ == &root_; }
  [[nodiscard]] T& front() noexcept { return static_cast<T&>(*root_.next_); }
  [[nodiscard]] T& back() noexcept { return static_cast<T&>(*root_.prev_); }

  void push_back(T& item) noexcept {
    ListNode& node = item;
    node.prev_ = root_.prev_;
    node.next_ = &root_;
    root_.prev_->next_ = &node;
    root_.prev_ = &node;
  }

  void push_front(T& item) noexcept {
    ListNode& node = item;
    node.next_ = root_.next_;
    node.prev_ = &root_;
    root_.next_->prev_ = &node;
    root_.next_ = &node;
  }

  T& pop_front() noexcept {
    T& item = front();
    static_cast<ListNode&>(item).unlink();
    return item;
  }

  /// Takes all of `other`, which becomes empty; ours must be empty.
  void take(IntrusiveList& other) noexcept {
    if (other.empty()) return;
    root_.next_ = other.root_.next_;
    root_.prev_ = other.root_.prev_;
    root_.next_->prev_ = &root_;
    root_.prev_->next_ = &root_;
    other.reset();
  }

  /// The item after `item`, or null at the end. `item` may be unlinked afterwards.
  [[nodiscard]] T* next(T& item) noexcept {
    ListNode* node = static_cast<ListNode&>(item).next_;
    return node == &root_ ? nullptr : static_cast<T*>(node);
  }
  [[nodiscard]] const T* next(const T& item) const noexcept {
    const ListNode* node = static_cast<const ListNode&>(item).next_;
    return node == &root_ ? nullptr : static_cast<const T*>(node);
  }
  [[nodiscard]] T* first() noexcept { return empty() ? nullptr : &front(); }
  [[nodiscard]] const T* first() const noexcept {
    return empty() ? nullptr : static_cast<const T*>(root_.next_);
  }

 private:
  friend struct Layout;
  struct Root final : ListNode {};
  void reset() noexcept {
    root_.next_ = &root_;
    root_.prev_ = &root_;
  }
  Root root_;
};

}  // namespace aster::inline v0::detail
