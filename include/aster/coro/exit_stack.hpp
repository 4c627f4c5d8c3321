// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/awaitable.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/immediately.hpp>
#include <aster/coro/with.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

/// One thing to be done at the end, and those that were there before it.
class ASTER_API ExitEntry {
 public:
  ExitEntry() noexcept = default;
  ExitEntry(const ExitEntry&) = delete;
  ExitEntry& operator=(const ExitEntry&) = delete;
  virtual ~ExitEntry();
  /// True to swallow `error`, which may be null.
  virtual Coroutine<bool> exit(std::exception_ptr error) = 0;

  std::unique_ptr<ExitEntry> below;
};

/// `M` is an lvalue reference for a named manager, else a type moved in here.
template <class M>
class ManagerExit final : public ExitEntry {
 public:
  explicit ManagerExit(M&& given) : manager(std::forward<M>(given)) {}
  Coroutine<bool> exit(std::exception_ptr error) override {
    co_return static_cast<bool>(co_await manager.exit(std::move(error)));
  }
  M manager;
};

/// A function that is called with the arguments and, first, the error if it takes it.
template <bool takes_error, class F, class... Args>
class CallExit final : public ExitEntry {
 public:
  template <class G, class... Given>
  explicit CallExit(std::in_place_t, G&& function, Given&&... args)
      : function_(std::forward<G>(function)), args_(std::forward<Given>(args)...) {}

  Coroutine<bool> exit(std::exception_ptr error) override {
    auto call = [&]() -> decltype(auto) {
      if constexpr (takes_error) {
        return std::invoke(function_, std::move(error));
      } else {
        return std::apply(function_, std::move(args_));
      }
    };
    if constexpr (awaitable<decltype(call())>) {
      auto awaited = call();
      if constexpr (takes_error && !std::is_void_v<await_result_t<decltype(awaited)>>) {
        co_return static_cast<bool>(co_await std::move(awaited));
      } else {
        co_await std::move(awaited);
      }
    } else if constexpr (takes_error && !std::is_void_v<decltype(call())>) {
      co_return static_cast<bool>(call());
    } else {
      call();
    }
    co_return false;
  }

 private:
  F function_;
  std::tuple<Args...> args_;
};

}  // namespace detail

/// What is to be undone at the end of a block, when only run time tells how much: the
/// counterpart of contextlib.AsyncExitStack. For a fixed number of managers, nest `with`;
/// for what needs no await, plain destructors do.
///
///     co_await with(AsyncExitStack{}, [&](AsyncExitStack& stack) -> Coroutine<> {
///       for (Address& a : peers) links.push_back(co_await stack.enter_async_context(Link(a)));
///       co_await talk(links);
///     });
///
/// The last one registered comes first, and all of them come, whatever is thrown, as if
/// `with` blocks were nested: each is given the error that leaves the block or, if one
/// before it threw, that; and one that gives true swallows it. A cancellation that
/// arrives during an exit is such an error. Callables and temporary managers live in the
/// stack until they have been called. A stack that is destroyed without `aclose` or
/// `with` calls none of them, as in Python. Moves. Thread: the loop's.
class ASTER_API AsyncExitStack {
 public:
  AsyncExitStack() noexcept = default;
  AsyncExitStack(AsyncExitStack&& other) noexcept = default;
  AsyncExitStack& operator=(AsyncExitStack&& other) noexcept;
  AsyncExitStack(const AsyncExitStack&) = delete;
  AsyncExitStack& operator=(const AsyncExitStack&) = delete;
  ~AsyncExitStack();

  /// Awaits `manager.enter()`, gives what that gives, and has `manager.exit` awaited at
  /// the end. A temporary manager moves in before; a named one must outlive the stack.
  /// When `enter` throws, nothing is registered.
  template <class M>
    requires(async_context_manager<std::remove_reference_t<M>>)
  [[nodiscard]] auto enter_async_context(M&& manager) {
    return enter_held<M>(*this, std::make_unique<detail::ManagerExit<M>>(std::forward<M>(manager)));
  }

