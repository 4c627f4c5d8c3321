// SPDX-License-Identifier: MIT
#include <aster/net/stream_reader_protocol.hpp>

#include <utility>

namespace aster::inline v0 {

void StreamReaderProtocol::connection_made(Transport& transport) {
  reader_.set_transport(transport);
}
void StreamReaderProtocol::data_received(std::string_view data) { reader_.feed_data(data); }

bool StreamReaderProtocol::eof_received() {
  reader_.feed_eof();
  return true;
}

void StreamReaderProtocol::connection_lost(std::exception_ptr error) {
  if (error != nullptr) {
    reader_.set_exception(std::move(error));
  } else {
    reader_.feed_eof();
  }
}

}  // namespace aster::inline v0
