// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/io/socket.hpp>
#include <aster/testing/sim_backend.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace aster {
namespace {

static_assert(!std::is_copy_constructible_v<Socket>);
static_assert(std::is_nothrow_move_constructible_v<Socket>);
static_assert(std::is_nothrow_move_assignable_v<Socket>);

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

// The text of the system_error with `number` that `call` throws; "" without one.
template <class Call>
std::string system_error(int number, Call call) {
  try {
    call();
  } catch (const std::system_error& error) {
    return error.code().value() == number ? error.what() : "another number";
  }
  return "";
}

TEST(Socket, IsNonBlockingAndCloseOnExecFromBirth) {
  const Socket socket{AF_INET, SOCK_STREAM};

  EXPECT_NE(::fcntl(socket.fileno(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(socket.fileno(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(Socket, ClosesOnceAndWhenItGoes) {
  int fd = -1;
  {
    Socket socket{AF_INET, SOCK_STREAM};
    fd = socket.fileno();
    EXPECT_TRUE(is_open(fd));
    EXPECT_FALSE(socket.is_closed());
  }
  EXPECT_FALSE(is_open(fd));

  Socket socket{AF_INET, SOCK_STREAM};
  socket.close();
  socket.close();
  EXPECT_TRUE(socket.is_closed());
  EXPECT_EQ(socket.fileno(), -1);
}

TEST(Socket, MovingLeavesAClosedOneBehind) {
  Socket a{AF_INET, SOCK_STREAM};
  const int fd = a.fileno();

  Socket b = std::move(a);
  EXPECT_TRUE(a.is_closed());  // NOLINT(bugprone-use-after-move): it is defined.
  EXPECT_EQ(b.fileno(), fd);

  Socket c{AF_INET, SOCK_STREAM};
  const int replaced = c.fileno();
  c = std::move(b);
  EXPECT_FALSE(is_open(replaced));
  EXPECT_EQ(c.fileno(), fd);
  EXPECT_TRUE(is_open(fd));
}

TEST(Socket, ReleaseGivesTheDescriptorAway) {
  Socket socket{AF_INET, SOCK_STREAM};
  const int fd = socket.release();

  EXPECT_TRUE(socket.is_closed());
  ASSERT_TRUE(is_open(fd));
  ::close(fd);
}

TEST(Socket, AdoptTakesOverAndMakesNonBlocking) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_GE(fd, 0);
  {
    const Socket socket = Socket::adopt(fd);
    EXPECT_EQ(socket.fileno(), fd);
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_FALSE(is_open(fd));
  EXPECT_NE(system_error(EBADF, [&] { static_cast<void>(Socket::adopt(fd)); }), "");
}

TEST(Socket, BindsToAFreePortAndTellsIt) {
  Socket socket{AF_INET, SOCK_STREAM};

  socket.bind(Address{"127.0.0.1", 0});

  EXPECT_EQ(socket.getsockname().host(), "127.0.0.1");
  EXPECT_GT(socket.getsockname().port(), 0);
}

TEST(Socket, NamesCallAndAddressInErrors) {
  Socket listener{AF_INET, SOCK_STREAM};
  listener.bind(Address{"127.0.0.1", 0});
  listener.listen();
  const Address taken = listener.getsockname();

  Socket second{AF_INET, SOCK_STREAM};
  EXPECT_EQ(system_error(EADDRINUSE, [&] { second.bind(taken); }),
            "bind " + taken.str() + ": " + std::strerror(EADDRINUSE));
  EXPECT_EQ(
      system_error(ENOTCONN, [&] { static_cast<void>(second.getpeername()); }),
      "getpeername of socket " + std::to_string(second.fileno()) + ": " + std::strerror(ENOTCONN));
  second.close();
  EXPECT_EQ(system_error(EBADF, [&] { second.listen(); }),
            std::string("listen of a closed socket: ") + std::strerror(EBADF));
  EXPECT_NE(system_error(EAFNOSUPPORT, [] { Socket(12345, SOCK_STREAM); }), "");
}

TEST(Socket, KeepsOptions) {
  Socket socket{AF_INET, SOCK_STREAM};

  socket.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1);
  const linger off_at_once{1, 0};
  socket.setsockopt(SOL_SOCKET, SO_LINGER,
                    {reinterpret_cast<const char*>(&off_at_once), sizeof off_at_once});

  EXPECT_EQ(socket.getsockopt(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(socket.getsockopt(SOL_SOCKET, SO_LINGER, 64).size(), sizeof(linger));
  EXPECT_NE(system_error(ENOPROTOOPT, [&] { socket.setsockopt(SOL_SOCKET, 9999, 1); }), "");
}

TEST(Socket, SetblockingTurnsItOnAndOff) {
  Socket socket{AF_INET, SOCK_STREAM};

  socket.setblocking(true);
  EXPECT_EQ(::fcntl(socket.fileno(), F_GETFL) & O_NONBLOCK, 0);
  socket.setblocking(false);
  EXPECT_NE(::fcntl(socket.fileno(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(Socket, ShutdownNeedsAConnection) {
  Socket socket{AF_INET, SOCK_STREAM};

  EXPECT_NE(system_error(ENOTCONN, [&] { socket.shutdown(SHUT_WR); }), "");
}

TEST(Socket, LivesOnABackEndToo) {
  testing::SimBackend sim;
  SocketView view;
  {
    Socket socket{sim, AF_INET, SOCK_STREAM};
    socket.bind(Address{"127.0.0.1", 80});
    socket.listen(5);
    socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
    socket.setblocking(false);
    view = socket;

    EXPECT_EQ(view.fileno(), testing::SimBackend::first_descriptor);
    EXPECT_EQ(view.getsockname().str(), "127.0.0.1:80");
    EXPECT_EQ(view.getsockopt(SOL_SOCKET, SO_REUSEADDR), 1);
    EXPECT_NE(system_error(ENOTCONN, [&] { static_cast<void>(view.getpeername()); }), "");
    EXPECT_NE(system_error(EOPNOTSUPP, [&] { socket.setblocking(true); }), "");
    Socket second{sim, AF_INET, SOCK_STREAM};
    EXPECT_EQ(system_error(EADDRINUSE, [&] { second.bind(Address{"127.0.0.1", 80}); }),
              std::string("bind 127.0.0.1:80: ") + std::strerror(EADDRINUSE));
  }
  EXPECT_TRUE(sim.open_descriptors().empty());
  EXPECT_TRUE(sim.violations().empty());
}

TEST(SocketView, OfNothingIsABadDescriptor) {
  EXPECT_EQ(SocketView().fileno(), -1);
  EXPECT_NE(system_error(EBADF, [] { static_cast<void>(SocketView().getsockname()); }), "");
}

}  // namespace
}  // namespace aster
