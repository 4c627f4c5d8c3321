// SPDX-License-Identifier: MIT
//
// What a forked child may do with its parent's loops: nothing but make new ones.
#include <aster/io/sock.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/policy.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>

#include <gtest/gtest.h>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "support/backends.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

// Forks; true when `check` gives true in the child.
bool in_child(const std::function<bool()>& check) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    bool good = false;
    try {
      good = check();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "in the child: %s\n", error.what());
    }
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

template <class F>
std::string runtime_error_of(F call) {
  try {
    call();
  } catch (const RuntimeError& error) {
    return error.what();
  }
  return {};
}
bool names_the_fork(const std::string& text) { return text.find("fork") != std::string::npos; }

using Fork = support::OnEachBackend;
ASTER_ON_EACH_BACKEND(Fork);

Coroutine<int> gives(int n) {
  co_await sleep(1ms);
  co_return n;
}

TEST_P(Fork, CallsOnTheParentsLoopAreErrorsInTheChild) {
  EXPECT_TRUE(in_child([&] {
    return names_the_fork(runtime_error_of([&] { loop->call_soon([] {}); })) &&
           names_the_fork(runtime_error_of([&] { loop->call_later(1s, [] {}); })) &&
           names_the_fork(runtime_error_of([&] { loop->call_soon_threadsafe([] {}); })) &&
           names_the_fork(runtime_error_of([&] { loop->run_forever(); })) &&
           names_the_fork(runtime_error_of([&] { loop->run_until_complete(gives(1)); }));
  }));

  EXPECT_EQ(loop->run_until_complete(gives(2)), 2);  // The parent's still works.
}

TEST_P(Fork, InsideARunningLoopTheChildHasNoRunningLoop) {
  bool good = false;
  auto body = [&]() -> Coroutine<> {
    good = in_child(
        [] { return !runtime_error_of([] { static_cast<void>(get_running_loop()); }).empty(); });
    co_return;
  };

  loop->run_until_complete(body());

  EXPECT_TRUE(good);  // ACC-8
}

