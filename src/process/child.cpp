// SPDX-License-Identifier: MIT
#include "process/child.hpp"

#include "base/sys.hpp"
#include "net/net_events.hpp"

#include <aster/base/error.hpp>
#include <aster/base/log.hpp>

#include <csignal>
#include <exception>
#include <utility>

namespace aster::inline v0::detail {
namespace {

constexpr int unknown_returncode = 255;  // K-18: somebody else has taken it.

}  // namespace

/// What a thread that waits for a child's end shares with the child: it outlives both.
struct Child::Waiting final : Runnable {
  Waiting(Child& owner, std::shared_ptr<Inbox> door)
      : Runnable(&ops), child(&owner), pid(owner.pid()), inbox(std::move(door)) {}
  static const RunnableOps ops;

  /// Returns once the child has ended, and leaves it for the loop to reap.
  void wait() noexcept {
    siginfo_t info;
    static_cast<void>(sys::uninterrupted([&] {
      return sys::outcome(
          ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | __WALL));
    }));
    static_cast<void>(inbox->push(*this));
  }

  Child* child;  // The loop's thread only; null once it is finished.
  int pid;
  std::shared_ptr<Inbox> inbox;
  std::thread thread;
};

const RunnableOps Child::Waiting::ops{[](Runnable& node) {
                                        auto& self = static_cast<Waiting&>(node);
                                        if (self.child != nullptr) self.child->look();
                                      },
                                      [](Runnable&) noexcept {}};

const RunnableOps Child::ops{
    [](Runnable& node) {
      const auto self = StateRef<Child>::share(static_cast<Child&>(node));
      self->is_queued_ = false;
      self->look();
    },
    [](Runnable& node) noexcept { static_cast<Child&>(node).is_queued_ = false; },
    [](const Runnable& node) {
      return "<Child pid=" + std::to_string(static_cast<const Child&>(node).pid_) + ">";
    }};

Child::Child(EventLoop& loop)
    : Watch([](Watch& watch, unsigned) noexcept {
        auto& self = static_cast<Child&>(watch);
        if (!std::exchange(self.is_queued_, true)) self.scheduler_->post(self);
      }),
      Runnable(&ops),
      scheduler_(&loop.scheduler()),
      backend_(&loop.backend()),
      generation_(fork_count.load(std::memory_order_relaxed)) {
  scheduler_->add_reference();
}

Child::~Child() { scheduler_->release_reference(); }

StateRef<Child> Child::start(EventLoop& loop, const SpawnPlan& plan, std::array<OwnedFd, 3>& ends) {
  loop.scheduler().require_open(plan.call);
  if (!loop.backend().is_system()) {
    throw RuntimeError(std::string(plan.call) + ": back end \"" +
                       std::string(loop.backend().name()) +
                       "\" has no processes; use a loop of the system");
  }
  auto& service = loop.service<ProcessService>();
  StateRef<Child> child(new Child(loop));
  Spawned spawned = spawn(plan);
  child->pid_ = spawned.pid;
  child->pidfd_ = std::move(spawned.pidfd);
  ends = std::move(spawned.ends);
  service.children_.push_back(*child);
  child->add_reference();  // The loop's.
  try {
    child->watch(loop);
  } catch (...) {  // Nobody would notice its end.
    child->tear_down();
    throw;
  }
  log_event(loop.scheduler(),
            [&] { return "process " + std::to_string(child->pid_) + " runs " + plan.program(); });
  return child;
}

void Child::watch(EventLoop& loop) {
  if (pidfd_) {
    is_watched_ = backend_->set_watch(pidfd_.get(), Watch::readable, *this) == 0;
    if (is_watched_) return;
  }
  waiting_ = std::make_shared<Waiting>(*this, loop.scheduler().inbox());
  waiting_->thread = std::thread([waiting = waiting_] { waiting->wait(); });
}

void Child::stop_watching() noexcept {
  if (std::exchange(is_watched_, false)) {
    static_cast<void>(backend_->set_watch(pidfd_.get(), 0, *this));
  }
  if (const auto waiting = std::exchange(waiting_, nullptr)) {
    waiting->child = nullptr;
    if (waiting->thread.joinable()) {
      // It has seen the end, or, when a child of another user outlives the loop, it never may.
      if (returncode_) {
        waiting->thread.join();
      } else {
        waiting->thread.detach();
      }
    }
  }
}

/// In a forked process it is no child of ours.
bool Child::is_ours() const noexcept {
  return generation_ == fork_count.load(std::memory_order_relaxed);
}

/// 0 or minus errno.
int Child::signal(int number) noexcept {
  if (!is_ours()) return -ECHILD;
  if (pidfd_) return sys::pidfd_send_signal(pidfd_.get(), number);
  // Its pid is its own until we have reaped it.
  return sys::outcome(::kill(pid_, number));
}

void Child::send_signal(const char* call, int number) {
  if (!scheduler_->is_closed()) scheduler_->require_open(call);
  const std::string what = std::string(call) + " process " + std::to_string(pid_);
  if (number < 0 || number > SIGRTMAX) {
    throw ValueError(what + ": invalid signal number " + std::to_string(number));
  }
  if (returncode_) throw_system_error(ESRCH, what);
  const int result = signal(number);
  if (result < 0 && result != -ESRCH) throw_system_error(-result, what);
}

void Child::kill_quietly() noexcept {
  if (!returncode_) static_cast<void>(signal(SIGKILL));
}

/// Takes the return code from the system; false when the child runs still.
bool Child::reap(int options) noexcept {
  siginfo_t info{};
  const bool by_fd = static_cast<bool>(pidfd_);
  const int result = sys::uninterrupted([&] {
    return sys::waitid(by_fd ? P_PIDFD : P_PID, static_cast<id_t>(by_fd ? pidfd_.get() : pid_),
                       &info, WEXITED | options);
  });
  if (result == 0 && info.si_pid == 0) return false;
  if (result == 0) {
    returncode_ = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return true;
  }
  returncode_ = unknown_returncode;
  try {
    log_warning("process " + std::to_string(pid_) +
                " was reaped by somebody else; its return code is reported as 255");
  } catch (const std::bad_alloc&) {
    log_warning("a process was reaped by somebody else; its return code is reported as 255");
  }
  return true;
}

void Child::look() noexcept {
  if (returncode_ || !reap(WNOHANG)) return;
  log_event(*scheduler_, [this] {
    return "process " + std::to_string(pid_) + " exited with return code " +
           std::to_string(*returncode_);
  });
  finish();
}

void Child::finish() noexcept {
  const StateRef<Child> self(this);  // The loop's.
  stop_watching();
  pidfd_ = OwnedFd();
  waiters_.wake_all();
  if (ChildListener* listener = std::exchange(listener_, nullptr)) listener->child_exited();
  unlink();
}

Coroutine<int> Child::wait(StateRef<Child> child) {
  co_await child->exited();
  co_return *child->returncode();
}

void Child::tear_down() noexcept {
  const StateRef<Child> self(this);  // The loop's.
  if (is_ours()) {
    const int result = signal(SIGKILL);
    // Without the right to kill it, waiting might be for ever.
    if (result == 0 || result == -ESRCH) {
      static_cast<void>(reap(0));
    } else if (!reap(WNOHANG)) {
      log_warning("a process could not be killed when its loop was closed; it is left alone");
    }
  }
  stop_watching();
  pidfd_ = OwnedFd();
  if (ChildListener* listener = std::exchange(listener_, nullptr)) listener->loop_closed();
  unlink();
}

}  // namespace aster::inline v0::detail
