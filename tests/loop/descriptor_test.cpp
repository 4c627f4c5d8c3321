// SPDX-License-Identifier: MIT
//
// add_reader and add_writer, FD-1 to FD-11, on every real back end.
#include <aster/loop/event_loop.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "support/backends.hpp"
#include "support/reports.hpp"
#include "support/socket_pair.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

using Pair = support::SocketPair;

struct Descriptor : support::OnEachBackend {
  Descriptor() { loop->set_strict_order(true); }
  Pair pair;
  std::string log;
};
ASTER_ON_EACH_BACKEND(Descriptor);

TEST_P(Descriptor, AReaderRunsOncePerTurnWhileThereIsSomethingToRead) {
  loop->add_reader(pair.ours, [&] { log += 'r'; });  // FD-1
  loop->run_once();
  EXPECT_EQ(log, "");

  pair.send();
  loop->run_once();
  loop->run_once();
  EXPECT_EQ(log, "rr");  // Level-triggered.

  pair.receive();
  loop->run_once();
  EXPECT_EQ(log, "rr");
}

TEST_P(Descriptor, AWriterRunsWhileThereIsRoom) {
  loop->add_writer(pair.ours, [&] { log += 'w'; });  // FD-2

  loop->run_once();
  loop->run_once();

  EXPECT_EQ(log, "ww");
}

TEST_P(Descriptor, ANewReaderReplacesTheFormer) {
  auto shared = std::make_shared<int>(0);
  loop->add_reader(pair.ours, [shared] { ADD_FAILURE(); });
  loop->add_reader(pair.ours, [&] { log += '2'; });
  EXPECT_EQ(shared.use_count(), 1);  // FD-1

  pair.send();
  loop->run_once();

  EXPECT_EQ(log, "2");
}

TEST_P(Descriptor, ANewReaderIsNotToldOfWhatWasReadyForTheFormer) {  // FD-1
  loop->add_reader(pair.ours, [] { ADD_FAILURE(); });
  loop->call_soon([&] {  // Runs after the poll and before the reader's call.
    pair.receive();
    loop->add_reader(pair.ours, [&] { log += '2'; });
  });
  pair.send();

  loop->run_once();
  loop->run_once();
  EXPECT_EQ(log, "");

  pair.send();
  loop->run_once();
  EXPECT_EQ(log, "2");
}

TEST_P(Descriptor, RemovingTellsWhetherThereWasOne) {
  EXPECT_FALSE(loop->remove_reader(pair.ours));  // FD-3
  EXPECT_FALSE(loop->remove_writer(pair.ours));
  EXPECT_FALSE(loop->remove_reader(-1));
  EXPECT_FALSE(loop->remove_reader(1'000'000));
  loop->add_reader(pair.ours, [] {});

  EXPECT_FALSE(loop->remove_writer(pair.ours));
  EXPECT_TRUE(loop->remove_reader(pair.ours));
  EXPECT_FALSE(loop->remove_reader(pair.ours));
}

TEST_P(Descriptor, RemovingOneDirectionKeepsTheOther) {
  loop->add_reader(pair.ours, [&] { log += 'r'; });
  loop->add_writer(pair.ours, [&] { log += 'w'; });
  pair.send();

  loop->remove_writer(pair.ours);
  loop->run_once();
  EXPECT_EQ(log, "r");  // FD-6

  loop->add_writer(pair.ours, [&] { log += 'w'; });
  loop->remove_reader(pair.ours);
  loop->run_once();
  EXPECT_EQ(log, "rw");
}

TEST_P(Descriptor, TheReaderComesBeforeTheWriter) {
  loop->add_writer(pair.ours, [&] { log += 'w'; });
  loop->add_reader(pair.ours, [&] { log += 'r'; });
  pair.send();

  loop->run_once();

  EXPECT_EQ(log, "rw");  // FD-7
}

TEST_P(Descriptor, AQueuedCallIsTakenBackWhenItsReaderIsRemoved) {
  loop->add_reader(pair.ours, [&] {
    log += 'r';
    loop->remove_writer(pair.ours);
  });
  loop->add_writer(pair.ours, [&] { log += 'w'; });
  pair.send();

  loop->run_once();

  EXPECT_EQ(log, "r");  // FD-3, ORD-42
}

TEST_P(Descriptor, AReaderMayRemoveItselfAndItsCallableLivesUntilItReturns) {
  auto shared = std::make_shared<int>(7);
  int seen = 0;
  loop->add_reader(pair.ours, [this, &seen, shared] {
    loop->remove_reader(pair.ours);
    seen = *shared;
  });
  pair.send();

  loop->run_once();
  loop->run_once();

  EXPECT_EQ(seen, 7);
  EXPECT_EQ(shared.use_count(), 1);
}

