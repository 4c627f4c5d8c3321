// SPDX-License-Identifier: MIT
//
// Processes under fault: many that exit at once, killed at every moment, programs that
// are not there, calls of the system that fail. The fixture looks for what is left of
// them: no child, no zombie, no descriptor, no thread.
//
// ASTER_TEST_CHILDREN=n sets how many children a storm makes on each way (2000; 200 by
// fork).
#include "process/process_fixture.hpp"
#include "support/sanitizers.hpp"

#include <aster/testing/faults.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <set>
#include <sstream>
#include <thread>

namespace aster::process_tests {
namespace {

// With sanitizers a fork takes milliseconds.
int storm_size() {
  const char* chosen = std::getenv("ASTER_TEST_CHILDREN");
  if (chosen != nullptr) return std::atoi(chosen);
  return detail::spawn_way().shares_memory ? 2000 : 200;
}

// How many threads there are, counting for a moment those that were joined.
std::size_t thread_count() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/task");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count - 2;
}

class SubprocessStormSlow : public ProcessTest {
 protected:
  SubprocessStormSlow() {
    // The thread sanitizer has a thread of its own from the program's first on.
    std::thread([] {}).join();
    threads_before_ = thread_count();
  }
  ~SubprocessStormSlow() override {
    for (int i = 0; i < 10000 && thread_count() > threads_before_; ++i) std::this_thread::yield();
    EXPECT_LE(thread_count(), threads_before_);
  }

 private:
  std::size_t threads_before_ = 0;
};
ASTER_ON_ALL_WAYS(SubprocessStormSlow);

TEST_P(SubprocessStormSlow, ChildrenThatExitAtOnceAreAllNoticed) {
  int sum = 0;
  auto one = [&](int code) -> Coroutine<> {
    auto starting = create_subprocess_exec({}, "/bin/sh", "-c", "exit " + std::to_string(code));
    Process p = co_await std::move(starting);
    const int told = co_await p.wait();
    sum += told == code ? 1 : 0;
  };
  auto body = [&]() -> Coroutine<> {
    for (int started = 0; started < storm_size(); started += 20) {
      std::vector<Coroutine<>> batch;
      for (int i = 0; i < 20; ++i) batch.push_back(one((started + i) % 256));
      co_await gather(std::move(batch));
    }
  };

  run(body());

  EXPECT_EQ(sum, (storm_size() + 19) / 20 * 20);
  EXPECT_TRUE(has_no_child());
}

TEST_P(SubprocessStormSlow, MissingProgramsLeaveNothing) {
  const std::size_t fds = open_fd_count();
  int failed = 0;
  auto body = [&]() -> Coroutine<> {
    SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = DEVNULL};
    for (int i = 0; i < storm_size(); ++i) {
      auto starting = outcome(create_subprocess_exec(options, "/no-such-program"));
      auto result = co_await std::move(starting);
      failed += result.has_value() ? 0 : 1;
    }
  };

  run(body());

  EXPECT_EQ(failed, storm_size());
  EXPECT_EQ(open_fd_count(), fds);
  EXPECT_TRUE(has_no_child());
}

TEST_P(SubprocessStormSlow, KillersNeverHitAnUnrelatedChild) {
  // cpython#127049: of many tasks that kill what is ending, none may hit another.
  pid_t bystander = -1;
  const char* arguments[] = {"sleep", "3600", nullptr};
  ASSERT_EQ(::posix_spawn(&bystander, "/bin/sleep", nullptr, nullptr, const_cast<char**>(arguments),
                          environ),
            0);
  const int rounds = std::max(1, storm_size() / 400);
  int ended = 0;
  auto killer = [&](int index) -> Coroutine<> {
    for (int round = 0; round < rounds; ++round) {
      auto starting = create_subprocess_exec({}, index % 2 == 0 ? "/bin/true" : "/bin/cat");
      Process p = co_await std::move(starting);
      for (int turn = 0; turn < (index + round) % 5; ++turn) co_await yield_now();
      for (int i = 0; i < 3 && !p.returncode(); ++i) p.kill();
      const int code = co_await p.wait();
      ended += code == 0 || code == -SIGKILL ? 1 : 0;
    }
  };
  auto body = [&]() -> Coroutine<> {
    std::vector<Coroutine<>> killers;
    for (int i = 0; i < 200; ++i) killers.push_back(killer(i));
    co_await gather(std::move(killers));
  };

  run(body());

  EXPECT_EQ(ended, 200 * rounds);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(bystander), &info, WEXITED | WNOHANG | WNOWAIT);
  EXPECT_EQ(info.si_pid, 0);  // It lives.
  ::kill(bystander, SIGKILL);
  ::waitpid(bystander, nullptr, 0);
}

