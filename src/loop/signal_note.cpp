// SPDX-License-Identifier: MIT
#include "loop/signal_note.hpp"

#include "loop/fork_locks.hpp"

#include <cerrno>
#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

#include <unistd.h>

namespace aster::inline v0::detail {
namespace {

constexpr int slot_count = 65;  // Linux has signals 1 to 64.
constinit std::mutex slots_mutex;

}  // namespace

void lock_signals() noexcept { slots_mutex.lock(); }
void unlock_signals() noexcept { slots_mutex.unlock(); }

struct SignalNote::Slot {
  std::atomic<SignalNote*> newest{nullptr};
  std::atomic<int> handlers_active{0};       // The signal may arrive on any thread.
  std::atomic<std::uint32_t> generation{0};  // The fork count when `newest` became the first.
};

bool on_main_thread() noexcept { return ::getpid() == ::gettid(); }

SignalNote::Slot& SignalNote::slot_of(int number) noexcept {
  static constinit Slot slots[slot_count];
  return slots[number];
}

SignalNote::SignalNote(Scheduler& scheduler, const RunnableOps* ops) noexcept
    : Runnable(ops), scheduler_(scheduler) {}

void SignalNote::on_signal(int number) noexcept {
  const int saved = errno;
  Slot& slot = slot_of(number);
  slot.handlers_active.fetch_add(1);
  SignalNote* note = slot.newest.load();
  if (slot.generation.load() == fork_count.load(std::memory_order_relaxed)) {
    if (note != nullptr) note->arrived();
  } else if (note != nullptr) {
    while (note->below_ != nullptr) note = note->below_;
    ::sigaction(number, &note->former_, nullptr);
    ::raise(number);  // Taken when this handler returns.
  }
  slot.handlers_active.fetch_sub(1);
  errno = saved;
}

void SignalNote::arrived() noexcept {
  count_.fetch_add(1);
  if (queued_.exchange(true)) return;
  Inbox& inbox = *scheduler_.inbox();
  if (inbox.push(*this)) {
    inbox.ring();
  } else {
    queued_.store(false);
  }
}

int SignalNote::watch(int number, bool if_default) noexcept {
  const std::scoped_lock lock(slots_mutex);
  Slot& slot = slot_of(number);
  struct sigaction present{};
  if (::sigaction(number, nullptr, &present) != 0) return -errno;
  const std::uint32_t generation = fork_count.load(std::memory_order_relaxed);
  const bool is_first_here = slot.generation.load() != generation;
  const SignalNote* parents = is_first_here ? slot.newest.load() : nullptr;
  if (parents != nullptr && present.sa_handler == &on_signal) {
    while (parents->below_ != nullptr) parents = parents->below_;
    present = parents->former_;  // What the signal does here: see `on_signal`.
  }
  if (if_default && present.sa_handler != SIG_DFL) return 1;
  if (is_first_here) {
    slot.newest.store(nullptr);
    slot.handlers_active.store(0);  // Of threads that are not here.
    slot.generation.store(generation);
  }
  below_ = slot.newest.load();
  has_former_ = present.sa_handler != &on_signal;
  former_ = present;
  slot.newest.store(this);
  if (has_former_) {
    struct sigaction ours{};
    ours.sa_handler = &on_signal;
    ours.sa_flags = SA_RESTART;
    sigemptyset(&ours.sa_mask);
    if (::sigaction(number, &ours, nullptr) != 0) {
      const int error = errno;
      slot.newest.store(below_);
      return -error;
    }
  }
  number_ = number;
  return 0;
}

void SignalNote::unwatch() noexcept {
  if (number_ == 0) return;
  {
    const std::scoped_lock lock(slots_mutex);
    Slot& slot = slot_of(number_);
    SignalNote* above = nullptr;
    SignalNote* note = slot.newest.load();
    while (note != nullptr && note != this) {
      above = note;
      note = note->below_;
    }
    if (note == this && above != nullptr) {
      above->below_ = below_;
      if (has_former_ && !std::exchange(above->has_former_, true)) above->former_ = former_;
    } else if (note == this) {
      struct sigaction present{};
      if (has_former_ && ::sigaction(number_, nullptr, &present) == 0 &&
          present.sa_handler == &on_signal) {
        ::sigaction(number_, &former_, nullptr);
      }
      slot.newest.store(below_);
    }
    while (slot.generation.load() == fork_count.load(std::memory_order_relaxed) &&
           slot.handlers_active.load() > 0) {
      std::this_thread::yield();
    }
  }
  number_ = 0;
  if (queued_.load()) {
    scheduler_.withdraw_posted(*this);
    queued_.store(false);
  }
}

}  // namespace aster::inline v0::detail
