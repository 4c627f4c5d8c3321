// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/generator_frame.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

/// A function that gives values one by one and goes on where it was when it is
/// asked for the next: Python's generator. For values that must be waited for, take
/// `AsyncGenerator`; a generator cannot `co_await`.
///
///     Generator<int, std::string, std::string> talk() {   // Yields, is sent, returns.
///       std::string word = co_yield 1;
///       co_return "heard " + word;
///     }
///     auto g = talk(); g.next(); g.send("abc");   // StopIteration{"heard abc"}
///     for (int i : count_to(3)) use(i);
///
/// Lazy: nothing of the body runs before the first `next`. What leaves the body by
/// exception leaves `next`, `send` or `throw_`, and the generator has ended; an ended
/// one gives StopIteration without a value. Calling a generator from its own body is a
/// ValueError "generator already executing".
///
/// Lifetime: as for coroutines, parameters passed by reference must outlive it. The
/// destructor destroys the frames, so locals' destructors run; only `close` throws
/// GeneratorExit at the `co_yield`. Thread: one at a time.
template <class Yield, class Send = void, class Return = void>
class [[nodiscard("a Generator does nothing until it is asked for a value")]] Generator {
  static_assert(!std::is_reference_v<Send> && !std::is_reference_v<Return>,
                "aster: a generator is sent values and returns a value, not references");
  static_assert(std::is_void_v<Send> || std::is_default_constructible_v<Send>,
                "aster: next() sends a default-constructed value; send a std::optional");
  using Frame = detail::GeneratorPromise<Yield, Send, Return>;
  using Given = detail::Yielded<Yield>;
  using Returned = std::conditional_t<std::is_void_v<Return>, detail::Nothing, Return>;

 public:
  using promise_type = Frame;
  using value_type = std::remove_cvref_t<Yield>;
  class Iterator;

