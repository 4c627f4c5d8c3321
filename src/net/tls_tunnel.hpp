// SPDX-License-Identifier: MIT
#pragma once

#include "net/tls_engine.hpp"

#include <exception>
#include <memory>
#include <string_view>

namespace aster::inline v0::detail {

/// An engine that another one's records go through: TLS inside TLS, to any depth.
class TlsTunnel final : public TlsEngine::Output {
 public:
  /// `outside` is what the engine itself goes through; null for none.
  TlsTunnel(std::shared_ptr<TlsEngine> engine, std::unique_ptr<TlsTunnel> outside,
            std::size_t chunk_max);
  TlsTunnel(const TlsTunnel&) = delete;
  TlsTunnel& operator=(const TlsTunnel&) = delete;
  ~TlsTunnel();

  /// Where the outermost records go.
  void rebind(TlsEngine::Output& output) noexcept;
  /// Decrypts received bytes, at most `chunk_max`; good until the next call.
  [[nodiscard]] std::string_view open(std::string_view received) noexcept;
  /// Says goodbye, to the inside first.
  void send_close() noexcept;
  /// Whether nothing more can come through.
  [[nodiscard]] bool has_ended() const noexcept;
  /// Whether the peer has said all its goodbyes, the outermost last.
  [[nodiscard]] bool is_over() const noexcept {
    return outside_ != nullptr ? outside_->is_over() : engine_->has_ended();
  }
  /// Null unless it has failed.
  [[nodiscard]] const std::exception_ptr& error() const noexcept;

 private:
  bool send_sealed(std::string_view record) noexcept override;
  [[nodiscard]] TimePoint tls_now() const noexcept override { return engine_->now(); }

  std::shared_ptr<TlsEngine> engine_;
  std::unique_ptr<TlsTunnel> outside_;
  std::size_t room_size_;
  std::unique_ptr<char[]> room_;
};

}  // namespace aster::inline v0::detail
