// SPDX-License-Identifier: MIT
#include "file/scratch.hpp"

#include <aster/base/log.hpp>
#include <aster/coro/async_iteration.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/coro/with.hpp>
#include <aster/executor/thread_pool.hpp>
#include <aster/file/file.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/wait.hpp>
#include <aster/task/gather.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace aster {
namespace {

using ::testing::HasSubstr;

/// Each case on a real loop with threads and on the simulated one, which has none.
class FileTest : public ::testing::TestWithParam<bool> {
 protected:
  FileTest()
      : loop_(GetParam() ? std::make_unique<testing::SimLoop>() : std::make_unique<EventLoop>()) {}

  template <class Body>
  void run(Body body) {
    loop_->run_until_complete(body());
  }

  Scratch scratch_;
  std::unique_ptr<EventLoop> loop_;
};

INSTANTIATE_TEST_SUITE_P(Loops, FileTest, ::testing::Values(false, true),
                         [](const auto& each) { return each.param ? "Simulated" : "Real"; });

TEST_P(FileTest, ReadsAllOrAsMuchAsAsked) {
  const std::string path = scratch_.make("hello world");
  run([&]() -> Coroutine<> {
    File f = co_await open(path);
    EXPECT_EQ(co_await f.read(5), "hello");
    EXPECT_EQ(co_await f.read(0), "");
    EXPECT_EQ(co_await f.read(), " world");
    EXPECT_EQ(co_await f.read(), "");
    EXPECT_EQ(co_await f.read(5), "");
    co_await f.close();
  });
}

TEST_P(FileTest, ReadsLinesWithTheirNewlines) {
  const std::string path = scratch_.make("one\n\nthree\nlast");
  run([&]() -> Coroutine<> {
    File f = co_await open(path, "r");
    std::vector<std::string> lines;
    while (auto line = co_await f.readline()) lines.push_back(*line);
    EXPECT_EQ(lines, (std::vector<std::string>{"one\n", "\n", "three\n", "last"}));
    EXPECT_EQ(co_await f.readline(), std::nullopt);
    co_await f.seek(0);
    EXPECT_EQ(co_await f.readlines(), lines);
    co_await f.close();
  });
}

TEST_P(FileTest, IsIteratedByLines) {
  const std::string path = scratch_.make("a\nb\n");
  run([&]() -> Coroutine<> {
    File f = co_await open(path);
    std::string all;
    co_await for_each(f, [&](const std::string& line) { all += line + "|"; });
    EXPECT_EQ(all, "a\n|b\n|");
    co_await f.close();
  });
}

TEST_P(FileTest, LinesLongerThanTheBufferAreWhole) {
  const std::string long_line = std::string(1000, 'l') + "\n";
  const std::string path = scratch_.make(long_line + "short\n" + long_line);
  run([&]() -> Coroutine<> {
    for (const std::size_t buffering : {std::size_t{0}, std::size_t{7}, std::size_t{4096}}) {
      OpenOptions options;
      options.buffering = buffering;
      File f = co_await open(path, "r", options);
      EXPECT_EQ(co_await f.readline(), long_line);
      EXPECT_EQ(co_await f.readline(), "short\n");
      EXPECT_EQ(co_await f.tell(), 1007);
      EXPECT_EQ(co_await f.read(3), "lll");
      EXPECT_EQ(co_await f.readline(), long_line.substr(3));
      EXPECT_EQ(co_await f.readline(), std::nullopt);
      co_await f.close();
    }
  });
}

TEST_P(FileTest, ReadsLargeFilesInAnyPieces) {
  std::string bytes;
  for (int i = 0; i < 400'000; ++i) bytes += static_cast<char>('a' + i % 26);
  const std::string path = scratch_.make(bytes);
  run([&]() -> Coroutine<> {
    File f = co_await open(path);
    EXPECT_TRUE(co_await f.read() == bytes);
    for (const std::size_t size : {std::size_t{1000}, std::size_t{65536}, std::size_t{300'000}}) {
      co_await f.seek(0);
      std::string got;
      for (;;) {
        std::string piece = co_await f.read(size);
        if (piece.empty()) break;
        got += piece;
      }
      EXPECT_TRUE(got == bytes) << size;
    }
    co_await f.close();
  });
}

TEST_P(FileTest, ReadsIntoABuffer) {
  const std::string bytes(100'000, 'q');
  const std::string path = scratch_.make(bytes + "end");
  run([&]() -> Coroutine<> {
    File f = co_await open(path);
    std::string buffer(70'000, ' ');
    EXPECT_EQ(co_await f.read(1), "q");
    EXPECT_EQ(co_await f.readinto(buffer), 70'000U);
    EXPECT_EQ(co_await f.readinto(buffer), 30'002U);
    EXPECT_EQ(buffer.substr(29'999, 3), "end");
    EXPECT_EQ(co_await f.readinto(buffer), 0U);
    co_await f.close();
  });
}

TEST_P(FileTest, WritesAndFlushes) {
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "w");
    EXPECT_EQ(co_await f.write("abc"), 3U);
    EXPECT_EQ(co_await f.tell(), 3);
    EXPECT_EQ(scratch_.content(), "");  // In the buffer.
    co_await f.flush();
    EXPECT_EQ(scratch_.content(), "abc");
    std::vector<std::string> lines{"d\n", "e\n"};
    co_await f.writelines(std::move(lines));
    co_await f.fsync();
    EXPECT_EQ(scratch_.content(), "abcd\ne\n");
    const std::string large(200'000, 'L');
    EXPECT_EQ(co_await f.write("f"), 1U);
    EXPECT_EQ(co_await f.write(large), large.size());
    co_await f.close();
    EXPECT_TRUE(scratch_.content() == "abcd\ne\nf" + large);
  });
}

TEST_P(FileTest, ModesDoAsInPython) {
  run([&]() -> Coroutine<> {
    scratch_.make("old");
    File a = co_await open(scratch_.path(), "a+");
    EXPECT_EQ(co_await a.tell(), 3);
    co_await a.write("+new");
    co_await a.seek(0);
    EXPECT_EQ(co_await a.read(), "old+new");
    co_await a.seek(0);
    co_await a.write("!");
    EXPECT_EQ(co_await a.tell(), 1);  // As Python's: where it goes is known when it is written.
    co_await a.flush();
    EXPECT_EQ(co_await a.tell(), 8);
    co_await a.close();
    EXPECT_EQ(scratch_.content(), "old+new!");

    File w = co_await open(scratch_.path(), "wb");
    co_await w.close();
    EXPECT_EQ(scratch_.content(), "");

    auto exists = open(scratch_.path(), "x");
    Outcome<File> refused = co_await outcome(std::move(exists));
    EXPECT_THROW((void)refused.value(), std::system_error);
    File x = co_await open(scratch_.path("other"), "xb");
    EXPECT_EQ(x.mode(), "xb");
    EXPECT_EQ(x.name(), scratch_.path("other"));
    co_await x.close();
  });
}

TEST_P(FileTest, ReadsAndWritesTakeTurnsInOneFile) {
  scratch_.make("0123456789");
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "r+");
    EXPECT_EQ(co_await f.read(2), "01");
    co_await f.write("ab");
    EXPECT_EQ(co_await f.tell(), 4);
    EXPECT_EQ(co_await f.read(2), "45");
    co_await f.write("c");
    EXPECT_EQ(co_await f.seek(-1, SEEK_CUR), 6);
    EXPECT_EQ(co_await f.read(1), "c");
    EXPECT_EQ(co_await f.seek(-2, SEEK_END), 8);
    EXPECT_EQ(co_await f.read(), "89");
    EXPECT_EQ(co_await f.truncate(5), 5);
    co_await f.close();
    EXPECT_EQ(scratch_.content(), "01ab4");
  });
}

TEST_P(FileTest, SeeksInsideAndOutsideTheBuffer) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i % 251);
  const std::string path = scratch_.make(bytes);
  run([&]() -> Coroutine<> {
    OpenOptions options;
    options.buffering = 64;
    File f = co_await open(path, "r", options);
    for (const int at : {0, 10, 63, 64, 5, 900, 899, 930, 200, 0}) {
      EXPECT_EQ(co_await f.seek(at), at);
      EXPECT_EQ(co_await f.read(3), bytes.substr(static_cast<std::size_t>(at), 3)) << at;
      EXPECT_EQ(co_await f.tell(), at + 3);
    }
    co_await f.close();
  });
}

TEST_P(FileTest, TruncatesToThePresentPlace) {
  scratch_.make("0123456789");
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "r+");
    EXPECT_EQ(co_await f.read(4), "0123");
    EXPECT_EQ(co_await f.truncate(), 4);
    EXPECT_EQ(co_await f.truncate(6), 6);
    EXPECT_EQ(co_await f.tell(), 4);
    EXPECT_EQ(co_await f.read(), std::string(2, '\0'));
    co_await f.close();
  });
}

