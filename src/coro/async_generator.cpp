// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/coro/async_generator_state.hpp>

#include <string>

namespace aster::inline v0::detail {
namespace {

constinit thread_local AsyncGenHooks* hooks_of_thread = nullptr;

const char* name_of(AsyncGenAction action) noexcept {
  switch (action) {
    case AsyncGenAction::close:
      return "aclose()";
    case AsyncGenAction::throw_:
      return "athrow()";
    default:
      return "anext()";
  }
}

}  // namespace

AsyncGenHooks*& asyncgen_hooks() noexcept { return hooks_of_thread; }

// The generator -----------------------------------------------------------------------

const RunnableOps AsyncGenState::ops{
    [](Runnable& node) {
      auto& self = static_cast<AsyncGenState&>(node);
      self.hooks_->close_dropped(self);
    },
    [](Runnable& node) noexcept { static_cast<AsyncGenState&>(node).discard(); }};

void* AsyncGenState::take_sent() {
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
  return std::exchange(sent_, nullptr);
}

void AsyncGenState::fail(std::exception_ptr error, const std::source_location& site) noexcept {
  // These would look like the end of whoever awaits the step.
  if (is_stop_async_iteration(error)) {
    error = std::make_exception_ptr(RuntimeError("async generator raised StopAsyncIteration"));
  } else if (is_stop_iteration(error)) {
    error = std::make_exception_ptr(RuntimeError("async generator raised StopIteration"));
  }
  error_ = std::move(error);
  note_left(error_, site);
}

void AsyncGenState::frame_gone() noexcept {
  frame_ = nullptr;
  running_ = false;
  unlink();
}

void AsyncGenState::destroy_frame() noexcept {
  if (frame_ != nullptr) PromiseBase::destroy(*frame_);
}

void AsyncGenState::discard() noexcept {
  destroy_frame();
  destroy_in_frame(this);
}

void AsyncGenState::unreferenced() noexcept {
  // One that refused to close, or whose closing task could not be made, is not
  // closed again.
  const bool open = frame_ != nullptr && begun_ && !closed_ && hooks_ != nullptr;
  if (open && !std::exchange(dropped_, true)) {
    unlink();
    hooks_->dropped(*this);
  } else {
    discard();
  }
}

// Its steps ---------------------------------------------------------------------------

AsyncGenCall::AsyncGenCall(AsyncGenRequest&& request) : request_(std::move(request)) {
  if (request_.generator.get() == nullptr) {
    const bool plain =
        request_.action == AsyncGenAction::next || request_.action == AsyncGenAction::send;
    throw RuntimeError(plain ? "cannot reuse already awaited __anext__()/asend()"
                             : "cannot reuse already awaited aclose()/athrow()");
  }
}

AsyncGenCall::~AsyncGenCall() {
  if (child_ != nullptr) PromiseBase::destroy(*child_);
}

bool AsyncGenCall::await_ready() {
  AsyncGenState& generator = *request_.generator.get();
  if (generator.frame_ == nullptr) {
    request_.thrown = nullptr;  // As in Python, an ended generator takes it silently.
    return true;
  }
  if (generator.running_) {
    throw RuntimeError(std::string(name_of(request_.action)) +
                       ": asynchronous generator is already running");
  }
  const bool throws =
      request_.action == AsyncGenAction::throw_ || request_.action == AsyncGenAction::close;
  if (throws && generator.closed_) throw StopAsyncIteration("asynchronous generator was closed");
  if (generator.begun_) return false;
  if (request_.action == AsyncGenAction::send) {
    throw TypeError("can't send a value to a just-started async generator; begin with next()");
  }
  if (throws) generator.destroy_frame();  // Its body will never run.
  return throws;
}

void AsyncGenCall::begin() noexcept {
  AsyncGenState& generator = *request_.generator.get();
  if (!generator.begun_) {
    generator.begun_ = true;
    generator.hooks_ = asyncgen_hooks();
    if (generator.hooks_ != nullptr) generator.hooks_->began(generator);
  }
  generator.running_ = true;
  generator.yielded_ = nullptr;
  generator.sent_ = sent_;
  if (request_.action == AsyncGenAction::close) {
    generator.closed_ = true;
    generator.error_ = std::make_exception_ptr(GeneratorExit());
  } else {
    generator.error_ = std::exchange(request_.thrown, nullptr);
  }
  child_ = generator.frame_;
}

void* AsyncGenCall::finish() {
  AsyncGenState& generator = *request_.generator.get();
  std::exception_ptr error;
  if (child_ == nullptr) {  // It was ready.
    error = std::exchange(request_.thrown, nullptr);
  } else {
    child_ = nullptr;
    generator.running_ = false;
    if (generator.yielded_ != nullptr) {
      if (request_.action != AsyncGenAction::close) return generator.yielded_;
      throw RuntimeError("async generator ignored GeneratorExit");
    }
    error = std::exchange(generator.error_, nullptr);
    generator.destroy_frame();
    if (request_.action == AsyncGenAction::close && is_generator_exit(error)) error = nullptr;
  }
  if (error != nullptr) {
    note_rethrow(error);
    std::rethrow_exception(std::move(error));
  }
  return nullptr;
}

}  // namespace aster::inline v0::detail
