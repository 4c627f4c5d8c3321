// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/executor/codec.hpp>
#include <aster/executor/job.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

/// How a call travels to a worker process: as the place of a function that decodes the
/// arguments, makes the call and encodes its result, and behind it the arguments.
namespace aster::inline v0::detail {

/// Where a function lies, valid in any process that runs the same program.
struct FunctionPlace {
  std::string object;    // The path of its shared object; empty for the program.
  std::string build_id;  // Of that file, or a digest of its headers.
  std::uint64_t offset = 0;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(object, build_id, offset);
  }
};

/// RuntimeError when it lies in no object of this process.
[[nodiscard]] ASTER_API FunctionPlace place_of(const void* function);
/// The function there; RuntimeError when this process has another version of the object.
[[nodiscard]] ASTER_API const void* function_at(const FunctionPlace& place);

using RemoteEntry = void (*)(Decoder& in, Encoder& out);

/// Functions that another process can find: plain ones, and lambdas without captures.
template <class F>
concept PlainFunction = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;
template <class F>
concept Travelling = PlainFunction<F> || (std::is_empty_v<F> && std::default_initializable<F>);

/// What an argument is sent as: texts that are borrowed here are owned there.
template <class T>
using Sent = std::conditional_t<std::is_same_v<std::decay_t<T>, const char*> ||
                                    std::is_same_v<std::decay_t<T>, char*> ||
                                    std::is_same_v<std::decay_t<T>, std::string_view>,
                                std::string, std::decay_t<T>>;

/// `value` as it is sent; itself when it is of that type.
template <class T>
decltype(auto) as_sent(const T& value) {
  if constexpr (std::is_same_v<Sent<T>, T>) {
    return (value);
  } else {
    return Sent<T>(value);
  }
}

template <class F, class... Args>
using RemoteValue = std::invoke_result_t<F, Args...>;

template <class F, class... Args>
constexpr void require_travelling() noexcept {
  static_assert(Travelling<F>,
                "aster: only plain functions and lambdas without captures travel to a worker "
                "process: give what they capture as arguments");
  static_assert((encodable<Args> && ...),
                "aster: an argument cannot travel to a worker process: give its type a "
                "serialize member or a Codec, or include aster/interop/cereal.hpp");
  using Value = RemoteValue<F, Args...>;
  if constexpr (!std::is_void_v<Value>) {
    static_assert(encodable<Value>,
                  "aster: the result cannot travel back from a worker process: return a value "
                  "whose type has a serialize member or a Codec");
  }
}

template <class F>
F travelled(Decoder& in) {
  if constexpr (PlainFunction<F>) {
    return reinterpret_cast<F>(
        reinterpret_cast<std::uintptr_t>(function_at(in.get<FunctionPlace>())));
  } else {
    static_cast<void>(in);
    return F();
  }
}

template <class F, class... Args>
void call_once(F& function, Decoder& in, Encoder& out) {
  auto args = in.get<std::tuple<Args...>>();
  if constexpr (std::is_void_v<RemoteValue<F, Args...>>) {
    std::apply(function, std::move(args));
  } else {
    out(std::apply(function, std::move(args)));
  }
}

/// In the worker: one call.
template <class F, class... Args>
void remote_call(Decoder& in, Encoder& out) {
  F function = travelled<F>(in);
  call_once<F, Args...>(function, in, out);
}

/// In the worker: several calls; the results together read as a vector.
template <class F, class... Args>
void remote_chunk(Decoder& in, Encoder& out) {
  F function = travelled<F>(in);
  const auto count = in.get<std::uint64_t>();
  out(count);
  for (std::uint64_t i = 0; i < count; ++i) call_once<F, Args...>(function, in, out);
}

template <class F>
void encode_function(Encoder& out, RemoteEntry entry, const F& function) {
  out(place_of(reinterpret_cast<const void*>(entry)));
  if constexpr (PlainFunction<F>) out(place_of(reinterpret_cast<const void*>(function)));
}

template <class F, class... Args>
[[nodiscard]] std::string encode_call(const F& function, const Args&... args) {
  Encoder out;
  encode_function(out, &remote_call<F, Args...>, function);
  out(args...);
  return std::move(out).take();
}

/// What a worker answers.
struct RemoteReply {
  RemoteReply() noexcept = default;
  std::unique_ptr<char[]> data;
  std::size_t size = 0;
};

ASTER_API void encode_error(Encoder& out, const std::exception_ptr& error);
[[nodiscard]] ASTER_API std::exception_ptr decode_error(Decoder& in);

/// Stands for the call on this side: called when the reply is there, gives its result.
template <class R>
class RemoteResult {
 public:
  RemoteResult(std::shared_ptr<RemoteReply> reply, JobName name) noexcept
      : reply_(std::move(reply)), name_(name) {}
  R operator()() const {
    Decoder in({reply_->data.get(), reply_->size});
    if (!in.get<bool>()) std::rethrow_exception(decode_error(in));
    if constexpr (!std::is_void_v<R>) return in.get<R>();
  }
  [[nodiscard]] JobName job_name() const noexcept { return name_; }

 private:
  std::shared_ptr<RemoteReply> reply_;
  JobName name_;
};

}  // namespace aster::inline v0::detail
