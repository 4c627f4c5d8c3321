// SPDX-License-Identifier: MIT
//
// Scenarios of child processes; processes_ends.py runs the same ones on CPython. Their
// turns are not counted: how long a child takes is its own affair.
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

#include "conformance/scenario.hpp"

namespace aster::conformance {
namespace {

class Processes : public Scenario {
 public:
  Processes() {
    mark_turns = false;
    stage_.waits = true;
  }

  // Notes what it is told.
  class Noting : public SubprocessProtocol {
   public:
    explicit Noting(Processes& test)
        : exited(test.loop->create_future<>()),
          lost(test.loop->create_future<>()),
          pipe_lost(test.loop->create_future<>()),
          test_(test) {}
    void connection_made(SubprocessTransport& made) override {
      transport_ = &made;
      test_.note("made");
    }
    void pipe_data_received(int fd, std::string_view bytes) override {
      data[static_cast<std::size_t>(fd)] += bytes;
    }
    void pipe_connection_lost(int fd, std::exception_ptr error) override {
      test_.note("pipe" + std::to_string(fd) + ":" + text_of(error));
      if (!pipe_lost.done()) pipe_lost.set_result();
    }
    void process_exited() override {
      test_.note("exited:" + std::to_string(*transport_->get_returncode()));
      exited.set_result();
    }
    void connection_lost(std::exception_ptr error) override {
      test_.note("lost:" + text_of(error));
      lost.set_result();
    }

    std::array<std::string, 3> data;
    Future<> exited;
    Future<> lost;
    Future<> pipe_lost;

   private:
    static std::string text_of(const std::exception_ptr& error) {
      return error == nullptr ? "None" : describe(error);
    }
    Processes& test_;
    SubprocessTransport* transport_ = nullptr;
  };

