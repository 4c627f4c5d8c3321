// SPDX-License-Identifier: MIT
#pragma once

#include <aster/net/protocol.hpp>
#include <aster/net/transport.hpp>

#include <memory>
#include <string_view>

namespace aster::net_tests {

/// Sends back what it is sent.
struct Echo : Protocol {
  Transport* transport = nullptr;
  void connection_made(Transport& made) override { transport = &made; }
  void data_received(std::string_view data) override { transport->write(data); }
};

inline std::unique_ptr<Echo> make_echo() { return std::make_unique<Echo>(); }

}  // namespace aster::net_tests
