// SPDX-License-Identifier: MIT
#pragma once

#include "net/stream_transport.hpp"
#include "net/tls_context.hpp"

#include <aster/base/state_ref.hpp>
#include <aster/coro/coroutine.hpp>

namespace aster::inline v0::detail {

/// Begins TLS on a connection and waits for the handshake. When that fails or is
/// cancelled the connection is closed.
[[nodiscard]] Coroutine<> shake_hands(StateRef<StreamTransport> link, TlsSetup setup);

}  // namespace aster::inline v0::detail
