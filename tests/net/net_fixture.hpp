// SPDX-License-Identifier: MIT
#pragma once

#include "support/reports.hpp"

#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dirent.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aster::net_tests {

using namespace std::chrono_literals;
using support::Logged;
using testing::SimBackend;
using testing::SimCall;
using testing::SimLedger;
using testing::SimLoop;
using testing::SimOptions;

/// What a suite runs on: a simulated system, or a real back end.
struct System {
  std::string name;
  bool simulated;
  SimOptions options = {};
  Backend backend = Backend::automatic;

  friend std::ostream& operator<<(std::ostream& out, const System& system) {
    return out << system.name;
  }
};

/// A simulated system where everything is at once and whole.
inline System plain_sim() { return {"sim", true, {.seed = 1}, {}}; }

/// Simulated systems that differ in what can differ between kernels and networks.
inline std::vector<System> simulated_systems() {
  return {
      plain_sim(),
      {"sim_far", true, {.seed = 2, .latency = 5ms, .inline_budget = 0}, {}},
      {"sim_pieces", true, {.seed = 3, .max_chunk = 7}, {}},
      {"sim_late", true, {.seed = 4, .inline_budget = 1, .late_cancel = true}, {}},
      {"sim_late_far_pieces",
       true,
       {.seed = 5, .latency = 1ms, .max_chunk = 999, .late_cancel = true},
       {}},
      {"sim_narrow", true, {.seed = 6, .capacity = 512, .late_cancel = true}, {}},
  };
}

inline std::vector<System> real_systems() {
  return {
      {"epoll", false, {}, Backend::epoll},
      {"poll", false, {}, Backend::poll},
      {"select", false, {}, Backend::select},
  };
}

inline std::vector<System> all_systems() {
  std::vector<System> systems = simulated_systems();
  for (System& real : real_systems()) systems.push_back(std::move(real));
  return systems;
}

inline std::string name_of(const ::testing::TestParamInfo<System>& info) { return info.param.name; }

inline std::size_t open_fd_count() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

/// The accounts of a simulated loop, taken while it closes, after its connections
/// have ended: made before them, this service is closed after them.
class Audit final : public EventLoop::Service {
 public:
  struct Result {
    bool taken = false;
    SimLedger ledger;
    std::vector<std::string> violations;
    std::vector<native_socket> open;
  };

  explicit Audit(EventLoop& loop) : loop_(static_cast<SimLoop&>(loop)) {}
  void close() noexcept override {
    if (result == nullptr) return;
    const SimBackend& sim = loop_.sim();
    *result = {true, sim.ledger(), sim.violations(), sim.open_descriptors()};
  }
  Result* result = nullptr;

 private:
  SimLoop& loop_;
};

/// Checks that everything was closed, once and in order.
inline void expect_balanced(const Audit::Result& result) {
  EXPECT_TRUE(result.taken);
  EXPECT_EQ(result.violations, std::vector<std::string>{});
  EXPECT_EQ(result.open, std::vector<native_socket>{});
  EXPECT_EQ(result.ledger.descriptors_opened, result.ledger.descriptors_closed);
  EXPECT_EQ(result.ledger.operations_submitted,
            result.ledger.operations_completed + result.ledger.operations_cancelled);
  EXPECT_LE(result.ledger.bytes_delivered + result.ledger.bytes_discarded,
            result.ledger.bytes_accepted);
}

