// SPDX-License-Identifier: MIT
#pragma once

#include "net/stream_transport.hpp"

#include <aster/base/intrusive_list.hpp>
#include <aster/net/server.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/net/stream_writer.hpp>

#include <cstddef>
#include <memory>
#include <source_location>

namespace aster::inline v0::detail {

/// A stream's connection or pipe: what its reader and writer handles share, and the
/// loop holds while it is open. Bytes are received when a read wants them.
class StreamLink final : public ReaderState, public StreamTransport {
 public:
  StreamLink(EventLoop& loop, native_socket fd, Medium medium, std::size_t limit,
             const std::source_location& source);
  ~StreamLink() override;

  using ReaderState::add_reference;
  using ReaderState::release_reference;

  void add_drain_waiter(LinkWaiter& waiter) noexcept { drain_waiters_.push_back(waiter); }
  void add_close_waiter(LinkWaiter& waiter) noexcept { close_waiters_.push_back(waiter); }

  [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const noexcept override { return {}; }
  void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
  // A stream's transport receives when somebody reads, so there is nothing to pause.
  [[nodiscard]] bool is_reading() const noexcept override { return receive_.is_pending(); }
  void pause_reading() noexcept override {}
  void resume_reading() noexcept override {}

 private:
  void retain() noexcept override { ReaderState::add_reference(); }
  void release() noexcept override { ReaderState::release_reference(); }
  [[nodiscard]] std::uint32_t reference_count() const noexcept override {
    return ReaderState::reference_count();
  }
  void stopped() noexcept override { calm_ = false; }
  void flow_changed() noexcept override;
  void lost() noexcept override;
  [[nodiscard]] std::string take_ahead() override;
  void secured() noexcept override;

  bool pull() noexcept override;
  bool pull_slowly() noexcept;
  void stop_pull() noexcept override;
  void received(Operation& operation) noexcept;
  void received_slowly() noexcept;
  void take_received() noexcept;
  bool pull_tls() noexcept;
  void decrypt(std::string_view data, bool lasts) noexcept;
  void hand_on(std::string_view plain, bool lasts) noexcept;
  void feed_or_fail(std::string_view data) noexcept;

  IntrusiveList<LinkWaiter> drain_waiters_;
  IntrusiveList<LinkWaiter> close_waiters_;
};

inline StreamLink& LinkRef::operator*() const noexcept {
  ASTER_REQUIRE(link_,
                "this StreamReader or StreamWriter was moved from: use the one it was moved to");
  return static_cast<StreamLink&>(*link_);
}
inline StreamLink* LinkRef::operator->() const noexcept { return &**this; }

/// Makes handles of states and back.
struct StreamAccess {
  static StreamReader reader(StateRef<ReaderState> state) noexcept {
    return StreamReader(std::move(state));
  }
  static StreamWriter writer(StateRef<StreamLink> link) noexcept {
    return StreamWriter(LinkRef(StateRef<ReaderState>::share(*link)));
  }
  static Server server(ServerState& state) noexcept { return Server(state); }
  static StreamLink& link(const StreamWriter& writer) noexcept { return *writer.link_; }
};

}  // namespace aster::inline v0::detail
