// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/intrusive_list.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/net/protocol.hpp>
#include <aster/net/transport.hpp>
#include <aster/task/context_slot.hpp>
#include <aster/task/future.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aster::inline v0::detail {

class DatagramService;

/// One endpoint for datagrams. Its life is that of a StreamLink: open, closing (what is
/// buffered is still sent), ending, lost.
///
/// All callbacks of the protocol come from one note on the loop's queue: what the
/// program's calls and the descriptor's events bring about is marked down, and the note
/// is queued. The descriptor is watched rather than received from by an operation, so
/// that idle endpoints own no buffer.
class DatagramLink final : public DatagramTransport, public ListNode {
 public:
  /// `target`: where a datagram without an address goes, if anywhere.
  DatagramLink(EventLoop& loop, Socket socket, const Address& target, bool is_connected,
               std::shared_ptr<DatagramProtocol> protocol, const std::source_location& source);

  void sendto(std::string_view data) override;
  void sendto(std::string_view data, const Address& address) override;
  void close() noexcept override;
  void abort() noexcept override { end(nullptr); }
  [[nodiscard]] bool is_closing() const noexcept override { return stage_ != Stage::open; }

  [[nodiscard]] std::size_t get_write_buffer_size() const noexcept override { return buffered_; }
  [[nodiscard]] WriteBufferLimits get_write_buffer_limits() const noexcept override {
    return limits_;
  }
  void set_write_buffer_limits(std::optional<std::size_t> high,
                               std::optional<std::size_t> low) override;

  [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const noexcept override {
    return protocol_;
  }
  void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
  [[nodiscard]] std::optional<Address> peername() const override;
  [[nodiscard]] std::optional<Address> sockname() const override { return local_; }
  [[nodiscard]] SocketView socket() const override;
  [[nodiscard]] std::string str() const override;

  /// Queues `connection_made`; the future is done once it was called and the endpoint
  /// receives.
  [[nodiscard]] Future<> begin();
  /// The loop closes: everything ends here and now.
  void tear_down() noexcept;

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept {
    if (--references_ == 0) delete this;
  }

 private:
  enum class Stage : std::uint8_t { open, closing, ending, lost };

  struct Letter {
    std::string bytes;
    Address to;  // None on a connected socket.
  };
  struct Note final : Runnable {
    explicit Note(DatagramLink& link) noexcept : Runnable(&ops), owner(link) {}
    static const RunnableOps ops;
    DatagramLink& owner;
  };
  struct ReadyWatch final : Watch {
    explicit ReadyWatch(DatagramLink& link) noexcept;
    DatagramLink& owner;
  };

  ~DatagramLink() override;
  void retain() noexcept override { add_reference(); }
  void release() noexcept override { release_reference(); }

  void send(std::string_view data, const Address& to);
  [[nodiscard]] std::int64_t send_now(std::string_view data, const Address& to) noexcept;
  void queue_error(std::int64_t result, const char* call, const Address& to);
  void check_marks() noexcept;
  void post_note() noexcept;
  [[nodiscard]] int watch(unsigned events) noexcept;
  void end(std::exception_ptr error) noexcept;

  // What the note does, in this order.
  void run_note();
  void make();
  void tell_errors();
  void flush();
  void receive();
  void tell_marks();
  void finish();
  [[nodiscard]] bool has_work() const noexcept;
  template <class Call>
  void call_protocol(const char* name, Call&& call);
  void become_lost() noexcept;

  DatagramService* service_;
  Scheduler* scheduler_;
  Socket socket_;
  ReadyWatch watch_{*this};
  Note note_{*this};
  std::size_t references_ = 1;
  Stage stage_ = Stage::open;
  bool is_connected_;
  bool is_made_ = false;
  bool is_note_queued_ = false;
  bool is_over_mark_ = false;      // More was buffered than the high mark, and not yet the low one.
  bool is_told_to_pause_ = false;  // What the protocol was told of it last.
  unsigned ready_ = 0;             // Events that the note is to act on.
  unsigned watched_ = 0;
  unsigned sends_after_close_ = 0;
  Address local_;
  Address target_;
  std::shared_ptr<DatagramProtocol> protocol_;  // Null once lost.
  Future<> begun_;
  WriteBufferLimits limits_;
  std::list<Letter> letters_;  // What did not go at once.
  std::size_t buffered_ = 0;
  std::vector<std::exception_ptr> errors_;  // That the protocol has not been told; few.
  std::exception_ptr lost_error_;
  ContextSlot context_;  // In which it was made, and is called back.
  std::source_location source_;
};

/// The datagram endpoints of a loop: holds them while they are open.
class DatagramService final : public EventLoop::Service {
 public:
  explicit DatagramService(EventLoop& loop) noexcept : loop_(loop) {}
  ~DatagramService() override = default;
  void close() noexcept override;

  /// The one buffer that all endpoints receive into; what is in it is used before the
  /// next receive. Made at the first.
  [[nodiscard]] std::span<char> buffer();

  EventLoop& loop_;
  IntrusiveList<DatagramLink> links_;

 private:
  std::unique_ptr<char[]> buffer_;
};

}  // namespace aster::inline v0::detail
