// SPDX-License-Identifier: MIT
//
// Processes with streams: what a child gets, gives, and how its end is told.
#include "process/process_fixture.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

namespace aster::process_tests {
namespace {

using Subprocess = ProcessTest;
ASTER_ON_ALL_WAYS(Subprocess);

Coroutine<int> code_of(std::string command) {
  Process process = co_await create_subprocess_shell(command);
  int code = co_await process.wait();
  co_return code;
}

TEST_P(Subprocess, CommunicateFeedsReadsAndWaits) {
  auto body = []() -> Coroutine<> {
    Process p =
        co_await create_subprocess_exec({.stdin_ = PIPE, .stdout_ = PIPE}, "grep", "-c", "x");
    EXPECT_EQ(p.returncode(), std::nullopt);  // SP-7
    ProcessOutput o = co_await p.communicate("x\ny\n");
    EXPECT_EQ(o.stdout_data, "1\n");  // SP-9
    EXPECT_EQ(o.stderr_data, "");
    EXPECT_EQ(p.returncode(), 0);
    EXPECT_GT(p.pid(), 0);
  };

  run(body());
}

TEST_P(Subprocess, AShellRunsPipelines) {
  EXPECT_EQ(run(output_of("echo hi | tr a-z A-Z")), "HI\n");  // SP-2
}

TEST_P(Subprocess, ArgumentsAreNotInterpreted) {
  auto body = []() -> Coroutine<std::string> {
    std::vector<std::string> argv{"printf", "%s|", "$HOME", "a b", "", "*"};
    auto starting = create_subprocess_exec(std::move(argv), {.stdout_ = PIPE});
    Process p = co_await std::move(starting);
    ProcessOutput o = co_await p.communicate();
    co_return std::move(o.stdout_data);
  };

  EXPECT_EQ(run(body()), "$HOME|a b||*|");  // SP-1
}

TEST_P(Subprocess, TheReturnCodeIsTheStatusOrMinusTheSignal) {
  EXPECT_EQ(run(code_of("exit 7")), 7);           // SP-7
  EXPECT_EQ(run(code_of("kill -KILL $$")), -9);   // K-18
  EXPECT_EQ(run(code_of("kill -TERM $$")), -15);  // K-18
}

TEST_P(Subprocess, OutputOfBothStreamsThatExceedsAPipeDoesNotDeadlock) {
  auto body = []() -> Coroutine<> {
    SubprocessOptions options{.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE};
    auto starting = create_subprocess_shell(
        "head -c 300000 /dev/zero >&2; cat; head -c 300000 /dev/zero >&2", options);
    Process p = co_await std::move(starting);
    const std::string input = net_tests::pattern(1 << 20);
    ProcessOutput o = co_await p.communicate(input);
    EXPECT_TRUE(o.stdout_data == input);  // SP-9
    EXPECT_EQ(o.stderr_data.size(), 600000U);
  };

  run(body());
}

TEST_P(Subprocess, AChildThatDoesNotReadItsInputIsNoError) {
  auto body = []() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({.stdin_ = PIPE, .stdout_ = PIPE}, "echo", "done");
    const std::string input(1 << 20, 'x');
    ProcessOutput o = co_await p.communicate(input);
    EXPECT_EQ(o.stdout_data, "done\n");  // SP-9
    EXPECT_EQ(p.returncode(), 0);
  };

  run(body());
}

TEST_P(Subprocess, CommunicateWithoutInputClosesStandardInput) {
  auto body = []() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({.stdin_ = PIPE, .stdout_ = PIPE}, "cat");
    ProcessOutput o = co_await p.communicate();
    EXPECT_EQ(o.stdout_data, "");  // SP-9
    EXPECT_EQ(p.returncode(), 0);
  };

  run(body());
}

TEST_P(Subprocess, InputWithoutAPipeIsAValueError) {
  auto body = []() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({}, "true");
    EXPECT_THROW(static_cast<void>(p.communicate("lost")), ValueError);
    ProcessOutput o = co_await p.communicate();
    EXPECT_EQ(o.stdout_data, "");
  };

  run(body());
}

