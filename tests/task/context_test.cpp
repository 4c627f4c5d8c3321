// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>
#include <gtest/gtest.h>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

ContextVar<int> number{"number", 0};
ContextVar<std::string> word{"word"};

TEST(ContextVar, GivesItsDefaultWhereNothingIsSet) {  // CTX-1
  EXPECT_EQ(number.get(), 0);
  EXPECT_EQ(number.get(5), 5);
  EXPECT_EQ(number.name(), "number");
}

TEST(ContextVar, WithoutValueAndDefaultIsALookupErrorThatNamesIt) {  // CTX-1
  try {
    static_cast<void>(word.get());
    FAIL();
  } catch (const LookupError& error) {
    EXPECT_STREQ(error.what(), "ContextVar 'word' has no value here");
  }
  EXPECT_EQ(word.get("other"), "other");
}

TEST(ContextVar, ResetBringsBackWhatSetReplaced) {  // CTX-1 CTX-5
  Context().run([] {
    auto first = word.set("one");
    auto second = word.set("two");
    EXPECT_EQ(first.old_value(), std::nullopt);
    EXPECT_EQ(second.old_value(), "one");
    EXPECT_EQ(&second.var(), &word);

    word.reset(second);
    EXPECT_EQ(word.get(), "one");
    word.reset(first);
    EXPECT_THROW(static_cast<void>(word.get()), LookupError);
  });
}

TEST(ContextVar, ATokenIsGoodForOneResetOfItsVariableInItsContext) {  // CTX-5
  Context().run([] {
    ContextVar<int> other{"other"};
    auto used = number.set(1);
    number.reset(used);
    EXPECT_THROW(number.reset(used), RuntimeError);
    EXPECT_THROW(number.reset(other.set(2)), ValueError);

    auto token = number.set(3);
    EXPECT_THROW(copy_context().run([&] { number.reset(token); }), ValueError);
    number.reset(token);
    EXPECT_EQ(number.get(), 0);
  });
}

TEST(ContextVar, ScopedUndoesTheSetAtTheEndOfTheBlock) {  // CTX-5
  Context().run([] {
    {
      auto seven = number.scoped(7);
      auto text = word.scoped("inside");
      EXPECT_EQ(number.get(), 7);
      const Context kept = copy_context();  // Shares the list of values.
      EXPECT_EQ(kept[word], "inside");
    }
    EXPECT_EQ(number.get(), 0);
    EXPECT_EQ(word.get(""), "");
  });
}

