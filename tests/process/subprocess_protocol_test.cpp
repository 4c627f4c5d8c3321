// SPDX-License-Identifier: MIT
//
// Processes by callbacks: SubprocessProtocol and SubprocessTransport.
#include "process/process_fixture.hpp"

#include <algorithm>
#include <array>
#include <csignal>

namespace aster::process_tests {
namespace {

using SubprocessProtocols = ProcessTest;
ASTER_ON_ALL_WAYS(SubprocessProtocols);

/// Notes what it is told.
struct Noting : SubprocessProtocol {
  void connection_made(SubprocessTransport& made) override {
    log += "made ";
    transport = &made;
  }
  void pipe_data_received(int fd, std::string_view bytes) override {
    data[static_cast<std::size_t>(fd)] += bytes;
  }
  void pipe_connection_lost(int fd, std::exception_ptr error) override {
    log += "pipe" + std::to_string(fd) + (error ? "!" : "") + " ";
  }
  void process_exited() override {
    log += "exited" + std::to_string(*transport->get_returncode()) + " ";
    if (ended) ended.set_result();
  }
  void connection_lost(std::exception_ptr error) override {
    log += error ? "lost!" : "lost";
    lost.set_result();
  }

  std::string log;
  std::array<std::string, 3> data;
  SubprocessTransport* transport = nullptr;
  Future<> ended;
  Future<> lost = get_running_loop().create_future<>();
};

auto noting() {
  return [] { return std::make_unique<Noting>(); };
}

TEST_P(SubprocessProtocols, AreToldOfEverythingAndOfTheEndLast) {
  auto body = []() -> Coroutine<> {
    auto starting = get_running_loop().subprocess_shell(
        noting(), "cat; echo err >&2; exit 3");  // SP-3: all three are pipes.
    auto link = co_await std::move(starting);
    auto& [transport, protocol] = link;
    EXPECT_EQ(protocol.log, "made ");
    EXPECT_GT(transport.get_pid(), 0);
    EXPECT_EQ(transport.get_returncode(), std::nullopt);
    Transport* input = transport.get_pipe_transport(0);
    input->write("through");
    input->write_eof();
    co_await protocol.lost;
    EXPECT_EQ(protocol.data[1], "through");  // PR-5
    EXPECT_EQ(protocol.data[2], "err\n");
    EXPECT_EQ(transport.get_returncode(), 3);  // TR-28
    EXPECT_TRUE(protocol.log.starts_with("made pipe0 "));
    EXPECT_TRUE(protocol.log.ends_with(" lost"));  // SP-16
    for (const char* once : {"pipe1", "pipe2", "exited3"}) {
      EXPECT_NE(protocol.log.find(once), std::string::npos) << protocol.log;
    }
  };

  run(body());
}

TEST_P(SubprocessProtocols, TheLastPipeMayOutliveTheProcess) {
  auto body = []() -> Coroutine<> {
    SubprocessOptions options{.stdin_ = DEVNULL, .stderr_ = std::nullopt};
    int hold[2];
    EXPECT_EQ(::pipe(hold), 0);
    const std::array<int, 1> pass{hold[0]};
    options.pass_fds = pass;
    auto starting = get_running_loop().subprocess_shell(
        noting(), "(read x; echo late) <&" + std::to_string(hold[0]) + " & exit 0", options);
    auto link = co_await std::move(starting);
    Noting& protocol = link.protocol();
    ::close(hold[0]);
    protocol.ended = get_running_loop().create_future<>();
    co_await protocol.ended;
    EXPECT_EQ(protocol.log, "made exited0 ");
    EXPECT_FALSE(protocol.lost.done());  // SP-16
    ::close(hold[1]);
    co_await protocol.lost;
    EXPECT_EQ(protocol.log, "made exited0 pipe1 lost");
    EXPECT_EQ(protocol.data[1], "late\n");
  };

  run(body());
}

TEST_P(SubprocessProtocols, ThePipesMayEndBeforeTheProcess) {
  auto body = []() -> Coroutine<> {
    SubprocessOptions options{.stdin_ = DEVNULL, .stderr_ = DEVNULL};
    auto starting =
        get_running_loop().subprocess_shell(noting(), "exec >&-; exec sleep 60", options);
    auto link = co_await std::move(starting);
    Noting& protocol = link.protocol();
    for (int i = 0; i < child_patience && protocol.log != "made pipe1 "; ++i) co_await sleep(1ms);
    EXPECT_EQ(protocol.log, "made pipe1 ");
    link.transport().kill();
    co_await protocol.lost;
    EXPECT_EQ(protocol.log, "made pipe1 exited-9 lost");  // PR-5, ORD-43
  };

  run(body());
}

TEST_P(SubprocessProtocols, WithoutPipesTheEndComesWithTheExit) {
  auto body = []() -> Coroutine<> {
    SubprocessOptions options{
        .stdin_ = std::nullopt, .stdout_ = std::nullopt, .stderr_ = std::nullopt};
    auto starting = get_running_loop().subprocess_exec(noting(), options, "true");
    auto link = co_await std::move(starting);
    for (const int fd : {-1, 0, 1, 2, 3}) {
      EXPECT_EQ(link.transport().get_pipe_transport(fd), nullptr);  // TR-28
    }
    co_await link.protocol().lost;
    EXPECT_EQ(link.protocol().log, "made exited0 lost");  // SP-16
    EXPECT_TRUE(link.transport().is_closing());
  };

  run(body());
}

TEST_P(SubprocessProtocols, ClosingKills) {
  auto body = []() -> Coroutine<> {
    std::vector<std::string> argv{"sleep", "60"};
    auto starting = get_running_loop().subprocess_exec(noting(), std::move(argv));
    auto link = co_await std::move(starting);
    link.transport().close();
    link.transport().close();
    EXPECT_TRUE(link.transport().is_closing());
    co_await link.protocol().lost;
    EXPECT_EQ(link.transport().get_returncode(), -SIGKILL);  // SP-15
    EXPECT_NE(link.protocol().log.find("exited-9"), std::string::npos);
    EXPECT_TRUE(link.protocol().log.ends_with(" lost"));
  };

  run(body());
}

TEST_P(SubprocessProtocols, SignalsReachTheChild) {
  auto body = []() -> Coroutine<> {
    auto starting = get_running_loop().subprocess_exec(noting(), {}, "sleep", "60");
    auto link = co_await std::move(starting);
    link.transport().send_signal(0);
    link.transport().terminate();
    co_await link.protocol().lost;
    EXPECT_EQ(link.transport().get_returncode(), -SIGTERM);  // TR-28
    EXPECT_THROW(link.transport().kill(), std::system_error);
  };

  run(body());
}

TEST_P(SubprocessProtocols, AnotherProtocolMayTakeOver) {
  auto body = []() -> Coroutine<> {
    auto starting = get_running_loop().subprocess_exec(noting(), {}, "cat");
    auto link = co_await std::move(starting);
    auto second = std::make_shared<Noting>();
    second->transport = &link.transport();
    EXPECT_THROW(link.transport().set_protocol(std::make_shared<Protocol>()), TypeError);
    link.transport().set_protocol(second);  // TR-7
    EXPECT_EQ(link.transport().get_protocol(), second);
    link.transport().get_pipe_transport(0)->write("x");
    link.transport().get_pipe_transport(0)->close();
    co_await second->lost;
    EXPECT_EQ(second->data[1], "x");
    EXPECT_EQ(link.protocol().log, "made ");
    EXPECT_EQ(link.transport().get_protocol(), nullptr);
  };

  run(body());
}

TEST_P(SubprocessProtocols, ErrorsOfCallbacksAreToldAndEndNothing) {
  struct Failing : Noting {
    void pipe_data_received(int fd, std::string_view bytes) override {
      Noting::pipe_data_received(fd, bytes);
      throw ValueError("no data please");
    }
    void process_exited() override {
      Noting::process_exited();
      throw ValueError("no end please");
    }
  };
  auto body = []() -> Coroutine<> {
    auto make = [] { return std::make_unique<Failing>(); };
    auto starting = get_running_loop().subprocess_shell(make, "echo x; read y; echo z");
    auto link = co_await std::move(starting);
    Noting& protocol = link.protocol();
    for (int i = 0; i < child_patience && protocol.data[1].empty(); ++i) co_await sleep(1ms);
    link.transport().get_pipe_transport(0)->write("go\n");
    co_await protocol.lost;
    EXPECT_EQ(protocol.data[1], "x\nz\n");
  };
  net.expected_reports = {
      "Exception in callback SubprocessProtocol.pipe_data_received(): aster::ValueError: no data "
      "please",
      "Exception in callback SubprocessProtocol.pipe_data_received(): aster::ValueError: no data "
      "please",
      "Exception in callback SubprocessProtocol.process_exited(): aster::ValueError: no end "
      "please"};

  run(body());

  std::sort(net.reports.begin(), net.reports.end());
}

TEST_P(SubprocessProtocols, FlowControlOfStandardInputIsPassedOn) {
  struct Flow : Noting {
    void pause_writing() override { log += "pause "; }
    void resume_writing() override { log += "resume "; }
  };
  auto body = []() -> Coroutine<> {
    auto make = [] { return std::make_unique<Flow>(); };
    SubprocessOptions options{.stdout_ = DEVNULL, .stderr_ = DEVNULL};
    auto starting = get_running_loop().subprocess_exec(make, options, "cat");
    auto link = co_await std::move(starting);
    Noting& protocol = link.protocol();
    link.transport().get_pipe_transport(0)->write(std::string(1 << 20, 'x'));
    for (int i = 0; i < child_patience && protocol.log != "made pause resume "; ++i)
      co_await sleep(1ms);
    link.transport().get_pipe_transport(0)->close();
    co_await protocol.lost;
    EXPECT_EQ(protocol.log, "made pause resume pipe0 exited0 lost");
  };

  run(body());
}

TEST_P(SubprocessProtocols, ACancelledStartKillsAndReaps) {
  auto body = []() -> Coroutine<> {
    auto starting = create_task(get_running_loop().subprocess_exec(noting(), {}, "sleep", "60"));
    co_await yield_now();
    EXPECT_FALSE(has_no_child());
    starting.cancel();
    auto ended = co_await outcome(starting);
    EXPECT_TRUE(ended.cancelled());  // CAN-21
    EXPECT_TRUE(has_no_child());
  };

  run(body());
}

TEST_P(SubprocessProtocols, AProgramThatCannotRunIsAnError) {
  auto starting = net.loop().subprocess_exec(noting(), {}, "no-such-program");

  EXPECT_EQ(run(error_of(std::move(starting))),
            "std::system_error: subprocess_exec no-such-program: No such file or directory");
}

TEST_P(SubprocessProtocols, ClosingTheLoopEndsThemWithoutACall) {
  net.settles = false;
  std::shared_ptr<Noting> kept;
  TransportRef<SubprocessTransport> transport;
  auto body = [&]() -> Coroutine<> {
    auto make = [&] { return kept = std::make_shared<Noting>(); };
    auto starting = get_running_loop().subprocess_exec(make, {}, "sleep", "60");
    auto link = co_await std::move(starting);
    transport = link.transport().ref();
  };
  run(body());

  net.close();

  EXPECT_TRUE(has_no_child());  // SP-15
  EXPECT_EQ(kept->log, "made ");
  EXPECT_EQ(transport->get_returncode(), -SIGKILL);
  EXPECT_EQ(transport->get_protocol(), nullptr);
  EXPECT_EQ(kept.use_count(), 1);
  transport->close();
  kept.reset();
  transport = {};
}

TEST_P(SubprocessProtocols, TheTextSaysWhatItIs) {
  auto body = []() -> Coroutine<> {
    auto starting = get_running_loop().subprocess_exec(noting(), {}, "cat");
    auto link = co_await std::move(starting);
    const std::string pid = std::to_string(link.transport().get_pid());
    EXPECT_EQ(link.transport().str(), "<SubprocessTransport pid=" + pid + " running>");
    link.transport().close();
    co_await link.protocol().lost;
    EXPECT_EQ(link.transport().str(), "<SubprocessTransport pid=" + pid + " returncode=-9 closed>");
  };

  run(body());
}

}  // namespace
}  // namespace aster::process_tests