TEST_P(Subprocess, StreamsAreThereForPipesOnly) {
  auto body = []() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({.stdin_ = PIPE, .stdout_ = PIPE}, "cat");
    EXPECT_EQ(p.stderr_(), nullptr);  // SP-11
    p.stdin_()->write("one\ntwo\n");
    std::string line = co_await p.stdout_()->readline();
    EXPECT_EQ(line, "one\n");
    p.stdin_()->close();
    std::string rest = co_await p.stdout_()->read();
    EXPECT_EQ(rest, "two\n");
    EXPECT_EQ(co_await p.wait(), 0);
  };

  run(body());
}

TEST_P(Subprocess, StandardErrorMayGoWhereOutputGoes) {
  SubprocessOptions options{.stderr_ = STDOUT};
  EXPECT_EQ(run(output_of("echo out; echo err >&2", options)), "out\nerr\n");  // SP-1
}

TEST_P(Subprocess, DevnullIsEmptyAndSwallows) {
  SubprocessOptions options{.stdin_ = DEVNULL, .stderr_ = DEVNULL};
  EXPECT_EQ(run(output_of("cat; echo lost >&2; echo kept", options)), "kept\n");  // SP-1
}

TEST_P(Subprocess, ADescriptorMayBeGiven) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  auto body = [&]() -> Coroutine<int> {
    Process p = co_await create_subprocess_exec({.stdout_ = ends[1]}, "echo", "through");
    int code = co_await p.wait();
    co_return code;
  };

  EXPECT_EQ(run(body()), 0);  // SP-1

  char text[16];
  EXPECT_EQ(::read(ends[0], text, sizeof text), 8);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_P(Subprocess, StandardStreamsMayChangePlaces) {
  // The child's 1 is our 2 and the other way round: neither may overwrite the other.
  int out[2];
  int err[2];
  ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(err, O_CLOEXEC), 0);
  const int kept_out = ::dup(1);
  const int kept_err = ::dup(2);
  ::dup2(out[1], 1);
  ::dup2(err[1], 2);
  auto body = [&]() -> Coroutine<int> {
    auto starting = create_subprocess_shell("echo o; echo e >&2", {.stdout_ = 2, .stderr_ = 1});
    Process p = co_await std::move(starting);
    int code = co_await p.wait();
    co_return code;
  };

  const int code = run(body());

  ::dup2(kept_out, 1);
  ::dup2(kept_err, 2);
  EXPECT_EQ(code, 0);  // SP-1
  std::array<char, 8> text{};
  EXPECT_EQ(::read(out[0], text.data(), text.size()), 2);
  EXPECT_EQ(text[0], 'e');
  EXPECT_EQ(::read(err[0], text.data(), text.size()), 2);
  EXPECT_EQ(text[0], 'o');
  for (const int fd : {out[0], out[1], err[0], err[1], kept_out, kept_err}) ::close(fd);
}

TEST_P(Subprocess, AChildThatNobodyReadsFromWaitsAtAFullPipe) {
  auto body = []() -> Coroutine<> {
    auto starting = create_subprocess_shell("head -c 1000000 /dev/zero", {.stdout_ = PIPE});
    Process p = co_await std::move(starting);
    auto early = co_await outcome(wait_for(p.wait(), 50ms));
    EXPECT_FALSE(early.has_value());  // SP-12
    std::string all = co_await p.stdout_()->read();
    EXPECT_EQ(all.size(), 1000000U);
    EXPECT_EQ(co_await p.wait(), 0);
  };

  run(body());
}

// Failing to start --------------------------------------------------------------------

TEST_P(Subprocess, AProgramThatCannotRunIsTheParentsError) {
  const auto failure = [&](Coroutine<Process> starting) {
    try {
      static_cast<void>(run(std::move(starting)));
    } catch (const std::system_error& error) {
      return std::pair(error.code().value(), std::string(error.what()));
    }
    return std::pair(0, std::string());
  };

  const auto missing = failure(create_subprocess_exec({}, "no-such-program"));
  EXPECT_EQ(missing.first, ENOENT);  // SP-6, EX-11
  EXPECT_EQ(missing.second, "create_subprocess_exec no-such-program: No such file or directory");
  EXPECT_EQ(failure(create_subprocess_exec({}, "/etc/passwd")).first, EACCES);  // SP-6
  const auto folder = failure(create_subprocess_exec({.cwd = "/nowhere"}, "true"));
  EXPECT_EQ(folder.second, "create_subprocess_exec: chdir /nowhere: No such file or directory");
  const auto shell = failure(create_subprocess_shell("true", {.cwd = "/nowhere"}));
  EXPECT_EQ(shell.second, "create_subprocess_shell: chdir /nowhere: No such file or directory");
  const auto closed = failure(create_subprocess_exec({.stdout_ = 9999}, "true"));
  EXPECT_EQ(closed.second, "create_subprocess_exec: descriptor 9999: Bad file descriptor");
  EXPECT_TRUE(has_no_child());
}

