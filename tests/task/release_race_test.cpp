// SPDX-License-Identifier: MIT
//
// Something is released and its waiter cancelled in one turn, in both orders, through
// everything that awaits for others, nested up to three deep: nothing is lost, and
// nothing is granted twice.
#include <aster/loop/sleep.hpp>
#include <aster/task/wait_list.hpp>

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "support/line.hpp"
#include "support/wrapped.hpp"

namespace aster {
namespace {

// A lock that is handed over.
class Slot {
 public:
  Coroutine<> acquire() {
    if (!std::exchange(taken_, true)) co_return;
    auto pass_on = [this]() noexcept { release(); };
    co_await waiters_.park(pass_on);
  }
  void release() noexcept {
    if (!waiters_.wake_one()) taken_ = false;
  }
  [[nodiscard]] bool is_taken() const noexcept { return taken_; }

 private:
  bool taken_ = false;
  WaitList waiters_;
};

class ReleaseRace : public support::DriverTest {};
ASTER_BOTH_DRIVERS(ReleaseRace);

TEST_P(ReleaseRace, ReleaseAndCancelInOneTurnLoseNothing) {
  for (const std::string& kinds : support::all_wraps(3)) {
    for (const std::string order : {"RC", "CR", "R", "CCR", "CRC", "RCC"}) {
      SCOPED_TRACE(kinds + " " + order);
      Slot slot;
      std::string got;
      auto uses = [&](char name) -> Coroutine<std::string> {
        co_await slot.acquire();
        EXPECT_TRUE(slot.is_taken());
        got += name;
        slot.release();
        co_return "v";
      };
      auto hold = slot.acquire();
      loop.run_until_complete(std::move(hold));
      auto first = start(support::wrapped(kinds, [&uses] { return uses('a'); }));
      loop.run_until_idle();
      auto second = start(uses('b'));
      loop.run_until_idle();

      int cancels = 0;
      for (const char event : order) {
        if (event == 'R') {
          slot.release();
        } else {
          first.cancel();
          ++cancels;
        }
      }
      loop.run_until_idle();

      // A shield and as_completed leave their tasks running; a group asks its tasks to end
      // a turn later, when the slot may have been granted.
      const bool may_get_it = cancels == 0 || kinds.find_first_of("SCG") != std::string::npos;
      const bool must_get_it = may_get_it && kinds.find('G') == std::string::npos;
      EXPECT_TRUE(first.done());
      EXPECT_EQ(first.cancelled(), cancels > 0);
      EXPECT_EQ(first.cancelling(), cancels);
      EXPECT_EQ(second.result(), "v");
      EXPECT_TRUE(got == "ab" ? may_get_it : got == "b" && !must_get_it) << got;
      EXPECT_FALSE(slot.is_taken());
      EXPECT_TRUE(all_tasks(loop).empty());
      EXPECT_EQ(loop.backend_timeout(), Duration::max());  // No timer is left.
    }
  }
}

}  // namespace
}  // namespace aster