/// One loop on one system; when the test is over the loop is closed and what it
/// used must have been given back.
class Net {
 public:
  explicit Net(const System& system = plain_sim())
      : simulated_(system.simulated), fds_before_(open_fd_count()) {
    if (system.simulated) {
      auto made = std::make_unique<SimLoop>(system.options);
      made->service<Audit>().result = &audit_;
      sim_loop_ = made.get();
      loop_ = std::move(made);
    } else {
      loop_ = std::make_unique<EventLoop>(LoopOptions{system.backend, {}});
      // Instead of a test that hangs.
      watchdog_ = loop_->call_later(50s, [] { throw Stuck(); });
    }
    loop_->set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
      reports.push_back(context.message +
                        (context.exception != nullptr ? ": " + describe(context.exception) : ""));
      subjects.push_back(context.subject);
    });
  }
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;
  ~Net() {
    close();
    // Not earlier: handles that outlive a loop keep what wakes it, a descriptor. So does
    // a thread that has just given its result: a test that uses threads ends them.
    if (!simulated_) {
      EXPECT_EQ(open_fd_count(), fds_before_);
    }
  }

  /// Lets handlers end whose clients are gone, bounded.
  void settle() {
    for (int i = 0; i < 1000 && !all_tasks(*loop_).empty(); ++i) {
      loop_->run_until_complete(detail::as_coroutine(sleep(1ms)));
    }
  }

  /// Closes the loop and checks the accounts; nothing when done already.
  void close() {
    if (loop_ == nullptr) return;
    if (settles) settle();
    watchdog_ = {};
    loop_->close();
    loop_.reset();
    if (simulated_) expect_balanced(audit_);
    EXPECT_EQ(reports, expected_reports);
  }

  EventLoop& loop() { return *loop_; }
  [[nodiscard]] bool is_simulated() const { return simulated_; }
  SimLoop& sim_loop() { return *sim_loop_; }
  SimBackend& sim() { return sim_loop_->sim(); }
  template <class A>
  auto run(A&& awaitable) {
    return loop_->run_until_complete(std::forward<A>(awaitable));
  }
  /// So many turns; waits for nothing.
  void turns(int count) {
    for (int i = 0; i < count; ++i) loop_->run_once(Duration::zero());
  }

  bool settles = true;                        // Lets tasks end before the loop is closed.
  std::vector<std::string> reports;           // To the exception handler: text and error.
  std::vector<std::string> subjects;          // And what they were about.
  std::vector<std::string> expected_reports;  // Compared at the end.

 private:
  class Stuck final : public BaseError {
   public:
    Stuck() : BaseError("the test is stuck") {}
  };

  bool simulated_;
  std::size_t fds_before_;
  Audit::Result audit_;
  std::unique_ptr<EventLoop> loop_;
  SimLoop* sim_loop_ = nullptr;
  TimerHandle watchdog_;
};

/// A suite that runs on every system.
class NetTest : public ::testing::TestWithParam<System> {
 protected:
  NetTest() : net(GetParam()) {}
  template <class A>
  auto run(A&& awaitable) {
    return net.run(std::forward<A>(awaitable));
  }
  Net net;
};

/// Both ends of a connection.
struct Pair {
  Pair(Connection a, Connection b) : client(std::move(a)), server(std::move(b)) {}
  Connection client;
  Connection server;
};

/// A listening server that hands out what it accepted.
class Listening {
 public:
  explicit Listening(std::size_t limit = StreamReader::default_limit) : limit_(limit) {}

  Coroutine<> start() {
    ServerOptions options;
    options.limit = limit_;
    auto starting = start_server(
        [this](StreamReader reader, StreamWriter writer) {
          Connection made(std::move(reader), std::move(writer));
          if (waiting_ && !waiting_.done()) {
            waiting_.set_result(std::move(made));
          } else {
            accepted_.push_back(std::move(made));
          }
        },
        "127.0.0.1", 0, options);
    Server made = co_await std::move(starting);
    server_.push_back(std::move(made));
  }
  Coroutine<Connection> accept() {
    if (accepted_.empty()) {
      waiting_ = get_running_loop().create_future<Connection>();
      Future<Connection> next = waiting_;
      Connection made = co_await std::move(next);
      waiting_ = {};
      co_return made;
    }
    Connection made = std::move(accepted_.front());
    accepted_.erase(accepted_.begin());
    co_return made;
  }
  Server& server() { return server_.front(); }
  int port() { return server().sockets().front().getsockname().port(); }

 private:
  std::size_t limit_;
  std::vector<Server> server_;
  std::vector<Connection> accepted_;
  Future<Connection> waiting_;
};

/// Connects two streams; nobody else is involved afterwards.
inline Coroutine<Pair> connected_pair(std::size_t limit = StreamReader::default_limit) {
  Listening listening(limit);
  co_await listening.start();
  ConnectOptions options;
  options.limit = limit;
  auto connecting = open_connection("127.0.0.1", listening.port(), options);
  Connection client = co_await std::move(connecting);
  Connection accepted = co_await listening.accept();
  listening.server().close();
  co_return Pair(std::move(client), std::move(accepted));
}

/// What `describe` says of the error of an await; "" when it gives a value.
template <class A>
Coroutine<std::string> error_of(A awaitable) {
  auto result = co_await outcome(std::move(awaitable));
  co_return result.has_value() ? std::string() : describe(result.exception());
}

/// Gives way so many turns.
inline Coroutine<> turns(int count) {
  for (int i = 0; i < count; ++i) co_await yield_now();
}

/// `size` bytes that differ from place to place.
inline std::string pattern(std::size_t size, unsigned seed = 1) {
  std::string bytes(size, '\0');
  std::uint32_t state = seed * 2654435761U + 1;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24U);
  }
  return bytes;
}

}  // namespace aster::net_tests
