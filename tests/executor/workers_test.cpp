// SPDX-License-Identifier: MIT
#include "support/reports.hpp"

#include <aster/aster.hpp>
#include <aster/testing/faults.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;

/// Waits until so many have come; who has not begun when all are stopped is never called.
Coroutine<> until(const std::atomic<int>& present, int count) {
  while (present < count) co_await sleep(1ms);
}

Coroutine<> for_ever() {
  Future<> never = get_running_loop().create_future<>();
  co_await never;
}

TEST(Workers, EachHasALoopInAThreadOfItsOwn) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<const EventLoop*> loops;
  std::set<int> indices;

  run_workers(4, [&](Worker worker) -> Coroutine<> {
    co_await sleep(1ms);
    EXPECT_EQ(&worker.loop(worker.index()), &get_running_loop());
    EXPECT_EQ(worker.count(), 4);
    EXPECT_EQ(worker.index() == 0, ::getpid() == ::gettid());
    const std::scoped_lock lock(mutex);
    threads.insert(std::this_thread::get_id());
    loops.insert(&get_running_loop());
    indices.insert(worker.index());
  });

  EXPECT_EQ(threads.size(), 4u);
  EXPECT_EQ(loops.size(), 4u);
  EXPECT_EQ(indices, (std::set<int>{0, 1, 2, 3}));
}

Coroutine<> nothing() { co_return; }

TEST(Workers, MainMayTakeNoWorkerAndOneWorkerIsEnough) {
  run_workers(1, nothing);
  EXPECT_EQ(main_workers(2, nothing), 0);
}

TEST(Workers, AFirstErrorStopsAllAndIsThrown) {
  std::atomic<int> cleaned_up{0};
  for (int failing = 0; failing < 3; ++failing) {
    std::atomic<int> present{0};
    const auto main = [&](Worker worker) -> Coroutine<> {
      if (worker.index() == failing) {
        co_await until(present, 2);
        throw std::out_of_range("worker");
      }
      ++present;
      const Outcome<void> end = co_await outcome(for_ever());
      EXPECT_TRUE(end.cancelled());
      ++cleaned_up;
      end.value();
    };
    EXPECT_THROW(run_workers(3, main), std::out_of_range);
  }
  EXPECT_EQ(cleaned_up, 6);
}

TEST(Workers, AMainThatThrowsBeforeItGivesACoroutineStopsAllToo) {
  for (int failing = 0; failing < 2; ++failing) {
    const auto main = [&](Worker worker) -> Coroutine<> {
      if (worker.index() == failing) throw std::out_of_range("no configuration");
      return for_ever();
    };
    EXPECT_THROW(run_workers(2, main), std::out_of_range);
  }
}

TEST(Workers, SeveralErrorsAreThrownAsAGroup) {
  std::atomic<int> present{0};
  const auto main = [&](Worker worker) -> Coroutine<> {
    ++present;
    if (worker.index() == 0) {
      co_await until(present, 3);
    } else {
      const Outcome<void> end = co_await outcome(for_ever());
      EXPECT_TRUE(end.cancelled());
    }
    throw std::runtime_error("worker " + std::to_string(worker.index()));
  };
  try {
    run_workers(3, main);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const ExceptionGroup& group) {
    EXPECT_EQ(group.message(), "run_workers");
    EXPECT_EQ(group.exceptions().size(), 3u);
  }
}

TEST(Workers, OneThatHasNotBegunWhenAllAreStoppedIsNotCalled) {
  for (int i = 0; i < 50; ++i) {
    std::atomic<int> called{0};
    run_workers(4, [&](Worker worker) -> Coroutine<> {
      ++called;
      worker.stop();
      co_await for_ever();
    });
    EXPECT_GE(called, 1);
    EXPECT_LE(called, 4);
  }
}

TEST(Workers, OneThatReturnsLeavesTheOthersRunning) {
  std::atomic<int> ended{0};
  run_workers(3, [&](Worker worker) -> Coroutine<> {
    if (worker.index() == 2) {
      while (ended < 2) co_await sleep(1ms);
    }
    ++ended;
  });
  EXPECT_EQ(ended, 3);
}

TEST(Workers, StopEndsAllWithoutAnError) {
  std::atomic<int> running{0};
  std::atomic<int> ended{0};
  run_workers(3, [&](Worker worker) -> Coroutine<> {
    ++running;
    if (worker.index() == 1) {
      co_await until(running, 3);
      worker.stop();
    }
    const Outcome<void> end = co_await outcome(for_ever());
    EXPECT_TRUE(end.cancelled());
    ++ended;
    end.value();
  });
  EXPECT_EQ(ended, 3);
}

// A cancellation that nobody asked for is an error, as for run.
TEST(Workers, OneThatCancelsItselfStopsAll) {
  const auto main = [](Worker worker) -> Coroutine<> {
    if (worker.index() == 1) current_task().cancel();
    co_await for_ever();
  };
  EXPECT_THROW(run_workers(2, main), CancelledError);
}

// THR-5: the way from one loop to another.
TEST(Workers, WorkGoesFromOneToAnother) {
  std::atomic<int> sum{0};
  run_workers(3, [&](Worker worker) -> Coroutine<> {
    const auto where = [](int number) -> Coroutine<int> {
      co_await sleep(0s);
      co_return number * 10;
    };
    const int next = (worker.index() + 1) % worker.count();
    auto asked = run_coroutine_threadsafe(where(next), worker.loop(next));
    sum += co_await wrap_future(std::move(asked));
    if (worker.index() != 0) co_await for_ever();
    while (sum < 30) co_await sleep(1ms);
    worker.stop();
  });
  EXPECT_EQ(sum, 30);
}

