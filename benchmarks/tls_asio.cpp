// SPDX-License-Identifier: MIT
// A TLS server on Boost.Asio, in coroutines. Prints its port, then serves until it is killed.
//
//   tls_asio CERTIFICATE_AND_KEY.pem [sink]
//
// Echoes, or (sink) reads and forgets.
#include <utility>  // Boost 1.74 uses it without including it.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
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
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Awaitable = asio::awaitable<void, Executor>;
constexpr asio::use_awaitable_t<Executor> use_awaitable;
constexpr std::size_t buffer_size = 65536;

Awaitable answer(asio::ssl::stream<Socket> stream, bool echoes) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  bool has_ended = false;
  try {
    co_await stream.async_handshake(asio::ssl::stream_base::server, use_awaitable);
    while (true) {
      const std::size_t size =
          co_await stream.async_read_some(asio::buffer(buffer.get(), buffer_size), use_awaitable);
      if (!echoes) continue;
      co_await asio::async_write(stream, asio::buffer(buffer.get(), size), use_awaitable);
    }
  } catch (const boost::system::system_error& error) {
    has_ended = error.code() == asio::error::eof;
  }
  if (!has_ended) co_return;
  try {
    co_await stream.async_shutdown(use_awaitable);
  } catch (const std::exception&) {
    // The client is gone.
  }
}

Awaitable serve(Acceptor& acceptor, asio::ssl::context& tls, bool echoes) {
  while (true) {
    Socket socket = co_await acceptor.async_accept(use_awaitable);
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(),
                   answer(asio::ssl::stream<Socket>(std::move(socket), tls), echoes),
                   asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const bool echoes = argc < 3 || std::string_view(argv[2]) != "sink";
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  asio::ssl::context tls(asio::ssl::context::tls_server);
  tls.use_certificate_chain_file(argv[1]);
  tls.use_private_key_file(argv[1], asio::ssl::context::pem);
  const asio::ip::address_v4 loopback = asio::ip::address_v4::loopback();
  Acceptor acceptor(context.get_executor(), tcp::endpoint(loopback, 0));
  acceptor.listen(1024);
  std::printf("%d\n", static_cast<int>(acceptor.local_endpoint().port()));
  std::fflush(stdout);
  asio::co_spawn(context.get_executor(), serve(acceptor, tls, echoes), asio::detached);
  context.run();
}
