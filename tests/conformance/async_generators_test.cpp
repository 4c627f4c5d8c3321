// SPDX-License-Identifier: MIT
//
// The scenarios of asynchronous generators; ag_generators.py runs the same ones on
// CPython.
#include <aster/coro/async_generator.hpp>
#include <aster/coro/async_iteration.hpp>
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "conformance/generator_notes.hpp"
#include "conformance/scenario.hpp"

namespace aster::conformance {
namespace {

using namespace std::chrono_literals;
using Talk = AsyncGenerator<std::string, std::string>;

class AsyncGenerators : public Scenario {
 public:
  /// Notes what it gives or how it fails.
  template <class Step>
  Coroutine<> tried(std::string name, Step step) {
    return tried_step(std::move(name), &step, std::move(step));
  }
  /// The same of a step that can be awaited again.
  template <class Step>
  Coroutine<> tried_again(std::string name, Step& step) {
    return tried_step(std::move(name), &step, 0);
  }

  /// Yields twice, with a turn before each, and notes what happens to it.
  Talk talk(std::string name, bool ignore = false) {
    for (int step = 1; step <= 2; ++step) {
      co_await sleep(0s);
      std::exception_ptr error;
      try {
        const std::string word = co_yield name + std::to_string(step);
        note(name + "<" + word);
      } catch (...) {
        error = std::current_exception();
      }
      if (error == nullptr) continue;
      note(name + "!" + text_of(error));
      co_await sleep(0s);
      note(name + " cleaned");
      if (is_value_error(error)) continue;
      if (ignore) co_yield name + " ignores";
      std::rethrow_exception(error);
    }
  }

 private:
  template <class Step, class Held>
  Coroutine<> tried_step(std::string name, Step* step, Held held) {
    if constexpr (std::is_same_v<Step, Held>) step = &held;
    std::string text = name;
    try {
      if constexpr (std::is_void_v<await_result_t<Step&>>) {
        co_await *step;
      } else {
        const auto item = co_await *step;
        text += ":" + (item ? *item : "end");
      }
    } catch (...) {
      text = name + ":" + text_of(std::current_exception());
    }
    note(text);
  }
};
ASTER_CONFORMANCE(AsyncGenerators);

TEST_P(AsyncGenerators, RunStepByStep) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    for (int i = 0; i < 4; ++i) co_await tried("next", g.next());
  };
  run(main());
  finish("AG-1");
}

TEST_P(AsyncGenerators, TakeWhatIsSent) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    co_await tried("asend", g.asend("early"));
    co_await tried("next", g.next());
    co_await tried("asend", g.asend("x"));
    co_await tried("asend", g.asend("y"));
    co_await tried("asend", g.asend("z"));
  };
  run(main());
  finish("AG-1 asend");
}

TEST_P(AsyncGenerators, CatchWhatIsThrownIn) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    co_await tried("next", g.next());
    co_await tried("athrow", g.athrow(ValueError("v")));
    co_await tried("athrow", g.athrow(KeyError()));
    // The end of nothing, where Python gives None.
    const auto late = co_await g.athrow(KeyError());
    note(late ? "athrow:value" : "athrow");
    g = talk("b");
    co_await tried("athrow", g.athrow(ValueError("v")));
    co_await tried("next", g.next());
  };
  run(main());
  finish("AG-1 athrow");
}

TEST_P(AsyncGenerators, EndAndNotByAnErrorThatLooksLikeIt) {
  auto raises = [](std::exception_ptr error) -> Talk {
    co_yield "1";
    std::rethrow_exception(error);
  };
  auto main = [&, this]() -> Coroutine<> {
    const std::exception_ptr errors[] = {std::make_exception_ptr(StopAsyncIteration("")),
                                         std::make_exception_ptr(StopIteration()),
                                         std::make_exception_ptr(ValueError("v"))};
    for (const std::exception_ptr& error : errors) {
      Talk g = raises(error);
      for (int i = 0; i < 3; ++i) co_await tried("next", g.next());
    }
  };
  run(main());
  finish("AG-2");
}

TEST_P(AsyncGenerators, TakeOneStepAtATime) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    Task<> first = create_task(tried("first", g.next()));
    co_await sleep(0s);
    co_await tried("next", g.next());
    co_await tried("asend", g.asend("x"));
    co_await tried("athrow", g.athrow(ValueError("v")));
    co_await tried("aclose", g.aclose());
    co_await first;
    co_await tried("next", g.next());
    co_await tried("aclose", g.aclose());
  };
  run(main());
  finish("AG-3");
}

TEST_P(AsyncGenerators, TakeAStepOnce) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    auto next = g.next();
    co_await tried_again("once", next);
    co_await tried_again("twice", next);
    auto aclose = g.aclose();
    co_await tried_again("once", aclose);
    co_await tried_again("twice", aclose);
  };
  run(main());
  finish("AG-3 reused");
}

