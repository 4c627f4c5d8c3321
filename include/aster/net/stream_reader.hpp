// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/promise.hpp>
#include <aster/task/future.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster::inline v0 {

namespace detail {

class ReaderState;
struct StreamAccess;

/// What a read wants; moves until it is awaited.
struct ReadWish {
  enum class Kind : std::uint8_t { some, all, exactly, until, line, into };
  ReadWish(Kind wish, std::size_t bytes) noexcept : kind(wish), count(bytes) {}

  Kind kind;
  std::size_t count;                    // Bytes wanted at most (some, into) or exactly.
  char* target = nullptr;               // into: where they go.
  std::vector<std::string> separators;  // until: shortest first; empty for '\n'.
};

/// One read that waits; lives in the awaiting frame.
class ASTER_API ReadAwaiterBase : public Waiter {
 public:
  using aster_awaiter = void;
  ReadAwaiterBase(StateRef<ReaderState> reader, ReadWish wish) noexcept
      : reader_(std::move(reader)), wish_(std::move(wish)) {}
  ~ReadAwaiterBase();

  /// Throws RuntimeError when another task is reading.
  [[nodiscard]] bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    driver_ = &driver_of(handle);
    driver_->suspend(*this);
  }

 protected:
  friend class ReaderState;
  [[nodiscard]] std::string finish_text();
  [[nodiscard]] std::size_t finish_into();
  void check_pending();
  void release() noexcept;
  bool cancel(Driver& driver, std::string& message) noexcept override;

  StateRef<ReaderState> reader_;
  ReadWish wish_;
  Driver* driver_ = nullptr;  // Null until it suspends.
  bool waiting_ = false;      // The reader's `waiting_` points here.
  bool reading_ = false;      // It holds the reader's `reading_`.
  bool failed_ = false;       // It is over because of the reader's error.
  std::size_t scanned_ = 0;   // Bytes that certainly begin no separator.
  std::size_t received_ = 0;  // into: bytes that arrived in `target` directly.
};

template <class T>
class ReadAwaiter final : public ReadAwaiterBase {
 public:
  using ReadAwaiterBase::ReadAwaiterBase;
  T await_resume() {
    if constexpr (std::is_same_v<T, std::string>) {
      return finish_text();
    } else {
      return finish_into();
    }
  }
};

/// The buffer of a stream and who waits for it, without what fills it.
class ASTER_API ReaderState {
 public:
  explicit ReaderState(std::size_t limit);
  ReaderState(const ReaderState&) = delete;
  ReaderState& operator=(const ReaderState&) = delete;
  virtual ~ReaderState();

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept {
    if (--references_ == 0) delete this;
  }

  // For what fills it --------------------------------------------------------

  /// Bytes have arrived; wakes the read that they complete.
  void feed(std::string_view data);
  void feed_eof() noexcept;
  void fail(std::exception_ptr error) noexcept;

  [[nodiscard]] std::size_t buffered() const noexcept { return buffer_.size() - start_; }
  [[nodiscard]] bool at_eof() const noexcept { return eof_ && buffered() == 0; }
  [[nodiscard]] bool has_eof() const noexcept { return eof_; }
  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

 protected:
  friend class ReadAwaiterBase;

  /// A read wants more than is buffered: begin to receive. Fills the buffer (or
  /// the read's target) and gives true when something came at once.
  virtual bool pull() { return false; }
  /// The read that wanted more is gone.
  virtual void stop_pull() noexcept {}
  /// Where bytes may go directly: the target of a waiting `read_into` with nothing
  /// buffered; null otherwise.
  [[nodiscard]] std::span<char> direct_target() const noexcept;
  /// That many bytes were put into `direct_target`.
  void filled(std::size_t count) noexcept;

  ReadAwaiterBase* waiting_ = nullptr;  // The one read that wants more than there is.

 private:
  [[nodiscard]] bool is_satisfied(ReadAwaiterBase& read);
  void wake_if_satisfied() noexcept;
  [[nodiscard]] std::string_view view() const noexcept {
    return std::string_view(buffer_).substr(start_);
  }
  [[nodiscard]] std::string take(std::size_t count);
  void skip(std::size_t count) noexcept;
  [[nodiscard]] std::string take_until(ReadAwaiterBase& read);
  bool find_separator(ReadAwaiterBase& read, std::size_t& begin, std::size_t& end) const noexcept;

  std::uint32_t references_ = 1;
  bool reading_ = false;  // A read has suspended and not gone on: what it was woken for is its.
  bool eof_ = false;
  std::size_t limit_;
  std::size_t start_ = 0;  // Bytes of `buffer_` before it have been read.
  std::string buffer_;
  std::exception_ptr error_;
};

}  // namespace detail

