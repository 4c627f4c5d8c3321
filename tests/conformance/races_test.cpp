// SPDX-License-Identifier: MIT
//
// Several events in one turn, in all orders, nested up to three deep. Each line of
// races.txt is a program, its events and what CPython made of them; races.py says how
// to read it, and ran it. races_deep.txt has digests of more lines. The main program
// runs as a task, and under a driver that is none.
#include <aster/coro/with.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/loop/wait.hpp>
#include <aster/task/gather.hpp>
#include <aster/task/shield.hpp>
#include <aster/task/task_group.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <iomanip>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "conformance/scenario.hpp"
#include "support/line.hpp"

namespace aster::conformance {
namespace {

using support::DriverKind;
using support::Line;

class Race {
 public:
  Race(Stage& stage, DriverKind driver, std::string program, std::string deadlines,
       const std::string& actions)
      : stage_(stage),
        driver_(driver),
        loop_(*stage.loop),
        start_(loop_.time()),
        program_(std::move(program)),
        f_(loop_.create_future<std::string>()),
        g_(loop_.create_future<std::string>()) {
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < program_.size(); ++i) {
      if (std::string("WwT").find(program_[i]) != std::string::npos) places.push_back(i);
    }
    if (deadlines == "i") places = {places.rbegin(), places.rend()};
    for (std::size_t k = 0; k < places.size(); ++k) {
      deadlines_[places[k]] = at(10 + static_cast<int>(k));
    }
    for (std::size_t k = 0; k + 1 < actions.size(); k += 2) {
      const int late = actions[k + 1] == '+' ? 100 : 0;
      loop_.call_at(at(late + static_cast<int>(k)), [this, letter = actions[k]] { act(letter); });
    }
  }

  std::string run() {
    main_ = Line<std::string>(driver_, loop_, level(0));
    turns(10);
    stage_.advance(tick + std::chrono::milliseconds(500));
    turns(25);
    mark_turns_ = false;
    note("~");
    for (auto* future : {&g_, &f_}) {
      if (!future->done()) future->set_result("v");
      turns(10);
    }
    note("main:" + outcome());
    for (AnyTask& task : all_tasks(loop_)) task.cancel();
    turns(10);
    return trace_;
  }

 private:
  // So many steps after the first tick; all of them are in one turn.
  [[nodiscard]] TimePoint at(int step) const {
    return start_ + tick + step * std::chrono::microseconds(10);
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) stage_.turn();
  }
  void note(const std::string& text) {
    if (!trace_.empty()) {
      for (int i = last_turn_; mark_turns_ && i < stage_.turn_count; ++i) trace_ += " |";
      trace_ += " ";
    }
    last_turn_ = stage_.turn_count;
    trace_ += text;
  }
  std::string outcome() {
    if (!main_.done()) return "pending";
    const std::exception_ptr error = main_.error();
    return error != nullptr ? Scenario::name_of(error) : main_.result();
  }
  void act(char letter) {
    if (letter == 'C') {
      main_.cancel();
      return;
    }
    auto& future = letter == 'D' || letter == 'X' ? f_ : g_;
    if (future.done()) return;
    if (letter == 'D' || letter == 'H') {
      future.set_result("v");
    } else {
      future.set_exception(ValueError(letter == 'X' ? "f" : "g"));
    }
  }

  Coroutine<std::string> level(std::size_t place) {
    detail::Driver& driver = *loop_.scheduler().current();
    const int entry = driver.cancelling();
    Coroutine<std::string> rest = make(place);
    try {
      std::string value = co_await std::move(rest);
      left(place, value, driver.cancelling() - entry);
      co_return value;
    } catch (...) {
      left(place, Scenario::name_of(std::current_exception()), driver.cancelling() - entry);
      throw;
    }
  }
  void left(std::size_t place, const std::string& how, int count) {
    note(program_[place] + std::to_string(place + 1) + ":" + how +
         (count != 0 ? "/" + std::to_string(count) : ""));
  }
  Coroutine<std::string> other(std::size_t place) {
    const std::string name = "g" + std::to_string(place + 1) + ":";
    try {
      std::string value = co_await g_;
      note(name + Scenario::outcome_of(g_));
      co_return value;
    } catch (...) {
      note(name + Scenario::outcome_of(g_));
      throw;
    }
  }
  Task<std::string> rest(std::size_t place) { return create_task(level(place + 1)); }
  [[nodiscard]] Duration limit(std::size_t place) { return deadlines_[place] - loop_.time(); }
  std::vector<Task<std::string>> both(std::size_t place) {
    std::vector<Task<std::string>> tasks;
    tasks.push_back(rest(place));
    tasks.push_back(create_task(other(place)));
    return tasks;
  }