TEST_P(Fork, AChildThatClosesItsSocketsLeavesTheParentsRegistrations) {
  Socket listener(AF_INET, SOCK_STREAM);
  listener.bind(Address("127.0.0.1", 0));
  listener.listen(5);
  const Address where = listener.getsockname();
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  bool is_readable = false;
  loop->add_reader(ends[0], [&] {
    is_readable = true;
    loop->remove_reader(ends[0]);
  });
  Task<Accepted> accepting;
  auto begin = [&]() -> Coroutine<> {
    accepting = create_task(get_running_loop().sock_accept(listener));
    co_await sleep(1ms);
  };
  loop->run_until_complete(begin());

  EXPECT_TRUE(in_child([&] {
    listener.close();
    static_cast<void>(runtime_error_of([&] { loop->remove_reader(ends[0]); }));
    ::close(ends[0]);
    return true;
  }));

  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(::connect(client, static_cast<const sockaddr*>(where.data()), where.size()), 0);
  EXPECT_EQ(::write(ends[1], "x", 1), 1);
  for (int i = 0; i < 100 && !(accepting.done() && is_readable); ++i) loop->run_once(100ms);
  EXPECT_TRUE(accepting.done());
  EXPECT_TRUE(is_readable);
  ::close(client);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_P(Fork, AChildThatGoesOnInTheParentsLoopGetsAnError) {
  std::string error;
  bool is_child = false;
  Future<> never = loop->create_future<>();
  auto body = [&]() -> Coroutine<> {
    const pid_t child = ::fork();
    is_child = child == 0;
    if (!is_child) {
      int status = -1;
      ::waitpid(child, &status, 0);
      EXPECT_TRUE(WIFEXITED(status));
      EXPECT_EQ(WEXITSTATUS(status), 0);
      co_return;
    }
    co_await never;
  };
  error = runtime_error_of([&] { loop->run_until_complete(body()); });
  if (is_child) ::_exit(names_the_fork(error) ? 0 : 1);
  EXPECT_EQ(error, "");
}

TEST_P(Fork, TheChildMayRunALoopOfItsOwn) {
  bool good = false;
  auto body = [&]() -> Coroutine<> {
    good = in_child([] { return run(gives(5)) == 5; });
    co_return;
  };

  loop->run_until_complete(body());

  EXPECT_TRUE(good);  // ACC-8
}

TEST_P(Fork, TheChildHasNoCurrentLoop) {
  set_event_loop(loop);

  const bool good = in_child(
      [] { return !runtime_error_of([] { static_cast<void>(get_event_loop()); }).empty(); });

  EXPECT_TRUE(good);  // ACC-8
  EXPECT_EQ(&get_event_loop(), loop.get());
  set_event_loop(nullptr);
}

TEST_P(Fork, TheChildMaySetACurrentLoopWhileTheParentsRuns) {
  set_event_loop(loop);
  bool good = false;
  auto body = [&]() -> Coroutine<> {
    good = in_child([] {
      auto mine = new_event_loop();
      set_event_loop(mine);
      const bool same = &get_event_loop() == mine.get();
      set_event_loop(nullptr);
      mine->close();
      return same;
    });
    co_return;
  };

  loop->run_until_complete(body());

  EXPECT_TRUE(good);
  set_event_loop(nullptr);
}

TEST_P(Fork, TheChildMayCloseTheParentsLoopWithoutHurtingIt) {
  bool ran = false;
  loop->call_later(1ms, [&] { ran = true; });

  EXPECT_TRUE(in_child([&] {
    loop->close();
    return loop->is_closed();
  }));

  while (!ran) loop->run_once(1s);
}

TEST_P(Fork, TheParentIsStillWokenAfterAChildClosedIts) {
  EXPECT_TRUE(in_child([&] {
    loop->close();
    return true;
  }));
  bool woken = false;
  std::thread thread([&] { loop->call_soon_threadsafe([&] { woken = true; }); });

  for (int i = 0; i < 100 && !woken; ++i) loop->run_once(10s);

  thread.join();
  EXPECT_TRUE(woken);
}

// Handlers of the program's own, there before its first loop: they may use what aster locks
// over a fork.
int asked_in_parent = 0;
int asked_in_child = 0;
const int registered =
    ::pthread_atfork([] { asked_in_parent += get_event_loop_policy() != nullptr ? 1 : 0; },
                     [] { asked_in_parent += get_event_loop_policy() != nullptr ? 1 : 0; },
                     [] { asked_in_child += get_event_loop_policy() != nullptr ? 1 : 0; });

TEST(ForkHandlers, OfOthersMayAskForThePolicy) {
  ASSERT_EQ(registered, 0);
  asked_in_parent = 0;

  EXPECT_TRUE(in_child([] { return asked_in_child == 1; }));

  EXPECT_EQ(asked_in_parent, 2);
}

TEST_P(Fork, ALockThatAnotherThreadHoldsIsFreeInTheChild) {
  std::atomic<bool> stop{false};
  std::thread thread([&] {
    while (!stop.load()) set_event_loop_policy(std::make_shared<EventLoopPolicy>());
  });

  int good = 0;
  while (good < 50 && in_child([] {
           ::alarm(30);  // Ends a child that waits for ever.
           return get_event_loop_policy() != nullptr;
         })) {
    ++good;
  }
  stop.store(true);
  thread.join();
  set_event_loop_policy(nullptr);

  EXPECT_EQ(good, 50);
}

TEST(Policy, MayAskForItsSuccessorWhenItGoes) {
  struct Curious final : EventLoopPolicy {
    explicit Curious(std::shared_ptr<EventLoopPolicy>& s) : seen(s) {}
    ~Curious() override { seen = get_event_loop_policy(); }
    std::shared_ptr<EventLoopPolicy>& seen;
  };
  std::shared_ptr<EventLoopPolicy> seen;
  const auto successor = std::make_shared<EventLoopPolicy>();
  set_event_loop_policy(std::make_shared<Curious>(seen));

  set_event_loop_policy(successor);

  EXPECT_EQ(seen, successor);
  set_event_loop_policy(nullptr);
}

}  // namespace
}  // namespace aster
