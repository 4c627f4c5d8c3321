// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/base/state_ref.hpp>
#include <aster/coro/await_path.hpp>
#include <aster/coro/promise.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <utility>

/// The inside of `AsyncGenerator`: what does not depend on its types.
///
/// The body is one more frame under the driver of whoever awaits a step: a step makes
/// it the driver's innermost frame, a `co_yield` or its end gives control back to the
/// awaiting frame. Between steps it is suspended and belongs to no driver.
namespace aster::inline v0::detail {

class AsyncGenState;

/// Whom generators tell that they began and that they were dropped: the loop.
class ASTER_API AsyncGenHooks {
 public:
  AsyncGenHooks() noexcept = default;
  AsyncGenHooks(const AsyncGenHooks&) = delete;
  AsyncGenHooks& operator=(const AsyncGenHooks&) = delete;

  /// Its first step begins.
  virtual void began(AsyncGenState& generator) noexcept = 0;
  /// Nobody refers to it any longer and it has not ended: takes it over.
  virtual void dropped(AsyncGenState& generator) noexcept = 0;
  /// What `dropped` has queued the generator for.
  virtual void close_dropped(AsyncGenState& generator) = 0;

 protected:
  ~AsyncGenHooks() = default;
};

/// The hooks of the loop that runs in this thread; null when none does.
[[nodiscard]] ASTER_API AsyncGenHooks*& asyncgen_hooks() noexcept;

/// An asynchronous generator; counted by its handle and by the steps under way.
class ASTER_API AsyncGenState final : public ListNode, public Runnable {
 public:
  explicit AsyncGenState(PromiseBase& frame) noexcept : Runnable(&ops), frame_(&frame) {}

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept {
    if (--references_ == 0) unreferenced();
  }

  // For the frame ----------------------------------------------------------------

  void yield(void* value) noexcept { yielded_ = value; }
  /// What was sent, or null; throws what was thrown in.
  [[nodiscard]] void* take_sent();
  /// The body ended by an exception.
  void fail(std::exception_ptr error, const std::source_location& site) noexcept;
  /// The frame is being destroyed, by whomever.
  void frame_gone() noexcept;

  // For hooks --------------------------------------------------------------------

  /// The hooks go away.
  void forget_hooks() noexcept { hooks_ = nullptr; }
  /// Destroys the frame of a dropped generator, and this.
  void discard() noexcept;

 private:
  friend class AsyncGenCall;
  static const RunnableOps ops;
  void unreferenced() noexcept;
  void destroy_frame() noexcept;

  PromiseBase* frame_;  // Owned; null once it has ended.
  AsyncGenHooks* hooks_ = nullptr;
  void* yielded_ = nullptr;  // Null when the body ended instead.
  void* sent_ = nullptr;
  std::exception_ptr error_;  // To be thrown at the `co_yield`; or with which the body ended.
  std::uint32_t references_ = 1;
  bool begun_ = false;
  bool running_ = false;  // A step is under way.
  bool closed_ = false;   // `aclose` has begun.
  bool dropped_ = false;
};

using AsyncGenRef = StateRef<AsyncGenState>;

enum class AsyncGenAction : std::uint8_t { next, send, throw_, close };

/// One step that was asked for, not begun.
struct AsyncGenRequest {
  AsyncGenRequest(AsyncGenRef to, AsyncGenAction what, std::exception_ptr error = nullptr) noexcept
      : generator(std::move(to)), action(what), thrown(std::move(error)) {}
  AsyncGenRef generator;
  AsyncGenAction action;
  std::exception_ptr thrown;
};

/// The await of one step, but for its types.
class ASTER_API AsyncGenCall : CallLink {
 public:
  using aster_awaiter = void;
  /// RuntimeError when the request was used already.
  explicit AsyncGenCall(AsyncGenRequest&& request);
  AsyncGenCall(const AsyncGenCall&) = delete;
  AsyncGenCall& operator=(const AsyncGenCall&) = delete;
  ~AsyncGenCall();

  /// True when the body need not run, as it has ended.
  [[nodiscard]] bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    require_driver<Promise>();
    begin();
    call(parent.promise(), *child_);
  }

 protected:
  /// After the step: where what it yielded is; null when the generator has ended.
  [[nodiscard]] void* finish();
  void will_send(void* value) noexcept { sent_ = value; }

 private:
  void begin() noexcept;

  AsyncGenRequest request_;
  void* sent_ = nullptr;
};

/// The await of `aclose`.
class [[nodiscard]] AsyncGenCloseCall final : public AsyncGenCall {
 public:
  using AsyncGenCall::AsyncGenCall;
  void await_resume() { static_cast<void>(finish()); }
};

/// What `aclose` gives; awaited once.
class [[nodiscard("aclose does nothing until it is awaited")]] AsyncGenClose {
 public:
  explicit AsyncGenClose(AsyncGenRequest request) noexcept : request_(std::move(request)) {}
  [[nodiscard]] AsyncGenCloseCall operator co_await() {
    return AsyncGenCloseCall(std::move(request_));
  }

 private:
  AsyncGenRequest request_;
};

/// The part of the promise that does not depend on its types.
class ASTER_API AsyncGenFrame : public PromiseBase {
 public:
  void unhandled_exception() noexcept { state_->fail(std::current_exception(), await_site()); }
  void return_void() const noexcept {}
  [[nodiscard]] AsyncGenState& state() const noexcept { return *state_; }

 protected:
  AsyncGenFrame() noexcept = default;
  ~AsyncGenFrame() {
    if (state_ != nullptr) state_->frame_gone();
  }
  [[nodiscard]] AsyncGenRef make_state() {
    state_ = make_in_frame<AsyncGenState>(*this);
    return AsyncGenRef(state_);
  }

 private:
  AsyncGenState* state_ = nullptr;
};

}  // namespace aster::inline v0::detail
