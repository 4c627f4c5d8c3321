// SPDX-License-Identifier: MIT
//
// The ordering scenarios of callbacks, timers and descriptors; ord_callbacks.py runs
// the same ones on CPython.
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/operation.hpp>

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "conformance/scenario.hpp"
#include "conformance/stays_readable.hpp"

namespace aster::conformance {
namespace {

using namespace std::chrono_literals;

class OrderOfCallbacks : public Scenario {};
ASTER_CONFORMANCE(OrderOfCallbacks);

TEST_P(OrderOfCallbacks, IsFirstInFirstOut) {
  loop->call_soon(notes("a"));
  loop->call_soon(notes("b"));
  loop->call_soon(notes("c"));
  turns(2);

  finish("ORD-1");
}

TEST_P(OrderOfCallbacks, PutsWhatACallbackPostsIntoTheNextTurn) {
  loop->call_soon([this] {
    note("a");
    loop->call_soon(notes("d"));
  });
  loop->call_soon(notes("b"));
  loop->call_soon(notes("c"));
  turns(3);

  finish("ORD-2");
}

TEST_P(OrderOfCallbacks, PutsATimerThatIsDueBehindWhatIsReady) {
  loop->call_later(0s, notes("t"));
  loop->call_soon(notes("a"));
  stage_.advance(1us);
  turns(3);

  finish("ORD-3");
}

TEST_P(OrderOfCallbacks, PutsANegativeDelayBehindWhatIsReady) {
  loop->call_soon(notes("a"));
  loop->call_later(-1s, notes("t"));
  loop->call_soon(notes("b"));
  turns(3);

  finish("ORD-4");
}

TEST_P(OrderOfCallbacks, PutsReadersBeforeTimersAndBothBehindWhatIsReady) {
  StaysReadable readable(*loop);
  later(0, notes("timer"));
  stage_.advance(1us);
  loop->add_reader(readable.fd(), [&] {
    note("io");
    loop->remove_reader(readable.fd());
  });
  loop->call_soon(notes("ready"));
  turns(3);

  finish("ORD-5");
}

TEST_P(OrderOfCallbacks, OfAFutureIsThatOfTheirRegistration) {
  Future<> future = loop->create_future<>();
  future.add_done_callback(notes("c1"));
  future.add_done_callback(notes("c2"));
  future.add_done_callback(notes("c3"));
  future.set_result();
  loop->call_soon(notes("x"));
  turns(3);

  finish("ORD-6");
}

TEST_P(OrderOfCallbacks, OfAFutureComeInTheTurnAfterSetResult) {
  Future<> future = loop->create_future<>();
  future.add_done_callback(notes("callback"));
  loop->call_soon([this, &future] {
    future.set_result();
    note("after");
  });
  turns(3);

  finish("ORD-7");
}

TEST_P(OrderOfCallbacks, OfADoneFutureAreQueuedToo) {
  Future<> future = loop->create_future<>();
  future.set_result();
  loop->call_soon([this, &future] {
    future.add_done_callback(notes("callback"));
    note("after");
  });
  turns(3);

  finish("ORD-8");
}

TEST_P(OrderOfCallbacks, StopEndsTheRunBehindThePresentBatch) {
  loop->call_soon(notes("a"));
  loop->call_soon([this] {
    note("b");
    loop->stop();
  });
  loop->call_soon([this] {
    note("c");
    loop->call_soon(notes("later"));
  });
  loop->run_forever();
  note("returned");
  turns(1);

  finish("ORD-17");
}

TEST_P(OrderOfCallbacks, RunUntilCompleteReturnsBehindTheBatchOfItsStopCallback) {
  mark_turns = false;  // run_until_complete takes turns that nobody counts here.
  Future<> future = loop->create_future<>();
  loop->call_soon([this, &future] {
    note("a");
    future.set_result();
    loop->call_soon(notes("p"));
  });
  loop->call_soon([this] {
    note("b");
    loop->call_soon(notes("q"));
  });
  loop->run_until_complete(future);
  note("returned");

  finish("ORD-18");
}

TEST_P(OrderOfCallbacks, FromAnotherThreadIsThatOfItsCalls) {
  std::thread([this] {
    loop->call_soon_threadsafe(notes("x1"));
    loop->call_soon_threadsafe(notes("x2"));
  }).join();
  turns(2);

  finish("ORD-37");
}

TEST_P(OrderOfCallbacks, AnErrorGoesToTheHandlerAndTheNextOneRuns) {
  handled = [this](const ExceptionContext& context) {
    note("handler:" + name_of(context.exception));
  };
  loop->call_soon(notes("a"));
  loop->call_soon([] { throw ValueError("b"); });
  loop->call_soon(notes("c"));
  turns(2);

  finish("ORD-38");
}

TEST_P(OrderOfCallbacks, ABaseErrorLeavesTheRunAndTheRestStaysQueued) {
  loop->call_soon(notes("a"));
  loop->call_soon([] { throw KeyboardInterrupt(); });
  loop->call_soon(notes("c"));
  try {
    loop->run_forever();
  } catch (const KeyboardInterrupt&) {
    note("raised");
  }
  turns(1);

  finish("ORD-39");
}

TEST_P(OrderOfCallbacks, OfOverdueTimersIsThatOfTheirDeadlines) {
  later(2, notes("second"));
  later(1, notes("first"));
  stage_.advance(3 * tick);
  turns(2);

  finish("ORD-40");
}

TEST_P(OrderOfCallbacks, ATimerCancelledEarlierInItsBatchDoesNotRun) {
  TimerHandle timer;
  later(1, [this, &timer] {
    note("a");
    timer.cancel();
  });
  timer = later(1, notes("never"));
  later(1, notes("b"));
  stage_.advance(2 * tick);
  turns(2);

  finish("ORD-41");
}

TEST_P(OrderOfCallbacks, AReaderRemovedEarlierInItsBatchDoesNotRun) {
  StaysReadable readable(*loop);
  loop->add_reader(readable.fd(), notes("never"));
  loop->call_soon(
      [&] { note(loop->remove_reader(readable.fd()) ? "removed:true" : "removed:false"); });
  turns(3);

  finish("ORD-42");
}

}  // namespace
}  // namespace aster::conformance
