// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/promise.hpp>
#include <aster/net/transport.hpp>
#include <aster/task/future.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster::inline v0 {

namespace detail {

class ReadAwaiterBase;
struct StreamAccess;

/// What a read wants.
struct ReadWish {
  enum class Kind : std::uint8_t { some, view, into, all, exactly, until, line };
  ReadWish(Kind wish, std::size_t bytes) noexcept : kind(wish), count(bytes) {}

  /// Whether any byte will do, so that what is received need not pass through the buffer.
  [[nodiscard]] bool is_direct() const noexcept { return kind <= Kind::into; }

  Kind kind;
  std::size_t count;       // Bytes wanted at most (some, view, into) or exactly.
  char* target = nullptr;  // into: where they go.
};

/// The separators of a read that has not begun: for most reads there are none.
struct NoSeparators {
  [[nodiscard]] const std::vector<std::string>* get() const noexcept { return nullptr; }
};
/// Those of `readuntil`: shortest first; empty for "\n".
struct Separators {
  [[nodiscard]] const std::vector<std::string>* get() const noexcept { return &texts; }
  std::vector<std::string> texts;
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
  [[nodiscard]] std::uint32_t reference_count() const noexcept { return references_; }

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
  /// For a reader that is filled by hand: what fills it, to be held back while more than
  /// twice the limit is buffered. RuntimeError for the reader of a stream.
  virtual void set_transport(TransportRef<ReadTransport> transport);
  /// It was fed by hand.
  virtual void fed() noexcept {}

  /// Whether a drain of the same connection has nothing to wait for or to throw.
  [[nodiscard]] bool is_calm() const noexcept { return calm_; }

 protected:
  friend class ReadAwaiterBase;

  /// A read wants more than is buffered: begin to receive. Fills the buffer (or
  /// the read itself) and gives true when something came at once, or failed.
  virtual bool pull() noexcept { return false; }
  /// The read that wanted more is gone.
  virtual void stop_pull() noexcept {}
  /// Where bytes may go directly: the target of a waiting `read_into`, with which
  /// nothing is buffered; null otherwise.
  [[nodiscard]] inline std::span<char> direct_target() const noexcept;
  /// Gives the waiting read bytes that are in its target, or that stay where they are
  /// until it goes on when `lasts`. False: they must be fed.
  inline bool hand_over(std::string_view data, bool lasts) noexcept;

  ReadAwaiterBase* waiting_ = nullptr;  // The one read that wants more than there is.

  /// Whether a read has begun that is not over.
  [[nodiscard]] bool is_being_read() const noexcept {
    return waiting_ != nullptr || reading_ != nullptr;
  }
  /// Everything that is buffered.
  [[nodiscard]] std::string take_all() { return take(buffered()); }

 private:
  /// Nothing to be had without receiving.
  [[nodiscard]] bool is_dry() const noexcept { return buffered() == 0 && !over_; }
  [[nodiscard]] bool is_satisfied(ReadAwaiterBase& read);
  void wake_if_satisfied() noexcept;
  [[nodiscard]] std::string_view view() const noexcept {
    return std::string_view(buffer_).substr(start_);
  }
  [[nodiscard]] std::string take(std::size_t count);
  [[nodiscard]] std::string_view lend(std::size_t count);
  void skip(std::size_t count) noexcept;
  [[nodiscard]] std::string take_until(ReadAwaiterBase& read);
  bool find_separator(ReadAwaiterBase& read, std::size_t& begin, std::size_t& end) const noexcept;

  // A read that has suspended and not gone on: what it was woken for is its.
  ReadAwaiterBase* reading_ = nullptr;
  std::uint32_t references_ = 1;
  bool eof_ = false;
  bool over_ = false;  // The end has come, or an error.

 protected:
  bool calm_ = true;

 private:
  std::size_t start_ = 0;  // Bytes of `buffer_` before it have been read.
  std::string buffer_;
  std::exception_ptr error_;
  std::size_t limit_;
  // What the last `read_view` got, when it was buffered before.
  std::unique_ptr<std::string> lent_;
};

/// One read that waits; lives in the awaiting frame.
class ASTER_API ReadAwaiterBase : public Waiter {
 public:
  using aster_awaiter = void;
  ReadAwaiterBase(StateRef<ReaderState> reader, const ReadWish& wish,
                  const std::vector<std::string>* separators) noexcept
      : reader_(reader.give_up()), wish_(wish), separators_(separators) {}

  /// Throws RuntimeError when another task is reading.
  [[nodiscard]] bool await_ready() {
    ReaderState& reader = *reader_;
    if (reader.reading_ == nullptr && reader.is_dry() && wish_.is_direct() && wish_.count > 0)
        [[likely]] {
      reader.waiting_ = this;
      if (reader.pull()) return await_ready_slowly();
      reader.reading_ = this;
      return false;
    }
    return await_ready_slowly();
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    driver_ = &driver_of(handle);
    driver_->suspend(*this);
  }

 protected:
  ~ReadAwaiterBase() = default;
  friend class ReaderState;
  [[nodiscard]] std::string finish_text();
  [[nodiscard]] std::string_view finish_view();
  [[nodiscard]] std::size_t finish_into();
  /// Lets others read, and throws what was asked for meanwhile.
  void go_on() {
    if (driver_ == nullptr) return;
    if (reader_->waiting_ == this || driver_->has_pending()) [[unlikely]]
      return go_on_slowly();
    reader_->reading_ = nullptr;
  }
  void go_on_slowly();
  /// Throws in the coroutine itself: each function that an exception passes on its way costs
  /// as much again.
  [[noreturn, gnu::always_inline]] void fail() const { std::rethrow_exception(reader_->error_); }
  [[nodiscard]] bool is_reading() const noexcept { return reader_->reading_ == this; }
  [[nodiscard]] bool await_ready_slowly();
  void release() noexcept;
  bool cancel(Driver& driver, std::string& message) noexcept override;

