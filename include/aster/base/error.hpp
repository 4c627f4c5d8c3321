// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <vector>

/// Every exception type of the library, named as in asyncio.
///
/// Three roots, so that a handler catches what it means to catch:
///
///   - `Error`, a `std::runtime_error`: ordinary errors. Failures of the
///     operating system are plain `std::system_error`.
///   - `CancelledError`, without a base class: `catch (const std::exception&)`
///     does not swallow a cancellation by accident (MAP-1).
///   - `BaseError`, without a base class: stops the loop instead of being
///     stored quietly; `KeyboardInterrupt` is one.
///
/// All of them copy without throwing and without allocating, as an exception
/// may be rethrown at every level of an await chain.
namespace aster::inline v0 {

namespace detail {

/// Immutable text that copies by counting, so that exceptions copy `noexcept`.
/// When there is no memory for the text it stays empty.
class ASTER_API SharedText {
 public:
  SharedText() noexcept = default;
  explicit SharedText(std::string_view text) noexcept;
  explicit SharedText(std::string&& text) noexcept;

  [[nodiscard]] std::string_view view() const noexcept {
    return text_ ? std::string_view(*text_) : std::string_view();
  }
  [[nodiscard]] const char* c_str() const noexcept { return text_ ? text_->c_str() : ""; }

 private:
  std::shared_ptr<const std::string> text_;
};

}  // namespace detail

/// The base of the ordinary errors of asyncio.
class ASTER_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~Error() override;
};

/// An argument has an impossible value: NaN, a port of 70000, an empty host.
class ASTER_API ValueError : public Error {
 public:
  using Error::Error;
  ~ValueError() override;
};

/// An argument is of the wrong kind, where only run time can tell.
class ASTER_API TypeError : public Error {
 public:
  using Error::Error;
  ~TypeError() override;
};

/// What was asked for is not there: a context variable without a value.
class ASTER_API LookupError : public Error {
 public:
  using Error::Error;
  ~LookupError() override;
};

/// There is nothing, or already something, under a key: a descriptor that no selector
/// knows, or one that is registered twice.
class ASTER_API KeyError : public LookupError {
 public:
  using LookupError::LookupError;
  ~KeyError() override;
};

/// A call that is not possible in the present state: loop closed, loop already
/// running, no running loop, coroutine awaited twice.
class ASTER_API RuntimeError : public Error {
 public:
  using Error::Error;
  ~RuntimeError() override;
};

/// A deadline of this library passed: `timeout`, `wait_for`, `as_completed`,
/// `ConcurrentFuture::result`. An ETIMEDOUT of the system is a
/// `std::system_error` (MAP-2).
class ASTER_API TimeoutError : public Error {
 public:
  using Error::Error;
  /// With the text "timed out".
  TimeoutError();
  /// The same, and the exception that it was made of; may be null.
  explicit TimeoutError(std::exception_ptr cause);
  /// With both.
  TimeoutError(const char* text, std::exception_ptr cause);
  ~TimeoutError() override;

  /// The CancelledError that a deadline has turned into this one, as Python's
  /// `__cause__`; null when there is none.
  [[nodiscard]] const std::exception_ptr& cause() const noexcept { return cause_; }

 private:
  std::exception_ptr cause_;
};

/// A future was asked for a result it does not have, or was completed twice.
class ASTER_API InvalidStateError : public Error {
 public:
  using Error::Error;
  ~InvalidStateError() override;
};

/// `sendfile` has no way to do the work in the kernel and no fallback is allowed.
class ASTER_API SendfileNotAvailableError : public RuntimeError {
 public:
  using RuntimeError::RuntimeError;
  ~SendfileNotAvailableError() override;
};

/// TLS failed: a handshake, a record, a key or certificate that is not one.
///
///     try { co_await open_connection(host, 443, {.ssl = &ctx}); }
///     catch (const SSLCertVerificationError& e) { log(e.verify_message()); }
///     catch (const SSLError& e) { log(e.reason()); }
class ASTER_API SSLError : public Error {
 public:
  /// `reason` is the library's name of what happened: "WRONG_VERSION_NUMBER"; may be "".
  explicit SSLError(const std::string& message, std::string_view reason = {})
      : Error(message), reason_(reason) {}
  ~SSLError() override;