TEST_P(Subprocess, TheEnvironmentsPathIsSearched) {
  auto body = []() -> Coroutine<std::string> {
    std::pair<std::string_view, std::string_view> env[]{{"PATH", "/nowhere"}};
    auto starting = create_subprocess_exec({.env = env}, "true");
    std::string text = co_await error_of(std::move(starting));
    co_return text;
  };

  EXPECT_NE(run(body()).find("No such file"), std::string::npos);
}

// The end -----------------------------------------------------------------------------

TEST_P(Subprocess, WaitDoesNotWaitForAGrandchildThatHoldsThePipe) {
  auto body = []() -> Coroutine<> {
    auto starting = create_subprocess_shell("sleep 60 & echo $!", {.stdout_ = PIPE});
    Process p = co_await std::move(starting);
    EXPECT_EQ(co_await p.wait(), 0);  // SP-8
    std::string grandchild = co_await p.stdout_()->readline();
    ::kill(std::stoi(grandchild), SIGKILL);
  };

  run(body());
}

TEST_P(Subprocess, ManyTasksMayWait) {
  auto body = []() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({}, "sleep", "60");
    std::vector<Task<int>> waiting;
    for (int i = 0; i < 5; ++i) waiting.push_back(create_task(p.wait()));
    co_await yield_now();
    waiting[2].cancel();
    p.kill();
    for (int i = 0; i < 5; ++i) {
      auto ended = co_await outcome(waiting[static_cast<std::size_t>(i)]);
      if (i == 2) {
        EXPECT_TRUE(ended.cancelled());  // CAN-18
      } else {
        EXPECT_EQ(ended.value(), -SIGKILL);  // SP-8
      }
    }
    EXPECT_EQ(co_await p.wait(), -SIGKILL);
  };

  run(body());
}

TEST_P(Subprocess, ACancelledCommunicateLeavesTheChildAlone) {
  auto body = []() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({.stdout_ = PIPE}, "sleep", "60");
    auto talking = create_task(p.communicate());
    co_await yield_now();
    talking.cancel();
    auto ended = co_await outcome(talking);
    EXPECT_TRUE(ended.cancelled());  // CAN-18
    EXPECT_EQ(::kill(p.pid(), 0), 0);
    EXPECT_EQ(p.returncode(), std::nullopt);
    p.terminate();
    EXPECT_EQ(co_await p.wait(), -SIGTERM);
  };

  run(body());
}

TEST_P(Subprocess, ACancelledCreationKillsAndReaps) {
  auto body = []() -> Coroutine<> {
    auto creating = create_task(create_subprocess_exec({}, "sleep", "60"));
    co_await yield_now();
    EXPECT_FALSE(has_no_child());
    creating.cancel();
    auto ended = co_await outcome(creating);
    EXPECT_TRUE(ended.cancelled());  // CAN-21, SP-15
    EXPECT_TRUE(has_no_child());
  };

  run(body());
}

TEST_P(Subprocess, SignalsAfterTheEndAreErrorsOnceItIsKnown) {
  auto body = []() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({}, "true");
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(p.pid()), &info, WEXITED | WNOWAIT);
    EXPECT_NO_THROW(p.send_signal(SIGTERM));  // SP-10: it is gone, but we cannot know.
    EXPECT_EQ(co_await p.wait(), 0);
    try {
      p.kill();
      ADD_FAILURE();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ESRCH);  // SP-10
    }
  };

  run(body());
}

TEST_P(Subprocess, SignalsOfImpossibleNumbersAreValueErrors) {
  auto body = []() -> Coroutine<> {
    Process p = co_await create_subprocess_exec({}, "sleep", "60");
    EXPECT_THROW(p.send_signal(-1), ValueError);
    EXPECT_THROW(p.send_signal(1000), ValueError);
    p.kill();
    EXPECT_EQ(co_await p.wait(), -SIGKILL);
  };

  run(body());
}

