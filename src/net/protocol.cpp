// SPDX-License-Identifier: MIT
// What protocols do that do not override a callback: nothing, as in asyncio.
#include <aster/net/protocol.hpp>

namespace aster::inline v0 {

BaseProtocol::~BaseProtocol() = default;
void BaseProtocol::connection_lost(std::exception_ptr /*error*/) {}
void BaseProtocol::pause_writing() {}
void BaseProtocol::resume_writing() {}

void Protocol::connection_made(Transport& /*transport*/) {}
void Protocol::data_received(std::string_view /*data*/) {}
bool Protocol::eof_received() { return false; }

void BufferedProtocol::connection_made(Transport& /*transport*/) {}
bool BufferedProtocol::eof_received() { return false; }

void DatagramProtocol::connection_made(DatagramTransport& /*transport*/) {}
void DatagramProtocol::datagram_received(std::string_view /*data*/, const Address& /*address*/) {}
void DatagramProtocol::error_received(std::exception_ptr /*error*/) {}

}  // namespace aster::inline v0