// The loop of a worker that has ended refuses work and can still be named.
TEST(Workers, TheLoopOfAnEndedWorkerIsClosed) {
  run_workers(2, [](Worker worker) -> Coroutine<> {
    if (worker.index() == 1) co_return;
    EventLoop& other = worker.loop(1);
    bool refused = false;
    for (int i = 0; i < 10'000 && !refused; ++i) {
      try {
        other.call_soon_threadsafe([] {});
      } catch (const RuntimeError&) {
        refused = true;
      }
      co_await sleep(1ms);
    }
    EXPECT_TRUE(refused);
    EXPECT_THROW(static_cast<void>(worker.loop(2)), ValueError);
    EXPECT_THROW(static_cast<void>(worker.loop(-1)), ValueError);
  });
}

TEST(Workers, NoneBeginsWhenALoopCannotBeMade) {
  if (!testing::Faults::is_available()) GTEST_SKIP() << "needs a library with fault injection";
  for (std::uint64_t nth = 1; nth <= 3; ++nth) {
    testing::Faults faults;
    testing::FailOptions options;
    options.nth = nth;
    options.error = EMFILE;
    faults.fail(testing::SysCall::eventfd, options);
    std::atomic<int> called{0};
    const auto main = [&]() -> Coroutine<> {
      ++called;
      co_return;
    };
    EXPECT_THROW(run_workers(3, main), std::system_error);
    EXPECT_EQ(called, 0);
  }
}

TEST(Workers, ImpossibleCallsAreRefused) {
  EXPECT_THROW(run_workers(0, nothing), ValueError);
  EXPECT_THROW(run_workers(-3, nothing), ValueError);
  const auto nested = []() -> Coroutine<> {
    run_workers(2, nothing);
    co_return;
  };
  EXPECT_THROW(run(nested()), RuntimeError);
}

// SIG-3 for several loops: all clean up, then KeyboardInterrupt is thrown.
TEST(Workers, CtrlCStopsAll) {
  std::atomic<int> running{0};
  std::atomic<int> cleaned_up{0};
  const auto main = [&](Worker worker) -> Coroutine<> {
    if (++running == worker.count()) std::raise(SIGINT);
    const Outcome<void> end = co_await outcome(for_ever());
    EXPECT_TRUE(end.cancelled());
    co_await sleep(1ms);
    ++cleaned_up;
    end.value();
  };
  EXPECT_THROW(run_workers(3, main), KeyboardInterrupt);
  EXPECT_EQ(cleaned_up, 3);
}

// Also when worker 0 has ended, and errors of the cleanup do not get lost.
TEST(Workers, CtrlCStopsAllWhenTheFirstHasEnded) {
  support::Logged logged;
  const auto main = [](Worker worker) -> Coroutine<> {
    if (worker.index() == 0) co_return;
    std::raise(SIGINT);
    const Outcome<void> end = co_await outcome(for_ever());
    throw std::runtime_error("cleanup failed");
  };
  EXPECT_THROW(run_workers(2, main), KeyboardInterrupt);
  EXPECT_TRUE(logged.contains("run_workers: a worker failed: std::runtime_error: cleanup failed"));
}

TEST(Workers, AKeyboardInterruptOfOneIsThrown) {
  const auto main = [](Worker worker) -> Coroutine<> {
    if (worker.index() == 1) throw KeyboardInterrupt();
    co_await for_ever();
  };
  EXPECT_THROW(run_workers(2, main), KeyboardInterrupt);
}

Coroutine<> echo(StreamReader reader, StreamWriter writer) {
  for (;;) {
    std::string data = co_await reader.read(100);
    if (data.empty()) break;
    writer.write(data);
    co_await writer.drain();
  }
  writer.close();
}

// CON-17: each has a listener of its own on one port.
TEST(Workers, ShareAPort) {
  constexpr int count = 3;
  Socket first(AF_INET, SOCK_STREAM);  // Only keeps the port.
  first.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1);
  first.bind(Address("127.0.0.1", 0));
  const int port = first.getsockname().port();
  std::atomic<int> listening{0};
  std::atomic<int> accepted[count] = {};

  run_workers(count, [&](Worker worker) -> Coroutine<> {
    ServerOptions options;
    options.reuse_port = true;
    const int index = worker.index();
    const auto handler = [&accepted, index](StreamReader reader, StreamWriter writer) {
      ++accepted[index];
      return echo(std::move(reader), std::move(writer));
    };
    auto starting = start_server(handler, "127.0.0.1", port, options);
    Server server = co_await std::move(starting);
    ++listening;
    if (index != 0) co_await server.serve_forever();
    while (listening < count) co_await sleep(1ms);
    for (int i = 0; i < 60; ++i) {
      Connection client = co_await open_connection("127.0.0.1", port);
      client.writer.write("x");
      std::string back = co_await client.reader.readexactly(1);
      EXPECT_EQ(back, "x");
      client.writer.close();
    }
    worker.stop();
  });

  EXPECT_EQ(accepted[0] + accepted[1] + accepted[2], 60);
  for (const std::atomic<int>& share : accepted) EXPECT_GT(share, 0);  // All but surely.
}

}  // namespace
}  // namespace aster
