// SPDX-License-Identifier: MIT
// Cancelled operations, full disks, short writes, files that cannot be read, threads that end
// never.
#include "file/scratch.hpp"
#include "support/reports.hpp"

#include <aster/coro/outcome.hpp>
#include <aster/executor/thread_pool.hpp>
#include <aster/executor/to_thread.hpp>
#include <aster/file/file.hpp>
#include <aster/file/temporary.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/faults.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <latch>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace aster {
namespace {

using testing::Faults;
using ::testing::HasSubstr;
using testing::SysCall;

template <class Awaited>
Coroutine<std::string> error_of(Awaited awaited) {
  auto result = co_await outcome(std::move(awaited));
  co_return result.has_value() ? "no error" : describe(result.exception());
}

/// Keeps the jobs of a loop until they are let go.
class Gate {
 public:
  explicit Gate(EventLoop& loop)
      : pool_(std::make_shared<ThreadPoolExecutor>(ThreadPoolOptions{.max_workers = 1})) {
    loop.set_default_executor(pool_);
  }
  /// The next jobs wait behind this one.
  void close() {
    open_ = std::make_shared<std::latch>(1);
    (void)pool_->submit([gate = open_] { gate->wait(); });
  }
  void open() { open_->count_down(); }

 private:
  std::shared_ptr<ThreadPoolExecutor> pool_;
  std::shared_ptr<std::latch> open_;
};

/// Begins `operation` while no thread is free, and cancels it there; a thread does it all the same.
template <class T>
Coroutine<> cancel_behind(Gate& gate, Coroutine<T> operation) {
  gate.close();
  Task<T> task = create_task(std::move(operation));
  co_await yield_now();
  task.cancel();
  (void)co_await outcome(task);
  EXPECT_TRUE(task.cancelled());
  gate.open();
}

constexpr const char* no_space = "std::system_error: write /dev/full: No space left on device";

class FileFault : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    loop_.run_until_complete(body());
  }
  Scratch scratch_;
  EventLoop loop_;
};

// Cancelled -------------------------------------------------------------------------

TEST_F(FileFault, ACancelledWriteIsFinishedByItsThreadAndTheNextOneWaits) {
  Gate gate(loop_);
  OpenOptions options;
  options.buffering = 0;
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "w", options);
    gate.close();
    Task<std::size_t> first = create_task(f.write("first;"));
    Task<std::size_t> second = create_task(f.write("second;"));
    co_await yield_now();
    first.cancel();
    (void)co_await outcome(first);
    EXPECT_TRUE(first.cancelled());
    EXPECT_FALSE(second.done());

    gate.open();

    EXPECT_EQ(co_await second, 7U);
    co_await f.close();
    EXPECT_EQ(scratch_.content(), "first;second;");
  });
}

TEST_F(FileFault, AWriteThatIsCancelledBeforeItsTurnDoesNotHappen) {
  Gate gate(loop_);
  OpenOptions options;
  options.buffering = 0;
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "w", options);
    gate.close();
    Task<std::size_t> first = create_task(f.write("first;"));
    Task<std::size_t> second = create_task(f.write("second;"));
    co_await yield_now();
    second.cancel();
    gate.open();
    co_await first;
    co_await f.close();
    EXPECT_TRUE(second.cancelled());
    EXPECT_EQ(scratch_.content(), "first;");
  });
}

TEST_F(FileFault, ACancelledReadLosesNoBytes) {
  Gate gate(loop_);
  const std::string large(3 << 20, 'x');  // More than the loop's thread reads at once.
  const std::string path = scratch_.make(large + "end");
  run([&]() -> Coroutine<> {
    File f = co_await open(path);
    gate.close();
    Task<std::string> reading = create_task(f.read(large.size()));
    co_await yield_now();
    reading.cancel();
    gate.open();
    (void)co_await outcome(reading);
    EXPECT_TRUE(reading.cancelled());
    EXPECT_EQ(co_await f.tell(), 0);
    EXPECT_TRUE(co_await f.read() == large + "end");
    co_await f.close();
  });
}