  /// What happened in one word: "TLSV1_ALERT_UNKNOWN_CA", "BAD_DECRYPT"; "" when unknown.
  [[nodiscard]] std::string_view reason() const noexcept { return reason_.view(); }

 private:
  detail::SharedText reason_;
};

/// The peer ended the connection without TLS's own goodbye (close_notify): what was
/// received may be the beginning of something only.
class ASTER_API SSLEOFError : public SSLError {
 public:
  using SSLError::SSLError;
  ~SSLEOFError() override;
};

/// The peer's certificate was refused: not trusted, not valid, or of another host.
class ASTER_API SSLCertVerificationError : public SSLError {
 public:
  /// `code` and `verify_message` are X.509's: 62, "hostname mismatch".
  SSLCertVerificationError(const std::string& message, int code, std::string_view verify_message)
      : SSLError(message, "CERTIFICATE_VERIFY_FAILED"),
        verify_message_(verify_message),
        verify_code_(code) {}
  ~SSLCertVerificationError() override;

  /// Why, as a number of OpenSSL's `X509_V_ERR_…`.
  [[nodiscard]] int verify_code() const noexcept { return verify_code_; }
  /// Why, in words.
  [[nodiscard]] std::string_view verify_message() const noexcept { return verify_message_.view(); }

 private:
  detail::SharedText verify_message_;
  int verify_code_;
};

/// The stream ended before `readexactly` or `readuntil` had what it wanted.
class ASTER_API IncompleteReadError : public Error {
 public:
  /// `partial` is what had arrived; `expected` the wanted number of bytes, or
  /// nothing when a separator was wanted.
  IncompleteReadError(std::string partial, std::optional<std::size_t> expected);
  ~IncompleteReadError() override;

  /// The bytes that arrived before the end.
  [[nodiscard]] const std::string& partial() const noexcept { return *partial_; }
  /// The wanted number of bytes; empty for `readuntil`.
  [[nodiscard]] std::optional<std::size_t> expected() const noexcept { return expected_; }

 private:
  std::shared_ptr<const std::string> partial_;
  std::optional<std::size_t> expected_;
};

/// A separator was not found within the stream's limit. The data stays buffered.
class ASTER_API LimitOverrunError : public Error {
 public:
  /// `consumed` is the number of bytes that hold no separator for certain.
  LimitOverrunError(const std::string& message, std::size_t consumed);
  ~LimitOverrunError() override;

  /// How many bytes may be read with `readexactly` to get past them.
  [[nodiscard]] std::size_t consumed() const noexcept { return consumed_; }

 private:
  std::size_t consumed_;
};

/// A generator has ended: thrown by `next`, `send` and `throw_`. Carries what the
/// generator returned, the first time; asking again gives one without a value.
///
///     try { g.next(); }
///     catch (const StopIteration& stop) { use(stop.value<std::string>()); }
///
/// One that leaves a generator's body becomes a RuntimeError, as in Python.
class ASTER_API StopIteration : public Error {
 public:
  /// Without a value.
  StopIteration() : Error("StopIteration") {}
  /// With what the generator returned.
  template <class T>
  StopIteration(std::in_place_t, T value)
      : Error("StopIteration"),
        value_(std::make_shared<const T>(std::move(value))),
        type_(&typeid(T)) {}
  ~StopIteration() override;

  /// Whether the generator returned a value with this end.
  [[nodiscard]] bool has_value() const noexcept { return value_ != nullptr; }
  /// What the generator returned, as exactly that type; valid while a copy of this
  /// exception is. TypeError when there is no value or it is of another type.
  template <class T>
  [[nodiscard]] const T& value() const {
    check_type(typeid(T));
    return *static_cast<const T*>(value_.get());
  }

 private:
  void check_type(const std::type_info& wanted) const;

  std::shared_ptr<const void> value_;
  const std::type_info* type_ = nullptr;  // Of `value_`.
};

/// An asynchronous iteration or generator has ended; see `AsyncGenerator::anext`.
class ASTER_API StopAsyncIteration : public Error {
 public:
  using Error::Error;
  ~StopAsyncIteration() override;
};

