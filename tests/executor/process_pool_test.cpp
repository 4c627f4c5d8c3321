// SPDX-License-Identifier: MIT
#include <aster/executor/process_pool.hpp>
#include <aster/executor/thread_pool.hpp>
#include <aster/loop/event_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <variant>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace aster {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// What is called in the workers --------------------------------------------------------

struct Point {
  double x = 0;
  double y = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x, y);
  }
};

struct SoldOut : std::runtime_error {
  using std::runtime_error::runtime_error;
};

int square(int n) { return n * n; }
std::string twice(const std::string& text) { return text + text; }
Point mirrored(Point p) { return {p.y, p.x}; }
int my_pid() { return ::getpid(); }
int end_with(int status) { std::_Exit(status); }
int end_by(int signal) {
  ::raise(signal);
  return 0;
}
int wait_for_ever() {
  for (;;) ::pause();
}

/// A global that only a static initialiser fills; it is behind the library's in link order.
const std::map<std::string, int> prices{{"tea", 3}, {"cake", 4}};
int price_of(const std::string& what) { return prices.at(what); }

int initialized_with = 0;
void initialize(int value) { initialized_with = value; }
int what_initialized() { return initialized_with; }
void fail_to_initialize() { throw std::runtime_error("no licence"); }
int count_calls() {
  static int calls = 0;
  return ++calls;
}

template <class E>
int throw_it(const std::string& text) {
  throw E(text);
}

bool is_gone(int pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

std::set<std::string> open_descriptors() {
  std::set<std::string> found;
  for (int fd = 0; fd < 256; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) found.insert(std::to_string(fd));
  }
  return found;
}

std::vector<int> inherited_descriptors() {
  std::vector<int> found;
  for (int fd = 4; fd < 256; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) found.push_back(fd);
  }
  return found;
}

template <class R, bool Chunked>
auto all_of(MapResults<R, Chunked> results) {
  std::vector<typename MapResults<R, Chunked>::value_type> values;
  for (auto& value : results) values.push_back(std::move(value));
  return values;
}

// -----------------------------------------------------------------------------------------

TEST(ProcessPoolExecutor, CallsPlainFunctionsAndLambdasInOtherProcesses) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 2}};

  ConcurrentFuture<int> n = procs.submit(square, 7);
  auto text = procs.submit(twice, "ab");
  auto lambda = procs.submit([](int a, double b) { return a + b; }, 1, 2.5);
  auto pid = procs.submit(my_pid);
  auto nothing = procs.submit([] {});

  EXPECT_EQ(n.result(), 49);
  EXPECT_EQ(text.result(), "abab");
  EXPECT_EQ(lambda.result(), 3.5);
  EXPECT_NE(pid.result(), ::getpid());
  nothing.result();
}

TEST(ProcessPoolExecutor, ValuesOfManyTypesTravel) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 1}};
  using Many = std::tuple<std::vector<std::string>, std::map<std::string, std::vector<int>>,
                          std::optional<Point>, std::variant<int, std::string>,
                          std::array<short, 3>, std::set<char>, std::chrono::milliseconds,
                          std::vector<bool>, std::pair<std::uint8_t, std::monostate>>;
  const Many many{{"a", "", "c"},
                  {{"x", {1, 2}}, {"y", {}}},
                  Point{1, 2},
                  std::string("held"),
                  {1, 2, 3},
                  {'p', 'q'},
                  5ms,
                  {true, false},
                  {9, {}}};

  const Many back = procs.submit([](Many value) { return value; }, many).result();

  EXPECT_EQ(std::get<0>(back), std::get<0>(many));
  EXPECT_EQ(std::get<1>(back), std::get<1>(many));
  EXPECT_EQ(std::get<2>(back)->y, 2);
  EXPECT_EQ(std::get<3>(back), std::get<3>(many));
  EXPECT_EQ(std::get<4>(back), std::get<4>(many));
  EXPECT_EQ(std::get<5>(back), std::get<5>(many));
  EXPECT_EQ(std::get<6>(back), 5ms);
  EXPECT_EQ(std::get<7>(back), std::get<7>(many));
  EXPECT_EQ(std::get<8>(back).first, 9);
  EXPECT_EQ(procs.submit(mirrored, Point{1, 2}).result().x, 2);
}

