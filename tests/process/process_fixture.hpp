// SPDX-License-Identifier: MIT
#pragma once

#include "net/net_fixture.hpp"
#include "process/spawn.hpp"

#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace aster::process_tests {

using namespace std::chrono_literals;
using net_tests::error_of;
using net_tests::Net;
using net_tests::open_fd_count;
using net_tests::real_systems;
using net_tests::System;
using support::Logged;

/// How often a test looks, a millisecond apart, for what a child is to do: a busy machine may
/// keep it waiting for seconds.
inline constexpr int child_patience = 10'000;

/// Whether this process has no child at all, no zombie either.
inline bool has_no_child() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == -1 && errno == ECHILD;
}

/// A real back end, and what the system can do for us when children are made.
struct Way {
  std::string name;
  System system;
  bool shares_memory = true;
  bool has_pidfd = true;

  friend std::ostream& operator<<(std::ostream& out, const Way& way) { return out << way.name; }
};

inline std::vector<Way> ways() {
  std::vector<Way> result;
  for (const System& system : real_systems()) result.push_back({system.name, system});
  const System epoll = real_systems().front();
  result.push_back({"by_fork", epoll, false, true});
  result.push_back({"by_thread", epoll, true, false});
  return result;
}

inline std::string name_of(const ::testing::TestParamInfo<Way>& info) { return info.param.name; }

/// Limits what the system can do, while it lives.
class LimitedWay {
 public:
  explicit LimitedWay(const Way& way) : former_(detail::spawn_way()) {
    detail::SpawnWay& present = detail::spawn_way();
    present.shares_memory = present.shares_memory && way.shares_memory;
    present.has_pidfd = present.has_pidfd && way.has_pidfd;
  }
  LimitedWay(const LimitedWay&) = delete;
  LimitedWay& operator=(const LimitedWay&) = delete;
  ~LimitedWay() { detail::spawn_way() = former_; }

 private:
  detail::SpawnWay former_;
};

/// One loop on a real back end; afterwards no child and no descriptor may be left.
class ProcessTest : public ::testing::TestWithParam<Way> {
 protected:
  ProcessTest() : way_(GetParam()), net(GetParam().system) {}
  ~ProcessTest() override {
    net.close();
    EXPECT_TRUE(has_no_child());
  }
  template <class A>
  auto run(A&& awaitable) {
    return net.run(std::forward<A>(awaitable));
  }

 private:
  LimitedWay way_;

 protected:
  Net net;
};

#define ASTER_ON_ALL_WAYS(suite) \
  INSTANTIATE_TEST_SUITE_P(Ways, suite, ::testing::ValuesIn(ways()), name_of)

/// What a shell command writes to its standard output.
inline Coroutine<std::string> output_of(std::string command, SubprocessOptions options = {}) {
  options.stdout_ = PIPE;
  auto starting = create_subprocess_shell(command, options);
  Process process = co_await std::move(starting);
  ProcessOutput output = co_await process.communicate();
  co_return std::move(output.stdout_data);
}

}  // namespace aster::process_tests
