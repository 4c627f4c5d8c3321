// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include <poll.h>
#include <unistd.h>

namespace {

using namespace aster;
using namespace std::chrono_literals;

bool is_readable(int fd, std::chrono::milliseconds limit) {
  pollfd state{fd, POLLIN, 0};
  return ::poll(&state, 1, static_cast<int>(limit.count())) == 1;
}

TEST(Hosting, APostFromAnotherThreadWakesTheHostThatWaits) {
  auto loop = new_event_loop({.backend = Backend::epoll});
  bool ran = false;
  loop->run_once();
  ASSERT_EQ(loop->backend_timeout(), Duration::max());

  // As in a host that has read the timeout and is about to wait.
  std::thread poster([&] { loop->call_soon_threadsafe([&] { ran = true; }); });
  const bool woken = is_readable(loop->backend_fd(), 2000ms);
  poster.join();
  loop->run_once();

  EXPECT_TRUE(woken);
  EXPECT_TRUE(ran);
  loop->close();
}

TEST(Hosting, ATimerOfTheFarthestPastIsDueAtOnce) {
  auto loop = new_event_loop();
  bool ran = false;

  loop->call_at(TimePoint::min(), [&] { ran = true; });

  EXPECT_EQ(loop->backend_timeout(), Duration::zero());
  loop->run_once();
  EXPECT_TRUE(ran);
  loop->close();
}

TEST(Hosting, ALoopStoppedBeforehandStillLooksAtItsDescriptors) {
  auto loop = new_event_loop();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  bool ran = false;
  loop->add_reader(ends[0], [&] { ran = true; });
  loop->stop();
  loop->run_forever();  // The kernel has been asked a moment ago.
  ASSERT_EQ(::write(ends[1], "x", 1), 1);

  loop->stop();
  loop->run_forever();

  EXPECT_TRUE(ran);
  loop->remove_reader(ends[0]);
  ::close(ends[0]);
  ::close(ends[1]);
  loop->close();
}

}  // namespace
