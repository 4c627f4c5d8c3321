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

void CompletionQueue::push(std::size_t index, bool failed) {
  const std::lock_guard lock(mutex_);
  done_.push_back(index);
  has_failure_ |= failed;
  changed_.notify_all();
}

std::optional<std::size_t> CompletionQueue::pop(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  if (!wait_until(changed_, lock, deadline, [this] { return !done_.empty(); })) return std::nullopt;
  const std::size_t index = done_.front();
  done_.pop_front();
  return index;
}

bool CompletionQueue::wait(std::size_t count, bool or_failure, TimePoint deadline) {
  std::unique_lock lock(mutex_);
  return wait_until(changed_, lock, deadline,
                    [&] { return done_.size() >= count || (or_failure && has_failure_); });
}

}  // namespace aster::inline v0::detail
