// SPDX-License-Identifier: MIT
// Ctrl-C is a note that runs as a callback: the first cancels the main task, the second
// throws KeyboardInterrupt out of the loop.
#include "base/debug_text.hpp"
#include "loop/signal_note.hpp"

#include <aster/base/log.hpp>
#include <aster/loop/runner.hpp>
#include <aster/task/done_awaiter.hpp>

#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace aster::inline v0 {
namespace {

/// Owns SIGINT while a main task runs, if nobody else does.
class InterruptGuard final : public detail::SignalNote {
 public:
  InterruptGuard(Scheduler& scheduler, detail::FutureBase& task) noexcept
      : SignalNote(scheduler, &ops), task_(task) {
    if (detail::on_main_thread()) static_cast<void>(watch(SIGINT, true));
  }

  /// Gives SIGINT back and takes a queued note out of the loop.
  void withdraw() noexcept { unwatch(); }

  /// How often Ctrl-C has been pressed.
  using SignalNote::count;

 private:
  static const detail::RunnableOps ops;

  void run() {
    taken();
    if (count() == 1 && !task_.is_done()) {
      task_.cancel({});
      return;
    }
    throw KeyboardInterrupt();
  }

  detail::FutureBase& task_;
};

const detail::RunnableOps InterruptGuard::ops{
    [](Runnable& node) { static_cast<InterruptGuard&>(node).run(); },
    [](Runnable& node) noexcept { static_cast<InterruptGuard&>(node).taken(); }};

/// Cancels every task that is left and waits for all of them (RUN-6).
void cancel_all_tasks(EventLoop& loop) {
  std::vector<AnyTask> left = all_tasks(loop);
  if (left.empty()) return;
  for (AnyTask& task : left) task.cancel();
  auto wait_for_all = [](std::vector<AnyTask> tasks) -> Coroutine<> {
    for (AnyTask& task : tasks) co_await detail::DoneAwaiter(detail::Access::share(task));
  };
  auto waiting = loop.create_task({.name = "shutdown"}, wait_for_all, left);
  loop.run_until_complete(waiting);
  for (AnyTask& task : left) {
    if (task.cancelled()) continue;
    if (const std::exception_ptr error = task.exception()) {
      loop.call_exception_handler(
          {"unhandled exception during asyncio.run() shutdown", error, task, {}, task.source()});
    }
  }
}

}  // namespace

Runner::~Runner() {
  try {
    close();
  } catch (...) {
    detail::log_error("Runner: an error while finishing the loop: " +
                      describe(std::current_exception()));
  }
}

void Runner::check(const char* call) const {
  if (closed_) throw RuntimeError(std::string(call) + ": Runner is closed");
  if (detail::running_scheduler() != nullptr) {
    throw RuntimeError(std::string(call) +
                       ": Runner.run() cannot be called from a running event loop; inside a "
                       "coroutine, co_await it instead");
  }
}

EventLoop& Runner::get_loop() {
  if (closed_) throw RuntimeError("get_loop: Runner is closed");
  if (loop_ == nullptr) {
    if (options_.loop_factory) {
      loop_ = options_.loop_factory();
      if (loop_ == nullptr) throw ValueError("Runner: loop_factory gave no loop");
    } else {
      loop_ = new_event_loop({.source = options_.source});
      set_event_loop(loop_);
      made_current_ = true;
    }
    if (options_.debug) loop_->set_debug(*options_.debug);
    context_ = copy_context();
  }
  return *loop_;
}

void Runner::run_task(detail::FutureBase& task) {
  InterruptGuard interrupts(loop_->scheduler(), task);
  loop_->run_until_done(task, true);
  interrupts.withdraw();
  // Cancelled by Ctrl-C and by nobody else: say what happened.
  if (interrupts.count() > 0 && task.is_cancelled() && task.as_task()->uncancel() == 0) {
    task.mark_retrieved();
    throw KeyboardInterrupt();
  }
}

void Runner::close() {
  closed_ = true;
  if (loop_ == nullptr) return;
  const std::shared_ptr<EventLoop> loop = std::exchange(loop_, nullptr);
  struct Finish {
    EventLoop& loop;
    bool was_current;
    void now() {
      if (was_current) set_event_loop(nullptr);
      was_current = false;
      loop.close();
    }
  } finish{*loop, made_current_};
  if (loop->is_closed()) {
    finish.now();
    return;
  }
  try {
    cancel_all_tasks(*loop);
    loop->run_until_complete(loop->shutdown_asyncgens());
    loop->run_until_complete(loop->shutdown_default_executor(std::chrono::seconds(300)));
  } catch (...) {
    finish.now();
    throw;
  }
  finish.now();
}

int detail::main_failed(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const KeyboardInterrupt&) {
    // End as other programs end by Ctrl-C, so that shells and scripts can tell.
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
    return 130;
  } catch (const SystemExit& exit) {
    return exit.status();
  } catch (...) {
    std::string text = describe(error);
    try {
      text += detail::causes_text(error);
      if (const std::string path = format_await_path(error); !path.empty()) {
        text += " (awaited at " + path + ")";
      }
    } catch (...) {  // No memory: the error itself is what matters.
    }
    std::fprintf(stderr, "%s\n", text.c_str());
    return 1;
  }
}

}  // namespace aster::inline v0
