// SPDX-License-Identifier: MIT
#pragma once

#include "net/stream_transport.hpp"

#include <aster/base/intrusive_list.hpp>
#include <aster/base/state_ref.hpp>
#include <aster/loop/event_loop.hpp>

#include <memory>
#include <span>
#include <utility>

namespace aster::inline v0::detail {

class ServerState;

/// A descriptor that nobody owns yet, and what was told with it.
struct OpenDescriptor {
  // NOLINTNEXTLINE(google-explicit-constructor): most come with nothing else.
  OpenDescriptor(native_socket descriptor, NativeAddress other_end = {}) noexcept
      : fd(descriptor), peer(other_end) {}
  native_socket fd;
  NativeAddress peer;
};

/// The connections, pipes and servers of a loop: holds them while they are open, ends
/// them when the loop closes.
class NetService final : public EventLoop::Service {
 public:
  explicit NetService(EventLoop& /*loop*/) noexcept {}
  ~NetService() override = default;
  void close() noexcept override;

  /// A `Link(loop, fd, args...)` for an open descriptor, which it owns from here on,
  /// also when this throws.
  template <class Link, class... Args>
  static StateRef<Link> adopt(EventLoop& loop, const OpenDescriptor& open, Args&&... args) {
    static_assert(alignof(Link) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__, "as frame memory is");
    const Claim claim(loop, open.fd);
    auto& service = loop.service<NetService>();
    auto* made = new Link(loop, open.fd, std::forward<Args>(args)...);
    service.take(*made, claim, open.peer);
    return StateRef<Link>(made);
  }

  /// Memory for what a connection decrypts of one receive, good until the next one does.
  [[nodiscard]] std::span<char> shared_room();

  IntrusiveList<ServerState> servers_;

 private:
  /// Marks a descriptor as a transport's (FD-5); closes it unless it is taken.
  struct Claim {
    Claim(EventLoop& loop, native_socket fd);
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    ~Claim();
    EventLoop& loop;
    IoBackend& backend;
    native_socket fd;
    mutable bool is_taken = false;
  };
  void take(StreamTransport& made, const Claim& claim, const NativeAddress& peer) noexcept;

  IntrusiveList<StreamTransport> links_;
  std::unique_ptr<char[]> room_;
};

}  // namespace aster::inline v0::detail
