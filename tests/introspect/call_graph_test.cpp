// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/small_stack.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::uint_least32_t leaf_line = __LINE__ + 1;
Coroutine<> leaf(Future<> until) { co_await until; }
constexpr std::uint_least32_t through_line = __LINE__ + 1;
Coroutine<> through(Future<> until) { co_await leaf(std::move(until)); }
constexpr std::uint_least32_t join_line = __LINE__ + 1;
Coroutine<> join(Task<> other) { co_await other; }
template <class T>
Coroutine<> await_future(Future<T> future) {
  co_await std::move(future);
}

std::vector<std::string> names(const std::vector<FutureCallGraph>& graphs) {
  std::vector<std::string> found;
  for (const auto& graph : graphs) found.push_back(graph.task().get_name());
  return found;
}
std::vector<std::uint_least32_t> lines(const FutureCallGraph& graph) {
  std::vector<std::uint_least32_t> found;
  for (const auto& entry : graph.call_stack()) found.push_back(entry.frame.line());
  return found;
}
std::string id_of(const FutureCallGraph& graph) {
  std::ostringstream text;
  text << "0x" << std::hex << graph.id();
  return std::move(text).str();
}
std::string here() { return std::source_location::current().file_name(); }

struct CallGraph : ::testing::Test {
  testing::SimLoop loop;
  Future<> never = loop.create_future<>();

  Task<> spawn(Coroutine<> coroutine, const char* name) {
    auto task = loop.create_task(std::move(coroutine), {.name = name});
    loop.run_until_idle();
    return task;
  }
  ~CallGraph() override {
    for (AnyTask& task : all_tasks(loop)) task.cancel();
    loop.run_until_idle();
  }
};

TEST_F(CallGraph, OfAWaitingTaskHasItsAwaitsInnermostFirst) {  // INT-1, INT-2, INT-3
  auto task = spawn(through(never), "t");
  const FutureCallGraph graph = capture_call_graph(task);

  EXPECT_EQ(graph.task(), AnyTask(task));
  EXPECT_TRUE(graph.is_about(task));
  EXPECT_THAT(lines(graph), ElementsAre(leaf_line, through_line));
  EXPECT_EQ(graph.call_stack().front().frame.file_name(), here());
  EXPECT_EQ(graph.call_stack().front().function(), "aster::leaf");
  EXPECT_EQ(graph.call_stack().back().function(), "aster::through");
  EXPECT_THAT(graph.awaited_by(), IsEmpty());
}

TEST_F(CallGraph, OfATaskThatHasNotBegunShowsWhereItsCoroutineIsDefined) {  // INT-1
  auto task = loop.create_task(through(never));
  const FutureCallGraph graph = capture_call_graph(AnyTask(task));

  ASSERT_EQ(graph.call_stack().size(), 1U);
  EXPECT_THAT(graph.call_stack().front().function(), ::testing::EndsWith("through"));
}

TEST_F(CallGraph, OfADoneTaskIsOnlyThat) {  // INT-1
  auto task = spawn(through(never), "t");
  auto outer = spawn(join(task), "outer");
  never.set_result();
  loop.run_until_idle();
  const FutureCallGraph graph = capture_call_graph(task);

  EXPECT_THAT(graph.call_stack(), IsEmpty());
  EXPECT_THAT(graph.awaited_by(), IsEmpty());
}

TEST_F(CallGraph, GoesUpThroughTheTasksThatAwait) {  // FUT-20, INT-2
  auto task = spawn(leaf(never), "t");
  auto first = spawn(join(task), "first");
  auto second = spawn(join(task), "second");
  auto above = spawn(join(second), "above");
  const auto graph = capture_call_graph(task);

  EXPECT_THAT(names(graph.awaited_by()), ElementsAre("first", "second"));
  EXPECT_THAT(lines(graph.awaited_by().front()), ElementsAre(join_line));
  EXPECT_THAT(names(graph.awaited_by().back().awaited_by()), ElementsAre("above"));
}

TEST_F(CallGraph, ForgetsATaskThatWaitsNoMore) {  // FUT-20
  auto task = spawn(leaf(never), "t");
  auto waiter = loop.create_task(wait(std::vector<Task<>>{task}, {.timeout = 1s}));
  loop.run_until_idle();
  EXPECT_EQ(capture_call_graph(task).awaited_by().size(), 1U);
  loop.advance(1s);

  EXPECT_THAT(capture_call_graph(task).awaited_by(), IsEmpty());
}

TEST_F(CallGraph, OfAFutureNamesWhoAwaitsIt) {  // INT-1, INT-5
  auto task = spawn(leaf(never), "t");
  const FutureCallGraph graph = capture_call_graph(never);

  EXPECT_FALSE(graph.task());
  EXPECT_THAT(graph.call_stack(), IsEmpty());
  EXPECT_THAT(names(graph.awaited_by()), ElementsAre("t"));
  EXPECT_THAT(to_string(graph), StartsWith("* Future(id=" + id_of(graph) + ")\n  + Awaited by:\n" +
                                           "    * Task(name='t', id="));
}