  using Link = Endpoint<Noting, SubprocessTransport>;
  Coroutine<Link> started(std::string command, SubprocessOptions options) {
    auto make = [this] { return std::make_shared<Noting>(*this); };
    auto starting = loop->subprocess_shell(make, command, options);
    Link link = co_await std::move(starting);
    co_return link;
  }
  // Waits for `task`, which is cancelled while it waits.
  template <class T>
  Coroutine<> cancelled_while(Coroutine<T> coroutine) {
    auto task = loop->create_task(std::move(coroutine));
    co_await sleep(Duration::zero());
    task.cancel();
    co_await noted("await", task);
  }
  void note_returncode(const Process& process) {
    const auto code = process.returncode();
    note("returncode:" + (code ? std::to_string(*code) : "None"));
  }
  Coroutine<> outputs(std::string command, std::optional<std::string> input,
                      SubprocessOptions options) {
    auto starting = create_subprocess_shell(command, options);
    Process process = co_await std::move(starting);
    ProcessOutput output = co_await process.communicate(input);
    const auto stripped = [](std::string text) {
      while (!text.empty() && text.back() == '\n') text.pop_back();
      return text;
    };
    note(stripped(output.stdout_data) + "/" + stripped(output.stderr_data) + "/" +
         std::to_string(*process.returncode()));
  }
};
INSTANTIATE_TEST_SUITE_P(Loops, Processes, ::testing::Values(Kind::epoll, Kind::poll, Kind::select),
                         [](const auto& loop_kind) { return name_of(loop_kind.param); });

TEST_P(Processes, WithoutPipesTheExitIsTheEnd) {
  auto main = [this]() -> Coroutine<> {
    SubprocessOptions options{
        .stdin_ = std::nullopt, .stdout_ = std::nullopt, .stderr_ = std::nullopt};
    auto starting = started("exit 3", options);
    Link link = co_await std::move(starting);
    co_await link.protocol().lost;
  };
  run(main());

  finish("ORD-43 no_pipes");  // SP-16
}

TEST_P(Processes, APipeThatOutlivesTheProcessHoldsTheEndBack) {
  auto main = [this]() -> Coroutine<> {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const std::array<int, 1> pass{ends[0]};
    SubprocessOptions options{.stdin_ = DEVNULL, .stderr_ = std::nullopt, .pass_fds = pass};
    auto starting =
        started("(read x; echo late) <&" + std::to_string(ends[0]) + " & exit 0", options);
    Link link = co_await std::move(starting);
    ::close(ends[0]);
    co_await link.protocol().exited;
    note("release");
    ::close(ends[1]);
    co_await link.protocol().lost;
    note(link.protocol().data[1].substr(0, 4));
  };
  run(main());

  finish("ORD-43 pipe_outlives");  // SP-16
}

TEST_P(Processes, APipeMayEndFirst) {
  auto main = [this]() -> Coroutine<> {
    SubprocessOptions options{.stdin_ = DEVNULL, .stderr_ = std::nullopt};
    auto starting = started("exec >&-; exec sleep 60", options);
    Link link = co_await std::move(starting);
    co_await link.protocol().pipe_lost;
    link.transport().kill();
    co_await link.protocol().lost;
  };
  run(main());

  finish("ORD-43 pipe_first");  // PR-5
}

TEST_P(Processes, InputIsClosedBeforeTheExitThatFollowsFromIt) {
  auto main = [this]() -> Coroutine<> {
    SubprocessOptions options{.stdout_ = DEVNULL, .stderr_ = DEVNULL};
    auto starting = started("cat; exit 4", options);
    Link link = co_await std::move(starting);
    note("caller");
    link.transport().get_pipe_transport(0)->write("xxxxxxxxxx");
    link.transport().get_pipe_transport(0)->close();
    co_await link.protocol().lost;
  };
  run(main());

  finish("ORD-43 input_closed");
}

TEST_P(Processes, ACancelledWaitLeavesTheProcess) {
  auto main = [this]() -> Coroutine<> {
    Process process = co_await create_subprocess_exec({}, "sleep", "60");
    co_await cancelled_while(process.wait());
    note_returncode(process);
    process.terminate();
    const int code = co_await process.wait();
    note("wait:" + std::to_string(code));
    note_returncode(process);
  };
  run(main());

  finish("CAN-18 wait");
}

TEST_P(Processes, ACancelledCommunicateLeavesTheProcess) {
  auto main = [this]() -> Coroutine<> {
    Process process = co_await create_subprocess_exec({.stdout_ = PIPE}, "sleep", "60");
    co_await cancelled_while(process.communicate());
    note_returncode(process);
    process.kill();
    const int code = co_await process.wait();
    note("wait:" + std::to_string(code));
  };
  run(main());

  finish("CAN-18 communicate");
}

TEST_P(Processes, ACancelledCreationLeavesNone) {
  auto main = [this]() -> Coroutine<> {
    auto task = loop->create_task(create_subprocess_exec({}, "sleep", "60"));
    co_await sleep(Duration::zero());
    task.cancel();
    co_await noted("create", task);
    note(::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD ? "none" : "left");
  };
  run(main());

  finish("CAN-21");
}

TEST_P(Processes, CommunicateGivesWhatWasWritten) {
  auto main = [this]() -> Coroutine<> {
    co_await outputs("cat; echo err >&2; exit 3", "in",
                     {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE});
    co_await outputs("cat; echo err >&2", "in",
                     {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = STDOUT});
    co_await outputs("echo out", {}, {.stdout_ = PIPE});
    co_await outputs("cat", {}, {.stdin_ = PIPE, .stdout_ = PIPE});
    co_await outputs("true", std::string(1000000, 'x'), {.stdin_ = PIPE, .stdout_ = PIPE});
    co_await outputs("kill -TERM $$", {}, {});
  };
  run(main());

  finish("ORD-43 communicate");  // SP-9
}

TEST_P(Processes, ErrorsAreThoseOfTheSystem) {
  // std::system_error, which CPython divides by the number (EX-11).
  const auto noted_error = [this](const char* name, auto call) {
    try {
      call();
      note(name);
    } catch (const std::system_error& error) {
      const int number = error.code().value();
      note(std::string(name) + ":" +
           (number == ENOENT   ? "FileNotFoundError"
            : number == EACCES ? "PermissionError"
            : number == ESRCH  ? "ProcessLookupError"
                               : "OSError"));
    }
  };
  auto main = [&]() -> Coroutine<> {
    auto missing = co_await outcome(create_subprocess_exec({}, "/no-such-program"));
    noted_error("missing", [&] { static_cast<void>(missing.value()); });
    auto forbidden = co_await outcome(create_subprocess_exec({}, "/etc/passwd"));
    noted_error("forbidden", [&] { static_cast<void>(forbidden.value()); });
    auto folder = co_await outcome(create_subprocess_exec({.cwd = "/nowhere"}, "true"));
    noted_error("folder", [&] { static_cast<void>(folder.value()); });
    Process process = co_await create_subprocess_exec({}, "true");
    co_await process.wait();
    noted_error("signal", [&] { process.send_signal(SIGTERM); });
  };
  run(main());

  finish("EX-11 spawn");
}

}  // namespace
}  // namespace aster::conformance
