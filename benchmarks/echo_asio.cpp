// SPDX-License-Identifier: MIT
// Servers on Boost.Asio. Prints its port, then serves until it is killed.
//
//   echo_asio [coroutines | callbacks | udp | sink | unix PATH]
//
// Coroutines, but for `callbacks`; all use the concrete executor and a context for one
// thread: its fast forms.
#include <utility>  // Boost 1.74 uses it without including it.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <memory>
#include <string_view>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using Local = asio::local::stream_protocol;
using boost::system::error_code;

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Awaitable = asio::awaitable<void, Executor>;
constexpr asio::use_awaitable_t<Executor> use_awaitable;

constexpr std::size_t buffer_size = 65536;

// Coroutines ---------------------------------------------------------------------------

enum class Reply { echo, nothing };

template <class AnySocket>
Awaitable answer(AnySocket socket, Reply reply) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  try {
    while (true) {
      const std::size_t size =
          co_await socket.async_read_some(asio::buffer(buffer.get(), buffer_size), use_awaitable);
      if (reply == Reply::nothing) continue;
      co_await asio::async_write(socket, asio::buffer(buffer.get(), size), use_awaitable);
    }
  } catch (const std::exception&) {
    // The client is gone.
  }
}

Awaitable serve(Acceptor& acceptor, Reply reply) {
  while (true) {
    Socket socket = co_await acceptor.async_accept(use_awaitable);
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), answer(std::move(socket), reply), asio::detached);
  }
}

using LocalAcceptor = asio::basic_socket_acceptor<Local, Executor>;

Awaitable serve_local(LocalAcceptor& acceptor) {
  while (true) {
    auto socket = co_await acceptor.async_accept(use_awaitable);
    asio::co_spawn(acceptor.get_executor(), answer(std::move(socket), Reply::echo), asio::detached);
  }
}

using DatagramSocket = asio::basic_datagram_socket<udp, Executor>;

Awaitable serve_datagrams(DatagramSocket& socket) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  while (true) {
    udp::endpoint from;
    const std::size_t size = co_await socket.async_receive_from(
        asio::buffer(buffer.get(), buffer_size), from, use_awaitable);
    co_await socket.async_send_to(asio::buffer(buffer.get(), size), from, use_awaitable);
  }
}

// Callbacks ------------------------------------------------------------------------------

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(Socket socket) : socket_(std::move(socket)) {}

  void read() {
    socket_.async_read_some(asio::buffer(buffer_.get(), buffer_size),
                            [self = shared_from_this()](error_code error, std::size_t size) {
                              if (!error) self->write(size);
                            });
  }

 private:
  void write(std::size_t size) {
    asio::async_write(socket_, asio::buffer(buffer_.get(), size),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  Socket socket_;
  std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(buffer_size);
};

void accept_next(Acceptor& acceptor) {
  acceptor.async_accept([&acceptor](error_code error, Socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true));
      std::make_shared<Session>(std::move(socket))->read();
    }
    accept_next(acceptor);
  });
}

void print_port(int port) {
  std::printf("%d\n", port);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "coroutines";
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  const Executor executor = context.get_executor();
  const asio::ip::address_v4 loopback = asio::ip::address_v4::loopback();
  if (mode == "udp") {
    DatagramSocket socket(executor, udp::endpoint(loopback, 0));
    print_port(socket.local_endpoint().port());
    asio::co_spawn(executor, serve_datagrams(socket), asio::detached);
    context.run();
    return 0;
  }
  if (mode == "unix" && argc > 2) {
    LocalAcceptor acceptor(executor, Local::endpoint(argv[2]));
    print_port(0);
    asio::co_spawn(executor, serve_local(acceptor), asio::detached);
    context.run();
    return 0;
  }
  Acceptor acceptor(executor, tcp::endpoint(loopback, 0));
  acceptor.listen(1024);
  print_port(acceptor.local_endpoint().port());
  if (mode == "callbacks") {
    accept_next(acceptor);
  } else {
    const Reply reply = mode == "sink" ? Reply::nothing : Reply::echo;
    asio::co_spawn(executor, serve(acceptor, reply), asio::detached);
  }
  context.run();
}