TEST_F(FileFault, AnErrorOfACancelledWriteIsToldToTheNextOperation) {
  Gate gate(loop_);
  OpenOptions options;
  options.buffering = 0;
  run([&]() -> Coroutine<> {
    File f = co_await open("/dev/full", "w", options);
    co_await cancel_behind(gate, f.write("lost"));
    EXPECT_EQ(co_await error_of(f.tell()), no_space);
    EXPECT_EQ(co_await error_of(f.tell()), "no error");  // Once.
    co_await f.close();
  });
}

TEST_F(FileFault, AnErrorOfACancelledCloseIsToldByTheNextClose) {
  Gate gate(loop_);
  run([&]() -> Coroutine<> {
    File f = co_await open("/dev/full", "w");
    co_await f.write("lost");
    co_await cancel_behind(gate, f.close());
    EXPECT_TRUE(f.closed());
    EXPECT_EQ(co_await error_of(f.close()), no_space);
    EXPECT_EQ(co_await error_of(f.close()), "no error");  // Once.
  });
}

TEST_F(FileFault, AnErrorOfACancelledCloseThatNobodyAsksForIsLogged) {
  const support::Logged logged;
  Gate gate(loop_);
  run([&]() -> Coroutine<> {
    File f = co_await open("/dev/full", "w");
    co_await f.write("lost");
    co_await cancel_behind(gate, f.close());
  });
  loop_.run_until_complete(loop_.shutdown_default_executor());
  EXPECT_EQ(logged.text(),
            "unclosed file: std::system_error: write /dev/full: No space left on device\n");
}

TEST_F(FileFault, OfTwoErrorsOfACloseTheFormerIsToldFirst) {
  Gate gate(loop_);
  OpenOptions options;
  options.buffering = 4;
  run([&]() -> Coroutine<> {
    File f = co_await open("/dev/full", "w", options);
    co_await f.write("abc");
    co_await cancel_behind(gate, f.write("cancelled"));
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(co_await error_of(f.close()), no_space);
    }
    EXPECT_EQ(co_await error_of(f.close()), "no error");
  });
}

TEST_F(FileFault, AnErrorOfACancelledWriteOutlivesACancelledClose) {
  Gate gate(loop_);
  OpenOptions options;
  options.buffering = 4;
  run([&]() -> Coroutine<> {
    File f = co_await open("/dev/full", "w", options);
    co_await cancel_behind(gate, f.write("cancelled"));
    co_await to_thread([] {});  // Behind it: there is one thread.
    co_await cancel_behind(gate, f.close());
    EXPECT_EQ(co_await error_of(f.close()), no_space);
    EXPECT_EQ(co_await error_of(f.close()), "no error");
  });
}

TEST_F(FileFault, AFileThatIsDroppedBeforeAWriteBeginsIsWrittenAllTheSame) {
  run([&]() -> Coroutine<> {
    Task<std::size_t> writing;
    {
      File f = co_await open(scratch_.path(), "w");
      writing = create_task(f.write("later"));
    }
    EXPECT_EQ(co_await writing, 5U);
  });
  EXPECT_EQ(scratch_.content(), "later");
}

TEST_F(FileFault, WhatWasReadAheadOfAPipeIsNotLostByAWrite) {
  ASSERT_EQ(::mkfifo(scratch_.path("pipe").c_str(), 0600), 0);
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path("pipe"), "r+");
    co_await f.write("one\ntwo\n");
    co_await f.flush();
    EXPECT_EQ(co_await f.readline(), "one\n");
    co_await f.write("three\n");
    co_await f.flush();
    EXPECT_EQ(co_await f.readline(), "two\n");
    EXPECT_EQ(co_await f.readline(), "three\n");
    co_await f.close();
  });
}

TEST_F(FileFault, AnExceptionHandlerThatThrowsDoesNotEndADestructor) {
  const support::Logged logged;
  loop_.set_exception_handler([](EventLoop&, const ExceptionContext&) { throw SystemExit(3); });
  run([&]() -> Coroutine<> {
    File f = co_await open("/dev/full", "w");
    co_await f.write("lost");
  });
  EXPECT_TRUE(logged.contains("unclosed file"));
}