/// An executor can run no further jobs.
class ASTER_API BrokenExecutor : public RuntimeError {
 public:
  using RuntimeError::RuntimeError;
  ~BrokenExecutor() override;
};

/// A thread pool's initializer failed.
class ASTER_API BrokenThreadPool : public BrokenExecutor {
 public:
  using BrokenExecutor::BrokenExecutor;
  ~BrokenThreadPool() override;
};

/// A worker process ended in the midst of a job, or none can be started. The text names the
/// process, how it ended, and the job.
class ASTER_API BrokenProcessPool : public BrokenExecutor {
 public:
  using BrokenExecutor::BrokenExecutor;
  /// A worker that ended; `returncode` as `Process::returncode` has it.
  BrokenProcessPool(const std::string& message, int pid, std::optional<int> returncode)
      : BrokenExecutor(message), pid_(pid), returncode_(returncode) {}
  ~BrokenProcessPool() override;

  /// The worker's process id; 0 when the whole pool is broken.
  [[nodiscard]] int pid() const noexcept { return pid_; }
  /// Its exit status, or -N when signal N ended it; none when that is not known.
  [[nodiscard]] std::optional<int> returncode() const noexcept { return returncode_; }

 private:
  int pid_ = 0;
  std::optional<int> returncode_;
};

/// What a worker process threw and this process cannot throw: an exception of another type
/// than the standard library's and aster's. The text is "type: what".
class ASTER_API RemoteError : public RuntimeError {
 public:
  /// As the worker reports it.
  RemoteError(std::string_view type_name, const std::string& text)
      : RuntimeError(text), type_name_(type_name) {}
  ~RemoteError() override;

  /// The type of the exception in the worker: "shop::SoldOut".
  [[nodiscard]] std::string_view type_name() const noexcept { return type_name_.view(); }

 private:
  detail::SharedText type_name_;
};

/// Several errors at once, as `TaskGroup` raises them.
///
///     try { … } catch (const ExceptionGroup& group) {
///       auto [oses, rest] = group.split<std::system_error>();
///     }
class ASTER_API ExceptionGroup : public Error {
 public:
  /// ValueError when `exceptions` is empty.
  ExceptionGroup(const std::string& message, std::vector<std::exception_ptr> exceptions);
  ~ExceptionGroup() override;

  /// The text without the count of sub-exceptions that `what()` appends.
  [[nodiscard]] std::string_view message() const noexcept { return message_.view(); }
  /// The errors, in the order in which they happened.
  [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept {
    return *exceptions_;
  }

  /// The members that are an `E`, in a group of the same shape (nested groups
  /// are searched); nothing when there is none.
  template <class E>
  [[nodiscard]] std::optional<ExceptionGroup> subgroup() const {
    return split<E>().first;
  }

  /// Two groups: the members that are an `E`, and the others.
  template <class E>
  [[nodiscard]] std::pair<std::optional<ExceptionGroup>, std::optional<ExceptionGroup>> split()
      const {
    return split_if([](const std::exception_ptr& error) {
      try {
        std::rethrow_exception(error);
      } catch (const E&) {
        return true;
      } catch (...) {
        return false;
      }
    });
  }

 private:
  using Split = std::pair<std::optional<ExceptionGroup>, std::optional<ExceptionGroup>>;
  [[nodiscard]] Split split_if(bool (*matches)(const std::exception_ptr&)) const;

  detail::SharedText message_;
  std::shared_ptr<const std::vector<std::exception_ptr>> exceptions_;
};

/// Calls `handler(const E&)` for every `E` inside `group`, nested ones included,
/// and gives back the rest; the counterpart of Python's `except*`.
///
///     if (auto rest = catch_group<ValueError>(group, [](const ValueError& e) { log(e); }))
///       throw *rest;
template <class E, class Handler>
std::optional<ExceptionGroup> catch_group(const ExceptionGroup& group, Handler&& handler) {
  auto parts = group.split<E>();
  if (parts.first) {
    auto visit = [&handler](const ExceptionGroup& found, const auto& self) -> void {
      for (const std::exception_ptr& error : found.exceptions()) {
        try {
          std::rethrow_exception(error);
        } catch (const E& match) {
          handler(match);
        } catch (const ExceptionGroup& inner) {
          self(inner, self);
        }
      }
    };
    visit(*parts.first, visit);
  }
  return std::move(parts.second);
}

/// A task or future was cancelled. Not derived from `std::exception` on purpose.
///
/// Catch it to clean up, then rethrow it: whoever cancelled is waiting for that.
class ASTER_API CancelledError {
 public:
  /// `message` is the text given to `cancel`.
  CancelledError() noexcept = default;
  explicit CancelledError(std::string message) noexcept : message_(std::move(message)) {}
  CancelledError(const CancelledError&) noexcept = default;
  CancelledError& operator=(const CancelledError&) noexcept = default;
  virtual ~CancelledError();

