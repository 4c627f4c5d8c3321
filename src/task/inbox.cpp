// SPDX-License-Identifier: MIT
// A stack of nodes pushed by compare-and-swap and taken whole by exchange, then
// reversed. There is no pop, hence no ABA problem.
//
// Sleeping: the loop stores `waiting_`, then loads `head_`; a pusher stores
// `head_`, then loads `waiting_`. Both are sequentially consistent, so at least
// one sees the other's store: either the loop does not wait or the pusher rings.
// The pusher that clears `waiting_` rings alone: one wake-up a burst.
#include <aster/task/inbox.hpp>

namespace aster::inline v0::detail {

namespace {

struct Mark final : Runnable {
  constexpr Mark() noexcept : Runnable(nullptr) {}
};
constinit Mark mark;

}  // namespace

Runnable* Inbox::closed_mark() noexcept { return &mark; }

bool Inbox::push(Runnable& node) noexcept {
  Runnable* head = head_.load(std::memory_order_relaxed);
  do {
    if (head == closed_mark()) return false;
    node.next_ = head;
  } while (!head_.compare_exchange_weak(head, &node, std::memory_order_seq_cst,
                                        std::memory_order_relaxed));
  // From here on the loop may run and free the node.
  if (waiting_.load(std::memory_order_seq_cst) &&
      waiting_.exchange(false, std::memory_order_seq_cst)) {
    waker_->wake();
  }
  return true;
}

void Inbox::move_oldest_first(Runnable* newest, ReadyQueue& queue) noexcept {
  Runnable* oldest = nullptr;
  while (newest != nullptr) {
    Runnable* next = newest->next_;
    newest->next_ = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest != nullptr) {
    Runnable* next = oldest->next_;
    queue.push(*oldest);
    oldest = next;
  }
}

void Inbox::drain(ReadyQueue& queue) noexcept {
  if (!maybe_full()) return;
  Runnable* newest = head_.load(std::memory_order_relaxed);
  if (newest == closed_mark()) return;
  newest = head_.exchange(nullptr, std::memory_order_acquire);
  move_oldest_first(newest, queue);
}

bool Inbox::prepare_to_wait() noexcept {
  waiting_.store(true, std::memory_order_seq_cst);
  if (head_.load(std::memory_order_seq_cst) == nullptr) return true;
  waiting_.store(false, std::memory_order_relaxed);
  return false;
}

void Inbox::close(ReadyQueue& queue) noexcept {
  Runnable* newest = head_.exchange(closed_mark(), std::memory_order_acq_rel);
  if (newest != closed_mark()) move_oldest_first(newest, queue);
}

}  // namespace aster::inline v0::detail
