// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/coro/result.hpp>
#include <aster/coro/yielded.hpp>

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

/// The inside of `Generator`.
///
/// A generator and those it yields from, one within the other, are a chain of
/// frames. The outermost knows the innermost and resumes it directly; a frame that
/// begins or ends a `yield_from` says which is the innermost now and returns to the
/// outermost's loop. So no frame ever resumes another, and neither steps nor
/// exceptions nor destruction use native stack by depth.
namespace aster::inline v0 {

template <class Yield, class Send, class Return>
class Generator;

namespace detail {

class GeneratorFrame;
template <class Yield, class Send, class Return>
class GeneratorPromise;
template <class Yield, class Send, class Return>
class YieldFrom;

/// The link from a frame to the one it yields from; lives in the former.
class GeneratorLink {
 public:
  GeneratorLink() noexcept = default;
  GeneratorLink(const GeneratorLink&) = delete;
  GeneratorLink& operator=(const GeneratorLink&) = delete;

 protected:
  ~GeneratorLink() = default;
  friend class GeneratorFrame;
  GeneratorFrame* parent_ = nullptr;
  GeneratorFrame* child_ = nullptr;  // Owned; null when there is none, or no more.
};

/// The part of a generator's promise that does not depend on its types. Must be the
/// promise's first base, and the promise aligned to at most 16.
class ASTER_API GeneratorFrame {
  enum class State : std::uint8_t { created, running, suspended, ended };

  struct FinalAwaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> self) const noexcept {
      static_cast<GeneratorFrame&>(self.promise()).ended();
    }
    void await_resume() const noexcept {}
  };

 public:
  GeneratorFrame() noexcept = default;
  GeneratorFrame(const GeneratorFrame&) = delete;
  GeneratorFrame& operator=(const GeneratorFrame&) = delete;

  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    release_frame(memory, size);
  }

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { fail(std::current_exception()); }
  template <class T>
  std::suspend_never await_transform(T&&) {
    static_assert(!std::is_same_v<T, T>,
                  "aster: a Generator cannot co_await; make it an AsyncGenerator");
    return {};
  }

  // Of the outermost frame -------------------------------------------------------

  /// Runs until something is yielded (true) or the outermost frame ends (false).
  /// `sent`, if not null, is what the `co_yield` gives; moved from.
  bool resume(void* sent) {
    require_idle();
    sent_ = sent;
    return run();
  }
  /// The same with an error thrown at the `co_yield`.
  bool throw_in(std::exception_ptr error);
  /// Ends it by GeneratorExit; on return it has ended, with that error forgotten.
  void close();
  /// TypeError when it has not begun.
  void require_started() const;
  /// Where what was yielded last is.
  [[nodiscard]] void* yielded() const noexcept { return yielded_; }
  /// Throws the error with which it ended, if any.
  void rethrow() const {
    if (error_ != nullptr) std::rethrow_exception(error_);
  }
  /// Destroys a chain, innermost frame first, without recursion.
  static void destroy(GeneratorFrame& outermost) noexcept;

  [[noreturn]] static void nothing_returned();

  // Of the frame that runs -------------------------------------------------------

  void yield(void* value) noexcept {
    outermost_->yielded_ = value;
    outermost_->state_ = State::suspended;
  }
  /// What was sent, or null; throws what was thrown in.
  [[nodiscard]] void* take_sent() {
    rethrow_thrown();
    return std::exchange(outermost_->sent_, nullptr);
  }
  void rethrow_thrown() {
    if (outermost_->thrown_ != nullptr) [[unlikely]] {
      std::rethrow_exception(std::exchange(outermost_->thrown_, nullptr));
    }
  }
  /// Makes the chain of `link`'s child the innermost frames.
  void delegate(GeneratorLink& link) noexcept {
    link.parent_ = this;
    link.child_->link_ = &link;
    outermost_->innermost_ = std::exchange(link.child_->innermost_, link.child_);
  }

 protected:
  ~GeneratorFrame() = default;

 private:
  bool run() {
    state_ = State::running;
    do {
      innermost_->outermost_ = this;
      innermost_->handle().resume();
    } while (state_ == State::running);
    return state_ == State::suspended;
  }
  void ended() noexcept {
    if (link_ != nullptr) {
      outermost_->innermost_ = link_->parent_;
    } else {
      state_ = State::ended;
    }
  }
  [[nodiscard]] std::coroutine_handle<> handle() noexcept {
    return std::coroutine_handle<GeneratorFrame>::from_promise(*this);
  }
  void require_idle() const {
    if (state_ == State::running) [[unlikely]]
      already_executing();
  }
  [[noreturn]] static void already_executing();
  void fail(std::exception_ptr error) noexcept;
  [[nodiscard]] std::exception_ptr close_inner() noexcept;
  void pop() noexcept;

  GeneratorFrame* outermost_ = this;  // Right while it runs: set before each step.
  GeneratorLink* link_ = nullptr;     // In the frame that yields from this one, if any.
  std::exception_ptr error_;          // With which the body ended.
  // The rest is the outermost frame's; in one that is yielded from it is stale.
  GeneratorFrame* innermost_ = this;
  void* yielded_ = nullptr;
  void* sent_ = nullptr;
  std::exception_ptr thrown_;  // To be thrown at the innermost frame's next step.
  State state_ = State::created;
};