  /// The text given to `cancel`, or "".
  [[nodiscard]] const char* what() const noexcept { return message_.c_str(); }
  /// The text given to `cancel`, or an empty one.
  [[nodiscard]] std::string_view message() const noexcept { return message_.view(); }

 private:
  detail::SharedText message_;
};

/// The root of errors that stop the loop and leave `run` at once.
class ASTER_API BaseError {
 public:
  /// `message` is for people.
  BaseError() noexcept = default;
  explicit BaseError(std::string message) noexcept : message_(std::move(message)) {}
  BaseError(const BaseError&) noexcept = default;
  BaseError& operator=(const BaseError&) noexcept = default;
  virtual ~BaseError();

  /// What happened, for people.
  [[nodiscard]] virtual const char* what() const noexcept { return message_.c_str(); }

 private:
  detail::SharedText message_;
};

/// The user pressed Ctrl-C while `run` was running.
class ASTER_API KeyboardInterrupt : public BaseError {
 public:
  /// With a fixed text.
  KeyboardInterrupt() noexcept : BaseError("KeyboardInterrupt") {}
  ~KeyboardInterrupt() override;
};

/// The program asked to end with a status from inside a task; leaves `run`.
class ASTER_API SystemExit : public BaseError {
 public:
  /// `status` becomes the exit status of the process.
  explicit SystemExit(int status) noexcept : BaseError("SystemExit"), status_(status) {}
  ~SystemExit() override;

  /// The wished exit status of the process.
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

/// Thrown into a generator that is closed; see `Generator::close`. No
/// `std::exception`, so that generators do not swallow it by accident.
class ASTER_API GeneratorExit {
 public:
  GeneratorExit() noexcept = default;
  GeneratorExit(const GeneratorExit&) noexcept = default;
  GeneratorExit& operator=(const GeneratorExit&) noexcept = default;
  virtual ~GeneratorExit();
};

/// The category of failed name look-ups: `std::system_error` whose `code()` has
/// this category holds an EAI_* number.
ASTER_API const std::error_category& gai_category() noexcept;

/// A one-line text for any exception, as "type: what" for ours and the standard
/// ones; never throws (an empty text when there is no memory).
ASTER_API std::string describe(const std::exception_ptr& error) noexcept;

/// What an exception was made of: the `cause()` of a TimeoutError, what was being handled
/// when one was thrown by `std::throw_with_nested`; null for others and for null.
///
///     for (auto e = std::current_exception(); e; e = cause_of(e)) log(describe(e));
ASTER_API std::exception_ptr cause_of(const std::exception_ptr& error) noexcept;

/// True for `KeyboardInterrupt`, `SystemExit` and all that derives from `BaseError`.
ASTER_API bool is_base_error(const std::exception_ptr& error) noexcept;

/// True for `CancelledError`.
ASTER_API bool is_cancelled_error(const std::exception_ptr& error) noexcept;

namespace detail {

ASTER_API bool is_generator_exit(const std::exception_ptr& error) noexcept;
ASTER_API bool is_stop_iteration(const std::exception_ptr& error) noexcept;
ASTER_API bool is_stop_async_iteration(const std::exception_ptr& error) noexcept;

/// Throws `std::system_error` for error number `number` of the system, with
/// "what" naming the call and the address, path or value it was given.
[[noreturn]] ASTER_API void throw_system_error(int number, const std::string& what);
/// The same as an `exception_ptr`.
[[nodiscard]] ASTER_API std::exception_ptr system_error_ptr(int number, const std::string& what);

}  // namespace detail
}  // namespace aster::inline v0