/// A read that has not begun: what the members of `StreamReader` give. Await it,
/// or hand it to `wait_for` and the like.
template <class T>
class [[nodiscard("a read does nothing until it is awaited")]] StreamRead {
 public:
  /// Use the members of `StreamReader`.
  StreamRead(detail::StateRef<detail::ReaderState> reader, detail::ReadWish wish) noexcept
      : reader_(std::move(reader)), wish_(std::move(wish)) {}
  /// Begins to read.
  [[nodiscard]] detail::ReadAwaiter<T> operator co_await() && {
    return detail::ReadAwaiter<T>(std::move(reader_), std::move(wish_));
  }
  /// Begins to read; it may be awaited again for the next piece.
  [[nodiscard]] detail::ReadAwaiter<T> operator co_await() & {
    return detail::ReadAwaiter<T>(reader_, wish_);
  }

 private:
  detail::StateRef<detail::ReaderState> reader_;
  detail::ReadWish wish_;
};

/// The receiving half of a stream: the counterpart of asyncio.StreamReader. A
/// movable handle; copies read from the same stream.
///
///     while (true) {
///       std::string line = co_await reader.readline();
///       if (line.empty()) break;                       // The end.
///       use(line);
///     }
///
/// Bytes are received when somebody wants them, so a stream that nobody reads
/// holds its peer back. One read at a time: a second one is a RuntimeError. A read
/// that is cancelled has consumed nothing. An error of the connection is thrown by
/// every later read. Thread rule: the loop's thread.
class ASTER_API StreamReader {
 public:
  /// A reader that is filled by hand, with `feed_data` and `feed_eof`. `limit` bounds
  /// the distance to a separator; ValueError for 0.
  explicit StreamReader(std::size_t limit = default_limit);
  /// What `limit` is when nobody says otherwise: 64 KiB.
  static constexpr std::size_t default_limit = 65536;

  /// At most `size` bytes, at least one; "" at the end of the stream and for 0.
  [[nodiscard]] StreamRead<std::string> read(std::size_t size) const {
    return wish<std::string>(detail::ReadWish(detail::ReadWish::Kind::some, size));
  }
  /// Everything up to the end of the stream.
  [[nodiscard]] StreamRead<std::string> read() const {
    return wish<std::string>(detail::ReadWish(detail::ReadWish::Kind::all, 0));
  }
  /// A line with its '\n'; what is left at the end of the stream; then "". ValueError
  /// when the line is longer than the limit; it is then skipped.
  [[nodiscard]] StreamRead<std::string> readline() const {
    return wish<std::string>(detail::ReadWish(detail::ReadWish::Kind::line, 0));
  }
  /// Exactly `size` bytes; IncompleteReadError when the stream ends before.
  [[nodiscard]] StreamRead<std::string> readexactly(std::size_t size) const {
    return wish<std::string>(detail::ReadWish(detail::ReadWish::Kind::exactly, size));
  }
  /// Everything up to and with `separator`. IncompleteReadError when the stream ends
  /// before; LimitOverrunError when it is farther than the limit (the bytes stay
  /// buffered). ValueError for an empty one.
  [[nodiscard]] StreamRead<std::string> readuntil(std::string_view separator = "\n") const;
  /// The same with several separators: the one that ends first counts.
  [[nodiscard]] StreamRead<std::string> readuntil(
      std::span<const std::string_view> separators) const;
  /// At most `target.size()` bytes into `target`, which must live until the read is
  /// over; the number of bytes, 0 at the end of the stream. Allocates nothing.
  [[nodiscard]] StreamRead<std::size_t> read_into(std::span<char> target) const {
    detail::ReadWish made(detail::ReadWish::Kind::into, target.size());
    made.target = target.data();
    return wish<std::size_t>(std::move(made));
  }

  /// Whether the stream has ended and everything was read.
  [[nodiscard]] bool at_eof() const noexcept { return state_->at_eof(); }
  /// The error of the connection; null when there is none.
  [[nodiscard]] std::exception_ptr exception() const noexcept { return state_->error(); }

  /// Adds bytes by hand. RuntimeError after `feed_eof`.
  void feed_data(std::string_view data);
  /// Ends the stream by hand.
  void feed_eof() noexcept { state_->feed_eof(); }
  /// Fails the stream by hand: the waiting and all later reads throw `error`.
  void set_exception(std::exception_ptr error) noexcept { state_->fail(std::move(error)); }

 private:
  friend struct detail::StreamAccess;
  explicit StreamReader(detail::StateRef<detail::ReaderState> state) noexcept
      : state_(std::move(state)) {}
  template <class T>
  [[nodiscard]] StreamRead<T> wish(detail::ReadWish made) const {
    return StreamRead<T>(state_, std::move(made));
  }
  detail::StateRef<detail::ReaderState> state_;
};

}  // namespace aster::inline v0
