// SPDX-License-Identifier: MIT
#pragma once

#include "net/stream_transport.hpp"

#include <aster/net/endpoint.hpp>
#include <aster/net/protocol.hpp>
#include <aster/task/context_slot.hpp>
#include <aster/task/future.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>

namespace aster::inline v0::detail {

/// A protocol's connection or pipe: receives by itself and calls the protocol.
///
/// protocol_link.cpp begins with how it works.
class ProtocolLink final : public StreamTransport {
 public:
  /// `has_reader`: it is a pipe that is written to, whose reader's going is to be noticed.
  ProtocolLink(EventLoop& loop, native_socket fd, Medium medium, const std::source_location& source,
               bool has_reader = false);
  ~ProtocolLink() override;

  /// Queues `connection_made`, after which it receives and `started` (which may be null)
  /// is done. Once; a `std::system_error` ECONNABORTED when it is not open any longer.
  void start(HeldProtocol protocol, Future<> started);

  [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const noexcept override {
    return protocol_.owner;
  }
  void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
  [[nodiscard]] bool is_reading() const noexcept override {
    return stage_ == Stage::open && !reading_paused_ && !ended_;
  }
  void pause_reading() noexcept override;
  void resume_reading() noexcept override;

 private:
  /// What the note has to do about received bytes.
  enum class Input : std::uint8_t {
    none,
    next,   // To receive.
    ready,  // To ask a BufferedProtocol where to, as there is something to receive.
    data,   // To hand over `view_`.
    end,    // To tell of the end of the stream.
  };
  struct EventNote final : Runnable {
    explicit EventNote(ProtocolLink& link) noexcept : Runnable(&ops), owner(link) {}
    static const RunnableOps ops;
    ProtocolLink& owner;
  };

  void retain() noexcept override { ++references_; }
  void release() noexcept override {
    if (--references_ == 0) delete this;
  }
  [[nodiscard]] std::uint32_t reference_count() const noexcept override { return references_; }
  void stopped() noexcept override;
  void flow_changed() noexcept override;
  void ending() override;
  void lost() noexcept override;
  [[nodiscard]] std::string take_ahead() override;
  void secured() noexcept override;

  void received() noexcept;
  void queue_events() noexcept;
  void run_events();
  void begin();
  void tell_flow();
  void take_input();
  void receive();
  void fill_buffer();
  void took(std::int64_t result);
  void hand_over(std::string_view data);
  void decrypt(std::string_view data);
  void hand_on(std::string_view plain);
  void deliver(std::string_view data);
  void at_end();
  void go_on(bool may_be_more);
  void listen() noexcept;
  void note_result() noexcept;
  void keep(std::string_view data) noexcept;
  void keep_lent() noexcept;
  template <class Callback>
  bool call(const char* name, Callback&& callback);
  void report(const char* message, const std::exception_ptr& error);

  std::uint32_t references_ = 1;
  Input input_ = Input::none;
  bool made_ = false;            // connection_made was called.
  bool events_queued_ = false;   // The note is in the ready queue.
  bool reading_paused_ = false;  // By the user.
  bool ended_ = false;           // The end of the stream was told.
  bool held_plain_ = false;      // `held_` was decrypted already.
  bool in_buffer_ = false;       // `receive_` fills, or `view_` is in, the protocol's buffer.
  bool pause_due_ = false;       // pause_writing is to be called.
  bool told_paused_ = false;     // resume_writing is owed.
  bool is_reported_ = false;     // The end's error goes to the handler too.
  bool has_reader_;              // And is not watched yet.
  EventNote events_;
  HeldProtocol protocol_;
  std::string_view view_;               // Lent, or in `held_` or the protocol's buffer.
  std::string held_;                    // Bytes that could not be handed over at once.
  std::optional<ContextSlot> context_;  // For the callbacks; since `start`.
  Future<> started_;
};

}  // namespace aster::inline v0::detail