TEST_P(Descriptor, AReaderMayReplaceItself) {
  loop->add_reader(pair.ours, [this] {
    loop->add_reader(pair.ours, [this] { log += '2'; });
    log += '1';
  });
  pair.send();

  loop->run_once();
  loop->run_once();

  EXPECT_EQ(log, "12");
}

TEST_P(Descriptor, IoComesBeforeATimerOfTheSameTurn) {
  loop->call_later(0s, [&] { log += 't'; });
  loop->call_soon([&] { log += 'c'; });
  loop->add_reader(pair.ours, [&] { log += 'r'; });
  pair.send();

  loop->run_once();

  EXPECT_EQ(log, "crt");  // ORD-5, LOOP-8
}

TEST_P(Descriptor, ACallbackThatPostsItselfDoesNotStarveIo) {
  loop->set_strict_order(false);
  int posts = 0;
  Function<void()> again;
  again = [&] {
    ++posts;
    loop->call_soon([&] { again(); });
  };
  loop->call_soon([&] { again(); });
  loop->add_reader(pair.ours, [&] { loop->stop(); });
  pair.send();

  loop->run_forever();  // LOOP-2

  EXPECT_LE(posts, 62);
}

TEST_P(Descriptor, AHangUpIsReadable) {
  loop->add_reader(pair.ours, [&] { log += 'r'; });

  pair.close_peer();
  loop->run_once();

  EXPECT_EQ(log, "r");  // FD-8
}

TEST_P(Descriptor, AHangUpIsWritableToo) {
  // Fill the pipe, so that it is not writable for want of room.
  int both[2];
  ASSERT_EQ(::pipe2(both, O_NONBLOCK | O_CLOEXEC), 0);
  const std::string block(65536, 'x');
  while (::write(both[1], block.data(), block.size()) > 0) {
  }
  loop->add_writer(both[1], [&] { log += 'w'; });
  loop->run_once();
  EXPECT_EQ(log, "");

  ::close(both[0]);
  loop->run_once();

  EXPECT_EQ(log, "w");  // FD-8
  loop->remove_writer(both[1]);
  ::close(both[1]);
}

TEST_P(Descriptor, ANegativeOneIsAnError) {
  EXPECT_THROW(loop->add_reader(-1, [] {}), ValueError);  // FD-4
  EXPECT_THROW(loop->add_writer(-1, [] {}), ValueError);
}

TEST_P(Descriptor, AClosedOneIsASystemError) {
  const int fd = pair.ours;
  pair.close_ours();

  try {
    loop->add_reader(fd, [] {});
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EBADF);
    EXPECT_NE(std::string(error.what()).find("add_reader"), std::string::npos);
  }
  EXPECT_FALSE(loop->remove_reader(fd));
}

TEST_P(Descriptor, AnEmptyCallbackIsAnError) {
  EXPECT_THROW(loop->add_reader(pair.ours, nullptr), ValueError);
}

TEST_P(Descriptor, ATransportsCannotBeWatched) {
  loop->set_transport_fd(pair.ours, true);
  std::string text;
  try {
    loop->add_reader(pair.ours, [] {});
  } catch (const RuntimeError& error) {
    text = error.what();
  }
  EXPECT_NE(text.find("is used by transport"), std::string::npos);  // FD-5

  loop->set_transport_fd(pair.ours, false);
  EXPECT_NO_THROW(loop->add_reader(pair.ours, [] {}));
}

TEST_P(Descriptor, ARegularFileIsRefusedByEpollAndAlwaysReadyElsewhere) {
  char path[] = "/tmp/aster_descriptor_test_XXXXXX";
  const int file = ::mkstemp(path);
  ASSERT_GE(file, 0);
  ::unlink(path);

  if (GetParam() == Backend::epoll) {
    try {
      loop->add_reader(file, [] {});
      ADD_FAILURE();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), EPERM);  // FD-9
    }
  } else {
    loop->add_reader(file, [&] { log += 'r'; });
    loop->run_once();
    EXPECT_EQ(log, "r");
    loop->remove_reader(file);
  }
  ::close(file);
}

TEST_P(Descriptor, OneClosedWhileWatchedDoesNotHurt) {
  loop->add_reader(pair.ours, [&] { loop->remove_reader(pair.ours); });
  const int fd = pair.ours;
  pair.close_ours();

  loop->run_once();
  loop->run_once();
  loop->remove_reader(fd);

  Pair other;  // Likely the same number.
  loop->add_reader(other.ours, [&] { log += 'r'; });
  other.send();
  loop->run_once();
  EXPECT_EQ(log, "r");  // FD-11
  loop->remove_reader(other.ours);
}

