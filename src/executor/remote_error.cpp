// SPDX-License-Identifier: MIT
// An exception travels as the number of its type in `Plain` and its text, when it is exactly
// of one of these types; the few with more to them have numbers of their own.
#include "base/debug_text.hpp"

#include <aster/base/error.hpp>
#include <aster/executor/remote_call.hpp>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <tuple>
#include <typeinfo>

#include <cxxabi.h>

namespace aster::inline v0::detail {
namespace {

enum class Kind : std::uint8_t { plain, bad_alloc, system, cancelled, interrupt, exit, other };

using Plain = std::tuple<std::runtime_error, std::range_error, std::overflow_error,
                         std::underflow_error, std::logic_error, std::invalid_argument,
                         std::domain_error, std::length_error, std::out_of_range, Error, ValueError,
                         TypeError, LookupError, KeyError, RuntimeError, TimeoutError,
                         InvalidStateError, BrokenExecutor, BrokenThreadPool, BrokenProcessPool>;

template <std::size_t I = 0>
bool encode_plain(Encoder& out, const std::exception& error) {
  if constexpr (I == std::tuple_size_v<Plain>) {
    return false;
  } else {
    if (typeid(error) != typeid(std::tuple_element_t<I, Plain>)) {
      return encode_plain<I + 1>(out, error);
    }
    out(Kind::plain, static_cast<std::uint8_t>(I), std::string(error.what()));
    return true;
  }
}

template <std::size_t I = 0>
std::exception_ptr plain_error(std::size_t index, const std::string& text) {
  if constexpr (I < std::tuple_size_v<Plain>) {
    if (index != I) return plain_error<I + 1>(index, text);
    return std::make_exception_ptr(std::tuple_element_t<I, Plain>(text));
  }
  throw ValueError("ProcessPoolExecutor: an unknown error from a worker: " + text);
}

const std::error_category* category_of(std::string_view name) noexcept {
  for (const std::error_category* known :
       {&std::system_category(), &std::generic_category(), &gai_category()}) {
    if (known->name() == name) return known;
  }
  return nullptr;
}

bool encode_system(Encoder& out, const std::system_error& error) {
  if (typeid(error) != typeid(std::system_error)) return false;
  const std::error_code code = error.code();
  if (category_of(code.category().name()) == nullptr) return false;
  // Its constructor appends what the code says.
  std::string_view text = error.what();
  const std::string message = ": " + code.message();
  if (text.ends_with(message)) text.remove_suffix(message.size());
  out(Kind::system, code.value(), std::string(code.category().name()), std::string(text));
  return true;
}

void encode_other(Encoder& out, const std::exception_ptr& error) {
  const std::type_info* type = abi::__cxa_current_exception_type();
  const std::string name = type != nullptr ? demangled(type->name()) : "unknown exception";
  out(Kind::other, name, describe(error));
}

}  // namespace

void encode_error(Encoder& out, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& e) {
    if (!encode_system(out, e)) encode_other(out, error);
  } catch (const std::bad_alloc& e) {
    if (typeid(e) != typeid(std::bad_alloc)) return encode_other(out, error);
    out(Kind::bad_alloc);
  } catch (const std::exception& e) {
    if (!encode_plain(out, e)) encode_other(out, error);
  } catch (const CancelledError& e) {
    out(Kind::cancelled, std::string(e.message()));
  } catch (const KeyboardInterrupt&) {
    out(Kind::interrupt);
  } catch (const SystemExit& e) {
    out(Kind::exit, e.status());
  } catch (...) {
    encode_other(out, error);
  }
}

std::exception_ptr decode_error(Decoder& in) {
  switch (in.get<Kind>()) {
    case Kind::plain: {
      const std::size_t index = in.get<std::uint8_t>();
      return plain_error(index, in.get<std::string>());
    }
    case Kind::bad_alloc:
      return std::make_exception_ptr(std::bad_alloc());
    case Kind::system: {
      const int number = in.get<int>();
      const std::error_category* category = category_of(in.get<std::string>());
      return std::make_exception_ptr(
          std::system_error(number, category != nullptr ? *category : std::generic_category(),
                            in.get<std::string>()));
    }
    case Kind::cancelled:
      return std::make_exception_ptr(CancelledError(in.get<std::string>()));
    case Kind::interrupt:
      return std::make_exception_ptr(KeyboardInterrupt());
    case Kind::exit:
      return std::make_exception_ptr(SystemExit(in.get<int>()));
    case Kind::other:
      break;
  }
  const auto name = in.get<std::string>();
  return std::make_exception_ptr(RemoteError(name, in.get<std::string>()));
}

}  // namespace aster::inline v0::detail