TEST_P(AsyncGenerators, CloseWithCleanupThatAwaits) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    co_await tried("next", g.next());
    co_await tried("aclose", g.aclose());
    co_await tried("aclose", g.aclose());
    co_await tried("next", g.next());
    g = talk("b");
    co_await tried("aclose", g.aclose());
    co_await tried("next", g.next());
  };
  run(main());
  finish("AG-4");
}

TEST_P(AsyncGenerators, NotYieldWhenClosed) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a", true);
    co_await tried("next", g.next());
    co_await tried("aclose", g.aclose());
    co_await tried("aclose", g.aclose());
    co_await tried("athrow", g.athrow(ValueError("v")));
    co_await tried("next", g.next());
  };
  run(main());
  finish("AG-4 ignored");
}

TEST_P(AsyncGenerators, LetAThrownGeneratorExitOut) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    co_await tried("next", g.next());
    co_await tried("athrow", g.athrow(GeneratorExit()));
  };
  run(main());
  finish("AG-4 athrow");
}

TEST_P(AsyncGenerators, AreClosedByATaskWhenDropped) {
  auto main = [this]() -> Coroutine<> {
    {
      Talk g = talk("a");
      co_await tried("next", g.next());
    }
    note("dropped");
    for (int turn = 0; turn < 4; ++turn) {
      co_await sleep(0s);
      note("turn" + std::to_string(turn));
    }
  };
  run(main());
  finish("AG-5");
}

TEST_P(AsyncGenerators, AreJustDestroyedWhenNotBegunOrEnded) {
  auto main = [this]() -> Coroutine<> {
    {
      Talk g = talk("a");
    }
    co_await sleep(0s);
    {
      Talk g = talk("b");
      co_await for_each(g, [](const std::string&) {});
    }
    note("dropped");
    co_await sleep(0s);
    co_await sleep(0s);
  };
  run(main());
  finish("AG-5 not_begun");
}

TEST_P(AsyncGenerators, TellTheHandlerWhenTheyFailToCloseAfterBeingDropped) {
  auto fails = []() -> Talk {
    try {
      co_yield "1";
    } catch (const GeneratorExit&) {
      throw ValueError("cleanup");
    }
  };
  mark_turns = false;
  auto main = [&, this]() -> Coroutine<> {
    handled = [this](const ExceptionContext& context) {
      note(context.message + ": " + name_of(context.exception));
    };
    {
      Talk g = fails();
      co_await tried("next", g.next());
    }
    for (int turn = 0; turn < 4; ++turn) co_await sleep(0s);
  };
  run(main());
  finish("AG-5 fails");
}

TEST_P(AsyncGenerators, StayOpenWhenTheirLoopIsLeft) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    while (auto item = co_await g.next()) {
      note(*item);
      break;
    }
    note("left");
    while (auto item = co_await g.next()) note(*item);
  };
  run(main());
  finish("AG-6");
}

TEST_P(AsyncGenerators, AreClosedAtTheEndOfABlock) {
  auto main = [this]() -> Coroutine<> {
    auto body = [this](Talk& g) -> Coroutine<> {
      co_await tried("next", g.next());
      note("body");
    };
    co_await with(aclosing(talk("a")), body);
    note("after");
    auto failing = [this](Talk& g) -> Coroutine<> {
      co_await tried("next", g.next());
      throw ValueError("body");
    };
    try {
      co_await with(aclosing(talk("b")), failing);
    } catch (const ValueError& error) {
      note(error.what());
    }
  };
  run(main());
  finish("AG-7");
}

TEST_P(AsyncGenerators, AreClosedAllAtOnceAtTheEndOfTheRun) {
  auto main = [this]() -> Coroutine<> {
    Talk g = talk("a");
    Talk h = talk("b", true);
    Talk ended = talk("c");
    co_await tried("next", g.next());
    co_await tried("next", h.next());
    co_await tried("aclose", ended.aclose());
    handled = [this](const ExceptionContext& context) {
      std::string text;
      try {
        std::rethrow_exception(context.exception);
      } catch (const RuntimeError& error) {
        text = error.what();
      }
      note(context.message + ": " + text);
    };
    co_await loop->shutdown_asyncgens();
    note("shut down");
    co_await tried("next", g.next());
    co_await tried("next", h.next());
  };
  run(main());
  finish("ACC-18");
}

TEST_P(AsyncGenerators, SeeTheCancellationOfWhoAwaitsTheStep) {
  auto waits = [this](std::string name, bool swallow) -> Talk {
    for (int step = 1; step <= 2; ++step) {
      try {
        co_yield name + std::to_string(step);
        Future<> never = loop->create_future<>();
        co_await never;
      } catch (const CancelledError&) {
        note(name + "!cancelled");
        if (!swallow) throw;
      }
    }
  };
  auto main = [&, this]() -> Coroutine<> {
    for (const bool swallow : {false, true}) {
      Talk g = waits("a", swallow);
      co_await tried("next", g.next());
      Task<> task = create_task(tried("task", g.next()));
      co_await sleep(0s);
      task.cancel();
      co_await sleep(0s);
      co_await task;
      co_await tried("aclose", g.aclose());
    }
  };
  run(main());
  finish("CAN-23");
}

}  // namespace
}  // namespace aster::conformance