TEST(ContextVar, AValueLivesAsLongAsAContextHoldsIt) {  // CTX-1
  ContextVar<std::shared_ptr<int>> resource{"resource"};
  auto value = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = value;
  {
    const Context context;
    context.run([&] { static_cast<void>(resource.set(std::move(value))); });
    EXPECT_FALSE(watch.expired());
    const Context copy = context.copy();
    context.run([&] { static_cast<void>(resource.set(nullptr)); });
    EXPECT_FALSE(watch.expired());
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Context, RunKeepsItsChangesInside) {  // CTX-3
  const Context context;
  const int given = context.run([] {
    number.set(4);
    return number.get();
  });
  EXPECT_EQ(given, 4);
  EXPECT_EQ(number.get(), 0);
  EXPECT_EQ(context.run([] { return number.get(); }), 4);
}

TEST(Context, CannotBeEnteredTwice) {  // CTX-3
  const Context context;
  context.run([&] {
    EXPECT_THROW(context.run([] { ADD_FAILURE(); }), RuntimeError);
    const Context between;
    between.run([&] { EXPECT_THROW(context.run([] { ADD_FAILURE(); }), RuntimeError); });
    std::thread([&] { EXPECT_THROW(context.run([] { ADD_FAILURE(); }), RuntimeError); }).join();
  });
  int ran = 0;
  context.run([&] { ++ran; });
  EXPECT_EQ(ran, 1);
}

TEST(Context, RunLeavesTheContextWhenTheFunctionThrows) {  // CTX-3
  const Context context;
  EXPECT_THROW(context.run([] {
    number.set(9);
    throw ValueError("x");
  }),
               ValueError);
  EXPECT_EQ(number.get(), 0);
  EXPECT_EQ(context[number], 9);
  context.run([] {});
}

TEST(Context, ACopyGoesItsOwnWay) {  // CTX-2
  const Context context;
  context.run([] { number.set(1); });
  const Context copy = context.copy();
  copy.run([] { number.set(2); });
  EXPECT_EQ(context[number], 1);
  EXPECT_EQ(copy[number], 2);
  EXPECT_FALSE(context == copy);
  const Context handle = context;
  EXPECT_TRUE(handle == context);
}

TEST(Context, IsAMappingFromVariablesToValues) {  // CTX-4
  const Context context;
  EXPECT_EQ(context.size(), 0U);
  EXPECT_FALSE(context.contains(number));
  EXPECT_EQ(context.get(number), std::nullopt);  // A default does not count.
  EXPECT_THROW(static_cast<void>(context[number]), LookupError);

  context.run([] {
    word.set("w");
    number.set(3);
  });
  EXPECT_EQ(context.size(), 2U);
  EXPECT_EQ(context.get(number), 3);
  EXPECT_EQ(context[word], "w");
  EXPECT_EQ(context.keys(), (std::vector<const ContextVarBase*>{&number, &word}));
}

TEST(Context, HoldsManyVariablesAndForgetsThemInAnyOrder) {  // CTX-4
  std::vector<std::unique_ptr<ContextVar<int>>> vars;
  for (int i = 0; i < 200; ++i) {
    vars.push_back(std::make_unique<ContextVar<int>>("v" + std::to_string(i)));
  }
  const Context context;
  context.run([&] {
    std::vector<Token<int>> tokens;
    for (int i = 199; i >= 0; --i) tokens.push_back(vars[static_cast<std::size_t>(i)]->set(i));
    EXPECT_EQ(copy_context().size(), 200U);
    for (int i = 0; i < 200; ++i) EXPECT_EQ(vars[static_cast<std::size_t>(i)]->get(), i);
    for (int i = 0; i < 200; i += 2) {
      auto& token = tokens[static_cast<std::size_t>(199 - i)];
      vars[static_cast<std::size_t>(i)]->reset(token);
    }
  });
  EXPECT_EQ(context.size(), 100U);
  EXPECT_FALSE(context.contains(*vars[0]));
  EXPECT_EQ(context[*vars[199]], 199);
}

Coroutine<> set_number(int value) {
  number.set(value);
  co_return;
}

TEST(TaskContext, ATaskRunsInACopyOfItsCreatorsContext) {  // TASK-7 CTX-6
  testing::SimLoop loop;
  std::vector<int> seen;
  auto child = [&](int own) -> Coroutine<> {
    seen.push_back(number.get());
    number.set(own);
    co_await sleep(1s);
    seen.push_back(number.get());
  };
  auto parent = [&]() -> Coroutine<> {
    number.set(1);
    auto a = create_task({}, child, 10);
    number.set(2);  // Too late for a, in time for b.
    auto b = create_task({}, child, 20);
    co_await a;
    co_await b;
    seen.push_back(number.get());
  };
  loop.run_until_complete(parent());
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 10, 20, 2}));
  EXPECT_EQ(number.get(), 0);
}

TEST(TaskContext, AnAwaitedCoroutineChangesItsCallersContext) {  // CTX-8
  testing::SimLoop loop;
  auto main = []() -> Coroutine<int> {
    co_await set_number(6);
    co_return number.get();
  };
  EXPECT_EQ(loop.run_until_complete(main()), 6);
}

TEST(TaskContext, AGivenContextIsUsedItself) {  // TASK-6 TASK-7
  testing::SimLoop loop;
  const Context context;
  auto first = loop.create_task(set_number(11), {.context = &context});
  auto read = []() -> Coroutine<int> { co_return number.get(); };
  auto second = loop.create_task(read, {.context = &context});
  EXPECT_EQ(loop.run_until_complete(second), 11);
  EXPECT_TRUE(first.get_context() == context);
  EXPECT_EQ(context[number], 11);
}