TEST_P(SubprocessStormSlow, KilledAtEveryMomentTheEndIsToldOnce) {
  auto body = []() -> Coroutine<> {
    for (int moment = 0; moment < 12; ++moment) {
      for (const bool is_cancelled : {false, true}) {
        SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE};
        auto starting = create_subprocess_shell("cat; sleep 0; cat", options);
        Process p = co_await std::move(starting);
        auto talking = create_task(p.communicate("some input"));
        auto waiting = create_task(p.wait());
        for (int i = 0; i < moment; ++i) co_await (i % 4 == 3 ? sleep(1ms) : yield_now());
        if (!p.returncode()) p.kill();
        if (is_cancelled) talking.cancel();
        const int code = co_await waiting;
        EXPECT_TRUE(code == 0 || code == -SIGKILL);
        EXPECT_EQ(p.returncode(), code);
        auto output = co_await outcome(talking);
        EXPECT_TRUE(output.has_value() || output.cancelled());
      }
    }
  };

  run(body());
}

TEST_P(SubprocessStormSlow, CancelledAtEveryMomentNoChildIsLeft) {
  auto body = []() -> Coroutine<> {
    for (int moment = 0; moment < 8; ++moment) {
      auto task = create_task([]() -> Coroutine<> {
        SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE};
        auto starting = create_subprocess_exec(options, "/bin/cat");
        Process p = co_await std::move(starting);
        ProcessOutput o = co_await p.communicate("x");
        EXPECT_EQ(o.stdout_data, "x");
      });
      for (int i = 0; i < moment; ++i) co_await yield_now();
      task.cancel();
      auto ended = co_await outcome(task);
      EXPECT_TRUE(ended.cancelled() || ended.has_value());
      for (int i = 0; i < child_patience && !has_no_child(); ++i) co_await sleep(1ms);
      EXPECT_TRUE(has_no_child());  // Its input is closed, so cat has ended.
    }
  };

  run(body());
}

TEST_P(SubprocessStormSlow, EveryCallOfTheSystemMayFail) {
  if (!testing::Faults::is_available()) GTEST_SKIP() << "no fault injection";
  using testing::SysCall;
  const struct {
    SysCall call;
    int error;
  } faults[]{{SysCall::pipe, EMFILE},  {SysCall::open, ENFILE},      {SysCall::fcntl, EINVAL},
             {SysCall::clone, EAGAIN}, {SysCall::epoll_ctl, ENOSPC}, {SysCall::waitid, EINTR},
             {SysCall::close, EIO},    {SysCall::read, EINTR},       {SysCall::read, EIO},
             {SysCall::write, EPIPE}};
  auto attempt = []() -> Coroutine<> {
    SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = DEVNULL};
    auto starting = create_subprocess_exec(options, "/bin/cat");
    Process p = co_await std::move(starting);
    ProcessOutput o = co_await p.communicate("x");
    EXPECT_EQ(p.returncode(), 0);
  };
  // The bodies run one after the other, so that what one leaves is seen at once.
  for (const auto& fault : faults) {
    // A thread's wake-up is a write too, which cannot fail so.
    if (fault.call == SysCall::write && !GetParam().has_pidfd) continue;
    for (std::uint64_t nth = 1; nth <= 8; ++nth) {
      const std::size_t fds = open_fd_count();
      {
        testing::Faults scripts;
        scripts.fail(fault.call, {.nth = nth, .times = 1, .error = fault.error});
        const auto result = run(outcome(attempt()));
        if (fault.call == SysCall::clone && nth == 1) {
          EXPECT_EQ(describe(result.exception()),
                    "std::system_error: create_subprocess_exec /bin/cat: Resource temporarily "
                    "unavailable");
        }
      }
      for (int i = 0; i < child_patience && (!has_no_child() || open_fd_count() != fds); ++i) {
        run(detail::as_coroutine(sleep(1ms)));
      }
      EXPECT_TRUE(has_no_child()) << static_cast<int>(fault.call) << " " << nth;
      EXPECT_EQ(open_fd_count(), fds) << static_cast<int>(fault.call) << " " << nth;
    }
  }
}

