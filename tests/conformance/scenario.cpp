// SPDX-License-Identifier: MIT
#include "conformance/scenario.hpp"

#include <aster/sync/error.hpp>
#include <aster/testing/sim_loop.hpp>

#include <fstream>
#include <map>
#include <stdexcept>
#include <vector>

#include "conformance/still_clock.hpp"

namespace aster::conformance {

std::string name_of(Kind kind) {
  switch (kind) {
    case Kind::sim:
      return "sim";
    case Kind::epoll:
      return "epoll";
    case Kind::poll:
      return "poll";
    case Kind::select:
      return "select";
  }
  return "";
}

const std::vector<std::pair<std::string, std::string>>& recorded(const std::string& file) {
  static std::map<std::string, std::vector<std::pair<std::string, std::string>>> files;
  auto& lines = files[file];
  if (lines.empty()) {
    std::ifstream in(std::string(ASTER_CONFORMANCE_FOLDER) + "/" + file);
    for (std::string line; std::getline(in, line);) {
      const auto colon = line.find(": ");
      if (line.starts_with('#') || colon == std::string::npos) continue;
      lines.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
  }
  return lines;
}

std::size_t expect_as_recorded(const std::string& name,
                               const std::function<std::string(const std::string& key)>& trace_of) {
  const auto& differing = recorded(name + "_differ.txt");
  const std::map<std::string, std::string> differ(differing.begin(), differing.end());
  std::size_t differing_count = 0;
  const auto& lines = recorded(name + ".txt");
  for (const auto& [key, expected] : lines) {
    const std::string trace = trace_of(key);
    const auto ours = differ.find(key);
    if (ours == differ.end()) {
      EXPECT_EQ(trace, expected) << key;
      continue;
    }
    EXPECT_EQ(trace, ours->second) << key;
    EXPECT_NE(trace, expected) << key << ": CPython does the same now; take it out";
    ++differing_count;
  }
  EXPECT_EQ(differing_count, differ.size());
  return lines.size();
}

Stage::Stage(Kind kind) {
  if (kind == Kind::sim) {
    auto made = std::make_unique<testing::SimLoop>(testing::SimOptions{.wait_for_threads = true});
    advance = [&sim = made->sim()](Duration time) { sim.advance(time); };
    loop = std::move(made);
  } else {
    const Backend backend = kind == Kind::epoll  ? Backend::epoll
                            : kind == Kind::poll ? Backend::poll
                                                 : Backend::select;
    auto clock = std::make_unique<StillClock>(make_backend(backend));
    advance = [raw = clock.get()](Duration time) { raw->advance(time); };
    loop = std::make_unique<EventLoop>(std::move(clock));
  }
  loop->set_strict_order(true);
}

void Stage::turn(bool wait) {
  ++turn_count;
  loop->run_once(wait ? Delay::infinite() : Delay());
}

std::string Stage::drive(const std::function<bool()>& is_done) {
  for (int i = 0; i < 2000; ++i) {
    if (is_done()) return "";
    bool wait = false;
    const Duration next = loop->backend_timeout();
    if (next == Duration::max()) {
      if (!waits) return "stuck";
      wait = true;
    } else if (next > Duration::zero()) {
      advance(next);
    }
    turn(wait);
  }
  return "endless";
}

Scenario::Scenario() : stage_(GetParam()), loop(stage_.loop.get()), start_(loop->time()) {
  loop->set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
    if (handled) handled(context);
  });
}

Scenario::~Scenario() { loop->close(); }

void Scenario::note(std::string_view text) {
  if (!trace_.empty()) {
    if (mark_turns) {
      for (int i = last_turn_; i < stage_.turn_count; ++i) trace_ += " |";
    }
    trace_ += " ";
  }
  last_turn_ = stage_.turn_count;
  trace_ += text;
}

void Scenario::drive(const std::function<bool()>& is_done) {
  const std::string failure = stage_.drive(is_done);
  if (!failure.empty()) note(failure);
}

void Scenario::run(Coroutine<> coroutine) {
  Task<> task = loop->create_task(std::move(coroutine));
  drive([&task] { return task.done(); });
  const std::string outcome = outcome_of(task);
  if (task.done() && outcome != "done") note("main:" + outcome);
}

std::string Scenario::name_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const CancelledError&) {
    return "cancelled";
  } catch (const TimeoutError&) {
    return "timeout";
  } catch (const ExceptionGroup& group) {
    std::string text;
    for (const auto& each : group.exceptions()) text += (text.empty() ? "" : ",") + name_of(each);
    return "group(" + text + ")";
  } catch (const ValueError& failure) {
    return *failure.what() == '\0' ? "error" : failure.what();
  } catch (const KeyboardInterrupt&) {
    return "interrupt";
  } catch (const BrokenBarrierError&) {
    return "BrokenBarrierError";
  } catch (const RuntimeError&) {
    return "RuntimeError";
  } catch (const QueueEmpty&) {
    return "QueueEmpty";
  } catch (const QueueFull&) {
    return "QueueFull";
  } catch (const QueueShutDown&) {
    return "QueueShutDown";
  } catch (const std::exception& other) {
    return other.what();
  } catch (...) {
    return "unknown";
  }
}

namespace {
std::string recorded_trace(const std::string& id) {
  for (const auto& [key, trace] : recorded("traces.txt")) {
    if (key == id) return trace;
  }
  return "not recorded: " + id;
}
}  // namespace

void Scenario::finish(const std::string& id) { EXPECT_EQ(trace_, recorded_trace(id)) << id; }

void Scenario::finish_differently(const std::string& id, const std::string& expected) {
  EXPECT_EQ(trace_, expected) << id;
  EXPECT_NE(trace_, recorded_trace(id)) << id << ": CPython does the same now: use finish";
}

}  // namespace aster::conformance
