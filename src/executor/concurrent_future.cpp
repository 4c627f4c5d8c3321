// SPDX-License-Identifier: MIT
#include <aster/base/log.hpp>
#include <aster/executor/concurrent_future.hpp>
#include <aster/executor/concurrent_wait.hpp>

#include <algorithm>
#include <chrono>
#include <string>

namespace aster::inline v0::detail {
namespace {

void call_back(ConcurrentStateBase::Callback& callback) noexcept {
  try {
    callback();
  } catch (...) {
    log_error("Exception in callback of a ConcurrentFuture: " + describe(std::current_exception()));
  }
  callback.reset();
}

}  // namespace

ConcurrentStateBase::~ConcurrentStateBase() = default;

bool ConcurrentStateBase::cancel() noexcept {
  Lock lock(mutex_);
  if (state_ == State::running || state_ == State::finished) return false;
  if (state_ == State::pending) complete(std::move(lock), State::cancelled);
  return true;
}

bool ConcurrentStateBase::set_running_or_notify_cancel() {
  const Lock lock(mutex_);
  if (state_ == State::pending) {
    state_ = State::running;
    return true;
  }
  if (state_ == State::cancelled) {
    state_ = State::cancelled_and_notified;
    return false;
  }
  throw RuntimeError("set_running_or_notify_cancel: Future in unexpected state");
}

bool ConcurrentStateBase::is_cancelled() const noexcept {
  const Lock lock(mutex_);
  return state_ == State::cancelled || state_ == State::cancelled_and_notified;
}

bool ConcurrentStateBase::is_running() const noexcept {
  const Lock lock(mutex_);
  return state_ == State::running;
}

bool ConcurrentStateBase::is_done() const noexcept {
  const Lock lock(mutex_);
  return is_final();
}

void ConcurrentStateBase::add_callback(Callback callback) {
  {
    const Lock lock(mutex_);
    if (!is_final()) {
      callbacks_.push_back(std::move(callback));
      return;
    }
  }
  call_back(callback);
}

void ConcurrentStateBase::watch(CompletionWatch& watch) noexcept {
  const Lock lock(mutex_);
  if (is_final()) {
    watch.queue->push(watch.index, failed_);
  } else {
    watches_.push_back(watch);
  }
}

void ConcurrentStateBase::unwatch(CompletionWatch& watch) noexcept {
  // Also when it is not linked: whoever has unlinked it may be at its queue still.
  const Lock lock(mutex_);
  watch.unlink();
}

ConcurrentStateBase::Lock ConcurrentStateBase::lock_when_done(Delay timeout, const char* call) {
  const Duration length = timeout.checked(call);
  const TimePoint deadline =
      add_saturated(std::chrono::steady_clock::now(), std::max(length, Duration::zero()));
  Lock lock(mutex_);
  const auto is_ready = [this] { return is_final(); };
  if (deadline == TimePoint::max()) {
    done_.wait(lock, is_ready);
  } else if (!done_.wait_until(lock, deadline, is_ready)) {
    throw TimeoutError();
  }
  if (state_ != State::finished) throw CancelledError();
  return lock;
}

ConcurrentStateBase::Lock ConcurrentStateBase::lock_to_set(const char* call) {
  Lock lock(mutex_);
  if (is_final()) {
    throw InvalidStateError(std::string(call) + ": the future is done already" +
                            (state_ == State::finished ? "" : " (cancelled)"));
  }
  return lock;
}

void ConcurrentStateBase::complete(Lock lock, State state) noexcept {
  state_ = state;
  std::vector<Callback> callbacks;
  callbacks.swap(callbacks_);
  done_.notify_all();
  while (!watches_.empty()) {
    const CompletionWatch& watch = watches_.pop_front();
    watch.queue->push(watch.index, failed_);
  }
  lock.unlock();
  // Without the lock, as callbacks may ask the future anything.
  for (Callback& callback : callbacks) call_back(callback);
}

}  // namespace aster::inline v0::detail
