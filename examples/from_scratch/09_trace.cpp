// SPDX-License-Identifier: MIT
// Step 9: the way of one byte: readiness, future, callback, step, user.
#include <aster/aster.hpp>

#include <iostream>
#include <string>

#include <unistd.h>

int turn = 0;  // Of the loop, counted by a callback that posts itself again.

void say(const char* what) { std::cout << "turn " << turn << ": " << what << std::endl; }

void count_turns(aster::EventLoop& loop) {
  ++turn;
  if (turn < 6) loop.call_soon([&loop] { count_turns(loop); });
}

aster::Coroutine<char> receive(int fd) {
  aster::EventLoop& loop = aster::get_running_loop();
  aster::Future<char> future = loop.create_future<char>();
  loop.add_reader(fd, [&loop, future, fd]() mutable {
    say("readiness: the descriptor is readable, the loop runs our reader");
    char byte = 0;
    if (::read(fd, &byte, 1) != 1) return;
    loop.remove_reader(fd);
    future.set_result(byte);
    say("future: it has its result; whoever waits for it is queued, nobody runs yet");
  });
  future.add_done_callback(
      [](aster::Future<char>) { say("callback: a later turn runs what was queued, in order"); });
  say("wait: the future is pending, the task suspends");
  const char byte = co_await future;
  say("step: the task's step resumes the innermost coroutine");
  co_return byte;
}

aster::Coroutine<> amain(int fd) {
  const char byte = co_await receive(fd);
  say((std::string("user: got ") + byte).c_str());
}

int main() {
  int ends[2];
  if (::pipe(ends) != 0) return 1;
  auto loop = aster::new_event_loop();
  loop->set_strict_order(true);  // Asks for I/O in every turn.
  loop->call_soon([&] { count_turns(*loop); });
  auto task = loop->create_task(amain(ends[0]));
  loop->call_soon([&] {
    say("somebody else writes a byte");
    static_cast<void>(::write(ends[1], "x", 1) == 1);
  });
  loop->run_until_complete(task);
  loop->close();
}
