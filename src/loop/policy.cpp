// SPDX-License-Identifier: MIT
#include <aster/loop/policy.hpp>

#include "loop/fork_locks.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <sstream>
#include <thread>
#include <utility>

namespace aster::inline v0 {
namespace {

/// This thread's current loop. A forked child has none (ACC-8): the parent's may be
/// running, in frames that the child still stands in, so it is not destroyed there
/// but put aside for ever.
std::shared_ptr<EventLoop>& current_loop() noexcept {
  static thread_local std::shared_ptr<EventLoop> loop;
  static thread_local std::uint32_t generation = 0;
  const std::uint32_t forks = detail::fork_count.load(std::memory_order_relaxed);
  if (generation != forks) {
    alignas(std::shared_ptr<EventLoop>) static thread_local unsigned char aside[sizeof(loop)];
    if (loop != nullptr) ::new (static_cast<void*>(aside)) std::shared_ptr(std::move(loop));
    generation = forks;
  }
  return loop;
}

constinit std::mutex policy_mutex;
/// To be touched with the lock only.
std::shared_ptr<EventLoopPolicy>& present_policy() {
  static auto policy = std::make_shared<EventLoopPolicy>();
  return policy;
}

}  // namespace

void detail::lock_policy() noexcept { policy_mutex.lock(); }
void detail::unlock_policy() noexcept { policy_mutex.unlock(); }

EventLoopPolicy::~EventLoopPolicy() = default;

std::shared_ptr<EventLoop> EventLoopPolicy::new_event_loop(LoopOptions options) {
  return std::make_shared<EventLoop>(options);
}

EventLoop& EventLoopPolicy::get_event_loop() {
  if (current_loop() != nullptr) return *current_loop();
  std::ostringstream text;
  text << "get_event_loop: There is no current event loop in thread " << std::this_thread::get_id();
  throw RuntimeError(text.str());
}

void EventLoopPolicy::set_event_loop(std::shared_ptr<EventLoop> loop) {
  current_loop() = std::move(loop);
}

std::shared_ptr<EventLoop> new_event_loop(LoopOptions options) {
  return get_event_loop_policy()->new_event_loop(options);
}

EventLoop& get_event_loop() {
  if (Scheduler* running = detail::running_scheduler()) return running->loop();
  return get_event_loop_policy()->get_event_loop();
}

void set_event_loop(std::shared_ptr<EventLoop> loop) {
  get_event_loop_policy()->set_event_loop(std::move(loop));
}

std::shared_ptr<EventLoopPolicy> get_event_loop_policy() {
  const std::scoped_lock lock(policy_mutex);
  return present_policy();
}

void set_event_loop_policy(std::shared_ptr<EventLoopPolicy> policy) {
  if (policy == nullptr) policy = std::make_shared<EventLoopPolicy>();
  {
    const std::scoped_lock lock(policy_mutex);
    present_policy().swap(policy);
  }
  // The former one goes here, where its destructor may ask for the present one.
}

}  // namespace aster::inline v0
