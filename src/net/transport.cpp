// SPDX-License-Identifier: MIT
#include <aster/net/tls.hpp>
#include <aster/net/transport.hpp>

#include "net/flow_limits.hpp"

#include <aster/base/error.hpp>

namespace aster::inline v0 {

BaseTransport::~BaseTransport() = default;
ReadTransport::~ReadTransport() = default;
WriteTransport::~WriteTransport() = default;
Transport::~Transport() = default;
DatagramTransport::~DatagramTransport() = default;

SSLObject BaseTransport::ssl_object() const { return SSLObject(); }

std::string to_string(const BaseTransport& transport) { return transport.str(); }

WriteBufferLimits detail::flow_limits(std::optional<std::size_t> high,
                                      std::optional<std::size_t> low, std::size_t otherwise) {
  const std::size_t actual_high = high ? *high : (low ? 4 * *low : otherwise);
  const std::size_t actual_low = low.value_or(actual_high / 4);
  if (actual_low > actual_high) {
    throw ValueError("set_write_buffer_limits: high (" + std::to_string(actual_high) +
                     ") must be >= low (" + std::to_string(actual_low) + ")");
  }
  return {actual_low, actual_high};
}

}  // namespace aster::inline v0
