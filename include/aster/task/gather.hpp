// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/task/child_watch.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/future.hpp>
#include <aster/task/task.hpp>

#include <cstddef>
#include <deque>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace aster::inline v0 {

/// Says that exceptions are results: the first argument of `gather`.
struct return_exceptions_t {
  explicit return_exceptions_t() = default;
};
/// The value to pass.
inline constexpr return_exceptions_t return_exceptions{};

namespace detail {

/// A gather without its types: counts children, fails with the first error, passes
/// a cancellation on.
class ASTER_API GatherCore : public ChildOwner {
 public:
  void watch(StateRef<FutureBase> child);
  /// Begins: children that are done already count at once.
  void start();
  /// WAIT-20: asks every child to end; the outer future ends when all have. True when
  /// a child took the request; the last one that is asked takes `message` itself.
  bool cancel_children(std::string& message) noexcept;
  void child_done(ChildWatch& watch) override;

 protected:
  explicit GatherCore(bool errors_are_results) : errors_are_results_(errors_are_results) {}
  ~GatherCore() = default;
  /// The future that a gather is for its users.
  [[nodiscard]] virtual FutureBase& outer() noexcept = 0;
  /// Cancels the outer future itself.
  virtual void end_cancelled(std::string&& message) noexcept = 0;
  virtual void fail(std::exception_ptr error) = 0;
  virtual void succeed() = 0;
  /// No child that ends tells it from here on.
  void stop_watching() noexcept;

 private:
  void begin_cancel(GatherCore* above, TaskBase* asker) noexcept;
  /// Asks the next child; gives the gather that it leads to, if any, which has begun.
  GatherCore* cancel_next(std::string& message) noexcept;
  /// Whether the child that is being asked is the last one, here and above.
  [[nodiscard]] bool asks_the_last() const noexcept {
    return is_last_above_ && next_child_ == children_.size();
  }
  /// Fails with what ended `child`.
  void fail_as(FutureBase& child);

  std::deque<ChildWatch> children_;
  std::size_t done_count_ = 0;
  FutureBase* decisive_ = nullptr;  // The first child that failed or was cancelled.
  bool errors_are_results_;
  bool cancel_requested_ = false;
  // While it is being cancelled:
  bool cancelling_ = false;
  bool accepted_ = false;        // A child took the request.
  bool is_last_above_ = false;   // No child above is to be asked after these.
  std::size_t next_child_ = 0;   // The next one to be asked.
  GatherCore* above_ = nullptr;  // Whose child led here; null where it began.
  TaskBase* asker_ = nullptr;    // The task below that child that awaits this one.
};

template <class T>
using GatherValue =
    std::conditional_t<std::is_void_v<T>, std::monostate,
                       std::conditional_t<std::is_reference_v<T>, std::remove_cvref_t<T>, T>>;

/// The result of a child that is done, moved out when nobody else holds it.
template <class T>
GatherValue<T> collect_value(Future<T>& child) {
  if constexpr (std::is_void_v<T>) {
    std::move(child).take_or_copy();
    return {};
  } else {
    return std::move(child).take_or_copy();
  }
}

template <class T>
Outcome<T> collect_outcome(Future<T>& child) {
  try {
    if constexpr (std::is_void_v<T>) {
      std::move(child).take_or_copy();
      return Outcome<T>(std::in_place);
    } else {
      return Outcome<T>(std::in_place, std::move(child).take_or_copy());
    }
  } catch (...) {
    return Outcome<T>(std::current_exception());
  }
}

/// The outer future of a gather. `Children` holds the child handles; `Collect`
/// makes the result of them once all are done.
template <class Result, class Children, class Collect>
class GatherState final : public FutureState<Result>, public GatherCore {
 public:
  GatherState(Scheduler& scheduler, std::source_location source, bool errors_are_results,
              Children children)
      : FutureState<Result>(scheduler, source),
        GatherCore(errors_are_results),
        handles_(std::move(children)) {
    set_waiter(ChildWaiter(static_cast<FutureBase&>(*this)));
  }

  bool cancel(std::string&& message) noexcept override {
    return !this->is_done() && cancel_children(message);
  }
  [[nodiscard]] GatherCore* as_gather() noexcept override { return this; }
  void retain() noexcept override { this->add_reference(); }
  void release() noexcept override { this->release_reference(); }

 private:
  ~GatherState() override = default;
  void destroy() noexcept override {
    stop_watching();
    this->destroy_unnested();
  }
  void destroy_now() noexcept override {
    this->~GatherState();
    release_frame(this, sizeof(GatherState));
  }
  [[nodiscard]] FutureBase& outer() noexcept override { return *this; }
  void end_cancelled(std::string&& message) noexcept override {
    static_cast<void>(FutureBase::cancel(std::move(message)));
  }
  void fail(std::exception_ptr error) override { this->set_error(std::move(error)); }
  void succeed() override {
    try {
      this->set_result(Collect()(handles_));
    } catch (...) {
      this->set_error(std::current_exception());
    }
  }

