// SPDX-License-Identifier: MIT
// Datagrams: a round trip allocates nothing, nor does any way of ending, also when there
// is no memory.
#include "net/datagram_fixture.hpp"
#include "support/allocations.hpp"

#include <cstdint>
#include <memory>

namespace aster::net_tests {
namespace {

using support::allocation_count;
using support::allocations_without_memory;

class DatagramAllocations : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, DatagramAllocations, ::testing::ValuesIn(real_systems()),
                         name_of);

/// Sends back; the client's kind does so a given number of times.
struct Bouncer : DatagramProtocol {
  DatagramTransport* transport = nullptr;
  int left = 1 << 30;
  Future<> done;
  void connection_made(DatagramTransport& made) override { transport = &made; }
  void datagram_received(std::string_view data, const Address& from) override {
    if (--left > 0) {
      transport->sendto(data, from);
    } else if (done && !done.done()) {
      done.set_result();
    }
  }
};
std::unique_ptr<Bouncer> make_bouncer() { return std::make_unique<Bouncer>(); }

TEST_P(DatagramAllocations, ARoundTripAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  constexpr int warm_up = 100;
  constexpr int rounds = 500;
  const auto test = [this]() -> Coroutine<std::uint64_t> {
    const Address any("127.0.0.1", 0);
    auto server = co_await net.loop().create_datagram_endpoint(make_bouncer, any);
    auto client = co_await net.loop().create_datagram_endpoint(make_bouncer, any);
    const Address there = *server.transport().sockname();
    std::uint64_t before = 0;
    for (const int count : {warm_up, rounds}) {
      client.protocol().left = count;
      client.protocol().done = net.loop().create_future<>();
      Future<> done = client.protocol().done;
      before = allocation_count();
      client.transport().sendto("0123456789abcdef", there);
      co_await done;
    }
    const std::uint64_t count = allocation_count() - before;
    client.transport().close();
    server.transport().close();
    co_await turns(2);
    co_return count;
  };
  EXPECT_EQ(run(test()), 0U);
}

TEST_P(DatagramAllocations, EndingNeedsNoMemory) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  const auto test = []() -> Coroutine<> {
    for (const bool aborts : {false, true}) {
      RecorderEndpoint made = co_await endpoint(Address("127.0.0.1", 0));
      made.protocol().log.reserve(10);
      const std::uint64_t requests = allocations_without_memory([&] {
        if (aborts) {
          made.transport().abort();
        } else {
          made.transport().close();
        }
      });
      EXPECT_EQ(requests, 0U);
      co_await made.protocol().ended();
    }
  };
  run(test());
}

}  // namespace
}  // namespace aster::net_tests