// Across what waits for many --------------------------------------------------------------

Coroutine<> gather_both(Task<> a, Task<> b) { co_await gather(std::move(a), std::move(b)); }

TEST_F(CallGraph, GoesThroughGather) {  // FUT-20
  auto a = spawn(leaf(never), "a");
  auto b = spawn(leaf(never), "b");
  auto gatherer = spawn(gather_both(a, b), "gatherer");

  EXPECT_THAT(names(capture_call_graph(a).awaited_by()), ElementsAre("gatherer"));
  EXPECT_THAT(names(capture_call_graph(b).awaited_by()), ElementsAre("gatherer"));
}

TEST_F(CallGraph, NamesOnlyWhoAwaitsAGather) {  // FUT-20
  auto a = spawn(leaf(never), "a");
  auto future = gather(a, a);
  EXPECT_THAT(capture_call_graph(a).awaited_by(), IsEmpty());
  auto waiter = spawn(await_future(future), "waiter");

  EXPECT_THAT(names(capture_call_graph(a).awaited_by()), ElementsAre("waiter"));
}

Coroutine<> shielded(Task<> task) { co_await shield(std::move(task)); }

TEST_F(CallGraph, GoesThroughShield) {  // FUT-20
  auto a = spawn(leaf(never), "a");
  auto guard = spawn(shielded(a), "guard");

  EXPECT_THAT(names(capture_call_graph(a).awaited_by()), ElementsAre("guard"));
}

Coroutine<> wait_for_all(std::vector<Task<>> tasks) { co_await wait(std::move(tasks)); }

TEST_F(CallGraph, GoesThroughWait) {  // FUT-20
  auto a = spawn(leaf(never), "a");
  auto waiter = spawn(wait_for_all({a}), "waiter");

  EXPECT_THAT(names(capture_call_graph(a).awaited_by()), ElementsAre("waiter"));
}

Coroutine<> next_of(std::vector<Task<>> tasks) {
  auto each = as_completed(std::move(tasks));
  auto next = co_await each.next();
  static_cast<void>(next);
}

TEST_F(CallGraph, GoesThroughAsCompleted) {  // FUT-20
  auto a = spawn(leaf(never), "a");
  auto waiter = spawn(next_of({a}), "waiter");

  EXPECT_THAT(names(capture_call_graph(a).awaited_by()), ElementsAre("waiter"));
}

Coroutine<> group_of(Future<> never, Task<>& child) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    child = group.create_task(leaf(never), {.name = "child"});
    co_return;
  };
  co_await with(TaskGroup(), body);
}

TEST_F(CallGraph, GoesThroughATaskGroup) {  // FUT-20
  Task<> child;
  auto parent = spawn(group_of(never, child), "parent");
  const auto graph = capture_call_graph(child);

  EXPECT_THAT(names(graph.awaited_by()), ElementsAre("parent"));
  EXPECT_EQ(graph.awaited_by().front().call_stack().back().function(), "aster::group_of");
}

Coroutine<> give_up_group(Future<> never, Task<>& child) {
  TaskGroup group;
  TaskGroup& entered = co_await group.enter();
  child = entered.create_task(leaf(never), {.name = "child"});
}

TEST_F(CallGraph, OfAChildOfAGroupThatWasGivenUpHasNoParent) {  // FUT-20
  Task<> child;
  auto parent = spawn(give_up_group(never, child), "parent");
  parent = {};

  EXPECT_THAT(capture_call_graph(child).awaited_by(), IsEmpty());
}

Coroutine<> limited(Task<> task) {
  auto body = [&](Timeout&) -> Coroutine<> { co_await task; };
  co_await with(timeout(1s), body);
}
Coroutine<> wait_a_while(Task<> task) { co_await wait_for(std::move(task), 1s); }

TEST_F(CallGraph, GoesThroughTimeouts) {  // FUT-20
  auto a = spawn(leaf(never), "a");
  auto first = spawn(limited(a), "first");
  auto second = spawn(wait_a_while(a), "second");
  const auto graph = capture_call_graph(a);

  EXPECT_THAT(names(graph.awaited_by()), ElementsAre("first", "second"));
  EXPECT_EQ(graph.awaited_by()[0].call_stack().back().function(), "aster::limited");
  EXPECT_EQ(graph.awaited_by()[1].call_stack().back().function(), "aster::wait_a_while");
}

Coroutine<> use(Lock& lock) {
  const auto held = co_await lock.scoped();
  co_await sleep(1h);
}
Coroutine<> take(Queue<int>& queue) { co_await queue.get(); }
Coroutine<> await_event(Event& event) { co_await event.wait(); }

