// SPDX-License-Identifier: MIT
// A function that calls back, from a thread of its own, turned into one that can be awaited.
#include <aster/aster.hpp>

#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// As libraries have it: returns at once, calls `done` later from another thread.
class Directory {
 public:
  void look_up(std::string key, std::function<void(std::string)> done) {
    threads_.emplace_back(
        [key = std::move(key), done = std::move(done)] { done("value of " + key); });
  }

 private:
  std::vector<std::jthread> threads_;
};

aster::Coroutine<std::string> look_up(Directory& directory, std::string key) {
  aster::EventLoop& loop = aster::get_running_loop();
  auto future = loop.create_future<std::string>();
  // The future belongs to the loop's thread: the other one only passes it back.
  directory.look_up(key, [&loop, future](std::string value) mutable {
    loop.call_soon_threadsafe([future = std::move(future), value = std::move(value)]() mutable {
      if (!future.done()) future.set_result(std::move(value));  // Unless cancelled meanwhile.
    });
  });
  co_return co_await future;
}

aster::Coroutine<> amain(Directory& directory) {
  std::cout << co_await look_up(directory, "colour") << '\n';
}

int main() {
  Directory directory;
  return aster::main(amain(directory));
}