// The descriptors of a child that is not made by aster, as "number -> file" each.
std::vector<std::string> seen_by_a_child_of_the_host() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {"no pipe"};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  const char* arguments[] = {"sh", "-c", "ls -l /proc/$$/fd; true", nullptr};
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, "/bin/sh", &actions, nullptr, const_cast<char**>(arguments), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string text;
  std::array<char, 1000> buffer;
  for (ssize_t size = 0; (size = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  ::close(ends[0]);
  if (failed == 0) ::waitpid(pid, nullptr, 0);
  std::vector<std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t arrow = line.find(" -> ");
    if (arrow != std::string::npos) found.push_back(line.substr(line.rfind(' ', arrow - 1) + 1));
  }
  return found;
}

TEST_P(SubprocessStormSlow, WhoeverElseForksGetsNoneOfOurDescriptors) {
  if (support::has_undefined_sanitizer) {
    GTEST_SKIP() << "this sanitizer opens pipes of its own, which children may get";
  }
  std::set<std::string> inherited;  // What children get anyway.
  for (int fd = 0; fd < 1024; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0) inherited.insert(std::to_string(fd));
  }
  std::atomic<bool> stop{false};
  std::atomic<int> looks{0};
  std::size_t seen_count = 0;
  std::vector<std::string> wrong;
  std::thread host([&] {
    while (!stop || looks < 10) {
      for (const std::string& seen : seen_by_a_child_of_the_host()) {
        ++seen_count;
        if (!inherited.contains(seen.substr(0, seen.find(' ')))) wrong.push_back(seen);
      }
      ++looks;
    }
  });
  auto body = []() -> Coroutine<> {
    for (int i = 0; i < storm_size() / 20; ++i) {
      std::string text = co_await output_of("echo x");
      EXPECT_EQ(text, "x\n");
    }
  };

  run(body());

  stop = true;
  host.join();
  EXPECT_GE(looks, 10);
  EXPECT_EQ(seen_count, static_cast<std::size_t>(looks) * inherited.size());
  EXPECT_EQ(wrong, std::vector<std::string>());
}

