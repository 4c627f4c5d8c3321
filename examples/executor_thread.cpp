// SPDX-License-Identifier: MIT
// Blocking calls in a pool of threads: six calls of a tenth of a second on three threads.
// `executor_process` is the same program with processes; only the executor's type differs.
#include <aster/aster.hpp>

#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

void log(const std::string& name, const std::string& message) {
  const std::string thread = aster::current_thread_name();
  std::printf("%10s %18s: %s\n", thread.c_str(), name.c_str(), message.c_str());
}

int blocks(int n) {
  const std::string name = "blocks(" + std::to_string(n) + ")";
  log(name, "running");
  std::this_thread::sleep_for(100ms);
  log(name, "done");
  return n * n;
}

template <class Pool>
aster::Coroutine<> run_blocking_tasks(Pool& executor) {
  const std::string name = "run_blocking_tasks";
  log(name, "starting");
  log(name, "creating executor tasks");
  aster::EventLoop& loop = aster::get_running_loop();
  std::vector<aster::Future<int>> blocking_tasks;
  for (int i = 0; i < 6; ++i) blocking_tasks.push_back(loop.run_in_executor(&executor, blocks, i));
  log(name, "waiting for executor tasks");
  auto waited = co_await aster::wait(std::move(blocking_tasks));
  std::string results;
  for (auto& task : waited.done) results += " " + std::to_string(task.result());
  log(name, "results:" + results);
  log(name, "exiting");
}

int main() {
  aster::ThreadPoolExecutor executor{{.max_workers = 3}};
  return aster::main(run_blocking_tasks(executor));
}
