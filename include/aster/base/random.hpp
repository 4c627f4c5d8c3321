// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

namespace aster::inline v0 {

/// The library's one source of randomness: small, fast, and the same numbers
/// for the same seed on every platform and compiler, which the distributions of
/// `<random>` do not promise. Not for secrets.
///
///     SeededRandom random(seed);
///     random.shuffle(std::span(batch));
///     if (random.chance(1, 10)) …
///
/// xoshiro256** (Blackman and Vigna), seeded by splitmix64. A value: copies go
/// on alone. No thread safety.
class SeededRandom {
 public:
  using result_type = std::uint64_t;  // A std::uniform_random_bit_generator.

  /// The generator of this seed's sequence.
  explicit constexpr SeededRandom(std::uint64_t seed) noexcept {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15u;
      std::uint64_t mixed = seed;
      mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
      word = mixed ^ (mixed >> 31);
    }
  }

  /// 64 random bits.
  constexpr result_type operator()() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// The least and the greatest number that a call gives.
  static constexpr result_type min() noexcept { return 0; }
  /// See `min`.
  static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }

  /// A number in [0, bound), each equally likely; 0 when `bound` is 0.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    if (bound < 2) return 0;
    // The numbers below this are the ones too many for equal shares.
    const std::uint64_t surplus = (max() - bound + 1) % bound;
    std::uint64_t value = (*this)();
    while (value < surplus) value = (*this)();
    return value % bound;
  }

  /// True `times` out of `of` times.
  constexpr bool chance(std::uint64_t times, std::uint64_t of) noexcept {
    return below(of) < times;
  }

  /// Puts `items` into a random order.
  template <class T>
  constexpr void shuffle(std::span<T> items) noexcept {
    for (std::size_t left = items.size(); left > 1; --left) {
      const auto other = static_cast<std::size_t>(below(left));
      if (other != left - 1) std::swap(items[left - 1], items[other]);
    }
  }

 private:
  std::uint64_t state_[4]{};  // Never all zero: splitmix64 does not give that.
};

}  // namespace aster::inline v0
