// SPDX-License-Identifier: MIT
// Reads never copy out of the buffer before they are resumed: what has arrived for
// a read that is cancelled meanwhile is simply still there. When all that is
// buffered goes to one read, the buffer itself moves into the result, so that a
// message received in one piece is copied once.
#include <aster/net/stream_reader.hpp>

#include <algorithm>
#include <cstring>

namespace aster::inline v0 {
namespace detail {

ReadAwaiterBase::~ReadAwaiterBase() { release(); }

/// Lets others read; nothing when that is so already.
void ReadAwaiterBase::release() noexcept {
  if (std::exchange(reading_, false)) reader_->reading_ = false;
  if (!std::exchange(waiting_, false)) return;
  reader_->waiting_ = nullptr;
  reader_->stop_pull();
}

bool ReadAwaiterBase::await_ready() {
  ReaderState& reader = *reader_;
  if (reader.reading_) {
    throw RuntimeError(
        "StreamReader: a read was called while another coroutine is already waiting for incoming "
        "data");
  }
  if (reader.is_satisfied(*this)) return true;
  reader.waiting_ = this;
  waiting_ = true;
  bool satisfied = false;
  try {
    while (!satisfied && reader.pull()) satisfied = reader.is_satisfied(*this);
  } catch (...) {
    release();
    throw;
  }
  if (satisfied) {
    release();
    return true;
  }
  reader.reading_ = true;
  reading_ = true;
  return false;
}

bool ReadAwaiterBase::cancel(Driver& driver, std::string& message) noexcept {
  if (!waiting_) return false;
  release();
  driver.wake_cancelled(message);
  return true;
}

void ReadAwaiterBase::check_pending() {
  release();
  if (driver_ == nullptr || !driver_->has_pending()) return;
  if (received_ > 0) {  // Already in the target: give the bytes back to the stream.
    try {
      reader_->buffer_.insert(reader_->start_, wish_.target, received_);
    } catch (...) {  // No memory: a stream with a hole must not be read on.
      reader_->fail(std::current_exception());
    }
    received_ = 0;
  }
  driver_->throw_pending();
}

std::string ReadAwaiterBase::finish_text() {
  check_pending();
  ReaderState& reader = *reader_;
  if (failed_) std::rethrow_exception(reader.error_);
  switch (wish_.kind) {
    case ReadWish::Kind::some:
      return reader.take(std::min(wish_.count, reader.buffered()));
    case ReadWish::Kind::all:
      return reader.take(reader.buffered());
    case ReadWish::Kind::exactly:
      if (reader.buffered() < wish_.count) {
        throw IncompleteReadError(reader.take(reader.buffered()), wish_.count);
      }
      return reader.take(wish_.count);
    default:
      return reader.take_until(*this);
  }
}

std::size_t ReadAwaiterBase::finish_into() {
  check_pending();
  ReaderState& reader = *reader_;
  if (received_ > 0) return received_;
  if (failed_) std::rethrow_exception(reader.error_);
  const std::size_t count = std::min(wish_.count, reader.buffered());
  if (count > 0) std::memcpy(wish_.target, reader.view().data(), count);
  reader.skip(count);
  return count;
}

ReaderState::ReaderState(std::size_t limit) : limit_(limit) {
  if (limit == 0) throw ValueError("StreamReader: Limit cannot be <= 0");
}

ReaderState::~ReaderState() = default;

bool ReaderState::is_satisfied(ReadAwaiterBase& read) {
  if (error_ != nullptr) {
    read.failed_ = true;
    return true;
  }
  const ReadWish& wish = read.wish_;
  switch (wish.kind) {
    case ReadWish::Kind::some:
      return eof_ || wish.count == 0 || buffered() > 0;
    case ReadWish::Kind::all:
      return eof_;
    case ReadWish::Kind::exactly:
      return eof_ || buffered() >= wish.count;
    case ReadWish::Kind::into:
      return eof_ || wish.count == 0 || buffered() > 0 || read.received_ > 0;
    case ReadWish::Kind::until:
    case ReadWish::Kind::line: {
      std::size_t begin = 0;
      std::size_t end = 0;
      return find_separator(read, begin, end) || read.scanned_ > limit_ || eof_;
    }
  }
  return true;
}

bool ReaderState::find_separator(ReadAwaiterBase& read, std::size_t& begin,
                                 std::size_t& end) const noexcept {
  const std::string_view data = view();
  if (read.wish_.separators.empty()) {
    const std::size_t at = data.find('\n', read.scanned_);
    if (at != std::string_view::npos) {
      begin = at;
      end = at + 1;
      return true;
    }
    read.scanned_ = data.size();
    return false;
  }
  bool found = false;
  for (const std::string& separator : read.wish_.separators) {
    const std::size_t at = data.find(separator, read.scanned_);
    if (at == std::string_view::npos) continue;
    if (!found || at + separator.size() < end) {
      found = true;
      begin = at;
      end = at + separator.size();
    }
  }
  if (!found) {
    // The longest separator may have begun in the last bytes.
    const std::size_t longest = read.wish_.separators.back().size();
    if (data.size() + 1 > longest) read.scanned_ = data.size() + 1 - longest;
  }
  return found;
}

std::string ReaderState::take_until(ReadAwaiterBase& read) {
  const bool is_line = read.wish_.kind == ReadWish::Kind::line;
  std::size_t begin = 0;
  std::size_t end = 0;
  if (find_separator(read, begin, end)) {
    if (begin <= limit_) return take(end);
    if (is_line) {
      skip(end);
      throw ValueError("readline: Separator is found, but chunk is longer than limit");
    }
    throw LimitOverrunError("readuntil: Separator is found, but chunk is longer than limit", begin);
  }
  if (read.scanned_ > limit_) {
    if (is_line) {
      skip(buffered());
      throw ValueError("readline: Separator is not found, and chunk exceed the limit");
    }
    throw LimitOverrunError("readuntil: Separator is not found, and chunk exceed the limit",
                            read.scanned_);
  }
  std::string rest = take(buffered());
  if (is_line) return rest;
  throw IncompleteReadError(std::move(rest), std::nullopt);
}

std::string ReaderState::take(std::size_t count) {
  if (start_ == 0 && count == buffer_.size()) return std::exchange(buffer_, {});
  std::string taken = buffer_.substr(start_, count);
  skip(count);
  return taken;
}

void ReaderState::skip(std::size_t count) noexcept {
  start_ += count;
  if (start_ == buffer_.size()) {
    buffer_.clear();
    start_ = 0;
    // A burst's memory is not kept by a stream that may be idle for long.
    if (buffer_.capacity() > 65536) buffer_ = std::string();
  }
}

void ReaderState::feed(std::string_view data) {
  if (start_ > 0 && start_ >= buffered()) {  // Amortised: moves at most what it frees.
    buffer_.erase(0, start_);
    start_ = 0;
  }
  buffer_.append(data);
  wake_if_satisfied();
}

void ReaderState::feed_eof() noexcept {
  eof_ = true;
  wake_if_satisfied();
}

void ReaderState::fail(std::exception_ptr error) noexcept {
  error_ = std::move(error);
  wake_if_satisfied();
}

void ReaderState::filled(std::size_t count) noexcept {
  waiting_->received_ = count;
  wake_if_satisfied();
}

std::span<char> ReaderState::direct_target() const noexcept {
  if (waiting_ == nullptr || waiting_->wish_.kind != ReadWish::Kind::into || buffered() > 0) {
    return {};
  }
  return {waiting_->wish_.target, waiting_->wish_.count};
}

void ReaderState::wake_if_satisfied() noexcept {
  ReadAwaiterBase* read = waiting_;
  // Without a driver the read has not suspended yet: it looks for itself.
  if (read == nullptr || read->driver_ == nullptr || !is_satisfied(*read)) return;
  waiting_ = nullptr;
  read->waiting_ = false;
  stop_pull();  // Fed by hand, it may still be receiving.
  read->driver_->wake();
}

}  // namespace detail

StreamReader::StreamReader(std::size_t limit) : state_(new detail::ReaderState(limit)) {}

void StreamReader::feed_data(std::string_view data) {
  if (state_->has_eof()) throw RuntimeError("StreamReader: feed_data after feed_eof");
  if (!data.empty()) state_->feed(data);
}

StreamRead<std::string> StreamReader::readuntil(std::string_view separator) const {
  return readuntil(std::span<const std::string_view>(&separator, 1));
}

StreamRead<std::string> StreamReader::readuntil(
    std::span<const std::string_view> separators) const {
  if (separators.empty())
    throw ValueError("readuntil: Separator should contain at least one element");
  detail::ReadWish made(detail::ReadWish::Kind::until, 0);
  if (separators.size() != 1 || separators.front() != "\n") {
    for (const std::string_view separator : separators) {
      if (separator.empty()) {
        throw ValueError("readuntil: Separator should be at least one-byte string");
      }
      made.separators.emplace_back(separator);
    }
    std::sort(made.separators.begin(), made.separators.end(),
              [](const std::string& a, const std::string& b) { return a.size() < b.size(); });
  }
  return wish<std::string>(std::move(made));
}

}  // namespace aster::inline v0
