// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/base/state_ref.hpp>
#include <aster/base/time.hpp>
#include <aster/task/context.hpp>
#include <aster/task/scheduler.hpp>

#include <atomic>
#include <cstdint>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

/// A scheduled callback without its type. One reference for the queue or timer
/// heap that holds it and one for each handle; not thread-safe.
class ASTER_API HandleState : public Timer {
 public:
  HandleState(Scheduler& scheduler, ContextSlot&& context, std::source_location source) noexcept
      : Timer(&runnable_ops),
        scheduler_(&scheduler),
        context_(std::move(context)),
        source_(source) {
    scheduler.add_reference();
  }

  void cancel() noexcept;
  [[nodiscard]] bool refuses_thread(const char* call) const noexcept {
    return scheduler_->refuses_thread(call);
  }
  /// What a copied handle says, for `StateRef`.
  void note_copied() const noexcept { static_cast<void>(refuses_thread("copying a Handle")); }
  [[nodiscard]] bool is_cancelled() const noexcept { return stage_ == Stage::cancelled; }
  /// For people, as `to_string` gives it.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] ContextSlot& context() noexcept { return context_; }

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept {
    if (--references_ == 0) destroy();
  }

  TimePoint when = TimePoint::max();

 protected:
  ~HandleState() { scheduler_->release_reference(); }
  /// Calls the callable.
  virtual void invoke() = 0;
  /// Destroys the callable; at most once, never after `cancel`.
  virtual void discard() noexcept = 0;
  virtual void destroy() noexcept = 0;

 private:
  static const RunnableOps runnable_ops;
  void run_and_release();
  void drop_and_release() noexcept;

  Scheduler* scheduler_;
  ContextSlot context_;
  std::uint32_t references_ = 1;
  enum class Stage : std::uint8_t { queued, cancelled, ran };
  Stage stage_ = Stage::queued;  // Once not queued, the callable is being or was destroyed.
  std::source_location source_;
};

template <class F>
class TypedHandle final : public HandleState {
 public:
  template <class G>
  TypedHandle(Scheduler& scheduler, ContextSlot&& context, std::source_location source,
              G&& callable)
      : HandleState(scheduler, std::move(context), source), callable_(std::forward<G>(callable)) {}
  TypedHandle(const TypedHandle&) = delete;
  TypedHandle& operator=(const TypedHandle&) = delete;

 private:
  ~TypedHandle() {}
  void invoke() override { callable_(); }
  void discard() noexcept override { callable_.~F(); }
  void destroy() noexcept override {
    this->~TypedHandle();
    release_frame(this, sizeof(TypedHandle));
  }
  union {
    F callable_;  // Destroyed by `discard`.
  };
};

/// A callback posted from another thread; atomic, as any thread may cancel it.
class ASTER_API SharedHandleState : public Runnable {
 public:
  SharedHandleState(ContextSlot&& context, std::source_location source) noexcept
      : Runnable(&runnable_ops), context_(std::move(context)), source_(source) {}

  void cancel() noexcept;
  [[nodiscard]] bool is_cancelled() const noexcept {
    return stage_.load(std::memory_order_acquire) == Stage::cancelled;
  }
  /// For people, as `to_string` gives it.
  [[nodiscard]] std::string text() const;
  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release_reference() noexcept {
    // The last holder needs no exchange: nobody is left to add one.
    if (references_.load(std::memory_order_acquire) == 1 ||
        references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      destroy();
    }
  }

 protected:
  ~SharedHandleState() = default;
  virtual void invoke() = 0;
  virtual void discard() noexcept = 0;
  virtual void destroy() noexcept = 0;

 private:
  enum class Stage : std::uint8_t { queued, running, cancelled, done };
  static const RunnableOps runnable_ops;
  void run_and_release();
  void call_reporting();

  std::atomic<std::uint32_t> references_{2};  // The queue's and the handle's.
  std::atomic<Stage> stage_{Stage::queued};
  ContextSlot context_;
  std::source_location source_;
};

