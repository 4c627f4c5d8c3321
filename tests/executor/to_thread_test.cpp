// SPDX-License-Identifier: MIT
#include <aster/executor/to_thread.hpp>
#include <aster/loop/event_loop.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace aster {
namespace {

TEST(ToThread, GivesTheFunctionsResult) {  // EXE-8
  EventLoop loop;
  auto amain = []() -> Coroutine<int> {
    const std::string text = "abc";
    auto here = std::this_thread::get_id();
    auto there = co_await to_thread([] { return std::this_thread::get_id(); });
    EXPECT_NE(here, there);
    auto length = co_await to_thread([](const std::string& s) { return s.size(); }, text);
    auto owner =
        co_await to_thread([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(4));
    co_return static_cast<int>(length) + *owner;
  };
  EXPECT_EQ(loop.run_until_complete(amain()), 7);
}

TEST(ToThread, IsACoroutine) {  // EXE-8
  EventLoop loop;
  std::atomic<bool> ran{false};

  Coroutine<> call = to_thread([&] { ran = true; });
  EXPECT_FALSE(ran);
  loop.run_until_complete(std::move(call));

  EXPECT_TRUE(ran);
}

TEST(ToThread, ThrowsWhatTheFunctionThrows) {  // EXE-8
  EventLoop loop;
  EXPECT_THROW(loop.run_until_complete(to_thread([]() -> int { throw std::out_of_range("far"); })),
               std::out_of_range);
}

TEST(ToThread, RunsManyAtOnce) {  // EXE-8
  EventLoop loop;
  std::atomic<int> sum{0};
  std::vector<Task<>> tasks;
  for (int i = 0; i < 50; ++i) tasks.push_back(loop.create_task(to_thread([&, i] { sum += i; })));
  for (auto& task : tasks) loop.run_until_complete(task);
  EXPECT_EQ(sum, 1225);
}

}  // namespace
}  // namespace aster
