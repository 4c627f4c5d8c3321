// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/address.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/operation.hpp>

#include <gtest/gtest.h>

#include <sys/socket.h>

namespace aster::conformance {

/// A descriptor that stays readable, simulated or real: a listening socket with a
/// connection that nobody accepts.
class StaysReadable {
 public:
  explicit StaysReadable(EventLoop& loop) : backend_(loop.backend()) {
    Address address("127.0.0.1", 0);
    server_ = open();
    EXPECT_EQ(backend_.bind(server_, address.data(), address.size()), 0);
    EXPECT_EQ(backend_.listen(server_, 8), 0);
    sockaddr_storage bound{};
    std::uint32_t size = sizeof bound;
    EXPECT_EQ(backend_.local_address(server_, &bound, size), 0);
    connect_.kind = Operation::Kind::connect;
    connect_.fd = open();
    connect_.address = &bound;
    connect_.address_size = size;
    if (!backend_.submit(connect_)) {
      for (int i = 0; i < 100 && connect_.is_pending(); ++i) backend_.poll(Duration::zero());
      if (connect_.is_pending()) backend_.reclaim(connect_);
    }
    EXPECT_EQ(connect_.result, 0);
  }
  StaysReadable(const StaysReadable&) = delete;
  StaysReadable& operator=(const StaysReadable&) = delete;
  ~StaysReadable() {
    backend_.close_socket(connect_.fd);
    backend_.close_socket(server_);
  }

  [[nodiscard]] native_socket fd() const noexcept { return server_; }

 private:
  native_socket open() {
    const auto result = backend_.open_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_GE(result, 0);
    return static_cast<native_socket>(result);
  }

  IoBackend& backend_;
  native_socket server_;
  Operation connect_{[](Operation&) noexcept {}};
};

}  // namespace aster::conformance
