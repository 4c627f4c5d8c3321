// SPDX-License-Identifier: MIT
//
// Debug mode: how it is turned on, and what it warns of when a loop goes.
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include <unistd.h>

#include "support/reports.hpp"

namespace aster {
namespace {

using support::Logged;

TEST(Debug, ALoopThatIsNotClosedIsNamedWithThePlaceThatMadeIt) {  // DBG-9, ACC-17
  const Logged logged;
  unsigned line = 0;
  {
    line = __LINE__ + 1;
    const EventLoop loop({.backend = Backend::poll, .debug = true});
  }

  EXPECT_TRUE(logged.contains(
      "unclosed event loop <EventLoop backend=poll running=false closed=false debug=true>"));
  EXPECT_TRUE(logged.contains("debug_test.cpp:" + std::to_string(line))) << logged.text();
}

TEST(Debug, NewEventLoopIsThePlaceThatMadeItsLoop) {  // DBG-9
  const Logged logged;
  auto loop = new_event_loop();
  const std::string line = std::to_string(__LINE__ - 1);
  loop->set_debug(true);

  loop.reset();

  EXPECT_TRUE(logged.contains("debug_test.cpp:" + line)) << logged.text();
}

TEST(Debug, AClosedLoopIsNotWarnedOf) {  // DBG-9
  const Logged logged;
  {
    EventLoop loop({.debug = true});
    loop.close();
  }

  EXPECT_EQ(logged.text(), "");
}

TEST(Debug, WithoutItNothingIsSaidOfAnUnclosedLoop) {  // DBG-10
  const Logged logged;
  {
    const EventLoop loop({.debug = false});
  }

  EXPECT_EQ(logged.text(), "");
}

TEST(Debug, AReaderThatFailsIsNamedWithThePlaceThatAddedIt) {  // DBG-4
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  EventLoop loop;
  const support::Reports reports(loop);
  loop.add_reader(ends[0], [&] {
    loop.stop();
    throw std::runtime_error("no");
  });
  const unsigned line = __LINE__ - 4;

  loop.run_forever();

  ASSERT_EQ(reports.contexts.size(), 1U);
  ASSERT_TRUE(reports.contexts[0].source.has_value());
  EXPECT_EQ(reports.contexts[0].source->line(), line);
  EXPECT_EQ(reports.contexts[0].subject, "<Reader fd=" + std::to_string(ends[0]) +
                                             " made at debug_test.cpp:" + std::to_string(line) +
                                             ">");
  loop.close();
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(Debug, DetailsOfConnectionsDoNotReachStderrUnasked) {  // DBG-8
  ::testing::internal::CaptureStderr();
  detail::log(LogLevel::debug, "a detail");
  detail::log(LogLevel::info, "a note");

  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "aster: info: a note\n");
}

}  // namespace
}  // namespace aster