TEST_F(FileFault, AFileThatIsDroppedWhileAThreadIsAtItIsClosedByThatThread) {
  auto pool = std::make_shared<ThreadPoolExecutor>(ThreadPoolOptions{.max_workers = 1});
  loop_.set_default_executor(pool);
  auto gate = std::make_shared<std::latch>(1);
  int fd = -1;
  run([&]() -> Coroutine<> {
    OpenOptions options;
    options.buffering = 4;
    File f = co_await open(scratch_.path(), "w", options);
    co_await f.write("abc");
    fd = f.fileno();
    (void)pool->submit([gate] { gate->wait(); });
    Task<std::size_t> writing = create_task(f.write("defghi"));
    co_await yield_now();
    writing.cancel();
    (void)co_await outcome(writing);
  });
  EXPECT_NE(::fcntl(fd, F_GETFD), -1);

  gate->count_down();
  loop_.close();
  pool->shutdown();

  EXPECT_EQ(scratch_.content(), "abcdefghi");
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_F(FileFault, OpeningThatIsCancelledLeavesNoDescriptor) {
  Gate gate(loop_);
  const std::string path = scratch_.make("x");
  const int before = ::dup(0);
  ::close(before);
  run([&]() -> Coroutine<> {
    gate.close();
    Task<File> opening = create_task(open(path, "r+"));
    co_await yield_now();
    opening.cancel();
    gate.open();
    (void)co_await outcome(opening);
    EXPECT_TRUE(opening.cancelled());
  });
  loop_.run_until_complete(loop_.shutdown_default_executor());
  loop_.run_once();

  const int after = ::dup(0);
  ::close(after);
  EXPECT_EQ(after, before);
}

TEST_F(FileFault, MakingADirectoryThatIsCancelledLeavesNone) {
  Gate gate(loop_);
  run([&]() -> Coroutine<> {
    gate.close();
    const std::string dir = scratch_.path("");
    TemporaryOptions options;
    options.dir = dir;
    Task<std::string> making = create_task(mkdtemp(options));
    co_await yield_now();
    making.cancel();
    gate.open();
    (void)co_await outcome(making);
    EXPECT_TRUE(making.cancelled());
  });
  loop_.run_until_complete(loop_.shutdown_default_executor());
  EXPECT_TRUE(std::filesystem::is_empty(scratch_.path("")));
}

// Full disks ------------------------------------------------------------------------

TEST_F(FileFault, AFullDeviceIsATypedErrorOfWriteFlushAndClose) {
  run([&]() -> Coroutine<> {
    File f = co_await open("/dev/full", "w");
    co_await f.write("x");
    EXPECT_EQ(co_await error_of(f.flush()),
              "std::system_error: write /dev/full: No space left on device");
    EXPECT_EQ(co_await error_of(f.write(std::string(100'000, 'y'))),
              "std::system_error: write /dev/full: No space left on device");
    EXPECT_EQ(co_await error_of(f.close()),
              "std::system_error: write /dev/full: No space left on device");
    EXPECT_TRUE(f.closed());
    co_await f.close();  // It is closed, and said so.
  });
}

TEST_F(FileFault, OnAFullDiskNothingIsHalfReported) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", scratch_.path("").c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "no small file system can be mounted here";
  }
  run([&]() -> Coroutine<> {
    OpenOptions options;
    options.buffering = 1024;
    File f = co_await open(scratch_.path(), "w", options);
    const std::string piece(1000, 'p');
    std::size_t accepted = 0;
    std::string error = "no error";
    while (error == "no error" && accepted < 200'000) {
      error = co_await error_of(f.write(piece));
      if (error == "no error") accepted += piece.size();
    }
    EXPECT_THAT(error, HasSubstr("std::system_error: write " + scratch_.path()));
    EXPECT_THAT(error, HasSubstr("No space left on device"));
    // What was accepted is in the file or waits to be written; what was refused is not.
    EXPECT_EQ(co_await f.tell(), static_cast<std::int64_t>(accepted));
    EXPECT_EQ(scratch_.content(), std::string(std::size_t{64} * 1024, 'p'));

    File other = co_await open(scratch_.path("second"), "w");
    EXPECT_EQ(co_await error_of(other.write(std::string(100'000, 'q'))),
              "std::system_error: write " + scratch_.path("second") + ": No space left on device");
    co_await other.close();

    EXPECT_EQ(::truncate(scratch_.path().c_str(), 0), 0);  // Room again.
    co_await f.close();
    EXPECT_EQ(scratch_.content().size(), accepted);
  });
  ::umount(scratch_.path("").c_str());
}

TEST_F(FileFault, ALargeWriteThatFailsHalfWaySaysHowFarItCame) {
  if (!Faults::is_available()) GTEST_SKIP() << "the library is built without fault injection";
  Faults faults;
  run([&]() -> Coroutine<> {
    OpenOptions options;
    options.buffering = 0;
    File f = co_await open(scratch_.path(), "w", options);
    faults.shorten(SysCall::write, {.max = 1000, .times = 1, .fd = f.fileno()});
    faults.fail(SysCall::write, {.nth = 2, .error = ENOSPC, .fd = f.fileno()});
    EXPECT_EQ(co_await error_of(f.write(std::string(5000, 'x'))),
              "std::system_error: write " + scratch_.path() +
                  " (1000 of 5000 bytes were written): No space left on device");
    EXPECT_EQ(co_await f.tell(), 1000);
    co_await f.close();
  });
  EXPECT_EQ(scratch_.content().size(), 1000U);
}

TEST_F(FileFault, AnUnwrittenRestIsTriedAgain) {
  if (!Faults::is_available()) GTEST_SKIP() << "the library is built without fault injection";
  Faults faults;
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "w");
    co_await f.write("0123456789");
    faults.shorten(SysCall::write, {.max = 3, .times = 1, .fd = f.fileno()});
    faults.fail(SysCall::write, {.nth = 2, .error = ENOSPC, .fd = f.fileno()});
    EXPECT_THAT(co_await error_of(f.flush()), HasSubstr("3 of 10 bytes were written"));
    EXPECT_EQ(co_await f.tell(), 10);
    co_await f.flush();
    EXPECT_EQ(scratch_.content(), "0123456789");
    co_await f.close();
  });
}

// Short and failing calls -----------------------------------------------------------

TEST_F(FileFault, ShortReadsAndWritesAreContinued) {
  if (!Faults::is_available()) GTEST_SKIP() << "the library is built without fault injection";
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += "line " + std::to_string(i) + "\n";
  Faults faults;
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "w+");
    faults.shorten(SysCall::write, {.max = 7, .fd = f.fileno()});
    faults.shorten(SysCall::read, {.max = 5, .fd = f.fileno()});
    co_await f.write(bytes);
    co_await f.flush();
    co_await f.seek(0);
    EXPECT_TRUE(co_await f.read() == bytes);
    co_await f.seek(0);
    EXPECT_EQ(co_await f.read(100), bytes.substr(0, 100));
    const std::vector<std::string> lines = co_await f.readlines();
    EXPECT_EQ(lines.back(), "line 299\n");
    co_await f.close();
  });
}

