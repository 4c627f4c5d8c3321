// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/base/time.hpp>

#include <netdb.h>

#include <string_view>
#include <typeinfo>

#include <cxxabi.h>

#include <cstdlib>

namespace aster::inline v0 {

namespace detail {

SharedText::SharedText(std::string_view text) noexcept {
  if (text.empty()) return;
  try {
    text_ = std::make_shared<const std::string>(text);
  } catch (...) {  // No memory: an error without its text is still that error.
    text_.reset();
  }
}

SharedText::SharedText(std::string&& text) noexcept {
  if (text.empty()) return;
  try {
    text_ = std::make_shared<const std::string>(std::move(text));
  } catch (...) {
    text_.reset();
  }
}

void throw_system_error(int number, const std::string& what) {
  throw std::system_error(number, std::system_category(), what);
}

std::exception_ptr system_error_ptr(int number, const std::string& what) {
  return std::make_exception_ptr(std::system_error(number, std::system_category(), what));
}

}  // namespace detail

// Out-of-line destructors: the type information of an exception must live in
// one shared object, or it is not caught in another.
Error::~Error() = default;
ValueError::~ValueError() = default;
TypeError::~TypeError() = default;
KeyError::~KeyError() = default;
RuntimeError::~RuntimeError() = default;
TimeoutError::TimeoutError() : Error("timed out") {}
TimeoutError::TimeoutError(std::exception_ptr cause)
    : TimeoutError("timed out", std::move(cause)) {}
TimeoutError::TimeoutError(const char* text, std::exception_ptr cause)
    : Error(text), cause_(std::move(cause)) {}
TimeoutError::~TimeoutError() = default;
InvalidStateError::~InvalidStateError() = default;
SendfileNotAvailableError::~SendfileNotAvailableError() = default;
SSLError::~SSLError() = default;
SSLEOFError::~SSLEOFError() = default;
SSLCertVerificationError::~SSLCertVerificationError() = default;
IncompleteReadError::~IncompleteReadError() = default;
LimitOverrunError::~LimitOverrunError() = default;
LookupError::~LookupError() = default;
StopIteration::~StopIteration() = default;
StopAsyncIteration::~StopAsyncIteration() = default;
BrokenExecutor::~BrokenExecutor() = default;
BrokenThreadPool::~BrokenThreadPool() = default;
BrokenProcessPool::~BrokenProcessPool() = default;
RemoteError::~RemoteError() = default;
ExceptionGroup::~ExceptionGroup() = default;
CancelledError::~CancelledError() = default;
BaseError::~BaseError() = default;
KeyboardInterrupt::~KeyboardInterrupt() = default;
SystemExit::~SystemExit() = default;
GeneratorExit::~GeneratorExit() = default;

namespace {

std::string incomplete_text(std::size_t got, std::optional<std::size_t> expected) {
  return std::to_string(got) + " bytes read on a total of " +
         (expected ? std::to_string(*expected) : std::string("undefined")) + " expected bytes";
}

std::string group_text(const std::string& message, std::size_t count) {
  return message + " (" + std::to_string(count) +
         (count == 1 ? " sub-exception)" : " sub-exceptions)");
}

class GaiCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "getaddrinfo"; }
  std::string message(int number) const override { return ::gai_strerror(number); }
};

std::string type_name(const std::type_info& type) {
  int status = 0;
  char* readable = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string name = readable != nullptr ? readable : type.name();
  std::free(readable);
  // The inline namespace is no part of the name as users write it.
  if (const auto at = name.find("::v0::"); at != std::string::npos) name.erase(at, 4);
  // What std::throw_with_nested throws is named as what it was given.
  constexpr std::string_view nested = "std::_Nested_exception<";
  if (name.starts_with(nested)) name = name.substr(nested.size(), name.size() - nested.size() - 1);
  return name;
}

/// Whether `error` is an `E`. On libstdc++ by asking the type information, as a
/// rethrow would cost an allocation and a microsecond.
template <class E>
bool holds(const std::exception_ptr& error) noexcept {
  if (error == nullptr) return false;
#if defined(__GLIBCXX__)
  const std::type_info* thrown = error.__cxa_exception_type();
  if (*thrown == typeid(E)) return true;
  if (*thrown == typeid(std::system_error)) return false;  // The most frequent, and of many bases.
  void* object = *reinterpret_cast<void* const*>(&error);
  return typeid(E).__do_catch(thrown, &object, 1);
#else
  try {
    std::rethrow_exception(error);
  } catch (const E&) {
    return true;
  } catch (...) {
    return false;
  }
#endif
}

