// SPDX-License-Identifier: MIT
#include "file/scratch.hpp"

#include <aster/coro/outcome.hpp>
#include <aster/coro/with.hpp>
#include <aster/file/file.hpp>
#include <aster/file/file_system.hpp>
#include <aster/file/temporary.hpp>
#include <aster/loop/event_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>

#include <unistd.h>

namespace aster {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

template <class Awaited>
Coroutine<std::string> error_of(Awaited awaited) {
  auto result = co_await outcome(std::move(awaited));
  co_return result.has_value() ? "no error" : describe(result.exception());
}

class FileSystem : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    loop_.run_until_complete(body());
  }
  Scratch scratch_;
  EventLoop loop_;
};

TEST_F(FileSystem, StatTellsWhatAFileIs) {
  const std::string path = scratch_.make("12345");
  ASSERT_EQ(::symlink(path.c_str(), scratch_.path("link").c_str()), 0);
  run([&]() -> Coroutine<> {
    FileStatus status = co_await aster::stat(path);
    EXPECT_EQ(status.size, 5);
    EXPECT_TRUE(status.is_file());
    EXPECT_FALSE(status.is_dir());
    EXPECT_EQ(status.link_count, 1U);
    EXPECT_EQ(status.owner, ::getuid());
    EXPECT_LT(std::chrono::system_clock::now() - status.modified, std::chrono::hours(1));
    EXPECT_TRUE((co_await aster::stat(scratch_.path(""))).is_dir());
    EXPECT_TRUE((co_await aster::stat(scratch_.path("link"))).is_file());
    StatOptions of_link;
    of_link.follow_symlinks = false;
    EXPECT_TRUE((co_await aster::stat(scratch_.path("link"), of_link)).is_symlink());
  });
}

TEST_F(FileSystem, MakesListsRenamesAndRemoves) {
  run([&]() -> Coroutine<> {
    const std::string dir = scratch_.path("dir");
    co_await mkdir(dir, 0750);
    EXPECT_EQ((co_await aster::stat(dir)).mode & 0777U, 0750U);
    scratch_.make("a", "dir/a");
    scratch_.make("b", "dir/b");
    EXPECT_THAT(co_await listdir(dir), UnorderedElementsAre("a", "b"));
    co_await aster::rename(dir + "/a", dir + "/c");
    co_await aster::remove(dir + "/b");
    EXPECT_THAT(co_await listdir(dir), UnorderedElementsAre("c"));
    EXPECT_THAT(co_await error_of(rmdir(dir)), HasSubstr("rmdir " + dir + ": "));
    co_await aster::remove(dir + "/c");
    co_await rmdir(dir);
    EXPECT_THAT(co_await listdir(scratch_.path("")), UnorderedElementsAre());
  });
}

TEST_F(FileSystem, ErrorsNameTheCallAndThePaths) {  // EX-11
  run([&]() -> Coroutine<> {
    const std::string missing = scratch_.path("missing");
    const std::string reason = ": No such file or directory";
    EXPECT_EQ(co_await error_of(aster::stat(missing)),
              "std::system_error: stat " + missing + reason);
    EXPECT_EQ(co_await error_of(aster::remove(missing)),
              "std::system_error: remove " + missing + reason);
    EXPECT_EQ(co_await error_of(aster::rename(missing, "x")),
              "std::system_error: rename " + missing + " -> x" + reason);
    EXPECT_EQ(co_await error_of(listdir(missing)),
              "std::system_error: listdir " + missing + reason);
    EXPECT_EQ(co_await error_of(rmdir(missing)), "std::system_error: rmdir " + missing + reason);
    EXPECT_EQ(co_await error_of(mkdir(scratch_.path("a/b"))),
              "std::system_error: mkdir " + scratch_.path("a/b") + reason);
    EXPECT_THAT(co_await error_of(aster::remove(std::string_view("a\0b", 3))),
                StartsWith("aster::ValueError: remove: a path with a NUL"));
  });
}

TEST_F(FileSystem, TemporaryFilesAreGoneWithTheirEnd) {
  run([&]() -> Coroutine<> {
    const std::string dir = scratch_.path("");
    TemporaryOptions options;
    options.dir = dir;
    options.suffix = ".log";
    options.prefix = "run-";
    File named = co_await NamedTemporaryFile(options);
    EXPECT_THAT(named.name(), StartsWith(dir + "/run-"));
    EXPECT_TRUE(named.name().ends_with(".log"));
    FileStatus status = co_await aster::stat(named.name());
    EXPECT_EQ(status.mode & 0777U, 0600U);
    co_await named.write("x");
    co_await named.seek(0);
    EXPECT_EQ(co_await named.read(), "x");
    {
      File dropped = co_await NamedTemporaryFile(options);
      EXPECT_EQ((co_await listdir(dir)).size(), 2U);
    }
    co_await named.close();
    EXPECT_THAT(co_await listdir(dir), UnorderedElementsAre());

    File unnamed = co_await TemporaryFile();
    co_await unnamed.write("scratch");
    co_await unnamed.seek(0);
    EXPECT_EQ(co_await unnamed.read(), "scratch");
    co_await unnamed.close();
    options.mode = "r";
    EXPECT_THAT(co_await error_of(TemporaryFile(options)), StartsWith("aster::ValueError"));
  });
}

TEST_F(FileSystem, TemporaryDirectoriesAreDeletedWithWhatIsInThem) {
  run([&]() -> Coroutine<> {
    std::string used;
    auto body = [&used](const std::string& path) -> Coroutine<> {
      used = path;
      co_await mkdir(path + "/inner");
      File f = co_await open(path + "/inner/file", "w");
      co_await f.close();
    };
    co_await with(TemporaryDirectory(), body);
    EXPECT_FALSE(std::filesystem::exists(used));
    EXPECT_NE(used, "");

    TemporaryOptions options;
    const std::string dir = scratch_.path("");
    options.dir = dir;
    const std::string kept = co_await mkdtemp(options);
    EXPECT_EQ((co_await aster::stat(kept)).mode & 0777U, 0700U);
    options.dir = "/nowhere";
    EXPECT_THAT(co_await error_of(mkdtemp(options)), HasSubstr("No such file or directory"));
  });
}

}  // namespace
}  // namespace aster