  // A reference that the derived class gives up: a destructor here would write this
  // class's table into every awaiter that ends.
  ReaderState* reader_;
  Driver* driver_ = nullptr;     // Null until it suspends.
  std::string_view received_{};  // What did not pass through the buffer.
  ReadWish wish_;
  bool failed_ = false;  // It is over because of the reader's error.
  const std::vector<std::string>* separators_;
  std::size_t scanned_ = 0;  // Bytes that certainly begin no separator.
};

template <class T>
class ReadAwaiter final : public ReadAwaiterBase {
 public:
  using ReadAwaiterBase::ReadAwaiterBase;
  ~ReadAwaiter() {
    if (is_reading()) [[unlikely]]
      release();
    reader_->release_reference();
  }
  [[gnu::always_inline]] T await_resume() {
    go_on();
    if constexpr (std::is_same_v<T, std::string>) {
      if (failed_) [[unlikely]]
        fail();
      return finish_text();
    } else {
      if (!received_.empty()) [[likely]] {
        if constexpr (std::is_same_v<T, std::size_t>) {
          return received_.size();
        } else {
          return received_;
        }
      }
      if (failed_) [[unlikely]]
        fail();
      if constexpr (std::is_same_v<T, std::size_t>) {
        return finish_into();
      } else {
        return finish_view();
      }
    }
  }
};

inline std::span<char> ReaderState::direct_target() const noexcept {
  if (waiting_ == nullptr || waiting_->wish_.target == nullptr) return {};
  return {waiting_->wish_.target, waiting_->wish_.count};
}

inline bool ReaderState::hand_over(std::string_view data, bool lasts) noexcept {
  ReadAwaiterBase* const read = waiting_;
  if (read == nullptr) return false;
  // A direct read waits only while nothing is buffered.
  const bool fits = read->wish_.target == data.data() ||
                    (read->wish_.kind <= ReadWish::Kind::view && data.size() <= read->wish_.count);
  if (!fits) return false;
  if (read->driver_ == nullptr) {  // Not suspended: its coroutine is running.
    read->received_ = data;
    return true;
  }
  // Lent bytes are good until the next step of what is woken: a task's comes at once.
  if (read->wish_.target == nullptr && (!lasts || read->driver_->task() == nullptr)) return false;
  read->received_ = data;
  waiting_ = nullptr;
  read->driver_->wake();
  return true;
}

}  // namespace detail

/// A read that has not begun: what the members of `StreamReader` give. Await it,
/// or hand it to `wait_for` and the like.
template <class T, class Separators = detail::NoSeparators>
class [[nodiscard("a read does nothing until it is awaited")]] StreamRead {
 public:
  /// Use the members of `StreamReader`.
  StreamRead(detail::StateRef<detail::ReaderState> reader, const detail::ReadWish& wish,
             Separators separators = {}) noexcept
      : reader_(std::move(reader)), wish_(wish), separators_(std::move(separators)) {}
  /// Begins to read.
  [[nodiscard]] detail::ReadAwaiter<T> operator co_await() && {
    return detail::ReadAwaiter<T>(std::move(reader_), wish_, separators_.get());
  }
  /// Begins to read; it may be awaited again for the next piece.
  [[nodiscard]] detail::ReadAwaiter<T> operator co_await() & {
    return detail::ReadAwaiter<T>(reader_, wish_, separators_.get());
  }

 private:
  detail::StateRef<detail::ReaderState> reader_;
  detail::ReadWish wish_;
  [[no_unique_address]] Separators separators_;
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
  [[nodiscard]] StreamRead<std::string, detail::Separators> readuntil(
      std::string_view separator = "\n") const;
  /// The same with several separators: the one that ends first counts.
  [[nodiscard]] StreamRead<std::string, detail::Separators> readuntil(
      std::span<const std::string_view> separators) const;
  /// At most `target.size()` bytes into `target`, which must live until the read is
  /// over; the number of bytes, 0 at the end of the stream. Allocates nothing.
  [[nodiscard]] StreamRead<std::size_t> read_into(std::span<char> target) const {
    detail::ReadWish made(detail::ReadWish::Kind::into, target.size());
    made.target = target.data();
    return wish<std::size_t>(made);
  }
  /// As `read(size)`, but gives a view instead of a copy: of memory that all
  /// connections share, and which is the processor's cache. Valid until the coroutine
  /// next awaits anything, or reads; so await it where it is used, not as a task of its
  /// own. For bytes that are passed on or parsed at once.
  ///
  ///     std::string_view piece = co_await reader.read_view(65536);
  ///     writer.write(piece);
  [[nodiscard]] StreamRead<std::string_view> read_view(std::size_t size) const {
    return wish<std::string_view>(detail::ReadWish(detail::ReadWish::Kind::view, size));
  }

  /// Whether the stream has ended and everything was read.
  [[nodiscard]] bool at_eof() const noexcept { return state_->at_eof(); }
  /// The error of the connection; null when there is none.
  [[nodiscard]] std::exception_ptr exception() const noexcept { return state_->error(); }

  /// What fills it by hand: paused while more than twice the limit is buffered, resumed
  /// when a read wants more. RuntimeError for the reader of a stream.
  void set_transport(ReadTransport& transport);
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
  [[nodiscard]] StreamRead<T> wish(const detail::ReadWish& made) const {
    return StreamRead<T>(state_, made);
  }
  detail::StateRef<detail::ReaderState> state_;
};

}  // namespace aster::inline v0
