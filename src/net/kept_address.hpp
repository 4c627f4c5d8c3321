// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/address.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace aster::inline v0::detail {

/// A sockaddr as the system has written it; of size 0 when it is not known.
struct NativeAddress {
  const void* data = nullptr;
  std::uint32_t size = 0;
};

/// Room for one, of any family.
struct AddressRoom {
  static constexpr std::uint32_t size = 128;
  alignas(8) std::array<char, size> bytes;
};

/// An address in little room, for what there are thousands of: those of IPv4 and IPv6
/// in place, long paths of unix sockets apart.
class KeptAddress {
 public:
  KeptAddress() noexcept = default;
  KeptAddress(const KeptAddress&) = delete;
  KeptAddress& operator=(const KeptAddress&) = delete;
  ~KeptAddress() { clear(); }

  /// One that cannot be kept, as there is no memory for a long path, is as good as unknown.
  void keep(const NativeAddress& native) noexcept {
    clear();
    try {
      hold(Address::from_native(native.data, native.size));
    } catch (...) {
      is_ip_ = false;
    }
  }

  /// For IPv4 and IPv6.
  [[nodiscard]] bool is_ip() const noexcept { return is_ip_; }
  /// No address until one was given.
  [[nodiscard]] Address get() const {
    if (size_ == is_apart) return *path();
    return size_ == 0 ? Address() : Address::from_native(bytes_.data(), size_);
  }

 private:
  static constexpr std::uint8_t is_apart = 0xff;

  void hold(const Address& address) {
    is_ip_ = address.is_ip();
    if (address.size() > bytes_.size()) {
      const Address* const path = new Address(address);
      // NOLINTNEXTLINE(bugprone-sizeof-expression): the pointer itself is kept.
      std::memcpy(bytes_.data(), static_cast<const void*>(&path), sizeof path);
      size_ = is_apart;
    } else {
      size_ = static_cast<std::uint8_t>(address.size());
      std::memcpy(bytes_.data(), address.data(), size_);
    }
  }

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
  bool is_ip_ = false;
};

}  // namespace aster::inline v0::detail
