// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/address.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace aster::inline v0::detail {

/// An address in little room, for what there are thousands of: those of IPv4 and IPv6
/// in place, long paths of unix sockets apart.
class KeptAddress {
 public:
  /// Throws `std::bad_alloc` for a long path, and is then unchanged.
  KeptAddress& operator=(const Address& address) {
    if (address.size() > bytes_.size()) {
      long_ = std::make_unique<const Address>(address);
      return *this;
    }
    long_.reset();
    size_ = address.size();
    std::copy_n(static_cast<const char*>(address.data()), size_, bytes_.data());
    return *this;
  }

  /// No address until one was given.
  [[nodiscard]] Address get() const {
    if (long_ != nullptr) return *long_;
    return size_ == 0 ? Address() : Address::from_native(bytes_.data(), size_);
  }

 private:
  std::unique_ptr<const Address> long_;
  alignas(8) std::array<char, 28> bytes_;  // A sockaddr_in6 at most.
  std::uint32_t size_ = 0;
};

}  // namespace aster::inline v0::detail