  /// Has `exit(std::exception_ptr)` called and awaited at the end; true from it swallows
  /// the error. Or, given a manager that has been entered, its `exit`.
  template <class F>
    requires(std::invocable<std::decay_t<F>&, std::exception_ptr>)
  void push_async_exit(F&& exit) {
    static_assert(awaitable<std::invoke_result_t<std::decay_t<F>&, std::exception_ptr>>,
                  "aster: push_async_exit takes what can be awaited; for a plain function, push");
    push_call<true>(std::forward<F>(exit));
  }
  template <class M>
    requires(async_context_manager<std::remove_reference_t<M>>)
  void push_async_exit(M&& manager) {
    push_entry(std::make_unique<detail::ManagerExit<M>>(std::forward<M>(manager)));
  }
  /// Has `callback(args...)` called and awaited at the end. It cannot swallow errors.
  template <class F, class... Args>
    requires(std::invocable<std::decay_t<F>&, std::decay_t<Args>...>)
  void push_async_callback(F&& callback, Args&&... args) {
    static_assert(awaitable<std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>>,
                  "aster: push_async_callback takes what can be awaited; for a plain function, "
                  "callback");
    push_call<false>(std::forward<F>(callback), std::forward<Args>(args)...);
  }

  /// As `push_async_exit`, for a function that is not awaited.
  template <class F>
    requires(std::invocable<std::decay_t<F>&, std::exception_ptr>)
  void push(F&& exit) {
    static_assert(!awaitable<std::invoke_result_t<std::decay_t<F>&, std::exception_ptr>>,
                  "aster: nothing would await this: use push_async_exit");
    push_call<true>(std::forward<F>(exit));
  }
  /// As `push_async_callback`, for a function that is not awaited.
  template <class F, class... Args>
    requires(std::invocable<std::decay_t<F>&, std::decay_t<Args>...>)
  void callback(F&& callback, Args&&... args) {
    static_assert(!awaitable<std::invoke_result_t<std::decay_t<F>&, std::decay_t<Args>...>>,
                  "aster: nothing would await this: use push_async_callback");
    push_call<false>(std::forward<F>(callback), std::forward<Args>(args)...);
  }

  /// A new stack with all that is registered here; this one is empty then, and its end
  /// does nothing.
  [[nodiscard]] AsyncExitStack pop_all() noexcept { return std::move(*this); }

  /// Does all that is registered now. Throws what the last of them to fail threw.
  [[nodiscard]] Coroutine<> aclose();

  /// For `with`: gives the stack.
  [[nodiscard]] detail::Immediately<AsyncExitStack&> enter() noexcept {
    return detail::Immediately<AsyncExitStack&>(*this);
  }
  /// For `with`: does all that is registered; true when `error` was swallowed.
  [[nodiscard]] Coroutine<bool> exit(std::exception_ptr error);

 private:
  template <class M>
  using Entered = detail::EnteredBy<std::remove_reference_t<M>>;

  void push_entry(std::unique_ptr<detail::ExitEntry> entry) noexcept {
    entry->below = std::move(top_);
    top_ = std::move(entry);
  }
  template <bool takes_error, class F, class... Args>
  void push_call(F&& function, Args&&... args) {
    using Call = detail::CallExit<takes_error, std::decay_t<F>, std::decay_t<Args>...>;
    push_entry(std::make_unique<Call>(std::in_place, std::forward<F>(function),
                                      std::forward<Args>(args)...));
  }
  template <class M>
  static Coroutine<Entered<M>> enter_held(AsyncExitStack& stack,
                                          std::unique_ptr<detail::ManagerExit<M>> held) {
    if constexpr (std::is_void_v<Entered<M>>) {
      co_await held->manager.enter();
      stack.push_entry(std::move(held));
    } else {
      auto&& entered = co_await held->manager.enter();
      stack.push_entry(std::move(held));
      co_return std::forward<decltype(entered)>(entered);
    }
  }
  void drop() noexcept;

  std::unique_ptr<detail::ExitEntry> top_;
};

}  // namespace aster::inline v0