TEST(TaskContext, GetContextShowsWhatTheTaskSets) {  // TASK-6
  testing::SimLoop loop;
  auto main = []() -> Coroutine<> {
    const Context mine = current_task().get_context();
    EXPECT_THROW(mine.run([] {}), RuntimeError);  // It is current.
    number.set(8);
    EXPECT_EQ(mine[number], 8);
    co_await sleep(1s);
    EXPECT_EQ(number.get(), 8);
  };
  auto task = loop.create_task(main);
  const Context outside = task.get_context();
  outside.run([] { word.set("from outside"); });
  loop.run_until_complete(task);
  EXPECT_EQ(outside[number], 8);
  EXPECT_EQ(outside[word], "from outside");
  outside.run([] { EXPECT_EQ(number.get(), 8); });
}

TEST(TaskContext, AnEagerStepRunsInTheCopy) {  // EAG-12
  testing::SimLoop loop;
  auto main = []() -> Coroutine<> {
    number.set(1);
    auto task = create_task(set_number(2), {.eager_start = true});
    EXPECT_TRUE(task.done());
    EXPECT_EQ(number.get(), 1);
    EXPECT_EQ(task.get_context()[number], 2);
    co_return;
  };
  loop.run_until_complete(main());
}

TEST(TaskContext, ChildrenOfAGroupInheritTheContext) {  // TG-2 CTX-6
  testing::SimLoop loop;
  std::vector<int> seen;
  auto main = [&]() -> Coroutine<> {
    number.set(5);
    co_await with(TaskGroup{}, [&](TaskGroup& group) -> Coroutine<> {
      group.create_task([&]() -> Coroutine<> {
        seen.push_back(number.get());
        co_return;
      });
      const Context other;
      group.create_task(
          [&]() -> Coroutine<> {
            seen.push_back(number.get());
            co_return;
          },
          {.context = &other});
      co_return;
    });
  };
  loop.run_until_complete(main());
  EXPECT_EQ(seen, (std::vector<int>{5, 0}));
}

AsyncGenerator<int> numbers_seen() {
  for (;;) {
    co_yield number.get();
    co_await sleep(1s);
    number.set(number.get() + 100);
  }
}

TEST(TaskContext, AnAsynchronousGeneratorRunsInThatOfWhoeverIteratesIt) {  // CTX-10
  testing::SimLoop loop;
  std::vector<int> seen;
  auto generator = numbers_seen();
  auto step = [&](int own) -> Coroutine<> {
    number.set(own);
    const std::optional<int> item = co_await generator.next();
    seen.push_back(item.value_or(-1));
    seen.push_back(number.get());
  };
  auto main = [&]() -> Coroutine<> {
    co_await create_task({}, step, 1);
    co_await create_task({}, step, 2);
    co_await generator.aclose();
  };
  loop.run_until_complete(main());
  EXPECT_EQ(seen, (std::vector<int>{1, 1, 102, 102}));
  EXPECT_EQ(number.get(), 0);
}

TEST(CallbackContext, CallbacksRunInTheContextOfTheirRegistration) {  // LOOP-19 HND-5 CTX-7
  testing::SimLoop loop;
  std::vector<int> seen;
  auto note = [&] {
    seen.push_back(number.get());
    number.set(100);  // Stays in its own copy.
  };
  Context().run([&] {
    number.set(1);
    loop.call_soon(note);
    number.set(2);
    loop.call_later(1s, note);
    number.set(3);
    loop.call_at(loop.time() + 2s, note);
    number.set(4);
    loop.call_soon_threadsafe(note);
    EXPECT_EQ(number.get(), 4);
  });
  loop.run_until_complete(sleep(3s));
  EXPECT_EQ(seen, (std::vector<int>{1, 4, 2, 3}));
}