  /// An ended one, as left by a move.
  Generator() noexcept = default;
  Generator(Generator&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Generator& operator=(Generator&& other) noexcept {
    if (this != &other) {
      destroy();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  ~Generator() { destroy(); }

  /// False once it has ended or was moved from.
  [[nodiscard]] explicit operator bool() const noexcept { return frame_ != nullptr; }

  /// Goes on to the next `co_yield` and gives its value; the `co_yield` before gives a
  /// default-constructed `Send`. Throws StopIteration when the body returns.
  Yield next() { return give(frame_ != nullptr && frame_->resume(nullptr)); }

  /// As `next`, but gives nothing when the body returns; what it returned is lost.
  /// References come as `std::reference_wrapper`.
  std::optional<typename Given::Optional> try_next() { return try_give(advance(nullptr)); }

  /// As `next`, and the `co_yield` at which it waits gives `value`. TypeError when it
  /// has not reached one yet.
  template <class S = Send>
    requires(!std::is_void_v<Send> && std::convertible_to<S, Send>)
  Yield send(S&& value) {
    Send sent(std::forward<S>(value));
    if (frame_ != nullptr) frame_->require_started();
    return give(frame_ != nullptr && frame_->resume(&sent));
  }

  /// As `send`, but gives nothing when the body returns; what it returned is lost.
  template <class S = Send>
    requires(!std::is_void_v<Send> && std::convertible_to<S, Send>)
  std::optional<typename Given::Optional> try_send(S&& value) {
    Send sent(std::forward<S>(value));
    if (frame_ != nullptr) frame_->require_started();
    return try_give(advance(&sent));
  }

  /// Throws `error` at the `co_yield` at which it waits, and gives what it yields
  /// next. When the body has not begun it never will, and `error` comes back.
  Yield throw_(std::exception_ptr error) {
    if (frame_ == nullptr) std::rethrow_exception(std::move(error));
    return give(frame_->throw_in(std::move(error)));
  }
  /// The same with an exception object.
  template <class E>
    requires(!std::convertible_to<E, std::exception_ptr>)
  Yield throw_(E error) {
    return throw_(std::make_exception_ptr(std::move(error)));
  }

  /// Throws GeneratorExit at the `co_yield`, innermost generators first, and ends the
  /// generator; gives what the body returned, if it did. RuntimeError "generator
  /// ignored GeneratorExit" when it yields instead, other errors as they come.
  auto close() -> std::conditional_t<std::is_void_v<Return>, void, std::optional<Returned>> {
    std::optional<Returned> returned;
    if (frame_ != nullptr) {
      frame_->close();
      returned = finish();
    }
    if constexpr (!std::is_void_v<Return>) return returned;
  }

  /// For range-for: an input iterator that begins with the next value.
  [[nodiscard]] Iterator begin() {
    advance(nullptr);
    return Iterator(*this);
  }
  /// The end, which an iterator has reached when the generator has ended.
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  template <class, class, class>
  friend class detail::GeneratorPromise;
  template <class, class, class>
  friend class detail::YieldFrom;
  explicit Generator(Frame& frame) noexcept : frame_(&frame) {}

  void destroy() noexcept {
    if (frame_ != nullptr) detail::GeneratorFrame::destroy(*std::exchange(frame_, nullptr));
  }
  /// After the body's end: destroys the frame; gives what it returned, throws its error.
  std::optional<Returned> finish() {
    const Generator ended(std::move(*this));
    ended.frame_->rethrow();
    return std::move(ended.frame_->returned());
  }
  bool advance(void* sent) {
    if (frame_ == nullptr) return false;
    if (frame_->resume(sent)) return true;
    finish();
    return false;
  }
  std::optional<typename Given::Optional> try_give(bool yielded) {
    if (!yielded) return std::nullopt;
    return std::optional<typename Given::Optional>(Given::take(frame_->yielded()));
  }
  Yield give(bool yielded) {
    if (yielded) return static_cast<Yield>(Given::take(frame_->yielded()));
    if (frame_ == nullptr) throw StopIteration();
    std::optional<Returned> returned = finish();
    if constexpr (!std::is_void_v<Return>) {
      if (returned) throw StopIteration(std::in_place, std::move(*returned));
    }
    throw StopIteration();
  }

  Frame* frame_ = nullptr;
};

/// Steps through a generator; one pass, shared by all copies.
template <class Yield, class Send, class Return>
class Generator<Yield, Send, Return>::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = std::remove_cvref_t<Yield>;
  using difference_type = std::ptrdiff_t;

  /// The value; it lives in the generator until the next step.
  [[nodiscard]] std::add_lvalue_reference_t<Yield> operator*() const noexcept {
    return Given::refer(generator_->frame_->yielded());
  }
  /// Goes on to the next value; throws what leaves the body.
  Iterator& operator++() {
    generator_->advance(nullptr);
    return *this;
  }
  /// The same.
  void operator++(int) { generator_->advance(nullptr); }
  friend bool operator==(const Iterator& at, std::default_sentinel_t) noexcept {
    return !*at.generator_;
  }

 private:
  friend class Generator;
  explicit Iterator(Generator& generator) noexcept : generator_(&generator) {}
  Generator* generator_;
};

/// Python's `yield from`: `co_yield yield_from(inner())` gives all values of `inner`
/// and then what it returned. Meanwhile `next`, `send`, `throw_` and `close` of the
/// outermost generator go straight to the innermost: a step costs the same at any
/// depth and resumes none of the frames between.
///
/// Takes the generator over, begun or not; it must yield and be sent the same types.
/// One that has ended gives nothing; RuntimeError when it would have to return a value.
template <class Yield, class Send, class Return>
[[nodiscard]] detail::YieldFrom<Yield, Send, Return> yield_from(
    Generator<Yield, Send, Return> inner) noexcept {
  return detail::YieldFrom<Yield, Send, Return>(std::move(inner));
}

// -------------------------------------------------------------------------------

namespace detail {

/// What `yield_from` gives to `co_yield`.
template <class Yield, class Send, class Return>
class YieldFrom {
 public:
  explicit YieldFrom(Generator<Yield, Send, Return> inner) noexcept : inner_(std::move(inner)) {}
  [[nodiscard]] GeneratorPromise<Yield, Send, Return>* release() noexcept {
    return std::exchange(inner_.frame_, nullptr);
  }

 private:
  Generator<Yield, Send, Return> inner_;
};

template <class Yield, class Send, class Return>
class GeneratorPromise : public GeneratorFrame, public ReturnSlot<Return> {
 public:
  GeneratorPromise() noexcept = default;
  Generator<Yield, Send, Return> get_return_object() noexcept {
    return Generator<Yield, Send, Return>(*this);
  }
  template <class U = Yield>
    requires(YieldableAs<Yield, U>)
  YieldAwaiter<Yield, Send> yield_value(U&& value) {
    return YieldAwaiter<Yield, Send>(std::in_place, std::forward<U>(value));
  }
  template <class Y, class S, class R>
  FromAwaiter<Y, S, R> yield_value(YieldFrom<Y, S, R>&& from) noexcept {
    static_assert(std::is_same_v<Y, Yield> && std::is_same_v<S, Send>,
                  "aster: yield_from needs a generator that yields and is sent the same types");
    return FromAwaiter<Y, S, R>(from.release());
  }
};

}  // namespace detail
}  // namespace aster::inline v0