std::string describe_or_throw(const std::exception_ptr& error) {
  if (!error) return "no exception";
  try {
    std::rethrow_exception(error);
  } catch (const CancelledError& e) {
    return *e.what() != '\0' ? std::string("aster::CancelledError: ") + e.what()
                             : std::string("aster::CancelledError");
  } catch (const ExceptionGroup& group) {
    std::string text = type_name(typeid(group)) + ": " + group.what() + ": ";
    for (const std::exception_ptr& member : group.exceptions()) {
      if (&member != &group.exceptions().front()) text += "; ";
      text += describe_or_throw(member);
    }
    return text;
  } catch (const BaseError& e) {
    return type_name(typeid(e)) + (*e.what() != '\0' ? std::string(": ") + e.what() : "");
  } catch (const std::exception& e) {
    return type_name(typeid(e)) + (*e.what() != '\0' ? std::string(": ") + e.what() : "");
  } catch (...) {
    const std::type_info* type = abi::__cxa_current_exception_type();
    return type != nullptr ? type_name(*type) : std::string("unknown exception");
  }
}

}  // namespace

void StopIteration::check_type(const std::type_info& wanted) const {
  if (type_ == nullptr) throw TypeError("StopIteration::value: the generator returned no value");
  if (*type_ != wanted) {
    throw TypeError("StopIteration::value: the value is a " + type_name(*type_) + ", not a " +
                    type_name(wanted));
  }
}

IncompleteReadError::IncompleteReadError(std::string partial, std::optional<std::size_t> expected)
    : Error(incomplete_text(partial.size(), expected)),
      partial_(std::make_shared<const std::string>(std::move(partial))),
      expected_(expected) {}

LimitOverrunError::LimitOverrunError(const std::string& message, std::size_t consumed)
    : Error(message), consumed_(consumed) {}

ExceptionGroup::ExceptionGroup(const std::string& message,
                               std::vector<std::exception_ptr> exceptions)
    : Error(group_text(message, exceptions.size())), message_(std::string_view(message)) {
  if (exceptions.empty()) throw ValueError("ExceptionGroup: no exceptions given");
  exceptions_ = std::make_shared<const std::vector<std::exception_ptr>>(std::move(exceptions));
}

ExceptionGroup::Split ExceptionGroup::split_if(bool (*matches)(const std::exception_ptr&)) const {
  std::vector<std::exception_ptr> yes;
  std::vector<std::exception_ptr> no;
  for (const std::exception_ptr& error : *exceptions_) {
    if (matches(error)) {
      yes.push_back(error);
      continue;
    }
    try {
      std::rethrow_exception(error);
    } catch (const ExceptionGroup& inner) {
      Split parts = inner.split_if(matches);
      if (parts.first) yes.push_back(std::make_exception_ptr(*parts.first));
      if (parts.second) no.push_back(std::make_exception_ptr(*parts.second));
    } catch (...) {
      no.push_back(error);
    }
  }
  const std::string text(message());
  Split result;
  if (!yes.empty()) result.first.emplace(text, std::move(yes));
  if (!no.empty()) result.second.emplace(text, std::move(no));
  return result;
}

const std::error_category& gai_category() noexcept {
  static const GaiCategory category;
  return category;
}

std::string describe(const std::exception_ptr& error) noexcept {
  try {
    return describe_or_throw(error);
  } catch (...) {
    return {};
  }
}

std::exception_ptr cause_of(const std::exception_ptr& error) noexcept {
  if (error == nullptr) return nullptr;
  try {
    std::rethrow_exception(error);
  } catch (const TimeoutError& timeout) {
    if (timeout.cause() != nullptr) return timeout.cause();
    const auto* nested = dynamic_cast<const std::nested_exception*>(&timeout);
    return nested != nullptr ? nested->nested_ptr() : nullptr;
  } catch (const std::nested_exception& nested) {
    return nested.nested_ptr();
  } catch (...) {
    return nullptr;
  }
}

bool is_base_error(const std::exception_ptr& error) noexcept { return holds<BaseError>(error); }

bool is_cancelled_error(const std::exception_ptr& error) noexcept {
  return holds<CancelledError>(error);
}

bool detail::is_generator_exit(const std::exception_ptr& error) noexcept {
  return holds<GeneratorExit>(error);
}

bool detail::is_stop_iteration(const std::exception_ptr& error) noexcept {
  return holds<StopIteration>(error);
}

bool detail::is_stop_async_iteration(const std::exception_ptr& error) noexcept {
  return holds<StopAsyncIteration>(error);
}

void Delay::throw_nan(const char* call) { throw ValueError(std::string(call) + ": delay is NaN"); }

}  // namespace aster::inline v0
