// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/async_generator.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/immediately.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

/// Managers for `with` that are not written as a class: `asynccontextmanager` and
/// `nullcontext`.
namespace aster::inline v0 {

namespace detail {
template <class F>
class GeneratorManagers;
template <class T>
class NullContext;
}  // namespace detail

/// Makes a function that gives managers out of one that gives an AsyncGenerator: what is
/// before its only `co_yield` is the manager's enter, the value goes to the body, what
/// is behind it is the exit. The counterpart of contextlib.asynccontextmanager.
///
///     auto opened = asynccontextmanager([](std::string path) -> AsyncGenerator<File> {
///       File file = co_await open(path);
///       co_yield file;                      // The body's errors come out of here.
///       co_await file.close();
///     });
///     co_await with(opened("data.txt"), [](File file) -> Coroutine<> { … });
///
/// An error of the body is thrown at the `co_yield`: one that the generator lets out
/// leaves the block, another one replaces it, and it is swallowed when the generator
/// just ends. So cleanup belongs into a destructor, or after a `catch` (which cannot
/// await) that keeps the error. RuntimeError when the generator yields never, or twice.
/// The function lives as long as a manager made of it.
template <class F>
[[nodiscard]] auto asynccontextmanager(F function) {
  return detail::GeneratorManagers<F>(std::move(function));
}

/// A manager that does nothing, for a block that needs one only at times: the
/// counterpart of contextlib.nullcontext.
[[nodiscard]] inline auto nullcontext() noexcept;
/// The same, whose body is given `value`: a temporary moves in, a named one is taken by
/// reference.
template <class T>
[[nodiscard]] auto nullcontext(T&& value) {
  return detail::NullContext<T>(std::forward<T>(value));
}

// -------------------------------------------------------------------------------

namespace detail {

/// What an AsyncGenerator gives.
template <class Generator>
using Anext = await_result_t<decltype(std::declval<Generator&>().anext())>;

[[noreturn]] ASTER_API void throw_manager_did_not_yield();
[[noreturn]] ASTER_API void throw_manager_did_not_stop(bool after_error);
/// Whether `thrown` is but what became of `given` in a generator.
[[nodiscard]] ASTER_API bool is_same_through_generator(const std::exception_ptr& given,
                                                       const std::exception_ptr& thrown) noexcept;

/// A manager made of a generator, which it closes if need be.
template <class F, class Generator>
class GeneratorManager {
 public:
  GeneratorManager(std::shared_ptr<F> function, Generator generator) noexcept
      : function_(std::move(function)), generator_(std::move(generator)) {}

  [[nodiscard]] Coroutine<Anext<Generator>> enter() {
    try {
      co_return co_await generator_.anext();
    } catch (const StopAsyncIteration&) {
      throw_manager_did_not_yield();
    }
  }

  [[nodiscard]] Coroutine<bool> exit(std::exception_ptr error) {
    std::exception_ptr thrown;
    try {
      bool yields = false;
      if (error == nullptr) {
        const auto item = co_await generator_.next();
        yields = item.has_value();
      } else {
        const auto item = co_await generator_.athrow(error);
        yields = item.has_value();
      }
      if (!yields) co_return error != nullptr;
    } catch (...) {
      thrown = std::current_exception();
    }
    if (thrown != nullptr) {
      if (error != nullptr && is_same_through_generator(error, thrown)) co_return false;
      std::rethrow_exception(std::move(thrown));
    }
    co_await generator_.aclose();
    throw_manager_did_not_stop(error != nullptr);
  }

 private:
  std::shared_ptr<F> function_;  // Its captures are the generator's.
  Generator generator_;
};

template <class F>
class GeneratorManagers {
 public:
  explicit GeneratorManagers(F function) : function_(std::make_shared<F>(std::move(function))) {}
  template <class... Args>
    requires(std::invocable<F&, Args...>)
  [[nodiscard]] auto operator()(Args&&... args) const {
    using Generator = std::invoke_result_t<F&, Args...>;
    return GeneratorManager<F, Generator>(function_,
                                          std::invoke(*function_, std::forward<Args>(args)...));
  }

 private:
  std::shared_ptr<F> function_;
};

/// `T` is an lvalue reference for a named value, else a type moved in here.
template <class T>
class NullContext {
 public:
  explicit NullContext(T&& value) : value_(std::forward<T>(value)) {}
  [[nodiscard]] Immediately<std::remove_reference_t<T>&> enter() noexcept {
    return Immediately<std::remove_reference_t<T>&>(value_);
  }
  [[nodiscard]] Immediately<bool> exit(const std::exception_ptr&) const noexcept {
    return Immediately<bool>(false);
  }

 private:
  T value_;
};

template <>
class NullContext<void> {
 public:
  [[nodiscard]] std::suspend_never enter() const noexcept { return {}; }
  [[nodiscard]] Immediately<bool> exit(const std::exception_ptr&) const noexcept {
    return Immediately<bool>(false);
  }
};

}  // namespace detail

inline auto nullcontext() noexcept { return detail::NullContext<void>(); }

}  // namespace aster::inline v0