TEST_P(FileTest, SeesWhatOthersAppend) {
  const std::string path = scratch_.make("one\n");
  run([&]() -> Coroutine<> {
    File f = co_await open(path);
    EXPECT_EQ(co_await f.readline(), "one\n");
    EXPECT_EQ(co_await f.readline(), std::nullopt);
    File other = co_await open(path, "a");
    co_await other.write("two\n");
    co_await other.close();
    EXPECT_EQ(co_await f.readline(), "two\n");
    co_await f.close();
  });
}

TEST_P(FileTest, InvalidModesAreNamed) {
  run([&]() -> Coroutine<> {
    for (const char* mode : {"", "q", "rw", "rr", "r++", "U", "b", "+", "rbt", "wx"}) {
      auto opening = open(scratch_.path(), mode);
      Outcome<File> opened = co_await outcome(std::move(opening));
      try {
        (void)opened.value();
        ADD_FAILURE() << mode;
      } catch (const ValueError& e) {
        EXPECT_THAT(e.what(), HasSubstr("'" + std::string(mode) + "'"));
      }
    }
    EXPECT_EQ(::access(scratch_.path().c_str(), F_OK), -1);
  });
}

template <class Awaited>
Coroutine<std::string> error_of(Awaited awaited) {
  auto result = co_await outcome(std::move(awaited));
  co_return result.has_value() ? "no error" : describe(result.exception());
}