TEST(ProcessPoolExecutor, LargeArgumentsAndResultsTravel) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 2}};
  std::string large(3 << 20, 'x');
  std::iota(large.begin(), large.end(), char{0});

  auto a = procs.submit(twice, large);
  auto b = procs.submit(twice, large);

  EXPECT_EQ(a.result(), large + large);
  EXPECT_EQ(b.result().size(), 2 * large.size());
}

TEST(ProcessPoolExecutor, WorkersSeeGlobalsAsStaticInitialisationLeavesThem) {
  ProcessPoolExecutor procs{{.max_workers = 1}};

  EXPECT_EQ(procs.submit(price_of, "cake").result(), 4);
  EXPECT_THROW((void)procs.submit(price_of, "wine").result(), std::out_of_range);
}

TEST(ProcessPoolExecutor, NumbersAreCheckedAndHaveADefault) {  // CF-16
  EXPECT_THROW(ProcessPoolExecutor{{.max_workers = 0}}, ValueError);
  EXPECT_THROW(ProcessPoolExecutor{{.max_tasks_per_child = 0}}, ValueError);
  EXPECT_GE(ProcessPoolExecutor().max_workers(), 1);
}

TEST(ProcessPoolExecutor, WorkersStartOnDemand) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 3}};
  EXPECT_TRUE(procs.worker_pids().empty());

  (void)procs.submit(my_pid).result();
  EXPECT_EQ(procs.worker_pids().size(), 1U);
  (void)procs.submit(my_pid).result();
  EXPECT_EQ(procs.worker_pids().size(), 1U);  // The idle one was used.
}

TEST(ProcessPoolExecutor, ErrorsComeBackAsWhatTheyWere) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 1}};

  EXPECT_THROW((void)procs.submit(throw_it<std::out_of_range>, "far").result(), std::out_of_range);
  EXPECT_THROW((void)procs.submit(throw_it<ValueError>, "bad").result(), ValueError);
  EXPECT_THROW((void)procs.submit(throw_it<TypeError>, "bad").result(), TypeError);
  EXPECT_THROW((void)procs.submit([]() -> int { throw std::bad_alloc(); }).result(),
               std::bad_alloc);
  EXPECT_THROW((void)procs.submit([]() -> int { throw CancelledError("why"); }).result(),
               CancelledError);
  auto full =
      procs.submit([] { throw std::system_error(ENOSPC, std::system_category(), "write /x"); });
  try {
    full.result();
    ADD_FAILURE();
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::no_space_on_device);
    EXPECT_STREQ(e.what(), "write /x: No space left on device");
  }
}

TEST(ProcessPoolExecutor, ErrorsOfOtherTypesAreNamed) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 1}};
  auto sold_out = procs.submit(throw_it<SoldOut>, "no tea");
  auto number = procs.submit([] { throw 42; });

  try {
    (void)sold_out.result();
    ADD_FAILURE();
  } catch (const RemoteError& e) {
    EXPECT_THAT(std::string(e.type_name()), HasSubstr("SoldOut"));
    EXPECT_THAT(e.what(), HasSubstr("SoldOut: no tea"));
  }
  try {
    number.result();
    ADD_FAILURE();
  } catch (const RemoteError& e) {
    EXPECT_EQ(e.type_name(), "int");
  }
}