TEST_P(Subprocess, AChildThatSomebodyElseReapsGives255) {
  const Logged logged;
  auto body = []() -> Coroutine<int> {
    Process p = co_await create_subprocess_exec({}, "true");
    ::waitpid(p.pid(), nullptr, 0);
    EXPECT_NO_THROW(p.kill());  // SP-10: gone, and no other process is hit.
    int code = co_await p.wait();
    co_return code;
  };

  EXPECT_EQ(run(body()), 255);  // SP-13, K-18, VER-3
  EXPECT_TRUE(logged.contains("was reaped by somebody else"));
}

TEST_P(Subprocess, ADroppedProcessIsStillReaped) {
  auto body = []() -> Coroutine<> {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    {
      Process p = co_await create_subprocess_exec({.stdin_ = ends[0]}, "cat");
    }
    ::close(ends[0]);
    EXPECT_FALSE(has_no_child());  // It runs on.
    ::close(ends[1]);
    for (int i = 0; i < child_patience && !has_no_child(); ++i) co_await sleep(1ms);
    EXPECT_TRUE(has_no_child());
  };

  run(body());
}

TEST_P(Subprocess, ADroppedProcessLetsGoOfItsPipes) {
  auto body = []() -> Coroutine<> {
    {
      Process p = co_await create_subprocess_exec({.stdout_ = PIPE}, "yes");
    }
    for (int i = 0; i < child_patience && !has_no_child(); ++i) co_await sleep(1ms);
    EXPECT_TRUE(has_no_child());  // By SIGPIPE.
  };

  run(body());
}

TEST_P(Subprocess, ClosingTheLoopKillsAndReaps) {
  net.settles = false;
  std::optional<Process> kept;
  auto body = [&]() -> Coroutine<> {
    // One that does not end by itself when its input ends, as close() closes the pipes first.
    Process p = co_await create_subprocess_exec({.stdin_ = PIPE, .stdout_ = PIPE}, "sleep", "60");
    Process stopped = co_await create_subprocess_exec({}, "sleep", "60");
    stopped.send_signal(SIGSTOP);
    kept = p;
  };
  run(body());

  net.close();

  EXPECT_TRUE(has_no_child());  // SP-15
  EXPECT_EQ(kept->returncode(), -SIGKILL);
  EXPECT_THROW(kept->kill(), std::system_error);
  kept.reset();
}

TEST_P(Subprocess, AnyThreadMayRunTheLoop) {
  std::string text;
  std::thread thread([&] {
    Net other(GetParam().system);
    text = other.run(output_of("echo from a thread"));
  });
  thread.join();

  EXPECT_EQ(text, "from a thread\n");  // SP-14
}

TEST_P(Subprocess, TheHostsSigchldHandlerIsItsOwn) {
  static std::atomic<int> count{0};
  count = 0;
  struct sigaction action{};
  struct sigaction former{};
  action.sa_handler = [](int) { ++count; };
  ::sigaction(SIGCHLD, &action, &former);

  EXPECT_EQ(run(code_of("exit 3")), 3);

  struct sigaction present{};
  ::sigaction(SIGCHLD, &former, &present);
  EXPECT_EQ(present.sa_handler, action.sa_handler);  // SP-13
  EXPECT_GE(count, 1);
}

TEST_P(Subprocess, WhereTheHostIgnoresSigchldTheEndIsNoticedAllTheSame) {
  const Logged logged;
  std::signal(SIGCHLD, SIG_IGN);

  EXPECT_EQ(run(code_of("exit 3")), 255);  // K-18: the system has thrown it away.

  std::signal(SIGCHLD, SIG_DFL);
  EXPECT_TRUE(logged.contains("was reaped by somebody else"));
}

TEST(SubprocessSim, ASimulatedLoopHasNoProcesses) {
  testing::SimLoop loop;

  const std::string text = loop.run_until_complete(error_of(create_subprocess_exec({}, "true")));

  EXPECT_EQ(
      text,
      "aster::RuntimeError: create_subprocess_exec: back end \"sim\" has no processes; use a loop "
      "of the system");
}

TEST(ShlexQuote, MakesOneWordOfAnyText) {
  EXPECT_EQ(shlex_quote("plain-1.txt"), "plain-1.txt");
  EXPECT_EQ(shlex_quote(""), "''");
  EXPECT_EQ(shlex_quote("a b; rm"), "'a b; rm'");
  EXPECT_EQ(shlex_quote("it's"), "'it'\"'\"'s'");
}

}  // namespace
}  // namespace aster::process_tests