TEST_F(CallGraph, ShowsWhereATaskWaitsForAPrimitive) {  // INT-5
  Lock lock;
  Queue<int> queue;
  Event event;
  auto holder = spawn(use(lock), "holder");
  auto waiter = spawn(use(lock), "waiter");
  auto taker = spawn(take(queue), "taker");
  auto listener = spawn(await_event(event), "listener");

  EXPECT_THAT(format_call_graph(waiter), HasSubstr("in async aster::use()"));
  EXPECT_THAT(format_call_graph(taker), HasSubstr("in async aster::take()"));
  EXPECT_THAT(format_call_graph(listener), HasSubstr("in async aster::await_event()"));
  for (AnyTask task : all_tasks(loop)) task.cancel();
  loop.run_until_idle();
}

// The task that asks ------------------------------------------------------------------------

TEST_F(CallGraph, OfTheCurrentTaskBeginsWithTheCall) {  // INT-1
  std::optional<FutureCallGraph> graph;
  std::uint_least32_t call_line = 0;
  auto inner = [&]() -> Coroutine<> {
    co_await sleep(0s);
    call_line = __LINE__ + 1;
    graph = capture_call_graph();
  };
  auto body = [&]() -> Coroutine<> { co_await inner(); };
  auto task = spawn(body(), "t");
  auto outer = spawn(join(task), "outer");

  ASSERT_TRUE(graph);
  EXPECT_EQ(graph->task(), AnyTask(task));
  EXPECT_EQ(lines(*graph).size(), 2U);
  EXPECT_EQ(lines(*graph).front(), call_line);
  EXPECT_TRUE(graph->call_stack().front().is_coroutine);
}

TEST_F(CallGraph, OfTheCurrentTaskKnowsPlainFunctions) {  // INT-1, INT-5
  std::string text;
  struct Helper {
    static std::string look() { return format_call_graph(); }
  };
  auto body = [&]() -> Coroutine<> {
    co_await sleep(0s);
    text = Helper::look();
  };
  auto task = spawn(body(), "t");

  EXPECT_THAT(text, HasSubstr(", in aster::"));
  EXPECT_THAT(text, HasSubstr("::Helper::look()\n  |   File '"));
  EXPECT_THAT(text, ::testing::EndsWith("::<lambda>()"));
}

TEST_F(CallGraph, DepthLeavesOutTheFramesThatAsk) {  // INT-1
  std::optional<FutureCallGraph> all;
  std::optional<FutureCallGraph> less;
  std::optional<FutureCallGraph> none;
  auto inner = [&]() -> Coroutine<> {
    all = capture_call_graph();
    less = capture_call_graph({.depth = 2});
    none = capture_call_graph({.depth = 9});
    co_return;
  };
  auto body = [&]() -> Coroutine<> { co_await inner(); };
  auto task = spawn(body(), "t");

  ASSERT_EQ(all->call_stack().size(), 2U);
  ASSERT_EQ(less->call_stack().size(), 1U);
  EXPECT_EQ(lines(*less).front(), lines(*all).back());
  EXPECT_THAT(none->call_stack(), IsEmpty());
}

TEST_F(CallGraph, OutsideATaskThereIsNone) {  // INT-1
  EXPECT_THROW(static_cast<void>(capture_call_graph()), RuntimeError);
  EXPECT_THROW(static_cast<void>(format_call_graph()), RuntimeError);
  std::optional<std::string> text;
  bool is_graph = true;
  loop.call_soon([&] {
    is_graph = capture_call_graph().has_value();
    text = format_call_graph();
  });
  loop.run_until_idle();

  EXPECT_FALSE(is_graph);
  EXPECT_EQ(text, "");
}

// Text --------------------------------------------------------------------------------------

TEST_F(CallGraph, LimitKeepsTheInnermostOrTheOutermost) {  // INT-4
  auto task = spawn(through(never), "t");

  EXPECT_THAT(lines(capture_call_graph(task, {.limit = 1})), ElementsAre(leaf_line));
  EXPECT_THAT(lines(capture_call_graph(task, {.limit = -1})), ElementsAre(through_line));
  EXPECT_THAT(lines(capture_call_graph(task, {.limit = 5})), ElementsAre(leaf_line, through_line));
  EXPECT_THAT(lines(capture_call_graph(task, {.limit = 0})), IsEmpty());
}

