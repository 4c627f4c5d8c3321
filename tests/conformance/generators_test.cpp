// SPDX-License-Identifier: MIT
//
// The scenarios of generators; ex_generators.py runs the same ones on CPython.
#include <aster/coro/generator.hpp>

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "conformance/generator_notes.hpp"
#include "conformance/scenario.hpp"

namespace aster::conformance {
namespace {

using Talk = Generator<std::string, std::string, std::string>;

class GeneratorsDo : public Scenario {
 public:
  /// Notes what it gives or how it fails.
  template <class F>
  void tried(const std::string& name, F call) {
    try {
      note(name + ":" + call());
    } catch (...) {
      note(name + ":" + text_of(std::current_exception()));
    }
  }
  void next(Talk& g) {
    tried("next", [&] { return g.next(); });
  }
  void send(Talk& g, const std::string& word) {
    tried("send", [&] { return g.send(word); });
  }
  template <class E>
  void throw_(Talk& g, E error) {
    tried("throw", [&] { return g.throw_(std::move(error)); });
  }
  void close(Talk& g) {
    try {
      const auto returned = g.close();
      note(returned && !returned->empty() ? "close:" + *returned : "close");
    } catch (...) {
      note("close:" + text_of(std::current_exception()));
    }
  }

  /// Yields twice and notes what happens to it. An empty result stands for None.
  Talk talk(std::string name, std::string returns, bool ignore = false) {
    for (int step = 1; step <= 2; ++step) {
      std::exception_ptr error;
      auto last = [this, &name, ignore] {
        if (!ignore) note(name + ".");
      };
      const Finally<decltype(last)> at_end(last);
      try {
        const std::string word = co_yield name + std::to_string(step);
        note(name + "<" + word);
      } catch (...) {
        error = std::current_exception();
      }
      if (error == nullptr) continue;
      note(name + "!" + text_of(error));
      if (is_value_error(error)) continue;
      if (ignore) co_yield name + "ignores";
      std::rethrow_exception(error);
    }
    co_return returns;
  }