TEST_P(FileTest, ErrorsNameTheCallAndThePath) {  // EX-11
  run([&]() -> Coroutine<> {
    const std::string missing = scratch_.path("missing");
    EXPECT_EQ(co_await error_of(open(missing)),
              "std::system_error: open " + missing + ": No such file or directory");
    EXPECT_EQ(co_await error_of(open(scratch_.path(""))),
              "std::system_error: open " + scratch_.path("") + ": Is a directory");
    EXPECT_THAT(co_await error_of(open(std::string_view("a\0b", 3))),
                HasSubstr("aster::ValueError: open: a path with a NUL"));
    File f = co_await open(scratch_.make("x"));
    EXPECT_EQ(co_await error_of(f.write("y")),
              "aster::ValueError: write " + scratch_.path() + ": not open for writing (mode 'r')");
    EXPECT_EQ(co_await error_of(f.truncate()), "aster::ValueError: truncate " + scratch_.path() +
                                                   ": not open for writing (mode 'r')");
    EXPECT_EQ(co_await error_of(f.seek(-1)),
              "std::system_error: seek " + scratch_.path() + ": Invalid argument");
    EXPECT_EQ(co_await error_of(f.seek(0, 7)), "aster::ValueError: seek " + scratch_.path() +
                                                   ": invalid whence (7, should be 0, 1 or 2)");
    EXPECT_EQ(co_await f.read(), "x");  // None of this has moved it.
    co_await f.close();
    co_await f.close();
    EXPECT_TRUE(f.closed());
    EXPECT_EQ(co_await error_of(f.read()),
              "aster::ValueError: read " + scratch_.path() + ": I/O operation on closed file");
    EXPECT_THROW((void)f.fileno(), ValueError);
    File w = co_await open(scratch_.path(), "w");
    EXPECT_EQ(co_await error_of(w.read()),
              "aster::ValueError: read " + scratch_.path() + ": not open for reading (mode 'w')");
    co_await w.close();
  });
}