  Coroutine<std::string> make(std::size_t place) {
    switch (program_[place]) {
      case 'F':
        return future();
      case 'W':
        return wait_for(level(place + 1), limit(place));
      case 'w':
        return wait_for_task(place);
      case 'T':
        return with_timeout(place);
      case 'S':
        return shielded(place);
      case 'G':
        return group(place);
      case 'B':
        return group_body(place);
      case 'A':
        return gathered(place);
      case 'I':
        return first_of_wait(place);
      default:
        return first_completed(place);
    }
  }
  Coroutine<std::string> future() { co_return co_await f_; }
  Coroutine<std::string> wait_for_task(std::size_t place) {
    co_return co_await aster::wait_for(rest(place), limit(place));
  }
  Coroutine<std::string> with_timeout(std::size_t place) {
    auto body = [this, place](Timeout&) { return level(place + 1); };
    co_return co_await with(timeout_at(deadlines_[place]), body);
  }
  Coroutine<std::string> shielded(std::size_t place) { co_return co_await shield(rest(place)); }
  Coroutine<std::string> group(std::size_t place) {
    Task<std::string> child;
    auto body = [this, place, &child](TaskGroup& tasks) -> Coroutine<> {
      child = tasks.create_task(level(place + 1));
      co_return;
    };
    co_await with(TaskGroup{}, body);
    co_return child.result();
  }
  Coroutine<std::string> group_body(std::size_t place) {
    auto body = [this, place](TaskGroup& tasks) -> Coroutine<std::string> {
      tasks.create_task(other(place));
      co_return co_await level(place + 1);
    };
    co_return co_await with(TaskGroup{}, body);
  }
  Coroutine<std::string> gathered(std::size_t place) {
    auto values = co_await gather(level(place + 1), other(place));
    co_return std::get<0>(values);
  }
  Coroutine<std::string> first_of_wait(std::size_t place) {
    auto waited = co_await wait(both(place), {.return_when = FIRST_COMPLETED});
    co_return waited.done.front().result();
  }
  Coroutine<std::string> first_completed(std::size_t place) {
    auto each = as_completed(both(place));
    auto first = co_await each.next();
    co_return first->result();
  }

  Stage& stage_;
  DriverKind driver_;
  EventLoop& loop_;
  TimePoint start_;
  std::string program_;
  Future<std::string> f_;
  Future<std::string> g_;
  std::map<std::size_t, TimePoint> deadlines_;
  Line<std::string> main_;
  std::string trace_;
  int last_turn_ = 0;
  bool mark_turns_ = true;
};

// What becomes of one line: "<program> <deadlines> <actions>".
std::string run_race(Kind kind, DriverKind driver, const std::string& key) {
  std::istringstream words(key);
  std::string program;
  std::string deadlines;
  std::string actions;
  words >> program >> deadlines >> actions;
  Stage stage(kind);
  stage.loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  std::string trace = Race(stage, driver, program, deadlines, actions).run();
  stage.loop->close();
  return trace;
}

class Races : public ::testing::TestWithParam<std::pair<Kind, DriverKind>> {};
INSTANTIATE_TEST_SUITE_P(Loops, Races,
                         ::testing::Values(std::pair(Kind::sim, DriverKind::task),
                                           std::pair(Kind::sim, DriverKind::hand),
                                           std::pair(Kind::epoll, DriverKind::task),
                                           std::pair(Kind::poll, DriverKind::task),
                                           std::pair(Kind::select, DriverKind::task)),
                         [](const auto& race) {
                           return name_of(race.param.first) + name_of(race.param.second);
                         });

TEST_P(Races, EndAsInCPython) {  // WAIT-20 differs
  const auto& race = GetParam();
  const std::size_t count = expect_as_recorded(
      "races", [&race](const std::string& key) { return run_race(race.first, race.second, key); });
  EXPECT_GT(count, 1000U);
}

// The lines of a program in races_deep.txt without their traces, as `deep_lines` of
// races.py makes them.
std::vector<std::string> deep_keys(const std::string& program) {
  std::vector<std::string> sets{"C", "D", "X", "CC", "CD", "DC", "CX", "XC"};
  const auto has = [&](const char* kinds) {
    return program.find_first_of(kinds) != std::string::npos;
  };
  if (has("BAIC")) {
    for (const char* set : {"H", "E", "CH", "HC", "CE", "EC", "DE", "ED", "XE", "EX"}) {
      sets.emplace_back(set);
    }
  }
  std::size_t deadline_count = 0;
  for (char kind : program) deadline_count += kind == 'W' || kind == 'w' || kind == 'T' ? 1 : 0;
  std::vector<std::string> orders{deadline_count == 0 ? "-" : "o"};
  if (deadline_count > 1) orders.emplace_back("i");
  if (deadline_count > 0) sets.insert(sets.begin(), "");

  static const std::vector<std::vector<std::string>> places{{""}, {"-", "+"}, {"--", "-+", "++"}};
  std::vector<std::string> keys;
  for (const std::string& order : orders) {
    for (const std::string& letters : sets) {
      const auto& all = places[letters.size()];
      for (std::size_t i = 0; i < (deadline_count > 0 ? all.size() : 1); ++i) {
        std::string actions;
        for (std::size_t k = 0; k < letters.size(); ++k) {
          actions += letters[k];
          actions += all[i][k];
        }
        keys.push_back(program + " " + order + " " + (actions.empty() ? "." : actions));
      }
    }
  }
  return keys;
}

// All programs of two and three levels. When one differs, its lines are printed here, and
// by `scripts/record_traces --races <program>` for CPython.
class DeepRacesSlow : public ::testing::TestWithParam<DriverKind> {};
ASTER_BOTH_DRIVERS(DeepRacesSlow);

TEST_P(DeepRacesSlow, EndAsInCPython) {
  std::size_t program_count = 0;
  int differing_count = 0;
  for (const auto& [program, expected] : recorded("races_deep.txt")) {
    std::string lines;
    std::uint64_t digest = 0xCBF29CE484222325;  // FNV-1a.
    const std::vector<std::string> keys = deep_keys(program);
    for (const std::string& key : keys) {
      const std::string trace = run_race(Kind::sim, GetParam(), key);
      lines += key;
      lines += ": ";
      lines += trace;
      lines += "\n";
    }
    for (const char byte : lines) {
      digest = (digest ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
    }
    std::ostringstream found;
    found << keys.size() << " " << std::hex << std::setfill('0') << std::setw(16) << digest;
    EXPECT_EQ(found.str(), expected) << (differing_count < 3 ? lines : program);
    if (found.str() != expected) ++differing_count;
    ++program_count;
  }
  EXPECT_EQ(program_count, 81U + 729U);
}

}  // namespace
}  // namespace aster::conformance
