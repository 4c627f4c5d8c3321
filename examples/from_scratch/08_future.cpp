// SPDX-License-Identifier: MIT
// Step 8: on the real loop, waiting is a future that somebody completes later.
#include <aster/aster.hpp>

#include <chrono>
#include <iostream>
#include <string>

#include <sys/socket.h>

using namespace std::chrono_literals;

// Undoes what was arranged, however the wait ends: also when it is cancelled.
template <class F>
struct Finally {
  F undo;
  ~Finally() { undo(); }
};

aster::Coroutine<> my_sleep(std::chrono::milliseconds time) {
  aster::EventLoop& loop = aster::get_running_loop();
  aster::Future<> future = loop.create_future<>();
  aster::TimerHandle timer = loop.call_later(time, [future]() mutable { future.set_result(); });
  const Finally cancel_timer{[&timer] { timer.cancel(); }};
  co_await future;
}

// The well-known version of this forgets to remove the reader when it is cancelled:
// then the loop goes on calling it for as long as there is data.
aster::Coroutine<std::string> my_recv(aster::SocketView socket, std::size_t size) {
  aster::EventLoop& loop = aster::get_running_loop();
  const int fd = socket.fileno();
  aster::Future<> future = loop.create_future<>();
  {
    loop.add_reader(fd, [future]() mutable {
      if (!future.done()) future.set_result();
    });
    const Finally remove_reader{[&loop, fd] { loop.remove_reader(fd); }};
    co_await future;
  }
  std::string data(size, '\0');
  const auto got = ::recv(fd, data.data(), data.size(), 0);
  data.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  co_return data;
}

aster::Coroutine<> amain() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) co_return;
  const aster::Socket here = aster::Socket::adopt(ends[0]);
  const aster::Socket there = aster::Socket::adopt(ends[1]);

  auto received = aster::create_task(my_recv(here, 100));
  co_await my_sleep(10ms);
  ::send(there.fileno(), "hello", 5, 0);
  std::cout << "received " << co_await received << '\n';

  auto cancelled = aster::create_task(my_recv(here, 100));
  co_await my_sleep(10ms);
  cancelled.cancel();
  const auto end = co_await aster::outcome(cancelled);
  std::cout << std::boolalpha << "cancelled: " << end.cancelled() << '\n';
  const bool left = aster::get_running_loop().remove_reader(here.fileno());
  std::cout << "reader left behind: " << left << '\n';
}

int main() { return aster::main(amain()); }