TEST_F(FileFault, SignalsInterruptNothing) {
  if (!Faults::is_available()) GTEST_SKIP() << "the library is built without fault injection";
  Faults faults;
  faults.fail(SysCall::open, {.times = 3, .error = EINTR});
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "w+");
    for (const SysCall call : {SysCall::read, SysCall::write, SysCall::fsync}) {
      faults.fail(call, {.times = 3, .error = EINTR, .fd = f.fileno()});
    }
    co_await f.write("abc");
    co_await f.fsync();
    co_await f.seek(0);
    EXPECT_EQ(co_await f.read(), "abc");
    co_await f.close();
  });
}

TEST_F(FileFault, AReadErrorIsThrownAndTheFileGoesOn) {
  if (!Faults::is_available()) GTEST_SKIP() << "the library is built without fault injection";
  const std::string path = scratch_.make("abc");
  Faults faults;
  run([&]() -> Coroutine<> {
    File f = co_await open(path);
    faults.fail(SysCall::read, {.error = EIO, .fd = f.fileno()});
    EXPECT_EQ(co_await error_of(f.read()),
              "std::system_error: read " + path + ": Input/output error");
    EXPECT_EQ(co_await f.read(), "abc");
    co_await f.close();
  });
}

TEST_F(FileFault, WithoutTheSystemsHelpThreadsReadEverything) {
  if (!Faults::is_available()) GTEST_SKIP() << "the library is built without fault injection";
  const std::string path = scratch_.make("one\ntwo\n");
  Faults faults;
  run([&]() -> Coroutine<> {
    File f = co_await open(path);
    faults.fail(SysCall::read, {.error = EOPNOTSUPP, .fd = f.fileno()});
    EXPECT_EQ(co_await f.readline(), "one\n");
    EXPECT_EQ(co_await f.read(), "two\n");
    co_await f.close();
    File g = co_await open(path);
    faults.fail(SysCall::read, {.error = EAGAIN, .fd = g.fileno()});
    EXPECT_EQ(co_await g.read(), "one\ntwo\n");
    co_await g.close();
  });
}

