// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace aster::inline v0::detail {

class Runnable;

/// What a kind of runnable does when its turn comes, and when it never will.
struct RunnableOps {
  /// Runs it. The node is out of the queue and may queue itself again. What it
  /// throws leaves `run_forever` (base errors only; the rest is reported).
  void (*run)(Runnable&);
  /// The loop closes: gives up what the node owns without running it.
  void (*drop)(Runnable&) noexcept;
  /// What it is, for people: asked before `run` in debug mode only. May be null.
  std::string (*describe)(const Runnable&) = nullptr;
};

/// A node of the ready queue, embedded in tasks, handles and callbacks so that
/// scheduling allocates nothing. In at most one queue at a time.
class Runnable {
 public:
  explicit constexpr Runnable(const RunnableOps* ops) noexcept : ops_(ops) {}
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;

  void run() { ops_->run(*this); }
  void drop() noexcept { ops_->drop(*this); }
  /// Empty when its kind has nothing to say.
  [[nodiscard]] std::string describe() const {
    return ops_->describe != nullptr ? ops_->describe(*this) : std::string();
  }
  /// What kind it is.
  [[nodiscard]] const RunnableOps* runnable_kind() const noexcept { return ops_; }

 protected:
  ~Runnable() = default;
  const RunnableOps* ops_;

 private:
  friend struct Layout;
  friend class ReadyQueue;
  friend class Inbox;
  Runnable* next_ = nullptr;
};

/// A first-in first-out list of runnables, owned by one thread.
class ReadyQueue {
 public:
  ReadyQueue() noexcept = default;
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

  void push(Runnable& node) noexcept {
    node.next_ = nullptr;
    *tail_ = &node;
    tail_ = &node.next_;
  }

  /// The oldest node; the queue must not be empty.
  Runnable& pop() noexcept {
    Runnable& node = *head_;
    head_ = node.next_;
    if (head_ == nullptr) tail_ = &head_;
    return node;
  }

  /// Takes `node` out wherever it is; nothing when it is not there. Slow: only for
  /// ends that are rare.
  void remove(Runnable& node) noexcept {
    for (Runnable** link = &head_; *link != nullptr; link = &(*link)->next_) {
      if (*link != &node) continue;
      *link = node.next_;
      if (tail_ == &node.next_) tail_ = link;
      return;
    }
  }

  /// Takes all nodes of `other` (its oldest first), behind ours.
  void append(ReadyQueue& other) noexcept {
    if (other.empty()) return;
    *tail_ = other.head_;
    tail_ = other.tail_;
    other.head_ = nullptr;
    other.tail_ = &other.head_;
  }

  /// A place in the queue: behind all that is in it now. Good until a node is taken out.
  class Mark {
    friend class ReadyQueue;
    explicit Mark(Runnable** link) noexcept : link_(link) {}
    Runnable** link_;
  };
  [[nodiscard]] Mark mark() noexcept { return Mark(tail_); }
  /// Whether nothing was pushed since `mark`.
  [[nodiscard]] bool is_at(Mark mark) const noexcept { return tail_ == mark.link_; }

  /// Takes out what was pushed since `mark` if it is one node; else null.
  [[nodiscard]] Runnable* take_only_since(Mark mark) noexcept {
    if (is_at(mark) || tail_ != &(*mark.link_)->next_) return nullptr;
    tail_ = mark.link_;
    return std::exchange(*mark.link_, nullptr);
  }

  /// Moves what was pushed since `mark` to the front of `other`.
  void move_since(Mark mark, ReadyQueue& other) noexcept {
    if (is_at(mark)) return;
    *tail_ = other.head_;
    if (other.empty()) other.tail_ = tail_;
    other.head_ = std::exchange(*mark.link_, nullptr);
    tail_ = mark.link_;
  }

  /// Takes all nodes of `other`, before ours.
  void prepend(ReadyQueue& other) noexcept {
    if (other.empty()) return;
    other.append(*this);
    append(other);
  }

 private:
  Runnable* head_ = nullptr;
  Runnable** tail_ = &head_;  // The link that the next push fills.
};

}  // namespace aster::inline v0::detail
