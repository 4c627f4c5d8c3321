// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace aster::inline v0 {

namespace detail {

/// What a job calls, for reports. Valid as long as the program has the function.
struct JobName {
  const std::type_info* type = nullptr;
  const void* function = nullptr;  // Of a plain function.

  /// "shop::price", "main::<lambda>", or "program+0x1234" for a function without a symbol.
  [[nodiscard]] ASTER_API std::string str() const;
};

template <class F>
[[nodiscard]] JobName job_name_of(const F& function) noexcept {
  if constexpr (requires { function.job_name(); }) {
    return function.job_name();
  } else if constexpr (std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>) {
    return {&typeid(F), reinterpret_cast<const void*>(function)};
  } else {
    return {&typeid(F), nullptr};
  }
}

/// The work behind a `Job`. `run`, `fail` and `abandon` each end the caller's hold on
/// it, and so does a `begin` that is refused; exactly one of these is made, by any thread.
class ASTER_API JobBase {
 public:
  JobBase() noexcept = default;
  JobBase(const JobBase&) = delete;
  JobBase& operator=(const JobBase&) = delete;

  /// It begins, and can no longer be cancelled; false when it was.
  [[nodiscard]] virtual bool begin() noexcept = 0;
  /// Begins it, unless that was done, and runs it.
  virtual void run() noexcept = 0;
  virtual void fail(std::exception_ptr error) noexcept = 0;
  virtual void abandon() noexcept = 0;
  [[nodiscard]] virtual JobName name() const noexcept = 0;

 protected:
  ~JobBase() = default;

 private:
  friend class JobQueue;
  JobBase* next_ = nullptr;
};

/// A callable with its arguments, decayed as by `std::thread`; called once.
template <class F, class... Args>
class BoundCall {
 public:
  using Value = std::invoke_result_t<F, Args...>;

  template <class G, class... Given>
  explicit BoundCall(std::in_place_t, G&& function, Given&&... args)
      : function_(std::forward<G>(function)), args_(std::forward<Given>(args)...) {}
  Value operator()() {
    return std::apply(
        [this](Args&... args) -> Value {
          return std::invoke(std::move(function_), std::move(args)...);
        },
        args_);
  }
  [[nodiscard]] JobName job_name() const noexcept { return job_name_of(function_); }

 private:
  F function_;
  std::tuple<Args...> args_;
};

}  // namespace detail

/// One piece of work handed to an `Executor`: run it once, on any thread. Dropping
/// it unrun cancels its future.
class Job {
 public:
  /// No work; running it is a precondition violation.
  Job() noexcept = default;
  /// For the library: takes over one hold on `work`.
  explicit Job(detail::JobBase* work) noexcept : work_(work) {}
  Job(Job&& other) noexcept : work_(std::exchange(other.work_, nullptr)) {}
  /// Drops what it had.
  Job& operator=(Job&& other) noexcept {
    Job former(std::exchange(work_, std::exchange(other.work_, nullptr)));
    return *this;
  }
  ~Job() {
    if (work_ != nullptr) work_->abandon();
  }

  /// True until it was run, failed or moved from.
  [[nodiscard]] explicit operator bool() const noexcept { return work_ != nullptr; }

  /// Says that the work begins, for an executor that hands it on: it can no longer be
  /// cancelled. False when it was, and then this is empty. `operator()` does it too.
  [[nodiscard]] bool begin() noexcept {
    ASTER_REQUIRE(work_ != nullptr, "this Job was moved from, or has been done already");
    if (work_->begin()) return true;
    work_ = nullptr;
    return false;
  }
  /// Does the work, unless it was cancelled. What it throws goes to its future.
  void operator()() noexcept { release()->run(); }
  /// Ends its future with `error` instead.
  void fail(std::exception_ptr error) noexcept { release()->fail(std::move(error)); }

  /// For the library: what it calls, for reports.
  [[nodiscard]] detail::JobName name() const noexcept {
    return work_ != nullptr ? work_->name() : detail::JobName();
  }
  /// For the library: the work, which the caller has to end now.
  [[nodiscard]] detail::JobBase* release() noexcept {
    ASTER_REQUIRE(work_ != nullptr, "this Job was moved from, or has been done already");
    return std::exchange(work_, nullptr);
  }

 private:
  detail::JobBase* work_ = nullptr;
};

namespace detail {

/// First in, first out; links the work itself, so that queueing allocates nothing.
class JobQueue {
 public:
  JobQueue() noexcept = default;
  JobQueue(JobQueue&& other) noexcept
      : head_(std::exchange(other.head_, nullptr)),
        tail_(std::exchange(other.tail_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  JobQueue& operator=(JobQueue&&) = delete;
  /// Drops what it holds, oldest first.
  ~JobQueue() {
    while (size_ != 0) pop();
  }

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  void push(Job job) noexcept {
    JobBase* work = job.release();
    work->next_ = nullptr;
    (head_ == nullptr ? head_ : tail_->next_) = work;
    tail_ = work;
    ++size_;
  }
  /// The oldest; the queue must not be empty.
  Job pop() noexcept {
    JobBase* work = head_;
    head_ = work->next_;
    --size_;
    return Job(work);
  }

 private:
  JobBase* head_ = nullptr;
  JobBase* tail_ = nullptr;  // Meaningless while head_ is null.
  std::size_t size_ = 0;
};

}  // namespace detail
}  // namespace aster::inline v0