  Children handles_;
};

template <class Result, class Collect, class Children>
Future<Result> start_gather(Children children, std::vector<StateRef<FutureBase>> states,
                            bool errors_are_results, std::source_location source) {
  Scheduler& scheduler = states.empty() ? require_running("gather") : states.front()->scheduler();
  for (const auto& state : states) {
    if (&state->scheduler() != &scheduler) {
      throw ValueError("gather: The future belongs to a different loop than the first one");
    }
  }
  using State = GatherState<Result, Children, Collect>;
  auto* state = make_in_frame<State>(scheduler, source, errors_are_results, std::move(children));
  auto future = Access::make<Future<Result>>(StateRef<FutureBase>(state));
  for (auto& child : states) state->watch(std::move(child));
  states.clear();
  state->start();
  return future;
}

template <class A>
using FutureFor = Future<ResultOf<std::remove_cvref_t<A>>>;

struct CollectTuple {
  template <class... T>
  auto operator()(std::tuple<Future<T>...>& children) const {
    return std::apply(
        [](Future<T>&... child) {
          return std::tuple<GatherValue<T>...>{collect_value<T>(child)...};
        },
        children);
  }
};
struct CollectOutcomes {
  template <class... T>
  auto operator()(std::tuple<Future<T>...>& children) const {
    return std::apply(
        [](Future<T>&... child) { return std::tuple<Outcome<T>...>{collect_outcome<T>(child)...}; },
        children);
  }
};
template <class T>
struct CollectVector {
  auto operator()(std::vector<Future<T>>& children) const {
    std::vector<GatherValue<T>> values;
    values.reserve(children.size());
    for (Future<T>& child : children) values.push_back(collect_value<T>(child));
    return values;
  }
};
template <class T>
struct CollectOutcomeVector {
  auto operator()(std::vector<Future<T>>& children) const {
    std::vector<Outcome<T>> values;
    values.reserve(children.size());
    for (Future<T>& child : children) values.push_back(collect_outcome<T>(child));
    return values;
  }
};

template <class Result, class Collect, class... A>
Future<Result> gather_tuple(bool errors_are_results, std::source_location source, A&&... values) {
  // One after the other, so that tasks start in the order of the arguments.
  std::tuple<FutureFor<A>...> children{FutureFor<A>(ensure_future(std::forward<A>(values)))...};
  std::vector<StateRef<FutureBase>> states;
  states.reserve(sizeof...(A));
  std::apply(
      [&states](auto&... child) {
        (states.push_back(StateRef<FutureBase>::share(Access::state(child))), ...);
      },
      children);
  return start_gather<Result, Collect>(std::move(children), std::move(states), errors_are_results,
                                       source);
}

template <class Result, class Collect, class A>
Future<Result> gather_vector(bool errors_are_results, std::source_location source,
                             std::vector<A>&& values) {
  using T = ResultOf<A>;
  std::vector<Future<T>> children;
  children.reserve(values.size());
  for (A& value : values) children.push_back(ensure_future(std::move(value)));
  std::vector<StateRef<FutureBase>> states;
  states.reserve(children.size());
  for (Future<T>& child : children) {
    states.push_back(StateRef<FutureBase>::share(Access::state(child)));
  }
  return start_gather<Result, Collect>(std::move(children), std::move(states), errors_are_results,
                                       source);
}

}  // namespace detail

/// Runs awaitables concurrently and gives all results, in the order of the
/// arguments: the counterpart of asyncio.gather. Coroutines become tasks at once.
///
///     auto both = co_await gather(add(1, 2), other());
///     auto& [a, b] = both;
///
/// The results are a `std::tuple`, void as `std::monostate`. The first failure is
/// thrown at once and leaves the other awaitables running; their errors are
/// dropped. Cancelling the future cancels all of them, and it ends when all have, with
/// what ended the first of them that failed or was cancelled.
template <class... A>
  requires(sizeof...(A) > 0 && (awaitable<A> && ...))
auto gather(A&&... values) {
  using Result = std::tuple<detail::GatherValue<detail::ResultOf<std::remove_cvref_t<A>>>...>;
  return detail::gather_tuple<Result, detail::CollectTuple>(false, std::source_location::current(),
                                                            std::forward<A>(values)...);
}

/// The same, where each result is an `Outcome` that may hold an exception.
template <class... A>
  requires(sizeof...(A) > 0 && (awaitable<A> && ...))
auto gather(return_exceptions_t, A&&... values) {
  using Result = std::tuple<Outcome<detail::ResultOf<std::remove_cvref_t<A>>>...>;
  return detail::gather_tuple<Result, detail::CollectOutcomes>(
      true, std::source_location::current(), std::forward<A>(values)...);
}

/// The same for a vector of awaitables of one type; an empty one gives an empty
/// result at once.
template <class A>
  requires(awaitable<A>)
auto gather(std::vector<A> values, std::source_location source = std::source_location::current()) {
  using T = detail::ResultOf<A>;
  return detail::gather_vector<std::vector<detail::GatherValue<T>>, detail::CollectVector<T>>(
      false, source, std::move(values));
}
/// The same, where each result is an `Outcome`.
template <class A>
  requires(awaitable<A>)
auto gather(return_exceptions_t, std::vector<A> values,
            std::source_location source = std::source_location::current()) {
  using T = detail::ResultOf<A>;
  return detail::gather_vector<std::vector<Outcome<T>>, detail::CollectOutcomeVector<T>>(
      true, source, std::move(values));
}

}  // namespace aster::inline v0