TEST_F(FileFault, APipeIsOpenedByAThreadAndDoesNotKeepTheLoop) {
  const std::string path = scratch_.path("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  run([&]() -> Coroutine<> {
    Task<File> reading = create_task(open(path));  // Waits for a writer.
    co_await yield_now();
    EXPECT_FALSE(reading.done());
    File writer = co_await open(path, "w");
    File reader = co_await std::move(reading);
    co_await writer.write("through\n");
    co_await writer.flush();
    EXPECT_EQ(co_await reader.read(8), "through\n");
    EXPECT_THAT(co_await error_of(reader.tell()), HasSubstr("Illegal seek"));
    co_await writer.close();
    EXPECT_EQ(co_await reader.readline(), std::nullopt);
    co_await reader.close();
  });
}

TEST_F(FileFault, CloseReportsItsErrorAndIsDone) {
  if (!Faults::is_available()) GTEST_SKIP() << "the library is built without fault injection";
  Faults faults;
  run([&]() -> Coroutine<> {
    File f = co_await open(scratch_.path(), "w");
    faults.fail(SysCall::close, {.error = EIO, .fd = f.fileno()});
    EXPECT_EQ(co_await error_of(f.close()),
              "std::system_error: close " + scratch_.path() + ": Input/output error");
    EXPECT_TRUE(f.closed());
  });
}

TEST_F(FileFault, AnUnclosedFileThatCannotBeWrittenIsReported) {
  std::vector<std::string> reports;
  loop_.set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
    reports.push_back(context.message + ": " + describe(context.exception));
  });
  run([&]() -> Coroutine<> {
    File f = co_await open("/dev/full", "w");
    co_await f.write("x");
  });
  EXPECT_EQ(reports, std::vector<std::string>{
                         "unclosed file /dev/full: std::system_error: write /dev/full: No space "
                         "left on device"});
}

TEST_F(FileFault, AFileThatMayNotBeReadIsATypedError) {
  if (::geteuid() == 0) {
    if (!Faults::is_available()) GTEST_SKIP() << "root may read everything";
    Faults faults;
    faults.fail(SysCall::open, {.times = testing::always, .error = EACCES});
    run([&]() -> Coroutine<> {
      EXPECT_EQ(co_await error_of(open("/etc/hostname")),
                "std::system_error: open /etc/hostname: Permission denied");
    });
    return;
  }
  const std::string path = scratch_.make("secret");
  ::chmod(path.c_str(), 0);
  run([&]() -> Coroutine<> {
    EXPECT_EQ(co_await error_of(open(path)),
              "std::system_error: open " + path + ": Permission denied");
  });
}

TEST_F(FileFault, OperationsFailWhenTheExecutorIsGone) {  // EXE-7
  const std::string path = scratch_.make("x");
  run([&]() -> Coroutine<> {
    File f = co_await open(path, "r+");
    co_await f.write("y");
    co_await loop_.shutdown_default_executor();
    EXPECT_THAT(co_await error_of(f.flush()), HasSubstr("Executor shutdown has been called"));
    EXPECT_THAT(co_await error_of(open(path, "w")), HasSubstr("Executor shutdown has been called"));
  });
  EXPECT_EQ(scratch_.content(), "y");  // Dropped, it was written here.
}

}  // namespace
}  // namespace aster