TEST_P(Descriptor, AnExceptionOfAReaderIsReportedAndItGoesOn) {
  support::Reports reports(*loop);
  loop->add_reader(pair.ours, [&] { throw std::logic_error("oops"); });
  pair.send();

  loop->run_once();
  loop->run_once();

  EXPECT_EQ(reports.errors.size(), 2U);
  loop->remove_reader(pair.ours);
}

TEST_P(Descriptor, ABaseErrorOfAReaderLeavesTheLoop) {
  loop->add_reader(pair.ours, [&] { throw KeyboardInterrupt(); });
  pair.send();

  EXPECT_THROW(loop->run_forever(), KeyboardInterrupt);

  loop->remove_reader(pair.ours);
}

TEST_P(Descriptor, CallablesGoWithTheLoop) {
  auto shared = std::make_shared<int>(0);
  loop->add_reader(pair.ours, [shared] {});
  loop->add_writer(pair.ours, [shared] {});

  loop->close();

  EXPECT_EQ(shared.use_count(), 1);
}

TEST_P(Descriptor, AQueuedReaderIsDroppedByClose) {
  auto shared = std::make_shared<int>(0);
  loop->add_reader(pair.ours, [shared] { ADD_FAILURE(); });
  loop->add_writer(pair.ours, [] { throw KeyboardInterrupt(); });
  loop->call_soon([] { throw KeyboardInterrupt(); });
  pair.send();
  EXPECT_THROW(loop->run_once(), KeyboardInterrupt);  // The reader stays queued.

  loop->close();

  EXPECT_EQ(shared.use_count(), 1);
}

TEST_P(Descriptor, AReaderMayStopTheLoop) {
  loop->add_reader(pair.ours, [&] { loop->stop(); });
  loop->call_soon([&] { pair.send(); });

  loop->run_forever();

  loop->remove_reader(pair.ours);
}

TEST_P(Descriptor, ManyAreWatchedAtOnce) {
  std::vector<std::unique_ptr<Pair>> pairs;
  int reads = 0;
  for (int i = 0; i < 100; ++i) {
    pairs.push_back(std::make_unique<Pair>());
    const Pair& each = *pairs.back();
    loop->add_reader(each.ours, [&each, &reads] {
      each.receive();
      ++reads;
    });
    each.send();
  }

  for (int turn = 0; turn < 100 && reads < 100; ++turn) loop->run_once();

  EXPECT_EQ(reads, 100);
  for (const auto& each : pairs) loop->remove_reader(each->ours);
}

// Guest mode ----------------------------------------------------------------------------

using GuestMode = Descriptor;
ASTER_ON_EACH_BACKEND(GuestMode);

TEST_P(GuestMode, TheTimeoutIsZeroWhileSomethingIsReady) {
  EXPECT_EQ(loop->backend_timeout(), Duration::max());

  loop->call_soon([] {});
  EXPECT_EQ(loop->backend_timeout(), 0s);

  EXPECT_FALSE(loop->run_once());
  EXPECT_EQ(loop->backend_timeout(), Duration::max());
}

TEST_P(GuestMode, TheTimeoutIsTheTimeToTheNextTimer) {
  loop->call_later(1h, [] {});

  EXPECT_LE(loop->backend_timeout(), 1h);
  EXPECT_GT(loop->backend_timeout(), 59min);
}

TEST_P(GuestMode, ATimerInAFarPastIsDueNow) {
  loop->call_at(TimePoint::min(), [] {});

  EXPECT_EQ(loop->backend_timeout(), 0s);
}

TEST_P(GuestMode, RunOnceTellsWhetherThereIsMore) {
  loop->call_soon([&] { loop->call_soon([] {}); });

  EXPECT_TRUE(loop->run_once());
  EXPECT_FALSE(loop->run_once());
}

TEST_P(GuestMode, RunOnceWaitsAtMostTheLimit) {
  const auto start = std::chrono::steady_clock::now();

  loop->run_once(5ms);

  EXPECT_GE(std::chrono::steady_clock::now() - start, 5ms);
}

TEST_P(GuestMode, ItsDescriptorIsReadableWhenAReaderIsDue) {
  const int fd = loop->backend_fd();
  if (fd < 0) GTEST_SKIP() << "this back end has none";
  auto host = new_event_loop({.backend = Backend::poll});
  int calls = 0;
  host->add_reader(fd, [&] {
    ++calls;
    host->stop();
  });
  loop->add_reader(pair.ours, [] {});
  pair.send();

  host->run_forever();

  EXPECT_EQ(calls, 1);
  host->remove_reader(fd);
  host->close();
  loop->remove_reader(pair.ours);
}

}  // namespace
}  // namespace aster
