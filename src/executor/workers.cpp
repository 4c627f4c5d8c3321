// SPDX-License-Identifier: MIT
// The calling thread runs worker 0 and, on the same loop, `lead`, the task that Ctrl-C
// cancels and that waits for the others. Each other worker is a thread with a runner. A
// worker is stopped by a note in its loop's inbox, which needs no memory.
#include <aster/base/error.hpp>
#include <aster/base/log.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/executor/workers.hpp>
#include <aster/task/future.hpp>
#include <aster/task/inbox.hpp>
#include <aster/task/task.hpp>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace aster::inline v0 {
namespace detail {

class WorkerTeam {
 public:
  WorkerTeam(int count, WorkerMain main);
  WorkerTeam(const WorkerTeam&) = delete;
  WorkerTeam& operator=(const WorkerTeam&) = delete;
  ~WorkerTeam() = default;

  void run();
  void stop() noexcept;
  [[nodiscard]] int count() const noexcept { return static_cast<int>(seats_.size()); }
  [[nodiscard]] EventLoop& loop(int index) const;

 private:
  /// A note for a loop from another thread.
  struct Note : Runnable {
    Note(const RunnableOps* ops, WorkerTeam& of) noexcept : Runnable(ops), team(of) {}
    WorkerTeam& team;
  };
  struct Seat {
    Seat(WorkerTeam& team, int number) noexcept : index(number), stop(*this, team) {}
    struct StopNote final : Note {
      StopNote(Seat& of, WorkerTeam& owner) noexcept : Note(&ops, owner), seat(of) {}
      static const RunnableOps ops;
      Seat& seat;
    };

    const int index;
    StopNote stop;
    std::atomic<bool> is_stop_posted{false};
    std::shared_ptr<EventLoop> loop;  // Made before any worker begins, kept until all have ended.
    // Its loop's thread only.
    AnyTask task;  // Runs `main`; none before it begins and after its end.
    bool is_stopped = false;
    std::thread thread;
  };
  static const RunnableOps ended_ops;

  void run_seat(Seat& seat) noexcept;
  Coroutine<> work(Seat& seat);
  Coroutine<> lead();
  [[nodiscard]] bool wait_for_start();
  [[nodiscard]] bool start();
  void begin();
  void join() noexcept;
  void failed(std::exception_ptr error) noexcept;
  void keep(std::exception_ptr error) noexcept;
  void call_off() noexcept;
  void ended() noexcept;
  Coroutine<> run_both();
  void log_errors();
  void throw_errors();

  WorkerMain main_;
  std::deque<Seat> seats_;
  std::atomic<int> running_;  // Workers that have not ended.
  std::atomic<bool> is_stopping_{false};
  // Loop 0's thread only.
  Future<> woken_;  // What `lead` waits for.
  Note ended_note_;
  std::atomic<bool> is_ended_posted_{false};

