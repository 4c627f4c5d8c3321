// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/executor/codec.hpp>

#include <cereal/archives/binary.hpp>
#include <cereal/cereal.hpp>

#include <concepts>
#include <cstdint>
#include <sstream>
#include <string>

/// Lets whatever cereal can serialise travel to worker processes: include it, and the
/// `cereal/types/...` headers of what you use, before the first call of a pool.
///
///     #include <aster/interop/cereal.hpp>
///     #include <cereal/types/memory.hpp>
///     double area(std::shared_ptr<Shape> shape);
///     pool.submit(area, shape);          // A polymorphic type that cereal knows.
///
/// What aster has a codec for keeps it. cereal's own exceptions pass through.
namespace aster::inline v0 {

namespace detail {

template <class T>
concept ByCereal = !has_codec<T> && std::default_initializable<T> &&
                   cereal::traits::is_output_serializable<T, cereal::BinaryOutputArchive>::value &&
                   cereal::traits::is_input_serializable<T, cereal::BinaryInputArchive>::value;

template <class T>
struct CerealCodec {
  static void encode(Encoder& out, const T& value) {
    std::ostringstream stream;
    {
      cereal::BinaryOutputArchive archive(stream);
      archive(value);
    }
    out(stream.str());
  }
  static T decode(Decoder& in) {
    std::istringstream stream(in.get<std::string>());
    cereal::BinaryInputArchive archive(stream);
    T value;
    archive(value);
    return value;
  }
};

}  // namespace detail

template <detail::ByCereal T>
struct Codec<T> : detail::CerealCodec<T> {};

}  // namespace aster::inline v0
