// SPDX-License-Identifier: MIT
#include <aster/loop/backend.hpp>

#include <cerrno>

namespace aster::inline v0 {

IoBackend::~IoBackend() = default;

std::int64_t IoBackend::send_to_now(native_socket /*fd*/, std::string_view /*data*/,
                                    const void* /*address*/,
                                    std::uint32_t /*address_size*/) noexcept {
  return -EOPNOTSUPP;
}

std::int64_t IoBackend::recv_from_now(native_socket /*fd*/, std::span<char> /*buffer*/,
                                      void* /*peer*/, std::uint32_t& /*peer_size*/) noexcept {
  return -EOPNOTSUPP;
}

std::int64_t IoBackend::send_file_now(native_socket /*fd*/, native_file /*file*/,
                                      std::int64_t /*offset*/, std::size_t /*size*/) noexcept {
  return -EOPNOTSUPP;
}

}  // namespace aster::inline v0
