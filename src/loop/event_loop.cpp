// SPDX-License-Identifier: MIT
// The loop's turn, in the order that users of asyncio rely on:
//
//   1  what other threads posted joins the ready queue
//   2  the back end is polled: when nothing is ready it waits for the next
//      deadline; while work is ready it is looked at now and then (`poll_is_due`)
//   3  timers that are due join the ready queue, behind what the I/O made ready
//   4  what the queue holds now runs; what that queues waits for the next turn
//
// While work is ready a turn makes no system call and reads no clock, but one
// cycle counter, so that a chain of callbacks costs nanoseconds; the price is
// that I/O and timers may be noticed up to 61 turns or 50 µs of work late.
#include "base/cycles.hpp"
#include "base/debug_text.hpp"
#include "coro/never_awaited.hpp"
#include "loop/asyncgens.hpp"
#include "loop/fork_locks.hpp"

#include <aster/base/log.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/task/introspection_table.hpp>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include <pthread.h>

namespace aster::inline v0 {
namespace {

constexpr std::uint32_t turns_between_polls = 61;
constexpr const char* wrong_thread =
    ": Non-thread-safe operation invoked on an event loop other than the current one; use "
    "call_soon_threadsafe";
constexpr Duration wait_max = std::chrono::hours(24);  // K-13.
// About 50 µs at 2 GHz, less on faster machines. A bound, not a clock.
constexpr std::uint64_t cycles_between_polls = 100'000;

std::string wrong_thread_text(const char* call, const std::source_location& loop_made_at) {
  return std::string(call) + wrong_thread + " (that loop was made at " +
         detail::short_place(loop_made_at) + ")";
}

}  // namespace

void detail::count_forks() {
  static std::once_flag once;
  std::call_once(once, [] {
    static constexpr auto unlock = [] {
      unlock_schedulers();
      unlock_signals();
      unlock_policy();
    };
    static constexpr auto lock = [] {
      lock_policy();
      lock_signals();
      lock_schedulers();
    };
    ::pthread_atfork(lock, unlock, [] {
      unlock();
      fork_count.fetch_add(1, std::memory_order_relaxed);
      running_scheduler() = nullptr;
      asyncgen_hooks() = nullptr;
      never_awaited() = {};
    });
  });
}

namespace {

// When the program is loaded, so that handlers that others register come after ours: they
// find the locks free, and may use what they guard.
[[gnu::constructor(101)]] void count_forks_early() { detail::count_forks(); }

}  // namespace

// Scheduler: the parts that need the loop ------------------------------------------

void Scheduler::call_at(detail::Timer& timer, TimePoint when) {
  require_open("call_at");
  timers_.add(timer, when);
}

TimePoint Scheduler::now() noexcept {
  if (loop_ == nullptr || loop_->backend_ == nullptr) return std::chrono::steady_clock::now();
  return last_now_ = loop_->backend_->now();
}

EventLoop& Scheduler::loop() const {
  if (loop_ == nullptr) throw RuntimeError("Event loop is closed");
  return *loop_;
}

void Scheduler::apply_task_factory(TaskOptions& options) {
  if (loop_ != nullptr && loop_->task_factory_) loop_->task_factory_(*loop_, options);
}

void Scheduler::check_open(const char* call) const {
  if (closed_) throw RuntimeError(std::string(call) + ": Event loop is closed");
  if (loop_->generation_ != detail::fork_count.load(std::memory_order_relaxed)) {
    throw RuntimeError(std::string(call) +
                       ": this event loop belongs to the parent process; make a new one after "
                       "a fork");
  }
  if (debug_ && is_wrong_thread()) throw RuntimeError(wrong_thread_text(call, loop_->source_));
}

bool Scheduler::is_wrong_thread() const noexcept {
  return loop_ != nullptr && loop_->running_ && loop_->thread_ != std::this_thread::get_id();
}

bool Scheduler::tell_wrong_thread(const char* call) const noexcept {
  if (!is_wrong_thread()) return false;
  try {
    detail::log_error(wrong_thread_text(call, loop_->source_));
  } catch (const std::bad_alloc&) {
    detail::log_error(wrong_thread);
  }
  return true;
}

void Scheduler::call_exception_handler(const ExceptionContext& context) {
  if (loop_ != nullptr) {
    loop_->call_exception_handler(context);
  } else {
    detail::log_error(context.message + ": " + describe(context.exception));
  }
}

// Life cycle -------------------------------------------------------------------------------

EventLoop::Service::~Service() = default;

EventLoop::EventLoop(LoopOptions options) : EventLoop(make_backend(options.backend), options) {}

EventLoop::EventLoop(std::unique_ptr<IoBackend> backend, LoopOptions options)
    : scheduler_(new Scheduler(*this)), backend_(std::move(backend)), source_(options.source) {
  detail::count_forks();
  generation_ = detail::fork_count.load(std::memory_order_relaxed);
  try {
    asyncgens_ = std::make_unique<AsyncGens>(*this);
    scheduler_->inbox_ = std::make_shared<detail::Inbox>(backend_->waker());
  } catch (...) {
    scheduler_->release_reference();
    throw;
  }
  backend_->deliver_in_turn(scheduler_->ready_, scheduler_->batch_, scheduler_->debug_);
  set_debug(options.debug.value_or(detail::debug_by_environment()));
}

EventLoop::~EventLoop() {
  if (!is_closed()) {
    if (get_debug()) warn_unclosed();
    ASTER_ASSERT(!running_);
    close();
  }
  scheduler_->loop_ = nullptr;
  scheduler_->release_reference();
}

void EventLoop::set_debug(bool enabled) noexcept {
  scheduler_->debug_ = enabled;
  scheduler_->open_ = enabled || scheduler_->closed_ ? 0 : generation_;
}

void EventLoop::close() {
  if (running_) throw RuntimeError("close: Cannot close a running event loop");
  if (is_closed()) return;
  Scheduler& scheduler = *scheduler_;
  if (generation_ != detail::fork_count.load(std::memory_order_relaxed)) {
    backend_->abandon_after_fork();
  }
  scheduler.closed_ = true;
  scheduler.open_ = 0;
  scheduler.inbox_->close(scheduler.ready_);
  drop_ready();
  // Youngest first: a child may hold on to what is in the frame of the task that made it.
  while (!scheduler.tasks_.empty()) {
    detail::TaskBase& task = scheduler.tasks_.back();
    const auto keep = detail::StateRef<detail::FutureBase>::share(task);
    task.destroy_pending();
    drop_ready();  // Before any of the tasks it holds can go.
    try {
      call_exception_handler({"Task was destroyed but it is pending!",
                              nullptr,
                              detail::Access::make<AnyTask>(keep),
                              {},
                              task.source()});
    } catch (...) {
      detail::log_error("Task was destroyed but it is pending!");
    }
  }
  while (!scheduler.timers_.empty()) scheduler.timers_.pop().drop();
  drop_ready();
  while (!scheduler.kept_.empty()) scheduler.kept_.pop_front().loop_closed();
  asyncgens_->forget_all();
  for (std::size_t i = services_.size(); i > 0; --i) services_[i - 1]->close();
  while (!services_.empty()) services_.pop_back();
  service_index_.clear();
  drop_fd_callbacks();
  drop_ready();
  while (!scheduler.reports_.empty()) {
    try {
      tell_reports();
    } catch (...) {
      detail::log_error("a base error from an exception handler was lost while closing the loop");
    }
  }
  task_factory_.reset();
  scheduler.has_task_factory_ = false;
  backend_.reset();
}

void EventLoop::drop_ready() noexcept {
  while (!scheduler_->ready_.empty()) scheduler_->ready_.pop().drop();
}

IoBackend& EventLoop::backend() const {
  if (backend_ == nullptr) throw RuntimeError("Event loop is closed");
  return *backend_;
}

EventLoop::Service*& EventLoop::service_slot(std::type_index type) {
  scheduler_->require_open("service");
  for (auto& [known, service] : service_index_) {
    if (known == type) return service;
  }
  service_index_.emplace_back(type, nullptr);
  return service_index_.back().second;
}

// Running ------------------------------------------------------------------------------------

/// Marks the loop as the running one of this thread.
class EventLoop::Running {
 public:
  explicit Running(EventLoop& loop) noexcept : loop_(loop) {
    loop_.running_ = true;
    loop_.thread_ = std::this_thread::get_id();
    detail::running_scheduler() = loop_.scheduler_;
    loop_.scheduler_->context_cell_ = &detail::context_cell();
    detail::asyncgen_hooks() = loop_.asyncgens_.get();
    detail::never_awaited().tell = &tell_never_awaited;
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    loop_.running_ = false;
    loop_.stopping_ = false;
    loop_.thread_ = {};
    loop_.scheduler_->context_cell_ = nullptr;
    detail::running_scheduler() = nullptr;
    detail::asyncgen_hooks() = nullptr;
    detail::never_awaited() = {};
  }

