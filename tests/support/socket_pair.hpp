// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>

#include <sys/socket.h>
#include <unistd.h>

namespace aster::support {

/// Two connected stream sockets, non-blocking.
struct SocketPair {
  SocketPair() {
    int both[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) != 0) {
      std::abort();
    }
    ours = both[0];
    peer = both[1];
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  ~SocketPair() {
    close_ours();
    close_peer();
  }
  void close_ours() {
    if (ours >= 0) ::close(std::exchange(ours, -1));
  }
  void close_peer() {
    if (peer >= 0) ::close(std::exchange(peer, -1));
  }
  /// One byte comes to `ours`.
  void send() const { EXPECT_EQ(::write(peer, "x", 1), 1); }
  /// And is taken there.
  void receive() const {
    char byte;
    EXPECT_EQ(::read(ours, &byte, 1), 1);
  }

  int ours;
  int peer;
};

}  // namespace aster::support