TEST(CallbackContext, AGivenContextIsUsedItself) {  // HND-1 LOOP-1 LOOP-3 LOOP-12
  testing::SimLoop loop;
  const Context context;
  auto add = [] { number.set(number.get() + 1); };
  const Handle handle = loop.call_soon(add, context);
  loop.call_soon_threadsafe(add, context);
  loop.call_later(1s, add, context);
  const TimerHandle timer = loop.call_at(loop.time() + 2s, add, context);
  loop.run_until_complete(sleep(3s));
  EXPECT_EQ(context[number], 4);
  EXPECT_TRUE(handle.get_context() == context);
  EXPECT_TRUE(timer.get_context() == context);
}

TEST(CallbackContext, DoneCallbacksRunInTheContextOfTheirRegistrationOrTheGivenOne) {  // FUT-8
  testing::SimLoop loop;
  auto future = loop.create_future<int>();
  std::vector<int> seen;
  Context().run([&] {
    number.set(7);
    future.add_done_callback([&](Future<int>) { seen.push_back(number.get()); });
  });
  const Context given;
  future.add_done_callback([&](Future<int>) { number.set(9); }, given);
  auto task = loop.create_task([]() -> Coroutine<> { co_return; });
  task.add_done_callback([&](Task<>) { word.set("task"); }, given);
  future.set_result(1);
  loop.run_until_complete(sleep(1s));
  EXPECT_EQ(seen, (std::vector<int>{7}));
  EXPECT_EQ(given[number], 9);
  EXPECT_EQ(given[word], "task");
}

TEST(CallbackContext, TheExceptionHandlerRunsInTheContextOfWhatFailed) {  // ERR-5
  testing::SimLoop loop;
  std::vector<int> seen;
  loop.set_exception_handler(
      [&](EventLoop&, const ExceptionContext&) { seen.push_back(number.get()); });
  Context().run([&] {
    number.set(1);
    loop.call_soon([] { throw ValueError("x"); });
  });
  auto fail = []() -> Coroutine<> {
    number.set(2);
    throw ValueError("y");
    co_return;
  };
  {
    auto dropped = loop.create_task(fail);
  }
  loop.run_until_complete(sleep(1s));
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
}

TEST(ThreadContext, ToThreadRunsInACopy) {  // EXE-8 CTX-9
  auto main = []() -> Coroutine<int> {
    number.set(3);
    const int seen = co_await to_thread([] {
      const int before = number.get();
      number.set(50);
      return before;
    });
    EXPECT_EQ(number.get(), 3);
    co_return seen;
  };
  EXPECT_EQ(run(main()), 3);
}

TEST(ThreadContext, RunInExecutorDoesNotCopy) {  // EXE-6 CTX-9
  auto main = []() -> Coroutine<int> {
    number.set(3);
    co_return co_await get_running_loop().run_in_executor(nullptr, [] { return number.get(); });
  };
  EXPECT_EQ(run(main()), 0);
}

TEST(ThreadContext, ValuesMayBeReleasedByAnotherThread) {  // CTX-9
  const Context context;
  context.run([] { word.set("shared"); });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([copy = context.copy()] {
      for (int j = 0; j < 100; ++j) {
        copy.run([] {
          EXPECT_EQ(word.get(), "shared");
          auto own = word.scoped("own");
          static_cast<void>(copy_context());
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(context[word], "shared");
}

TEST(RunnerContext, AllRunsShareOneContext) {  // RUN-11
  Runner runner;
  runner.run(set_number(12));
  auto read = []() -> Coroutine<int> { co_return number.get(); };
  EXPECT_EQ(runner.run(read()), 12);
  EXPECT_EQ(number.get(), 0);

  const Context context;
  runner.run(set_number(13), context);
  EXPECT_EQ(context[number], 13);
  EXPECT_EQ(runner.run(read()), 12);
}

TEST(RunnerContext, RunInheritsWhatIsSetOutside) {  // RUN-11 CTX-6
  auto outer = number.scoped(21);
  auto read = []() -> Coroutine<int> {
    const int before = number.get();
    number.set(22);
    co_return before;
  };
  EXPECT_EQ(run(read()), 21);
  EXPECT_EQ(number.get(), 21);
}

}  // namespace
}  // namespace aster
