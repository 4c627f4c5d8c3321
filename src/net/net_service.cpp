// SPDX-License-Identifier: MIT
#include "net/net_service.hpp"

#include "net/server_state.hpp"

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

void NetService::take(StreamTransport& made, const Claim& claim) noexcept {
  claim.is_taken = true;
  links_.push_back(made);
  made.add_reference();  // The loop's, besides the one given out.
  made.opened();
}

void NetService::close() noexcept {
  while (!servers_.empty()) servers_.front().tear_down();
  while (!links_.empty()) links_.front().tear_down();
}

}  // namespace aster::inline v0::detail