TEST(ProcessPoolExecutor, MapKeepsTheOrderAndSendsChunks) {  // CF-9
  ProcessPoolExecutor procs{{.max_workers = 2}};
  std::vector<int> numbers(100);
  std::iota(numbers.begin(), numbers.end(), 0);
  std::vector<int> squares;
  for (const int n : numbers) squares.push_back(n * n);

  EXPECT_EQ(all_of(procs.map(square, numbers)), squares);
  EXPECT_EQ(all_of(procs.map(square, numbers, {.chunksize = 7})), squares);
  EXPECT_EQ(all_of(procs.map({.chunksize = 7, .buffersize = 2}, square, numbers)), squares);
  const auto add = [](int a, int b) { return a + b; };
  EXPECT_EQ(all_of(procs.map(add, numbers, std::vector{1, 2})), (std::vector{1, 3}));
  EXPECT_EQ(all_of(procs.map([](int) {}, numbers, {.chunksize = 64})).size(), 100U);
  EXPECT_THROW((void)procs.map(square, numbers, {.chunksize = 0}), ValueError);
}

TEST(ProcessPoolExecutor, AWorkerThatDiesFailsItsJobOnlyAndIsNamed) {  // CF-17
  ProcessPoolExecutor procs{{.max_workers = 1}};
  const int pid = procs.submit(my_pid).result();

  auto killed = procs.submit(end_by, SIGKILL);
  auto next = procs.submit(square, 3);

  try {
    (void)killed.result();
    ADD_FAILURE();
  } catch (const BrokenProcessPool& e) {
    EXPECT_EQ(e.pid(), pid);
    EXPECT_EQ(e.returncode(), -SIGKILL);
    EXPECT_EQ(std::string(e.what()).substr(0, std::string(e.what()).find(" while it ran ")),
              "worker process " + std::to_string(pid) + " was killed by signal 9 (Killed)");
  }
  EXPECT_EQ(next.result(), 9);
  auto left = procs.submit(end_with, 3);
  try {
    (void)left.result();
    ADD_FAILURE();
  } catch (const BrokenProcessPool& e) {
    EXPECT_EQ(e.returncode(), 3);
    EXPECT_THAT(e.what(), HasSubstr("exited with status 3 while it ran "));
  }
  EXPECT_EQ(procs.submit(square, 4).result(), 16);
}

TEST(ProcessPoolExecutor, AnIdleWorkerThatDiesIsReplaced) {  // CF-17
  ProcessPoolExecutor procs{{.max_workers = 1}};
  const int pid = procs.submit(my_pid).result();

  ::kill(pid, SIGKILL);
  while (!is_gone(pid)) std::this_thread::yield();  // Reaped by the pool.

  EXPECT_NE(procs.submit(my_pid).result(), pid);
}

TEST(ProcessPoolExecutor, AnInitializerRunsFirstInEachWorker) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 1}, initialize, 42};

  EXPECT_EQ(procs.submit(what_initialized).result(), 42);
  EXPECT_EQ(initialized_with, 0);  // Here it did not.
}

TEST(ProcessPoolExecutor, AnInitializerThatFailsBreaksThePool) {  // CF-13, CF-16
  ProcessPoolExecutor procs{{.max_workers = 1}, fail_to_initialize};
  auto pending = procs.submit(square, 1);

  try {
    (void)pending.result();
    ADD_FAILURE();
  } catch (const BrokenProcessPool& e) {
    EXPECT_THAT(e.what(), HasSubstr("std::runtime_error: no licence"));
  }
  EXPECT_THROW((void)procs.submit(square, 1), BrokenProcessPool);
}

TEST(ProcessPoolExecutor, AWorkerThatDiesAtItsStartIsTriedAgainAFewTimes) {  // CF-17
  ProcessPoolExecutor procs{{.max_workers = 1}, [] { std::_Exit(7); }};
  auto pending = procs.submit(square, 1);

  try {
    (void)pending.result();
    ADD_FAILURE();
  } catch (const BrokenProcessPool& e) {
    EXPECT_THAT(e.what(), HasSubstr("exited with status 7"));
  }
}

