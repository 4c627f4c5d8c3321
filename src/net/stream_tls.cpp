// SPDX-License-Identifier: MIT
// What a StreamTransport does otherwise when it has TLS.
#include "net/server_state.hpp"
#include "net/stream_transport.hpp"
#include "net/tls_handshake.hpp"
#include "net/tls_layer.hpp"

#include <aster/base/error.hpp>

#include <cerrno>
#include <utility>

namespace aster::inline v0::detail {

void StreamTransport::begin_tls(const TlsSetup& setup, Future<> done) {
  if (stage_ != Stage::open) throw_system_error(ECONNABORTED, "start_tls " + subject());
  if (medium_ != Medium::socket) throw TypeError("start_tls: a pipe cannot have TLS");
  if (has_tls() && tls_->owns_reading()) {
    throw RuntimeError("start_tls: a handshake is going on already");
  }
  check_write("start_tls");
  std::string ahead = take_ahead();
  while (has_tls() && tls_->has_ahead()) {
    const std::string piece = tls_->take_ahead();
    ahead += tls_->open_ahead(piece);
  }
  if (!setup.server_side && !ahead.empty()) {
    throw SSLError("start_tls: " + std::to_string(ahead.size()) +
                   " bytes that are not of TLS were received behind what was read");
  }
  std::unique_ptr<TlsTunnel> tunnel = has_tls() ? tls_->into_tunnel() : nullptr;
  tls_ = std::make_unique<TlsLayer>(*this, setup, std::move(tunnel));
  sends_at_once_ = false;
  high_ = TlsLayer::high_water;
  low_ = TlsLayer::high_water / 4;
  tls_->begin(std::move(ahead), std::move(done));
}

SSLObject StreamTransport::ssl_object() const { return has_tls() ? tls_->object() : SSLObject(); }

std::size_t StreamTransport::tls_backlog() const noexcept { return tls_->backlog(); }

std::int64_t StreamTransport::send_raw(std::string_view record) noexcept {
  if (stage_ > Stage::closing) return 0;
  if (raw_size() == 0) {
    const std::int64_t result = backend_->send_now(fd_, record.data(), record.size());
    if (result < 0 && result != -EAGAIN && result != -EINTR) {
      return result == -ENOMEM ? -ENOBUFS : result;
    }
    if (result > 0) record.remove_prefix(static_cast<std::size_t>(result));
  }
  try {
    if (!record.empty()) outgoing().out.append(record);
    return 0;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

void StreamTransport::write_sealed(std::span<const std::string_view> pieces) {
  try {
    tls_->write(pieces);
  } catch (...) {  // No memory: what the peer got so far must not be taken for all.
    end(std::current_exception());
    throw;
  }
  submit_send();
  check_high_water();
}

bool StreamTransport::received_otherwise() noexcept {
  if (medium_ == Medium::write_pipe) {
    reader_gone();
    return true;
  }
  if (stage_ == Stage::ending) post_end();  // The note waited for this.
  if (stage_ <= Stage::closing && has_tls() && tls_->owns_reading()) {
    tls_->received();
    return true;
  }
  return stage_ != Stage::open;  // Closing: nobody is to read any more.
}

Coroutine<> shake_hands(StateRef<StreamTransport> link, TlsSetup setup) {
  Future<> done = link->scheduler().loop().create_future<>();
  try {
    link->begin_tls(setup, done);
    co_await done;
  } catch (...) {
    link->abort();
    throw;
  }
}

}  // namespace aster::inline v0::detail
