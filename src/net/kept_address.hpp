// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/address.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace aster::inline v0::detail {

/// An address in little room, for what there are thousands of: those of IPv4 and IPv6
/// in place, long paths of unix sockets apart.
class KeptAddress {
 public:
  KeptAddress() noexcept = default;
  KeptAddress(const KeptAddress&) = delete;
  KeptAddress& operator=(const KeptAddress&) = delete;
  ~KeptAddress() { clear(); }

  /// Throws `std::bad_alloc` for a long path, and is then unchanged.
  KeptAddress& operator=(const Address& address) {
    if (address.size() > bytes_.size()) {
      const Address* const path = new Address(address);
      clear();
      // NOLINTNEXTLINE(bugprone-sizeof-expression): the pointer itself is kept.
      std::memcpy(bytes_.data(), static_cast<const void*>(&path), sizeof path);
      size_ = is_apart;
      return *this;
    }
    clear();
    size_ = static_cast<std::uint8_t>(address.size());
    std::memcpy(bytes_.data(), address.data(), size_);
    return *this;
  }

  /// No address until one was given.
  [[nodiscard]] Address get() const {
    if (size_ == is_apart) return *path();
    return size_ == 0 ? Address() : Address::from_native(bytes_.data(), size_);
  }

 private:
  static constexpr std::uint8_t is_apart = 0xff;

  [[nodiscard]] const Address* path() const noexcept {
    const Address* path;
    // NOLINTNEXTLINE(bugprone-sizeof-expression): the pointer itself is kept.
    std::memcpy(static_cast<void*>(&path), bytes_.data(), sizeof path);
    return path;
  }
  void clear() noexcept {
    if (std::exchange(size_, std::uint8_t{0}) == is_apart) delete path();
  }

  std::array<char, 28> bytes_;  // A sockaddr_in6 at most; or a pointer to the address.
  std::uint8_t size_ = 0;
};

}  // namespace aster::inline v0::detail