 private:
  EventLoop& loop_;
};

void EventLoop::check_can_run(const char* call) const {
  if (is_closed() || generation_ != detail::fork_count.load(std::memory_order_relaxed)) {
    scheduler_->check_open(call);
  }
  if (running_) throw RuntimeError(std::string(call) + ": This event loop is already running");
  if (detail::running_scheduler() != nullptr) {
    throw RuntimeError(std::string(call) +
                       ": Cannot run the event loop while another loop is running");
  }
}

void EventLoop::run_forever() {
  check_can_run("run_forever");
  Running running(*this);
  do {
    turn(Duration::max());
  } while (!stopping_);
}

bool EventLoop::run_once(Delay limit) {
  check_can_run("run_once");
  const Duration length = limit.checked("run_once");
  Running running(*this);
  turn(std::max(length, Duration::zero()));
  // From here on the host may wait: posts of other threads must ring.
  const bool arrived = !scheduler_->inbox_->prepare_to_wait();
  return arrived || !scheduler_->ready_.empty() || !scheduler_->reports_.empty();
}

/// Stops the loop when a future is done: what `run_until_complete` adds to it.
class EventLoop::StopOnDone final : public detail::Runnable {
 public:
  StopOnDone(EventLoop& loop, detail::FutureBase& future) noexcept : Runnable(&ops), loop_(loop) {
    link_.set_target(*this);
    link_.owner_ = this;
    link_.queued_ = [](detail::DoneHook& link) noexcept {
      static_cast<StopOnDone*>(link.owner_)->queued_ = true;
    };
    if (future.is_done()) {
      queued_ = true;
      loop.scheduler_->post(*this);
    } else {
      future.add_link(link_);
    }
  }
  StopOnDone(const StopOnDone&) = delete;
  StopOnDone& operator=(const StopOnDone&) = delete;
  ~StopOnDone() {
    link_.unlink();
    if (queued_) loop_.scheduler_->ready_.remove(*this);  // An exception ends the run.
  }