TEST(ProcessPoolExecutor, OneThatIsShutDownDoesNotTryWorkersThatDieForEver) {  // CF-10, CF-17
  ProcessPoolExecutor procs{{.max_workers = 1}, [] { std::_Exit(7); }};
  auto pending = procs.submit(square, 1);

  procs.shutdown();

  EXPECT_THROW((void)pending.result(), BrokenProcessPool);
}

TEST(ProcessPoolExecutor, WorkersAreReplacedAfterTheirNumberOfTasks) {  // CF-16
  ProcessPoolExecutor procs{{.max_workers = 1, .max_tasks_per_child = 2}};
  std::vector<int> calls;

  for (int i = 0; i < 5; ++i) calls.push_back(procs.submit(count_calls).result());

  EXPECT_EQ(calls, (std::vector{1, 2, 1, 2, 1}));
}

TEST(ProcessPoolExecutor, ShutdownWaitsForTheJobsAndRefusesMore) {  // CF-8, CF-10
  ProcessPoolExecutor procs{{.max_workers = 2}};
  std::vector<ConcurrentFuture<int>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(procs.submit(square, i));
  const std::vector<int> pids = procs.worker_pids();

  procs.shutdown();

  for (const auto& future : futures) EXPECT_TRUE(future.done());
  EXPECT_EQ(futures[9].result(), 81);
  EXPECT_TRUE(procs.worker_pids().empty());
  EXPECT_TRUE(std::all_of(pids.begin(), pids.end(), is_gone));
  EXPECT_THROW((void)procs.submit(square, 1), RuntimeError);
  procs.shutdown();
}

TEST(ProcessPoolExecutor, ShutdownCancelsWhatHasNotBegunWhenAsked) {  // CF-10
  ProcessPoolExecutor procs{{.max_workers = 1}};
  (void)procs.submit(square, 1).result();
  auto running = procs.submit(wait_for_ever);
  auto waiting = procs.submit(square, 2);
  EXPECT_FALSE(running.cancel());  // CF-2: a worker has it.

  procs.shutdown(false, true);

  EXPECT_TRUE(waiting.cancelled());
  EXPECT_TRUE(running.running());
  procs.kill_workers();
  EXPECT_THROW((void)running.result(), BrokenProcessPool);
}

TEST(ProcessPoolExecutor, WorkersCanBeEndedAtOnce) {  // CF-18
  for (const bool kills : {false, true}) {
    ProcessPoolExecutor procs{{.max_workers = 1}};
    const int pid = procs.submit(my_pid).result();
    auto running = procs.submit(wait_for_ever);
    auto waiting = procs.submit(square, 2);

    if (kills) {
      procs.kill_workers();
    } else {
      procs.terminate_workers();
    }

    try {
      (void)running.result();
      ADD_FAILURE();
    } catch (const BrokenProcessPool& e) {
      EXPECT_EQ(e.pid(), pid);
      EXPECT_EQ(e.returncode(), kills ? -SIGKILL : -SIGTERM);
    }
    EXPECT_TRUE(waiting.cancelled());
    EXPECT_THROW((void)procs.submit(square, 1), RuntimeError);
  }
}

TEST(ProcessPoolExecutor, LeavesNoProcessAndNoDescriptorBehind) {  // C20
  const auto before = open_descriptors();
  std::vector<int> pids;
  {
    ProcessPoolExecutor procs{{.max_workers = 3}};
    const std::vector<int> numbers(30, 1);
    EXPECT_EQ(all_of(procs.map(square, numbers)).size(), 30U);
    pids = procs.worker_pids();
    EXPECT_FALSE(pids.empty());
    EXPECT_EQ(procs.submit(inherited_descriptors).result(), std::vector<int>());
  }

  EXPECT_TRUE(std::all_of(pids.begin(), pids.end(), is_gone));
  EXPECT_EQ(open_descriptors(), before);
}

