// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/await_path.hpp>

#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace aster::inline v0::detail {

struct Nothing {};

/// What a coroutine left behind: nothing yet, a value, or an exception. `T` may
/// be void or an lvalue reference.
template <class T>
class Result {
  static_assert(!std::is_rvalue_reference_v<T>,
                "aster: a coroutine or future cannot hold an rvalue reference; return by value");

 public:
  using Stored = std::conditional_t<
      std::is_void_v<T>, Nothing,
      std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;

  Result() noexcept {}
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  ~Result() { destroy(); }

  [[nodiscard]] bool has_value() const noexcept { return kind_ == Kind::value; }
  [[nodiscard]] bool has_error() const noexcept { return kind_ == Kind::error; }
  [[nodiscard]] bool was_taken() const noexcept { return kind_ == Kind::taken; }
  [[nodiscard]] bool is_empty() const noexcept { return kind_ == Kind::empty; }

  template <class... Args>
  void emplace(Args&&... args) {
    ASTER_REQUIRE(kind_ == Kind::empty,
                  "this result was given already. A coroutine that returns twice was miscompiled "
                  "by g++ 12, as with `if (co_await x)` before any local variable: see "
                  "docs/compilers.md");
    if constexpr (std::is_reference_v<T>) {
      ::new (static_cast<void*>(&value_)) Stored(std::addressof(args)...);
    } else {
      ::new (static_cast<void*>(&value_)) Stored(std::forward<Args>(args)...);
    }
    kind_ = Kind::value;
  }

  void set_error(std::exception_ptr error) noexcept {
    reset();
    ::new (static_cast<void*>(&error_)) std::exception_ptr(std::move(error));
    kind_ = Kind::error;
  }

  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }
  [[nodiscard]] const Stored& value() const noexcept { return value_; }

  /// The value by copy, or the error thrown.
  [[nodiscard]] T get() const {
    if (kind_ != Kind::value) [[unlikely]]
      fail();
    if constexpr (std::is_reference_v<T>) {
      return *value_;
    } else {
      return value_;
    }
  }

  /// The value moved out, or the error thrown; for the last time that it is asked.
  [[nodiscard]] T move_out() {
    if (kind_ != Kind::value) [[unlikely]]
      fail();
    if constexpr (std::is_reference_v<T>) {
      return *value_;
    } else {
      return std::move(value_);
    }
  }

  /// The value moved out, or the error thrown; afterwards it counts as taken.
  [[nodiscard]] T take() {
    if (kind_ != Kind::value) [[unlikely]]
      fail();
    if constexpr (std::is_reference_v<T>) {
      return *value_;
    } else {
      struct Taken {
        Result& result;
        ~Taken() {
          result.value_.~Stored();
          result.kind_ = Kind::taken;
        }
      } taken{*this};
      return std::move(value_);
    }
  }

  /// Throws what `get` would throw, if anything.
  void require_value() const {
    if (kind_ != Kind::value) fail();
  }

  void reset() noexcept {
    destroy();
    kind_ = Kind::empty;
  }

 private:
  enum class Kind : std::uint8_t { empty, value, error, taken };

  void destroy() noexcept {
    if (kind_ == Kind::value) {
      value_.~Stored();
    } else if (kind_ == Kind::error) {
      error_.~exception_ptr();
    }
  }

  [[noreturn]] void fail() const {
    if (kind_ == Kind::error) {
      note_rethrow(error_);
      std::rethrow_exception(error_);
    }
    if (kind_ == Kind::taken) throw InvalidStateError("result was taken");
    throw InvalidStateError("Result is not ready.");
  }

  union {
    Stored value_;
    std::exception_ptr error_;
  };
  Kind kind_ = Kind::empty;
};

/// Without a value it is told in one word which of the three it is, as every frame that
/// awaits and every task has one.
template <>
class Result<void> {
 public:
  using Stored = Nothing;

  Result() noexcept {}
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  ~Result() {
    if (has_error()) error_.~exception_ptr();
  }

  [[nodiscard]] bool has_value() const noexcept { return bits() == value_mark; }
  [[nodiscard]] bool has_error() const noexcept { return bits() > value_mark; }
  [[nodiscard]] bool was_taken() const noexcept { return false; }
  [[nodiscard]] bool is_empty() const noexcept { return bits() == 0; }

  void emplace() noexcept {
    ASTER_ASSERT(is_empty());
    mark_ = value_mark;
  }
  void emplace(Nothing) noexcept { emplace(); }

  void set_error(std::exception_ptr error) noexcept {
    reset();
    ::new (static_cast<void*>(&error_)) std::exception_ptr(std::move(error));
  }

  /// To be asked only when it has one.
  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }

  /// Nothing, or the error thrown.
  void get() const { require_value(); }
  /// The same.
  void take() { require_value(); }
  /// The same.
  void move_out() { require_value(); }
  /// The same.
  void require_value() const {
    if (!has_value()) [[unlikely]]
      fail();
  }

  void reset() noexcept {
    if (has_error()) error_.~exception_ptr();
    mark_ = 0;
  }

 private:
  static constexpr std::uintptr_t value_mark = 1;
  static_assert(sizeof(std::exception_ptr) == sizeof(std::uintptr_t),
                "aster: an exception_ptr that is not null is taken for an address");

  [[nodiscard]] std::uintptr_t bits() const noexcept {
    std::uintptr_t bits;
    std::memcpy(&bits, static_cast<const void*>(this), sizeof bits);
    return bits;
  }

  [[noreturn]] void fail() const {
    if (has_error()) {
      note_rethrow(error_);
      std::rethrow_exception(error_);
    }
    throw InvalidStateError("Result is not ready.");
  }

  union {
    std::uintptr_t mark_ = 0;
    std::exception_ptr error_;
  };
};

}  // namespace aster::inline v0::detail