 private:
  static const detail::RunnableOps ops;
  static StopOnDone& self_of(Runnable& node) noexcept { return static_cast<StopOnDone&>(node); }

  EventLoop& loop_;
  detail::DoneHook link_;
  bool queued_ = false;
};

const detail::RunnableOps EventLoop::StopOnDone::ops{
    [](Runnable& node) {
      self_of(node).queued_ = false;
      self_of(node).loop_.stop();
    },
    [](Runnable& node) noexcept { self_of(node).queued_ = false; }};

void EventLoop::run_until_done(detail::FutureBase& future, bool is_new_task) {
  check_can_run("run_until_complete");
  if (&future.scheduler() != scheduler_) {
    throw ValueError("run_until_complete: the future belongs to a different loop");
  }
  const auto keep = detail::StateRef<detail::FutureBase>::share(future);
  {
    StopOnDone stop_on_done(*this, future);
    try {
      run_forever();
    } catch (...) {
      if (is_new_task) future.mark_retrieved();
      throw;
    }
  }
  if (!future.is_done()) {
    throw RuntimeError("run_until_complete: Event loop stopped before Future completed.");
  }
}

void EventLoop::tell_reports() {
  while (!scheduler_->reports_.empty()) scheduler_->reports_.pop_front().tell(*scheduler_);
}

Duration EventLoop::time_to_next_timer() noexcept {
  if (scheduler_->timers_.empty()) return Duration::max();
  const TimePoint earliest = scheduler_->timers_.earliest();
  if (earliest == TimePoint::max()) return Duration::max();
  if (earliest <= scheduler_->last_now_) return Duration::zero();
  const TimePoint now = scheduler_->now();
  return earliest <= now ? Duration::zero() : earliest - now;
}

bool EventLoop::poll_is_due() noexcept {
  if (strict_) return true;
  if (!backend_->is_watching() && scheduler_->timers_.empty()) return false;
  const std::uint64_t now = detail::sys::cycles();
  if (++turns_since_poll_ < turns_between_polls && now - cycles_at_poll_ < cycles_between_polls) {
    return false;
  }
  turns_since_poll_ = 0;
  cycles_at_poll_ = now;
  return true;
}

void EventLoop::collect_due(bool polled) {
  detail::TimerQueue& timers = scheduler_->timers_;
  if (timers.empty()) return;
  const TimePoint now = polled ? scheduler_->now() : scheduler_->last_now_;
  while (!timers.empty() && timers.earliest() <= now && timers.earliest() != TimePoint::max()) {
    scheduler_->ready_.push(timers.pop());
  }
}

void EventLoop::poll(Duration limit) noexcept {
  ++poll_count_;
  backend_->poll(limit);
}

void EventLoop::turn(Duration limit) {
  Scheduler& scheduler = *scheduler_;
  detail::Inbox& inbox = *scheduler.inbox_;
  if (!scheduler.reports_.empty()) [[unlikely]]
    tell_reports();
  if (inbox.maybe_full()) inbox.drain(scheduler.ready_);
  bool polled = true;
  if (scheduler.ready_.empty()) {
    // A child that was forked in a callback, and went on.
    if (generation_ != detail::fork_count.load(std::memory_order_relaxed)) [[unlikely]] {
      scheduler.check_open("run_forever");
    }
    Duration wait = stopping_ ? Duration::zero() : std::min(time_to_next_timer(), limit);
    if (wait != Duration::max()) wait = std::min(wait, wait_max);
    if (wait > Duration::zero() && inbox.prepare_to_wait()) {
      poll(wait);
      inbox.finish_waiting();
    } else {
      poll(Duration::zero());
    }
    inbox.drain(scheduler.ready_);
    turns_since_poll_ = 0;
    cycles_at_poll_ = detail::sys::cycles();  // The wait was no work.
    if (wait > Duration::zero()) waited();
  } else if (stopping_ || poll_is_due()) {  // Stopped beforehand: it is the only turn.
    poll(Duration::zero());
  } else {
    polled = false;
  }
  collect_due(polled);
  run_ready();
}

void EventLoop::run_ready() {
  // A member of the scheduler, so that what runs can withdraw what is behind it.
  detail::ReadyQueue& batch = scheduler_->batch_;
  last_turn_ran_ = !scheduler_->ready_.empty();
  batch.append(scheduler_->ready_);
  try {
    if (scheduler_->debug_) [[unlikely]] {
      while (!batch.empty()) run_timed(batch.pop());
    }
    while (!batch.empty()) batch.pop().run();
  } catch (...) {
    scheduler_->ready_.prepend(batch);  // A later run goes on with them (ORD-39).
    throw;
  }
}

void EventLoop::post_threadsafe(detail::SharedHandleState& state) {
  if (generation_ != detail::fork_count.load(std::memory_order_relaxed)) {
    state.cancel();
    state.release_reference();
    scheduler_->check_open("call_soon_threadsafe");
  }
  if (detail::running_scheduler() == scheduler_) {  // On the loop's own thread.
    scheduler_->inbox_->drain(scheduler_->ready_);
    scheduler_->post(state);
    return;
  }
  if (scheduler_->inbox_->push(state)) return;
  state.cancel();
  state.release_reference();  // The queue's.
  throw RuntimeError("call_soon_threadsafe: Event loop is closed");
}

void EventLoop::set_task_factory(TaskFactory factory) {
  scheduler_->require_open("set_task_factory");
  task_factory_ = std::move(factory);
  scheduler_->has_task_factory_ = static_cast<bool>(task_factory_);
}

Coroutine<> EventLoop::shutdown_asyncgens() {
  scheduler_->require_open("shutdown_asyncgens");
  return asyncgens_->shutdown();
}

// Errors --------------------------------------------------------------------------------------

void EventLoop::default_exception_handler(const ExceptionContext& context) {
  std::string text =
      context.message.empty() ? "Unhandled exception in event loop" : context.message;
  if (!context.subject.empty()) text += "\n  subject: " + context.subject;
  if (context.source) {
    text += "\n  made at: " + std::string(context.source->file_name()) + ":" +
            std::to_string(context.source->line());
  }
  if (context.task) text += "\n  task: " + context.task.get_name();
  if (context.exception != nullptr) {
    text += "\n  " + describe(context.exception) + detail::causes_text(context.exception);
  }
  detail::log_error(text);
}

void EventLoop::call_exception_handler(const ExceptionContext& context) {
  if (handler_) {
    try {
      // Held while it runs, as it may replace itself.
      const std::shared_ptr<ExceptionHandler> handler = handler_;
      (*handler)(*this, context);
      return;
    } catch (const BaseError&) {
      throw;
    } catch (...) {
      try {
        default_exception_handler({"Unhandled error in exception handler", std::current_exception(),
                                   context.task, context.message, context.source});
      } catch (...) {
        detail::log_error("Exception in default exception handler");
      }
      return;
    }
  }
  try {
    default_exception_handler(context);
  } catch (...) {
    detail::log_error("Exception in default exception handler");
  }
}

// Hosting ---------------------------------------------------------------------------------------

int EventLoop::backend_fd() const noexcept {
  return backend_ != nullptr ? backend_->pollable_fd() : -1;
}

Duration EventLoop::backend_timeout() const noexcept {
  if (is_closed()) return Duration::max();
  if (!scheduler_->ready_.empty() || !scheduler_->reports_.empty() || stopping_ ||
      !scheduler_->inbox_->prepare_to_wait() || backend_->is_poll_due()) {
    return Duration::zero();
  }
  if (scheduler_->timers_.empty()) return Duration::max();
  const TimePoint earliest = scheduler_->timers_.earliest();
  if (earliest == TimePoint::max()) return Duration::max();
  const TimePoint now = backend_->now();
  return earliest <= now ? Duration::zero() : earliest - now;
}

// Free functions
// -----------------------------------------------------------------------------------

EventLoop& get_running_loop() { return detail::require_running("get_running_loop").loop(); }

void eager_task_factory(EventLoop&, TaskOptions& options) {
  if (!options.eager_start) options.eager_start = true;
}

namespace {
std::vector<AnyTask> tasks_of(detail::IntrusiveList<detail::TaskBase>& list) {
  std::vector<AnyTask> tasks;
  for (detail::TaskBase* task = list.first(); task != nullptr; task = list.next(*task)) {
    tasks.push_back(
        detail::Access::make<AnyTask>(detail::StateRef<detail::FutureBase>::share(*task)));
  }
  return tasks;
}
}  // namespace

std::vector<AnyTask> all_tasks(const EventLoop& loop) { return tasks_of(loop.scheduler().tasks()); }

std::vector<AnyTask> all_tasks() { return tasks_of(detail::require_running("all_tasks").tasks()); }

}  // namespace aster::inline v0