TEST(ProcessPoolExecutor, CallbacksMayDropThePoolButNotWaitForIt) {  // CF-10
  auto procs = std::make_unique<ProcessPoolExecutor>(ProcessPoolOptions{.max_workers = 1});
  ConcurrentFuture<> refused;
  auto answered = procs->submit(wait_for_ever);
  answered.add_done_callback([&](const ConcurrentFuture<int>&) {
    std::exception_ptr error = std::make_exception_ptr(ValueError("it waited"));
    try {
      procs->shutdown();
    } catch (...) {
      error = std::current_exception();
    }
    procs.reset();
    refused.set_exception(error);  // The last thing, as then the test may end.
  });

  while (procs->worker_pids().empty() || !answered.running()) std::this_thread::yield();
  ::kill(procs->worker_pids().front(), SIGKILL);

  EXPECT_THROW(refused.result(), RuntimeError);
}

TEST(ProcessPoolExecutor, IsOfNoUseInAForkedChild) {
  ProcessPoolExecutor procs{{.max_workers = 1}};
  EXPECT_EQ(procs.submit(square, 2).result(), 4);

  const ::pid_t child = ::fork();
  if (child == 0) {
    try {
      (void)procs.submit(square, 3);
      ::_exit(1);
    } catch (const RuntimeError&) {
      ::_exit(0);
    }
  }

  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(procs.submit(square, 3).result(), 9);
}

TEST(RunInExecutor, TakesAProcessPool) {  // EXE-1, CF-16
  EventLoop loop;
  ProcessPoolExecutor procs{{.max_workers = 2}};

  auto value = loop.run_in_executor(&procs, square, 7);
  auto text = loop.run_in_executor(&procs, twice, "ab");
  auto failed = loop.run_in_executor(&procs, throw_it<ValueError>, "bad");

  EXPECT_EQ(loop.run_until_complete(value), 49);
  EXPECT_EQ(loop.run_until_complete(text), "abab");
  EXPECT_THROW(loop.run_until_complete(failed), ValueError);
}

TEST(RunInExecutor, RefusesAProcessPoolBehindABasePointer) {  // EXE-1
  EventLoop loop;
  ProcessPoolExecutor procs{{.max_workers = 1}};
  Executor* base = &procs;
  ProcessPoolExecutor* none = nullptr;

  EXPECT_THROW((void)loop.run_in_executor(base, square, 7), TypeError);
  EXPECT_THROW((void)base->submit(square, 7), TypeError);
  EXPECT_THROW((void)loop.run_in_executor(none, square, 7), ValueError);
  EXPECT_THROW(loop.set_default_executor(std::make_shared<ProcessPoolExecutor>()), TypeError);
}

TEST(RunInExecutor, CancellingLeavesAProcessAloneAndTakesAWaitingCallBack) {  // EXE-4, CAN-14
  EventLoop loop;
  ProcessPoolExecutor procs{{.max_workers = 1}};
  auto pid = loop.run_in_executor(&procs, my_pid);
  const int worker = loop.run_until_complete(pid);
  auto running = loop.run_in_executor(&procs, wait_for_ever);
  auto waiting = loop.run_in_executor(&procs, square, 2);

  EXPECT_TRUE(waiting.cancel());
  EXPECT_TRUE(running.cancel());

  EXPECT_TRUE(running.cancelled());
  EXPECT_EQ(::kill(worker, 0), 0);  // It works on.
  procs.kill_workers();
  procs.shutdown();
  loop.run_once();
}

TEST(ProcessPoolExecutor, ManyThreadsSubmitWhileWorkersDie) {  // CF-17
  ProcessPoolExecutor procs{{.max_workers = 2}};
  std::atomic<int> right{0};
  std::atomic<int> broken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        try {
          const bool dies = t == 0 && i % 10 == 9;
          const int got =
              dies ? procs.submit(end_by, SIGKILL).result() : procs.submit(square, i).result();
          if (got == i * i) ++right;
        } catch (const BrokenProcessPool&) {
          ++broken;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(broken, 4);
  EXPECT_EQ(right, 116);
}

}  // namespace
}  // namespace aster