TEST_P(SubprocessStormSlow, SignalsThatInterruptEverythingDoNoHarm) {
  struct sigaction action{};
  action.sa_handler = [](int) {};  // Without SA_RESTART (C15).
  ::sigaction(SIGALRM, &action, nullptr);
  itimerval often{{0, 1000}, {0, 1000}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  auto body = []() -> Coroutine<> {
    for (int i = 0; i < storm_size() / 20; ++i) {
      std::string text = co_await output_of("echo x; head -c 100000 /dev/zero | tail -c 1");
      EXPECT_EQ(text, std::string("x\n\0", 3));
    }
  };

  run(body());

  often = {};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  std::signal(SIGALRM, SIG_DFL);
}

// Single faults ---------------------------------------------------------------------------

class SubprocessFaults : public ProcessTest {
 protected:
  // The thread sanitizer does not let a process that was forked from one with threads
  // start any.
  static bool may_fork() { return !support::has_thread_sanitizer || GetParam().has_pidfd; }
};
ASTER_ON_ALL_WAYS(SubprocessFaults);

TEST_P(SubprocessFaults, AChildThatMayNotBeKilledIsLeftAlone) {
  if (!testing::Faults::is_available()) GTEST_SKIP() << "no fault injection";
  if (!GetParam().has_pidfd) GTEST_SKIP() << "only signals by pidfd are scripted";
  const Logged logged;
  net.settles = false;
  int pid = -1;
  auto body = [&]() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({}, "sleep", "3600");
    pid = p.pid();
    testing::Faults faults;
    faults.fail(testing::SysCall::pidfd_send_signal, {.error = EPERM});
    EXPECT_THROW(p.kill(), std::system_error);
  };
  run(body());
  {
    testing::Faults faults;
    faults.fail(testing::SysCall::pidfd_send_signal, {.error = EPERM});
    net.close();  // Does not wait for it.
  }

  EXPECT_TRUE(logged.contains("could not be killed"));
  EXPECT_EQ(::kill(pid, SIGKILL), 0);
  ::waitpid(pid, nullptr, 0);
}

TEST_P(SubprocessFaults, InAForkedProcessItIsNoChild) {
  if (!may_fork()) GTEST_SKIP() << "not with the thread sanitizer";
  net.settles = false;
  auto body = [&]() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({}, "sleep", "3600");
    const pid_t forked = ::fork();
    if (forked == 0) {
      bool good = false;
      try {
        p.kill();
      } catch (const RuntimeError& error) {
        good = std::string_view(error.what()).find("fork") != std::string_view::npos;
      }
      // A new loop works, with children of its own.
      good = good && aster::run(output_of("echo x")) == "x\n";
      ::_exit(good ? 0 : 1);
    }
    int status = 0;
    ::waitpid(forked, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);  // C22
    EXPECT_EQ(::kill(p.pid(), 0), 0);
    EXPECT_EQ(p.returncode(), std::nullopt);
    p.terminate();
    EXPECT_EQ(co_await p.wait(), -SIGTERM);
  };

  run(body());
}

TEST_P(SubprocessFaults, AForkedProcessThatClosesTheLoopKillsNobody) {
  if (!may_fork()) GTEST_SKIP() << "not with the thread sanitizer";
  std::optional<Process> process;
  auto start = [&]() -> Coroutine<> {
    process = co_await create_subprocess_exec({}, "sleep", "3600");
  };
  run(start());

  const pid_t forked = ::fork();
  if (forked == 0) {
    net.loop().close();
    ::_exit(process->returncode() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(forked, &status, 0);

  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  auto finish = [&]() -> Coroutine<> {
    EXPECT_EQ(process->returncode(), std::nullopt);  // C22
    process->terminate();
    EXPECT_EQ(co_await process->wait(), -SIGTERM);
    process.reset();
  };
  run(finish());
}

TEST_P(SubprocessFaults, AForkInsideATaskLeavesTheParentWhole) {
  if (!may_fork()) GTEST_SKIP() << "not with the thread sanitizer";
  auto body = [&]() -> Coroutine<> {
    SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE};
    auto starting = create_subprocess_exec(options, "cat");
    Process p = co_await std::move(starting);
    const pid_t forked = ::fork();
    if (forked == 0) {
      const bool good = aster::run(output_of("echo in the child")) == "in the child\n";
      ::_exit(good ? 0 : 1);
    }
    p.stdin_()->write("still here\n");
    std::string line = co_await p.stdout_()->readline();
    EXPECT_EQ(line, "still here\n");
    int status = 0;
    ::waitpid(forked, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);  // C22
    ProcessOutput o = co_await p.communicate();
    EXPECT_EQ(p.returncode(), 0);
  };

  run(body());
}

}  // namespace
}  // namespace aster::process_tests
