// SPDX-License-Identifier: MIT
#include <aster/executor/concurrent_wait.hpp>

#include <chrono>

namespace aster::inline v0::detail {
namespace {

template <class Ready>
bool wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                TimePoint deadline, const Ready& ready) {
  if (deadline != TimePoint::max()) return changed.wait_until(lock, deadline, ready);
  changed.wait(lock, ready);
  return true;
}

}  // namespace

TimePoint deadline_of(Delay timeout, const char* call) {
  const Duration length = std::max(timeout.checked(call), Duration::zero());
  return add_saturated(std::chrono::steady_clock::now(), length);
}

void check_return_when(ReturnWhen when) {
  if (when <= ReturnWhen::ALL_COMPLETED) return;
  throw ValueError("wait: Invalid return_when value: " + std::to_string(static_cast<int>(when)));
}

CompletionQueue::CompletionQueue(States states)
    : states_(std::move(states)), watches_(states_.size()) {
  done_.reserve(states_.size());
  for (std::size_t i = 0; i < states_.size(); ++i) {
    watches_[i].queue = this;
    watches_[i].index = i;
    states_[i]->watch(watches_[i]);
  }
}

CompletionQueue::~CompletionQueue() {
  for (std::size_t i = 0; i < states_.size(); ++i) states_[i]->unwatch(watches_[i]);
}

void CompletionQueue::push(std::size_t index, bool failed) noexcept {
  const std::lock_guard lock(mutex_);
  done_.push_back(index);
  has_failure_ |= failed;
  changed_.notify_all();
}

std::optional<std::size_t> CompletionQueue::pop(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  const auto is_ready = [this] { return popped_count_ < done_.size(); };
  if (!wait_until(changed_, lock, deadline, is_ready)) return std::nullopt;
  return done_[popped_count_++];
}

bool CompletionQueue::wait(std::size_t count, bool or_failure, TimePoint deadline) {
  std::unique_lock lock(mutex_);
  return wait_until(changed_, lock, deadline,
                    [&] { return done_.size() >= count || (or_failure && has_failure_); });
}

}  // namespace aster::inline v0::detail
