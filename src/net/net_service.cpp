// SPDX-License-Identifier: MIT
#include "net/net_service.hpp"

#include "net/server_state.hpp"
#include "net/tls_layer.hpp"

namespace aster::inline v0::detail {

NetService::Claim::Claim(EventLoop& owner, native_socket descriptor)
    : loop(owner), backend(owner.backend()), fd(descriptor) {
  try {
    loop.set_transport_fd(fd, true);
  } catch (...) {
    static_cast<void>(backend.close_socket(fd));
    throw;
  }
}

NetService::Claim::~Claim() {
  if (is_taken) return;
  loop.set_transport_fd(fd, false);
  static_cast<void>(backend.close_socket(fd));
}

void NetService::take(StreamTransport& made, const Claim& claim,
                      const NativeAddress& peer) noexcept {
  claim.is_taken = true;
  links_.push_back(made);
  made.add_reference();  // The loop's, besides the one given out.
  made.opened(peer);
}

std::span<char> NetService::shared_room() {
  // A receive, and the beginning of a record that came before.
  constexpr std::size_t size = TlsLayer::chunk_max + 2 * TlsEngine::record_size;
  if (room_ == nullptr) room_ = std::make_unique_for_overwrite<char[]>(size);
  return {room_.get(), size};
}

void NetService::close() noexcept {
  while (!servers_.empty()) servers_.front().tear_down();
  while (!links_.empty()) links_.front().tear_down();
}

}  // namespace aster::inline v0::detail