  /// Yields from another and notes how that ends.
  Talk around(Talk inner, bool catches, bool ignore = false) {
    std::exception_ptr error;
    try {
      const std::string returned = co_yield yield_from(std::move(inner));
      note("returned:" + returned);
    } catch (...) {
      error = std::current_exception();
    }
    if (error != nullptr) {
      note("outer!" + text_of(error));
      if (ignore) co_yield "outer ignores";
      if (!catches) std::rethrow_exception(error);
    }
    co_return "outer";
  }
  Talk deep(bool catches, bool ignore = false) {
    return around(around(talk("a", "inner", ignore), catches), catches);
  }
};
INSTANTIATE_TEST_SUITE_P(Loops, GeneratorsDo, ::testing::Values(Kind::sim),
                         [](const auto& kind) { return name_of(kind.param); });

TEST_P(GeneratorsDo, YieldAndReturn) {
  Talk g = talk("a", "end");
  for (int i = 0; i < 4; ++i) next(g);
  finish("EX-12");
}

TEST_P(GeneratorsDo, TakeWhatIsSent) {
  Talk g = talk("a", "");
  send(g, "early");
  next(g);
  send(g, "x");
  send(g, "y");
  send(g, "z");
  finish("EX-12 send");
}

TEST_P(GeneratorsDo, CatchWhatIsThrownIn) {
  Talk g = talk("a", "end");
  next(g);
  throw_(g, ValueError("v"));
  throw_(g, KeyError());
  throw_(g, ValueError("late"));
  next(g);
  g = talk("b", "end");
  throw_(g, ValueError("early"));
  next(g);
  finish("EX-12 throw");
}

TEST_P(GeneratorsDo, NotEndTheirCallersByStopIteration) {
  auto raises = []() -> Talk {
    co_yield "1";
    throw StopIteration();
  };
  Talk g = raises();
  next(g);
  next(g);
  g = talk("a", "end");
  throw_(g, StopIteration());
  finish("EX-12 raised");
}

TEST_P(GeneratorsDo, NotRunInsideThemselves) {
  Talk* self = nullptr;
  auto asks_itself = [&]() -> Talk {
    tried("inside", [&] { return self->next(); });
    co_yield "1";
    co_return "";
  };
  Talk g = asks_itself();
  self = &g;
  next(g);
  finish("EX-12 itself");
}

TEST_P(GeneratorsDo, PassValuesThroughYieldFrom) {
  auto inner = [this]() -> Talk {
    const std::string word = co_yield "1";
    note("inner " + word);
    co_yield "2";
    co_return "3";
  };
  auto outer = [&]() -> Talk {
    const std::string word = co_yield yield_from(inner());
    note("outer " + word);
    co_yield "4";
    co_return "";
  };
  Talk g = outer();
  next(g);
  send(g, "abc");
  next(g);
  next(g);
  finish("EX-12 inner_outer");
}

TEST_P(GeneratorsDo, GiveResultsBackThroughTwoLevels) {
  Talk g = deep(true);
  for (int i = 0; i < 3; ++i) next(g);
  finish("EX-12 yield_from");
}

TEST_P(GeneratorsDo, PassThrownErrorsDownAndTheirErrorsUp) {
  for (const bool catches : {false, true}) {
    Talk g = deep(catches);
    next(g);
    throw_(g, ValueError("v"));
    throw_(g, KeyError());
    next(g);
  }
  finish("EX-12 yield_from_throw");
}

TEST_P(GeneratorsDo, GoOnWithOneThatHasBegun) {
  Talk begun = talk("a", "inner");
  next(begun);
  Talk g = around(std::move(begun), true);
  next(g);
  next(g);
  finish("EX-12 yield_from_begun");
}

TEST_P(GeneratorsDo, EndByGeneratorExit) {
  Talk g = talk("a", "");
  close(g);
  next(g);
  g = talk("b", "");
  next(g);
  close(g);
  close(g);
  next(g);
  finish("EX-13");
}

TEST_P(GeneratorsDo, NotIgnoreGeneratorExit) {
  Talk g = talk("a", "", true);
  next(g);
  close(g);
  next(g);
  finish("EX-13 ignored");
}

TEST_P(GeneratorsDo, ReturnAValueFromClose) {
  Talk g = around(talk("a", ""), true);
  next(g);
  close(g);
  finish("EX-13 returns");
}

TEST_P(GeneratorsDo, CloseTheInnermostFirst) {
  for (const bool catches : {false, true}) {
    Talk g = deep(catches);
    next(g);
    close(g);
    next(g);
  }
  finish("EX-13 yield_from");
}

TEST_P(GeneratorsDo, TellTheOuterOneThatTheInnerIgnoredGeneratorExit) {
  for (const bool catches : {false, true}) {
    Talk g = deep(catches, true);
    next(g);
    close(g);
  }
  Talk g = around(talk("a", "inner"), false, true);
  next(g);
  close(g);
  close(g);
  finish("EX-13 yield_from_ignored");
}

TEST_P(GeneratorsDo, TellTheOuterOneHowTheInnerFailedToClose) {
  auto fails = [this]() -> Talk {
    try {
      co_yield "1";
    } catch (const GeneratorExit&) {
      note("fails");
      throw ValueError("cleanup");
    }
    co_return "";
  };
  for (const bool catches : {false, true}) {
    Talk g = around(around(fails(), catches), catches);
    next(g);
    close(g);
  }
  finish("EX-13 yield_from_fails");
}

TEST_P(GeneratorsDo, YieldFromOthersInTheirCleanup) {
  auto nothing = [this](bool yields) -> Talk {
    if (yields) {
      co_yield "2";
    }
    note("nothing");
    co_return "x";
  };
  auto cleans = [this](Talk inner) -> Talk {
    std::exception_ptr error;
    try {
      co_yield "1";
    } catch (...) {
      error = std::current_exception();
    }
    const std::string got = co_yield yield_from(std::move(inner));
    note("got " + got);
    std::rethrow_exception(error);
  };
  Talk g = around(cleans(nothing(false)), false);
  next(g);
  close(g);
  g = around(cleans(nothing(true)), true);
  next(g);
  close(g);
  finish("EX-13 cleanup_yields_from");
}

TEST_P(GeneratorsDo, CloseTheInnerOnesWhenGeneratorExitIsThrownIn) {
  for (const bool catches : {false, true}) {
    Talk g = deep(catches);
    next(g);
    throw_(g, GeneratorExit());
  }
  Talk g = around(talk("a", "inner"), false, true);
  next(g);
  throw_(g, GeneratorExit());
  next(g);
  finish("EX-13 thrown");
}

}  // namespace
}  // namespace aster::conformance
