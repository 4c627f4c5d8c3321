// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/time.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/testing/sim_backend.hpp>

namespace aster::inline v0::testing {

/// An event loop for tests: virtual time that jumps to the next deadline, a network
/// in memory, everything random decided by a seed. What runs on it is the real
/// loop, its tasks and streams; only the system beneath is simulated.
///
///     TEST(Retry, WaitsAMinute) {
///       testing::SimLoop loop;
///       auto t = loop.create_task(retry());
///       loop.run_until_idle();               // As far as it goes without time.
///       loop.advance(1min);                  // A minute passes at once.
///       EXPECT_TRUE(t.done());
///     }
///
/// `run_until_complete` and `run(…, {.loop_factory = …})` work too: whenever nothing
/// is ready the clock jumps. When nothing is left that could ever happen, that is a
/// RuntimeError naming the tasks that wait, instead of a test that hangs.
class ASTER_API SimLoop : public EventLoop {
 public:
  /// A loop on a new simulated system.
  explicit SimLoop(SimOptions options = {});
  ~SimLoop() override;

  /// Runs until nothing is ready at the present time; the clock stands still.
  void run_until_idle();

  /// Lets `time` pass, running what becomes due on the way, each at its time.
  /// ValueError for NaN and for a negative or infinite time.
  void advance(Delay time);

  /// The simulated system: its network, faults and accounts. Valid until `close`.
  [[nodiscard]] SimBackend& sim() noexcept { return *sim_; }

 protected:
  void waited() override;

 private:
  SimBackend* sim_;
};

}  // namespace aster::inline v0::testing
