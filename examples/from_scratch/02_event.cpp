// SPDX-License-Identifier: MIT
// Step 2: an event, and a coroutine that is driven by hand.
#include <aster/coro/generator.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>

using namespace std::chrono_literals;

// What a coroutine wants to wait for. It does nothing by itself: it is a message to
// whoever drives the coroutine.
struct AsyncSleep {
  std::chrono::milliseconds time;
};

// Yields events, is sent a greeting when the event has come, returns a string.
using Coroutine = aster::Generator<AsyncSleep, std::string, std::string>;

Coroutine nap() {
  std::cout << "  nap begins\n";
  const std::string greeting = co_yield AsyncSleep(100ms);
  std::cout << "  nap hears " << greeting << '\n';
  co_return "rested";
}

// Waiting for another coroutine is passing its events on.
Coroutine day() {
  const std::string feeling = co_yield aster::yield_from(nap());
  std::cout << "  day goes on " << feeling << '\n';
  co_return "done";
}

int main() {
  auto coroutine = day();
  const AsyncSleep event = coroutine.next();
  std::cout << "it wants to sleep " << event.time.count() << " ms\n";
  std::this_thread::sleep_for(event.time);  // Here anything else could be done.
  try {
    coroutine.send("good morning");
  } catch (const aster::StopIteration& stop) {
    std::cout << "it returned " << stop.value<std::string>() << '\n';
  }
}
