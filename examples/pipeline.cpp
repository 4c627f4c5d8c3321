// SPDX-License-Identifier: MIT
// Counts the words of standard input: a producer, three workers and a queue between them.
#include <aster/aster.hpp>

#include <iostream>
#include <map>
#include <sstream>
#include <string>

using Counts = std::map<std::string, int>;

// Puts the lines into the queue; waits while the workers are behind. At the end it
// waits until every line is counted, and sends the workers home.
aster::Coroutine<> produce(std::istream& input, aster::Queue<std::string>& lines) {
  for (std::string line; std::getline(input, line);) co_await lines.put(line);
  co_await lines.join();
  lines.shutdown();
}

// Counts lines until there will be no more.
aster::Coroutine<> work(aster::Queue<std::string>& lines, Counts& counts) {
  try {
    for (;;) {
      std::istringstream line(co_await lines.get());
      for (std::string word; line >> word;) ++counts[word];
      lines.task_done();
    }
  } catch (const aster::QueueShutDown&) {
  }
}

aster::Coroutine<> amain() {
  aster::Queue<std::string> lines{8};
  Counts counts;
  co_await aster::with(aster::TaskGroup{}, [&](aster::TaskGroup& group) -> aster::Coroutine<> {
    for (int i = 0; i < 3; ++i) group.create_task(work(lines, counts));
    co_await produce(std::cin, lines);
  });
  for (const auto& [word, count] : counts) std::cout << count << ' ' << word << '\n';
}

int main() { return aster::main(amain()); }
