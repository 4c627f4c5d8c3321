// SPDX-License-Identifier: MIT
#pragma once

#include <aster/loop/backend.hpp>

namespace aster::inline v0::detail {

/// The calls of IoBackend that ask the system and keep no state: the clock and
/// the plain socket calls. All real back ends share them.
class SystemIo : public IoBackend {
 public:
  [[nodiscard]] TimePoint now() noexcept override;

  std::int64_t open_socket(int family, int type, int protocol) noexcept override;
  int bind(native_socket fd, const void* address, std::uint32_t size) noexcept override;
  int listen(native_socket fd, int backlog) noexcept override;
  int local_address(native_socket fd, void* address, std::uint32_t& size) noexcept override;
  int peer_address(native_socket fd, void* address, std::uint32_t& size) noexcept override;
  int set_option(native_socket fd, int level, int name, const void* value,
                 std::uint32_t size) noexcept override;
  int set_no_delay(native_socket fd) noexcept override;
  int get_option(native_socket fd, int level, int name, void* value,
                 std::uint32_t& size) noexcept override;
  std::int64_t send_now(native_socket fd, const char* data, std::size_t size) noexcept override;
  std::int64_t send_now(native_socket fd,
                        std::span<const std::string_view> pieces) noexcept override;
  std::int64_t send_to_now(native_socket fd, std::string_view data, const void* address,
                           std::uint32_t address_size) noexcept override;
  std::int64_t recv_from_now(native_socket fd, std::span<char> buffer, void* peer,
                             std::uint32_t& peer_size) noexcept override;
  std::int64_t send_file_now(native_socket fd, native_file file, std::int64_t offset,
                             std::size_t size) noexcept override;
  int shutdown_write(native_socket fd) noexcept override;

 protected:
  /// Writes to what may be a pipe without a reader: -EPIPE, and no SIGPIPE.
  static std::int64_t write_quietly(native_socket fd, const char* data, std::size_t size) noexcept;
  /// Closes, once. An interrupted close has closed and counts as a success.
  static int close_now(native_socket fd) noexcept;
};

}  // namespace aster::inline v0::detail