  std::mutex mutex_;  // Guards all that follows.
  std::condition_variable changed_;
  int ready_count_ = 0;  // Workers, 0 excepted, that have a loop.
  bool is_begun_ = false;
  bool is_called_off_ = false;
  std::vector<std::exception_ptr> errors_;
};

// Stopping --------------------------------------------------------------------------------

const RunnableOps WorkerTeam::Seat::StopNote::ops{[](Runnable& node) {
                                                    Seat& seat = static_cast<StopNote&>(node).seat;
                                                    seat.is_stopped = true;
                                                    if (seat.task) seat.task.cancel();
                                                  },
                                                  [](Runnable&) noexcept {}};

const RunnableOps WorkerTeam::ended_ops{[](Runnable& node) {
                                          WorkerTeam& team = static_cast<Note&>(node).team;
                                          team.is_ended_posted_.store(false);
                                          if (team.woken_ && !team.woken_.done()) {
                                            team.woken_.set_result();
                                          }
                                        },
                                        [](Runnable&) noexcept {}};

void WorkerTeam::stop() noexcept {
  is_stopping_.store(true);
  for (Seat& seat : seats_) {
    if (seat.loop == nullptr || seat.is_stop_posted.exchange(true)) continue;
    // A loop that is closed has nothing left to stop.
    static_cast<void>(seat.loop->scheduler().inbox()->push(seat.stop));
  }
}

/// A worker has ended.
void WorkerTeam::ended() noexcept {
  running_.fetch_sub(1);
  if (is_ended_posted_.exchange(true)) return;
  static_cast<void>(seats_.front().loop->scheduler().inbox()->push(ended_note_));
}

void WorkerTeam::failed(std::exception_ptr error) noexcept {
  keep(std::move(error));
  stop();
}

void WorkerTeam::keep(std::exception_ptr error) noexcept {
  try {
    const std::scoped_lock lock(mutex_);
    errors_.push_back(std::move(error));
  } catch (...) {
    log_error("run_workers: an error of a worker could not be kept");
  }
}

EventLoop& WorkerTeam::loop(int index) const {
  if (index < 0 || index >= count()) {
    throw ValueError("Worker::loop: there is no worker " + std::to_string(index) + " of " +
                     std::to_string(count()));
  }
  return *seats_[static_cast<std::size_t>(index)].loop;
}

// Running ---------------------------------------------------------------------------------

WorkerTeam::WorkerTeam(int count, WorkerMain main)
    : main_(std::move(main)), running_(count), ended_note_(&ended_ops, *this) {
  for (int index = 0; index < count; ++index) seats_.emplace_back(*this, index);
}

/// The main task of each worker.
Coroutine<> WorkerTeam::work(Seat& seat) {
  seat.task = current_task();
  try {
    if (!seat.is_stopped) {
      auto working = main_(Worker(*this, seat.index));
      co_await std::move(working);
    }
  } catch (const CancelledError&) {
    if (!is_stopping_.load()) failed(std::current_exception());
  } catch (...) {
    failed(std::current_exception());
  }
  seat.task = {};
  if (seat.index == 0) ended();
}

/// Waits for all workers; cancelled, it stops them first.
Coroutine<> WorkerTeam::lead() {
  bool is_cancelled = false;
  while (running_.load() > 0) {
    woken_ = seats_.front().loop->create_future<>();
    if (running_.load() == 0) break;
    Future<> waiting = woken_;
    const Outcome<void> woken = co_await outcome(std::move(waiting));
    if (woken.cancelled()) {
      is_cancelled = true;
      stop();
    }
  }
  if (is_cancelled) throw CancelledError();
}

/// The thread of a worker other than 0.
void WorkerTeam::run_seat(Seat& seat) noexcept {
  bool has_worked = false;
  try {
    Runner runner;
    runner.get_loop();
    seat.loop = runner.loop_;
    if (wait_for_start()) {
      has_worked = true;
      runner.run(work(seat));
    }
    runner.close();
  } catch (...) {
    // What `work` has not seen: no loop, a base error, an error of finishing the loop.
    if (has_worked) {
      failed(std::current_exception());
    } else {
      keep(std::current_exception());
      call_off();
    }
  }
  ended();
}

/// Not all can be started, so none is.
void WorkerTeam::call_off() noexcept {
  const std::scoped_lock lock(mutex_);
  is_called_off_ = true;
  changed_.notify_all();
}

/// False when not all could be started.
bool WorkerTeam::wait_for_start() {
  std::unique_lock lock(mutex_);
  ++ready_count_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return is_begun_ || is_called_off_; });
  return !is_called_off_;
}

/// Starts the threads; true once all have a loop, and wait to begin.
bool WorkerTeam::start() {
  try {
    for (Seat& seat : seats_) {
      if (seat.index > 0) seat.thread = std::thread([this, &seat] { run_seat(seat); });
    }
  } catch (...) {
    keep(std::current_exception());
    call_off();
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_called_off_ || ready_count_ == count() - 1; });
  return !is_called_off_;
}

/// Lets the threads work.
void WorkerTeam::begin() {
  const std::scoped_lock lock(mutex_);
  is_begun_ = true;
  changed_.notify_all();
}

void WorkerTeam::join() noexcept {
  for (Seat& seat : seats_) {
    if (seat.thread.joinable()) seat.thread.join();
  }
}

void WorkerTeam::run() {
  Runner runner;
  runner.get_loop();
  seats_.front().loop = runner.loop_;
  if (start()) {
    std::exception_ptr interruption;
    try {
      runner.run(run_both());
    } catch (...) {
      interruption = std::current_exception();
    }
    if (!is_begun_) call_off();
    stop();
    join();
    runner.close();
    if (interruption != nullptr) {
      log_errors();
      std::rethrow_exception(interruption);
    }
  } else {
    join();
  }
  throw_errors();
}

/// The main task of worker 0's loop.
Coroutine<> WorkerTeam::run_both() {
  begin();  // Not earlier: from here on Ctrl-C is heard.
  TaskOptions options;
  options.name = "worker 0";
  Task<> working = create_task(work(seats_.front()), options);
  auto leading = lead();
  co_await std::move(leading);
  co_await working;
}

/// Ctrl-C is thrown; what went wrong besides must not get lost.
void WorkerTeam::log_errors() {
  for (const std::exception_ptr& error : errors_) {
    log_error("run_workers: a worker failed: " + describe(error));
  }
}

void WorkerTeam::throw_errors() {
  if (errors_.empty()) return;
  for (const std::exception_ptr& error : errors_) {
    try {
      std::rethrow_exception(error);
    } catch (const BaseError&) {
      throw;
    } catch (...) {  // Thrown below.
    }
  }
  if (errors_.size() == 1) std::rethrow_exception(errors_.front());
  throw ExceptionGroup("run_workers", errors_);
}

void run_workers(int count, WorkerMain main) {
  if (count < 1) {
    throw ValueError("run_workers: the count must be at least 1, not " + std::to_string(count));
  }
  if (running_scheduler() != nullptr) {
    throw RuntimeError("run_workers: cannot be called from a running event loop");
  }
  WorkerTeam(count, std::move(main)).run();
}

}  // namespace detail

int Worker::count() const noexcept { return team_->count(); }
EventLoop& Worker::loop(int index) const { return team_->loop(index); }
void Worker::stop() const noexcept { team_->stop(); }

}  // namespace aster::inline v0
