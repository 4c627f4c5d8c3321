// SPDX-License-Identifier: MIT
#include "net/tls_tunnel.hpp"

#include <algorithm>
#include <utility>

namespace aster::inline v0::detail {

TlsTunnel::TlsTunnel(std::shared_ptr<TlsEngine> engine, std::unique_ptr<TlsTunnel> outside,
                     std::size_t chunk_max)
    : engine_(std::move(engine)),
      outside_(std::move(outside)),
      // With the beginning of a record that came before.
      room_size_(chunk_max + 2 * TlsEngine::record_size),
      room_(std::make_unique_for_overwrite<char[]>(room_size_)) {}

TlsTunnel::~TlsTunnel() { engine_->detach(); }

void TlsTunnel::rebind(TlsEngine::Output& output) noexcept {
  if (outside_ != nullptr) {
    outside_->rebind(output);
  } else {
    engine_->rebind(output);
  }
}

std::string_view TlsTunnel::open(std::string_view received) noexcept {
  engine_->give(outside_ != nullptr ? outside_->open(received) : received);
  return {room_.get(), engine_->read({room_.get(), room_size_})};
}

bool TlsTunnel::send_sealed(std::string_view record) noexcept {
  while (!record.empty()) {
    const std::size_t size = std::min(record.size(), TlsEngine::record_size);
    if (!engine_->seal(record.substr(0, size))) return true;  // `error` tells.
    record.remove_prefix(size);
  }
  return true;
}

void TlsTunnel::send_close() noexcept {
  engine_->send_close();
  if (outside_ != nullptr) outside_->send_close();
}

bool TlsTunnel::has_ended() const noexcept {
  return engine_->has_ended() || (outside_ != nullptr && outside_->has_ended());
}

const std::exception_ptr& TlsTunnel::error() const noexcept {
  const bool is_outer = engine_->error() == nullptr && outside_ != nullptr;
  return is_outer ? outside_->error() : engine_->error();
}

}  // namespace aster::inline v0::detail
