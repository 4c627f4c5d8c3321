// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace aster::inline v0 {

/// How values of a type travel to worker processes and back. There are codecs for numbers,
/// enumerations, `std::string`, containers, `std::pair`, `tuple`, `array`, `optional`,
/// `variant` and durations. A type of yours has a `serialize` member, as cereal has it:
///
///     struct Point {
///       double x = 0, y = 0;
///       template <class Archive> void serialize(Archive& archive) { archive(x, y); }
///     };
///
/// or a codec of its own, for instance for a type without a default constructor:
///
///     template <> struct aster::Codec<Id> {
///       static void encode(aster::Encoder& out, const Id& id) { out(id.number()); }
///       static Id decode(aster::Decoder& in) { return Id(in.get<int>()); }
///     };
///
/// `aster/interop/cereal.hpp` adds what else cereal can serialise. Both ends are the same
/// program on the same machine, so numbers travel as they lie in memory.
template <class T>
struct Codec;

class Encoder;
class Decoder;

/// Types that can travel to a worker process: those with a `Codec`.
template <class T>
concept encodable = requires(Encoder& out, Decoder& in, const T& value) {
  Codec<T>::encode(out, value);
  { Codec<T>::decode(in) } -> std::same_as<T>;
};

/// Writes values one behind the other.
class Encoder {
 public:
  /// Nothing written yet.
  Encoder() = default;
  /// Each of `values`, by its codec.
  template <class... T>
  void operator()(const T&... values) {
    (Codec<T>::encode(*this, values), ...);
  }
  /// `size` bytes as they are.
  void write(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
  }
  /// What was written.
  [[nodiscard]] std::string&& take() && noexcept { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads what an `Encoder` has written. ValueError when there is less.
class Decoder {
 public:
  /// Of `bytes`, which must outlive it.
  explicit Decoder(std::string_view bytes) noexcept : bytes_(bytes) {}
  /// The next value.
  template <class T>
  [[nodiscard]] T get() {
    return Codec<T>::decode(*this);
  }
  /// The next values, assigned to each of `values`.
  template <class... T>
  void operator()(T&... values) {
    ((values = get<T>()), ...);
  }
  /// The next `size` bytes as they are; valid as long as the input.
  [[nodiscard]] std::string_view read(std::size_t size) {
    if (size > bytes_.size()) throw ValueError("Decoder: the input ends within a value");
    const std::string_view found = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return found;
  }
  /// How many bytes are left.
  [[nodiscard]] std::size_t left() const noexcept { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

// -------------------------------------------------------------------------------

namespace detail {

template <class T>
concept AsBytes = std::is_arithmetic_v<T> || std::is_enum_v<T>;

template <class T>
concept Container = std::ranges::sized_range<T> && std::default_initializable<T> &&
                    requires(T& container, typename T::value_type value) {
                      container.insert(container.end(), std::move(value));
                    };

/// Containers whose elements lie side by side and travel as one piece.
template <class T>
concept BytesInARow =
    Container<T> && std::ranges::contiguous_range<T> && AsBytes<std::ranges::range_value_t<T>> &&
    requires(T& container) { container.resize(std::size_t{}); };

template <class T>
concept HasSerialize = std::default_initializable<T> && !Container<T> &&
                       requires(T& value, Encoder& out) { value.serialize(out); };

/// Whether aster has a codec of its own: other codecs keep away from these.
template <class T>
inline constexpr bool has_codec = AsBytes<T> || Container<T> || HasSerialize<T>;
template <class A, class B>
inline constexpr bool has_codec<std::pair<A, B>> = true;
template <class... T>
inline constexpr bool has_codec<std::tuple<T...>> = true;
template <class T, std::size_t N>
inline constexpr bool has_codec<std::array<T, N>> = true;
template <class T>
inline constexpr bool has_codec<std::optional<T>> = true;
template <class... T>
inline constexpr bool has_codec<std::variant<T...>> = true;
template <class Rep, class Period>
inline constexpr bool has_codec<std::chrono::duration<Rep, Period>> = true;
template <>
inline constexpr bool has_codec<std::monostate> = true;

template <class T>
struct BytesCodec {
  static void encode(Encoder& out, const T& value) { out.write(&value, sizeof value); }
  static T decode(Decoder& in) {
    T value;
    std::memcpy(&value, in.read(sizeof value).data(), sizeof value);  // NOLINT: of that size
    return value;
  }
};

template <class T>
struct ContainerCodec {
  using Value = std::ranges::range_value_t<T>;
  static void encode(Encoder& out, const T& values) {
    out(static_cast<std::uint64_t>(values.size()));
    if constexpr (BytesInARow<T>) {
      out.write(values.data(), values.size() * sizeof(Value));
    } else {
      for (const Value& value : values) out(value);
    }
  }
  static T decode(Decoder& in) {
    const auto count = in.get<std::uint64_t>();
    T values;
    if constexpr (std::same_as<T, std::string>) {
      values = in.read(count);
    } else if constexpr (BytesInARow<T>) {
      if (count > in.left() / sizeof(Value)) throw ValueError("Decoder: a size beyond the input");
      const std::string_view bytes = in.read(count * sizeof(Value));
      values.resize(count);
      if (count != 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    } else {
      for (std::uint64_t i = 0; i < count; ++i) values.insert(values.end(), in.get<Value>());
    }
    return values;
  }
};

template <class T>
struct SerializeCodec {
  static void encode(Encoder& out, const T& value) {
    const_cast<T&>(value).serialize(out);  // One member for both ways: it changes nothing here.
  }
  static T decode(Decoder& in) {
    T value;
    value.serialize(in);
    return value;
  }
};

template <class A, class B>
struct PairCodec {
  static void encode(Encoder& out, const std::pair<A, B>& both) { out(both.first, both.second); }
  static std::pair<A, B> decode(Decoder& in) {
    auto first = in.get<std::remove_const_t<A>>();  // Of a map.
    return {std::move(first), in.get<B>()};
  }
};

template <class... T>
struct TupleCodec {
  static void encode(Encoder& out, const std::tuple<T...>& values) {
    std::apply([&out](const T&... value) { out(value...); }, values);
  }
  static std::tuple<T...> decode([[maybe_unused]] Decoder& in) {
    return std::tuple<T...>{in.get<T>()...};
  }
};

template <class T, std::size_t N>
struct ArrayCodec {
  static void encode(Encoder& out, const std::array<T, N>& values) {
    for (const T& value : values) out(value);
  }
  static std::array<T, N> decode(Decoder& in) {
    return [&in]<std::size_t... I>(std::index_sequence<I...>) {
      return std::array<T, N>{(static_cast<void>(I), in.get<T>())...};
    }(std::make_index_sequence<N>());
  }
};

template <class T>
struct OptionalCodec {
  static void encode(Encoder& out, const std::optional<T>& value) {
    out(value.has_value());
    if (value) out(*value);
  }
  static std::optional<T> decode(Decoder& in) {
    if (!in.get<bool>()) return std::nullopt;
    return std::optional<T>(in.get<T>());
  }
};

template <class... T>
struct VariantCodec {
  static void encode(Encoder& out, const std::variant<T...>& value) {
    out(static_cast<std::uint64_t>(value.index()));
    std::visit([&out](const auto& held) { out(held); }, value);
  }
  static std::variant<T...> decode(Decoder& in) {
    return [&in]<std::size_t... I>(std::index_sequence<I...>) {
      const auto index = in.get<std::uint64_t>();
      std::optional<std::variant<T...>> found;
      static_cast<void>(
          ((index == I && (found.emplace(std::in_place_index<I>, in.get<T>()), true)) || ...));
      if (!found) throw ValueError("Decoder: a variant without such an alternative");
      return std::move(*found);
    }(std::index_sequence_for<T...>());
  }
};

template <class Rep, class Period>
struct DurationCodec {
  using Time = std::chrono::duration<Rep, Period>;
  static void encode(Encoder& out, const Time& time) { out(time.count()); }
  static Time decode(Decoder& in) { return Time(in.get<Rep>()); }
};

struct NothingCodec {
  static void encode(Encoder&, const std::monostate&) noexcept {}
  static std::monostate decode(Decoder&) noexcept { return {}; }
};

}  // namespace detail

template <detail::AsBytes T>
struct Codec<T> : detail::BytesCodec<T> {};
template <detail::Container T>
struct Codec<T> : detail::ContainerCodec<T> {};
template <detail::HasSerialize T>
struct Codec<T> : detail::SerializeCodec<T> {};
template <class A, class B>
struct Codec<std::pair<A, B>> : detail::PairCodec<A, B> {};
template <class... T>
struct Codec<std::tuple<T...>> : detail::TupleCodec<T...> {};
template <class T, std::size_t N>
struct Codec<std::array<T, N>> : detail::ArrayCodec<T, N> {};
template <class T>
struct Codec<std::optional<T>> : detail::OptionalCodec<T> {};
template <class... T>
struct Codec<std::variant<T...>> : detail::VariantCodec<T...> {};
template <class Rep, class Period>
struct Codec<std::chrono::duration<Rep, Period>> : detail::DurationCodec<Rep, Period> {};
template <>
struct Codec<std::monostate> : detail::NothingCodec {};

}  // namespace aster::inline v0