TEST_F(CallGraph, IsPrintedInCPythonsLayout) {  // INT-5
  auto task = spawn(through(never), "inner");
  auto above = spawn(join(task), "outer");
  const auto graph = capture_call_graph(task);
  const std::string file = "File '" + here() + "', line ";
  const std::string expected =
      "* Task(name='inner', id=" + id_of(graph) + ")\n" + "  + Call stack:\n" +           //
      "  |   " + file + std::to_string(leaf_line) + ", in async aster::leaf()\n" +        //
      "  |   " + file + std::to_string(through_line) + ", in async aster::through()\n" +  //
      "  + Awaited by:\n" +                                                               //
      "    * Task(name='outer', id=" + id_of(graph.awaited_by().front()) + ")\n" +
      "      + Call stack:\n" +  //
      "      |   " + file + std::to_string(join_line) + ", in async aster::join()";
  std::ostringstream printed;
  print_call_graph(task, printed);

  EXPECT_EQ(format_call_graph(task), expected);
  EXPECT_EQ(printed.str(), expected + "\n");
}

TEST_F(CallGraph, PrintsWhatIsReachedTwiceTwice) {  // INT-5
  auto task = spawn(leaf(never), "t");
  auto left = spawn(join(task), "left");
  auto right = spawn(join(task), "right");
  auto both = spawn(gather_both(left, right), "both");
  const std::string text = format_call_graph(task);

  const std::size_t first = text.find("'both'");
  EXPECT_NE(text.find("'both'", first + 1), std::string::npos);
}

// Circles, depth and number -------------------------------------------------------------------

TEST_F(CallGraph, ACircleIsPrintedOnce) {
  Task<> second;
  auto body = [&]() -> Coroutine<> {
    co_await sleep(0s);
    co_await second;
  };
  auto first = loop.create_task(body(), {.name = "first"});
  second = loop.create_task(join(first), {.name = "second"});
  loop.run_until_idle();
  const std::string text = format_call_graph(first);

  EXPECT_THAT(text, StartsWith("* Task(name='first'"));
  EXPECT_THAT(text, HasSubstr("\n    * Task(name='second'"));
  EXPECT_THAT(text, HasSubstr("\n        * Task(name='first'"));
  EXPECT_THAT(text, ::testing::EndsWith(") ... awaits itself"));
  const auto around = capture_call_graph(first).awaited_by().front().awaited_by().front();
  EXPECT_EQ(around.task(), AnyTask(first));
  first.cancel();
  loop.run_until_idle();
}

TEST_F(CallGraph, OfManyWaysIsCutWithANote) {
  auto bottom = spawn(leaf(never), "bottom");
  Task<> top = bottom;
  for (int i = 0; i < 20; ++i) {  // 2^20 ways up.
    auto left = spawn(join(top), "left");
    auto right = spawn(join(top), "right");
    top = spawn(gather_both(left, right), "top");
  }
  const std::string text = format_call_graph(bottom, {.limit = 0});

  EXPECT_THAT(text, ::testing::EndsWith("* ... and more"));
  EXPECT_LT(text.size(), 10'000'000U);
}

TEST(CallGraphDepth, OfAHundredThousandTasksNeedsNoStack) {
  const auto run = [] {
    testing::SimLoop loop;
    auto never = loop.create_future<>();
    auto bottom = loop.create_task(leaf(never));
    Task<> top = bottom;
    for (int i = 0; i < 100'000; ++i) top = loop.create_task(join(std::move(top)));
    loop.run_until_idle();
    {
      const std::string text = format_call_graph(bottom);
      EXPECT_THAT(text, ::testing::EndsWith("* ... and further up"));
      EXPECT_LT(text.size(), 200'000U);
    }
    never.set_result();
    loop.run_until_complete(top);
  };
  support::on_small_stack(run);
}

Coroutine<> descend(int depth, Future<> until) {
  if (depth == 0) {
    co_await until;
  } else {
    co_await descend(depth - 1, until);
  }
}

TEST(CallGraphDepth, OfAHundredThousandFramesNeedsNoStack) {
  const auto run = [] {
    testing::SimLoop loop;
    auto never = loop.create_future<>();
    auto task = loop.create_task(descend(100'000, never));
    loop.run_until_idle();
    EXPECT_EQ(capture_call_graph(task).call_stack().size(), 100'001U);
    EXPECT_EQ(task.get_stack().size(), 100'001U);
    never.set_result();
    loop.run_until_complete(task);
  };
  support::on_small_stack(run);
}

TEST(CallGraphDepth, OfAHundredThousandShieldsNeedsNoStack) {
  const auto run = [] {
    testing::SimLoop loop;
    auto never = loop.create_future<>();
    std::vector<Future<>> outer{never};
    for (int i = 0; i < 100'000; ++i) outer.push_back(shield(outer.back()));
    auto task = loop.create_task(leaf(outer.back()), {.name = "above"});
    loop.run_until_idle();
    EXPECT_THAT(names(capture_call_graph(never).awaited_by()), ElementsAre("above"));
    never.set_result();
    loop.run_until_complete(task);
    while (!outer.empty()) outer.pop_back();
  };
  support::on_small_stack(run);
}

}  // namespace
}  // namespace aster
