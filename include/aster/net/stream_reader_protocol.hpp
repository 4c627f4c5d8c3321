// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/net/protocol.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/net/transport.hpp>

#include <exception>
#include <string_view>

namespace aster::inline v0 {

/// Fills a StreamReader with what a transport receives: the counterpart of
/// asyncio.StreamReaderProtocol, for transports that are made with a protocol. For
/// connections and pipes `open_connection` and `open_read_pipe` are shorter.
///
///     StreamReader reader;
///     auto make = [&] { return std::make_unique<StreamReaderProtocol>(reader); };
///     auto link = co_await loop.connect_read_pipe(make, STDIN_FILENO);
///     std::string line = co_await reader.readline();
///
/// The transport is paused while more than twice the reader's limit is buffered. The end
/// of the stream leaves our half open; an error of the connection is thrown by the reads.
class ASTER_API StreamReaderProtocol : public Protocol {
 public:
  /// `reader` is one that is filled by hand.
  explicit StreamReaderProtocol(StreamReader reader) noexcept : reader_(std::move(reader)) {}

  void connection_made(Transport& transport) override;
  void data_received(std::string_view data) override;
  bool eof_received() override;
  void connection_lost(std::exception_ptr error) override;

 private:
  StreamReader reader_;
};

}  // namespace aster::inline v0
