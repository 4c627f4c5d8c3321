// SPDX-License-Identifier: MIT
#include <aster/executor/crossing.hpp>
#include <aster/io/resolve.hpp>
#include <aster/testing/sim_loop.hpp>

#include <algorithm>
#include <string>

namespace aster::inline v0::testing {

SimLoop::SimLoop(SimOptions options)
    : EventLoop(std::make_unique<SimBackend>(options),
                LoopOptions{.backend = Backend::automatic, .debug = {}, .source = options.source}),
      sim_(static_cast<SimBackend*>(&backend())) {
  set_strict_order(true);
  if (options.wait_for_threads) return;
  // Threads would make time and order depend on the machine.
  service<detail::ExecutorService>().run_jobs_on_loop();
  service<detail::ResolverService>().use_hosts_only();
}

SimLoop::~SimLoop() = default;

void SimLoop::run_until_idle() {
  do {
    run_once(Duration::zero());
  } while (last_turn_ran() || backend_timeout() == Duration::zero());
}

void SimLoop::advance(Delay time) {
  const Duration length = time.checked("advance");
  if (length < Duration::zero() || time.is_infinite()) {
    throw ValueError("advance: time must be finite and not negative");
  }
  const TimePoint end = this->time() + length;
  run_until_idle();
  while (this->time() < end) {
    run_once(std::min(backend_timeout(), end - this->time()));
    run_until_idle();
  }
}

void SimLoop::waited() {
  if (!sim_->deadlocked() || !scheduler().is_idle()) return;
  std::string text = "SimLoop: nothing is left that could wake";
  int named = 0;
  for (const AnyTask& task : all_tasks(*this)) {
    if (++named > 8) {
      text += " …";
      break;
    }
    text += " " + task.get_name();
  }
  throw RuntimeError(named == 0 ? "SimLoop: nothing is left that could happen" : text);
}

}  // namespace aster::inline v0::testing
