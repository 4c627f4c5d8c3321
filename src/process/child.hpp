// SPDX-License-Identifier: MIT
#pragma once

#include "process/spawn.hpp"

#include <aster/base/intrusive_list.hpp>
#include <aster/base/state_ref.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/task/wait_list.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace aster::inline v0::detail {

/// Told once of a child's end, or that the loop closes before.
class ChildListener {
 public:
  virtual void child_exited() noexcept = 0;
  virtual void loop_closed() noexcept = 0;

 protected:
  ~ChildListener() = default;
};

/// A running program, and its return code once it has ended: noticed by its pidfd in the
/// loop (SP-13), and taken from the system exactly once. Counted; the loop holds it until
/// it has ended, so dropping all handles leaves no zombie.
///
/// Where there is no pidfd, or the back end cannot watch it, a thread waits for the end.
class Child final : public Watch, public Runnable, public ListNode {
 public:
  /// Starts the program; `ends` are our ends of its pipes. RuntimeError on a loop that
  /// is not of the system, else as `spawn`.
  [[nodiscard]] static StateRef<Child> start(EventLoop& loop, const SpawnPlan& plan,
                                             std::array<OwnedFd, 3>& ends);
  ~Child();

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept {
    if (--references_ == 0) delete this;
  }

  [[nodiscard]] int pid() const noexcept { return pid_; }
  /// Minus N when signal N has ended it (K-18); nothing while it runs.
  [[nodiscard]] std::optional<int> returncode() const noexcept { return returncode_; }

  /// Sends a signal, never to another process. ESRCH when the return code is known,
  /// nothing when the child has ended and we do not know yet (SP-10).
  void send_signal(const char* call, int number);
  /// Kills it if it runs still; errors say that it is gone or not ours any more.
  void kill_quietly() noexcept;

  /// Waits for the return code.
  [[nodiscard]] auto exited() noexcept {
    return waiters_.park_unless([this] { return returncode_.has_value(); });
  }
  /// The same as a coroutine, which holds the child.
  [[nodiscard]] static Coroutine<int> wait(StateRef<Child> child);
  /// Has `listener` told of the end; null: nobody.
  void listen(ChildListener* listener) noexcept { listener_ = listener; }

  /// The loop closes: kills and reaps it (SP-15).
  void tear_down() noexcept;

 private:
  struct Waiting;
  static const RunnableOps ops;

  explicit Child(EventLoop& loop);
  void watch(EventLoop& loop);
  void stop_watching() noexcept;
  void look() noexcept;
  [[nodiscard]] bool reap(int options) noexcept;
  [[nodiscard]] bool is_ours() const noexcept;
  [[nodiscard]] int signal(int number) noexcept;
  void finish() noexcept;

  Scheduler* scheduler_;
  IoBackend* backend_;
  int pid_ = -1;
  OwnedFd pidfd_;
  std::optional<int> returncode_;
  WaitList waiters_;
  ChildListener* listener_ = nullptr;
  std::uint32_t references_ = 1;
  std::uint32_t generation_;  // The fork count: a forked process has no children of its parent's.
  bool is_watched_ = false;
  bool is_queued_ = false;
  std::shared_ptr<Waiting> waiting_;  // The thread's, where a thread waits.
};

/// A loop's children.
class ProcessService final : public EventLoop::Service {
 public:
  explicit ProcessService(EventLoop& /*loop*/) noexcept {}
  ~ProcessService() override = default;
  void close() noexcept override {
    while (!children_.empty()) children_.front().tear_down();
  }
  IntrusiveList<Child> children_;
};

}  // namespace aster::inline v0::detail
