// SPDX-License-Identifier: MIT
// An echo server on Boost.Asio. Prints its port, then serves until it is killed.
//
//   echo_asio [coroutines|callbacks]
//
// Both use the concrete executor and a context for one thread: its fast forms.
#include <utility>  // Boost 1.74 uses it without including it.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
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
using boost::system::error_code;

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Awaitable = asio::awaitable<void, Executor>;
constexpr asio::use_awaitable_t<Executor> use_awaitable;

constexpr std::size_t buffer_size = 65536;

// Coroutines ---------------------------------------------------------------------------

Awaitable echo(Socket socket) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  try {
    while (true) {
      const std::size_t size =
          co_await socket.async_read_some(asio::buffer(buffer.get(), buffer_size), use_awaitable);
      co_await asio::async_write(socket, asio::buffer(buffer.get(), size), use_awaitable);
    }
  } catch (const std::exception&) {
    // The client is gone.
  }
}

Awaitable serve(Acceptor& acceptor) {
  while (true) {
    Socket socket = co_await acceptor.async_accept(use_awaitable);
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
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

}  // namespace

int main(int argc, char** argv) {
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  Acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  acceptor.listen(1024);
  std::printf("%d\n", static_cast<int>(acceptor.local_endpoint().port()));
  std::fflush(stdout);
  if (argc > 1 && std::string_view(argv[1]) == "callbacks") {
    accept_next(acceptor);
  } else {
    asio::co_spawn(context.get_executor(), serve(acceptor), asio::detached);
  }
  context.run();
}