TEST_P(FileTest, IsAContextManager) {
  run([&]() -> Coroutine<> {
    auto opening = open(scratch_.path(), "w");
    File f = co_await std::move(opening);
    auto body = [](File& file) -> Coroutine<int> {
      co_await file.write("inside");
      co_return 7;
    };
    EXPECT_EQ(co_await with(f, body), 7);
    EXPECT_TRUE(f.closed());
    EXPECT_EQ(scratch_.content(), "inside");
  });
}

TEST_P(FileTest, TasksShareAFileInTheOrderOfTheirAwaits) {
  run([&]() -> Coroutine<> {
    OpenOptions options;
    options.buffering = 0;
    File f = co_await open(scratch_.path(), "w", options);
    std::vector<Task<std::size_t>> tasks;
    std::string expected;
    for (int i = 0; i < 20; ++i) {
      const std::string text = std::to_string(i) + "\n";
      tasks.push_back(create_task(f.write(text)));
      expected += text;
    }
    auto waiting = wait(std::move(tasks));
    co_await std::move(waiting);
    co_await f.close();
    EXPECT_EQ(scratch_.content(), expected);
  });
}

TEST_P(FileTest, DroppedUnclosedItIsWrittenAndClosed) {
  int fd = -1;
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "w");
    co_await f.write("kept");
    fd = f;  // As sendfile takes it.
  });
  EXPECT_EQ(scratch_.content(), "kept");
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_P(FileTest, PermissionsAndCloseOnExec) {
  run([&]() -> Coroutine<> {
    OpenOptions options;
    options.permissions = 0600;
    File f = co_await open(scratch_.path(), "w", options);
    struct ::stat status{};
    EXPECT_EQ(::fstat(f.fileno(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_NE(::fcntl(f.fileno(), F_GETFD) & FD_CLOEXEC, 0);
    co_await f.close();
  });
}

TEST(File, LinesThatAreThereCostNoThread) {
  Scratch scratch;
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += "a line of text\n";
  const std::string path = scratch.make(bytes);
  EventLoop loop;
  auto pool = std::make_shared<ThreadPoolExecutor>(ThreadPoolOptions{.max_workers = 1});
  loop.set_default_executor(pool);
  int lines = 0;
  auto reads = [&]() -> Coroutine<> {
    File f = co_await open(path);
    (void)co_await f.read();  // Now the system has all of it.
    co_await f.seek(0);
    pool->shutdown();  // From here on there are no threads.
    while (auto line = co_await f.readline()) ++lines;
    co_await f.close();
  };

  try {
    loop.run_until_complete(reads());
  } catch (const RuntimeError&) {
    GTEST_SKIP() << "this file system cannot tell what it has in memory";
  }

  EXPECT_EQ(lines, 100'000);
}

TEST(File, OthersHaveTheirTurnWhileLinesAreRead) {
  Scratch scratch;
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += "a line of text\n";
  const std::string path = scratch.make(bytes);
  EventLoop loop;
  int turns = 0;
  bool done = false;
  auto reads = [&]() -> Coroutine<> {
    File f = co_await open(path);
    while (auto line = co_await f.readline()) {
    }
    co_await f.close();
    done = true;
  };
  auto counts = [&]() -> Coroutine<> {
    while (!done) {
      ++turns;
      co_await sleep(std::chrono::seconds(0));
    }
  };
  auto both = [&]() -> Coroutine<> {
    auto all = gather(reads(), counts());
    co_await std::move(all);
  };

  loop.run_until_complete(both());

  EXPECT_GE(turns, 5);  // 1.5 MB, a turn each 256 KiB.
}

TEST(File, AnUnclosedOneIsWarnedOfInDebugMode) {
  static std::string messages;
  messages.clear();
  set_log_hook([](LogLevel, std::string_view text) noexcept { messages += text; });
  Scratch scratch;
  const std::string path = scratch.make("x");
  EventLoop loop;
  loop.set_debug(true);
  auto drops = [&]() -> Coroutine<> {
    File f = co_await open(path);
    File moved = std::move(f);
  };

  loop.run_until_complete(drops());
  set_log_hook(nullptr);

  EXPECT_THAT(messages, HasSubstr("unclosed file " + path + "\n  opened at: "));
  EXPECT_THAT(messages, HasSubstr("file_test.cpp:"));
}

}  // namespace
}  // namespace aster