template <class F>
class TypedSharedHandle final : public SharedHandleState {
 public:
  template <class G>
  TypedSharedHandle(ContextSlot&& context, std::source_location source, G&& callable)
      : SharedHandleState(std::move(context), source), callable_(std::forward<G>(callable)) {}
  TypedSharedHandle(const TypedSharedHandle&) = delete;
  TypedSharedHandle& operator=(const TypedSharedHandle&) = delete;

 private:
  ~TypedSharedHandle() {}
  void invoke() override { callable_(); }
  void discard() noexcept override { callable_.~F(); }
  void destroy() noexcept override {
    this->~TypedSharedHandle();
    release_frame(this, sizeof(TypedSharedHandle));
  }
  union {
    F callable_;  // Destroyed by `discard`.
  };
};

}  // namespace detail

/// A callback that `call_soon` has queued: the counterpart of asyncio.Handle.
/// Dropping it does not cancel. Copies refer to the same callback. Thread rule:
/// the loop's thread.
class Handle {
 public:
  /// Refers to no callback.
  Handle() noexcept = default;

  /// Takes the callback back: it will not run and is destroyed at once. Nothing
  /// when it has run already or was cancelled before. In debug mode a call from a
  /// wrong thread is logged, and does nothing.
  void cancel() noexcept {
    if (state_ && !state_->refuses_thread("Handle::cancel")) state_->cancel();
  }
  /// Whether `cancel` was called in time.
  [[nodiscard]] bool cancelled() const noexcept { return state_ && state_->is_cancelled(); }
  /// The context the callback runs in; an empty one when it refers to no callback.
  [[nodiscard]] Context get_context() const {
    return state_ ? Context(state_->context()) : Context();
  }

 protected:
  friend class EventLoop;
  friend ASTER_API std::string to_string(const Handle& handle);
  explicit Handle(detail::HandleState* state) noexcept : state_(state) {}

  detail::StateRef<detail::HandleState> state_;  // Null when it refers to none.
};

/// A callback with a time, from `call_later` and `call_at`: the counterpart of
/// asyncio.TimerHandle.
class TimerHandle : public Handle {
 public:
  /// Refers to no callback.
  TimerHandle() noexcept = default;
  /// The loop time at which it is due; `TimePoint::max()` for never.
  [[nodiscard]] TimePoint when() const noexcept { return state_ ? state_->when : TimePoint::max(); }

 private:
  friend class EventLoop;
  using Handle::Handle;
};

/// A callback from `call_soon_threadsafe`. May be cancelled from any thread: once
/// `cancel` has returned the callback will not start, and when it is just running
/// in another thread, it has ended.
class ThreadsafeHandle {
 public:
  /// Refers to no callback.
  ThreadsafeHandle() noexcept = default;
  /// As described above; any thread.
  void cancel() noexcept {
    if (state_) state_->cancel();
  }
  /// Whether `cancel` was called in time; any thread.
  [[nodiscard]] bool cancelled() const noexcept { return state_ && state_->is_cancelled(); }

 private:
  friend class EventLoop;
  friend ASTER_API std::string to_string(const ThreadsafeHandle& handle);
  explicit ThreadsafeHandle(detail::SharedHandleState* state) noexcept : state_(state) {}

  detail::StateRef<detail::SharedHandleState> state_;  // Null when it refers to none.
};

/// A handle in one line for people, with the place of the call that made it: "<Handle
/// cancelled made at crawl.cpp:12>", "<TimerHandle when=3.500 made at crawl.cpp:14>" (in
/// seconds of the loop's clock). The form may change.
[[nodiscard]] ASTER_API std::string to_string(const Handle& handle);
/// The same, in any thread.
[[nodiscard]] ASTER_API std::string to_string(const ThreadsafeHandle& handle);

}  // namespace aster::inline v0
