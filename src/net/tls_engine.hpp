// SPDX-License-Identifier: MIT
#pragma once

#include "net/tls_context.hpp"
#include "net/tls_openssl.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string_view>

namespace aster::inline v0::detail {

/// What an SSLSession is a handle on.
struct TlsSession {
  OwnedSession session;
  std::shared_ptr<TlsContext> context;  // The only one that may use it.
  std::string server_hostname;          // The only name it may be used for.
};

/// One SSL between received bytes and records to be sent. It waits for nothing: OpenSSL
/// reads from the bytes that were given and writes to an `Output`, by a BIO of ours.
///
/// No call may be made while another one runs (asserted): an `Output` only queues, and
/// what it could not do it is told of later.
class TlsEngine final : public std::enable_shared_from_this<TlsEngine> {
 public:
  /// Where records go. Must do without the engine.
  class Output {
   public:
    /// Sends or queues; false: there is no memory.
    virtual bool send_sealed(std::string_view record) noexcept = 0;
    /// The time of the loop.
    [[nodiscard]] virtual TimePoint tls_now() const noexcept = 0;

   protected:
    ~Output() = default;
  };

  enum class Progress : std::uint8_t { done, more, failed };

  TlsEngine(const TlsSetup& setup, Output& output);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;
  ~TlsEngine();

  [[nodiscard]] static TlsEngine& of(const SSL* ssl) noexcept;
  /// What there is to `session` for this connection; null when it is another's.
  [[nodiscard]] static std::shared_ptr<const TlsSession> usable_session(const SSLSession& session,
                                                                        const TlsSetup& setup);

  /// Received bytes, read by the next calls; they must last until then.
  void give(std::string_view received) noexcept { input_ = received; }
  /// Those that were not read.
  [[nodiscard]] std::string_view rest() const noexcept { return input_; }

  [[nodiscard]] Progress handshake() noexcept;
  /// Fills `room` with what was received; how much. With less than `room`, all that was
  /// given is read, or it has ended or failed.
  [[nodiscard]] std::size_t read(std::span<char> room) noexcept;
  /// One record of at most `record_size` bytes; false: it has failed.
  [[nodiscard]] bool seal(std::string_view data) noexcept;
  static constexpr std::size_t record_size = 16384;
  /// Says goodbye: nothing is sealed any more.
  void send_close() noexcept;

  /// The peer has said goodbye.
  [[nodiscard]] bool has_ended() const noexcept { return ended_; }
  /// Null unless it has failed; nothing works then.
  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }
  /// The error is that of a callback of the user's.
  [[nodiscard]] bool is_callback_error() const noexcept { return callback_failed_; }
  /// Records go there from now on.
  void rebind(Output& output) noexcept { output_ = &output; }
  /// Nobody takes records any more; questions are still answered.
  void detach() noexcept { output_ = nullptr; }

  // For callbacks of OpenSSL's -------------------------------------------------------

  [[nodiscard]] TlsContext& context() const noexcept { return *context_; }
  [[nodiscard]] TimePoint now() const noexcept { return output_->tls_now(); }
  /// The server's certificate is to be chosen; as OpenSSL's callback.
  int choose_context(std::string_view server_name, int& alert) noexcept;

  // For SSLObject --------------------------------------------------------------------

  [[nodiscard]] SSL* ssl() const noexcept { return ssl_.get(); }
  [[nodiscard]] bool is_server() const noexcept { return is_server_; }
  [[nodiscard]] const std::string& server_hostname() const noexcept { return server_hostname_; }
  [[nodiscard]] SSLSession session();
  [[nodiscard]] SSLObject object() { return SSLObject(shared_from_this()); }

 private:
  [[nodiscard]] bool may_take_up_session(const TlsContext& context,
                                         std::string_view server_name) const noexcept;
  class Entry;
  friend struct EngineBio;
  void set_up_client(const TlsSetup& setup);
  [[nodiscard]] long check_reused_cert() const noexcept;
  void fail() noexcept;
  /// What errors begin with: "TLS with example.org".
  [[nodiscard]] std::string subject() const;

  std::shared_ptr<TlsContext> context_;
  std::shared_ptr<TlsContext> chosen_;  // By the SNI callback.
  Output* output_;
  OwnedSsl ssl_;
  std::string_view input_;
  std::string server_hostname_;
  std::exception_ptr error_;
  bool is_server_;
  bool is_inside_ = false;  // OpenSSL runs.
  bool is_full_ = false;    // There was no memory for a record.
  bool ended_ = false;
  bool callback_failed_ = false;
};

}  // namespace aster::inline v0::detail