/// `co_yield` of a value: holds it until the next step.
template <class Yield, class Send>
class YieldAwaiter {
 public:
  template <class U>
  explicit YieldAwaiter(std::in_place_t, U&& value)
      : value_(Yielded<Yield>::store(std::forward<U>(value))) {}
  YieldAwaiter(const YieldAwaiter&) = delete;
  YieldAwaiter& operator=(const YieldAwaiter&) = delete;
  ~YieldAwaiter() = default;

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> self) noexcept {
    frame_ = &self.promise();
    frame_->yield(&value_);
  }
  Send await_resume() { return sent_or_default<Send>(frame_->take_sent()); }

 private:
  typename Yielded<Yield>::Stored value_;
  GeneratorFrame* frame_ = nullptr;
};

/// `co_yield` of a generator: owns it and receives what it returns.
template <class Yield, class Send, class Return>
class FromAwaiter final : GeneratorLink {
  using Promise = GeneratorPromise<Yield, Send, Return>;

 public:
  explicit FromAwaiter(Promise* child) noexcept { child_ = child; }
  FromAwaiter(const FromAwaiter&) = delete;
  FromAwaiter& operator=(const FromAwaiter&) = delete;
  ~FromAwaiter() {
    if (child_ != nullptr) GeneratorFrame::destroy(*child_);
  }

  [[nodiscard]] bool await_ready() const noexcept { return child_ == nullptr; }
  template <class Outer>
  void await_suspend(std::coroutine_handle<Outer> self) noexcept {
    self.promise().delegate(*this);
  }
  Return await_resume() {
    if (parent_ != nullptr) parent_->rethrow_thrown();
    if constexpr (std::is_void_v<Return>) {
      if (child_ != nullptr) child_->rethrow();
    } else {
      if (child_ == nullptr) GeneratorFrame::nothing_returned();
      child_->rethrow();
      return std::move(*static_cast<Promise&>(*child_).returned());
    }
  }
};

/// Where a generator's body leaves what it returns.
template <class Return>
class ReturnSlot {
 public:
  template <class U = Return>
    requires(std::convertible_to<U, Return>)
  void return_value(U&& value) {
    value_.emplace(Yielded<Return>::store(std::forward<U>(value)));
  }
  [[nodiscard]] std::optional<Return>& returned() noexcept { return value_; }

 private:
  std::optional<Return> value_;
};
template <>
class ReturnSlot<void> {
 public:
  void return_void() const noexcept {}
  [[nodiscard]] static std::optional<Nothing> returned() noexcept { return std::nullopt; }
};

}  // namespace detail
}  // namespace aster::inline v0
