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

/// Lets others read; nothing when that is so already.
void ReadAwaiterBase::release() noexcept {
  if (reader_->reading_ == this) reader_->reading_ = nullptr;
  if (reader_->waiting_ != this) return;
  reader_->waiting_ = nullptr;
  reader_->stop_pull();
}

bool ReadAwaiterBase::await_ready_slowly() {
  ReaderState& reader = *reader_;
  if (reader.reading_ != nullptr) {
    throw RuntimeError(
        "StreamReader: a read was called while another coroutine is already waiting for incoming "
        "data");
  }
  reader.waiting_ = this;
  do {
    if (reader.is_satisfied(*this)) {
      release();
      return true;
    }
  } while (reader.pull());
  reader.reading_ = this;
  return false;
}

bool ReadAwaiterBase::cancel(Driver& driver, std::string& message) noexcept {
  if (reader_->waiting_ != this) return false;
  release();
  driver.wake_cancelled(message);
  return true;
}

void ReadAwaiterBase::go_on_slowly() {
  release();
  if (!driver_->has_pending()) return;
  if (!received_.empty()) {  // It did not pass through the stream: give it back.
    try {
      reader_->buffer_.insert(reader_->start_, received_);
    } catch (...) {  // No memory: a stream with a hole must not be read on.
      reader_->fail(std::current_exception());
    }
    received_ = {};
  }
  driver_->throw_pending();
}

std::string ReadAwaiterBase::finish_text() {
  if (!received_.empty()) return std::string(received_);
  ReaderState& reader = *reader_;
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

std::string_view ReadAwaiterBase::finish_view() {
  ReaderState& reader = *reader_;
  return reader.lend(std::min(wish_.count, reader.buffered()));
}

std::size_t ReadAwaiterBase::finish_into() {
  ReaderState& reader = *reader_;
  const std::size_t count = std::min(wish_.count, reader.buffered());
  if (count > 0) std::memcpy(wish_.target, reader.view().data(), count);
  reader.skip(count);
  return count;
}

ReaderState::ReaderState(std::size_t limit) : limit_(limit) {
  if (limit == 0) throw ValueError("StreamReader: Limit cannot be <= 0");
}

ReaderState::~ReaderState() = default;

void ReaderState::set_transport(TransportRef<ReadTransport> /*transport*/) {
  throw RuntimeError("StreamReader: set_transport on the reader of a stream");
}

bool ReaderState::is_satisfied(ReadAwaiterBase& read) {
  if (error_ != nullptr) {
    read.failed_ = true;
    return true;
  }
  const ReadWish& wish = read.wish_;
  switch (wish.kind) {
    case ReadWish::Kind::some:
    case ReadWish::Kind::view:
    case ReadWish::Kind::into:
      return eof_ || wish.count == 0 || buffered() > 0 || !read.received_.empty();
    case ReadWish::Kind::all:
      return eof_;
    case ReadWish::Kind::exactly:
      return eof_ || buffered() >= wish.count;
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
  if (read.separators_ == nullptr || read.separators_->empty()) {
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
  for (const std::string& separator : *read.separators_) {
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
    const std::size_t longest = read.separators_->back().size();
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

/// A view of the next `count` bytes, which are no longer part of the stream.
std::string_view ReaderState::lend(std::size_t count) {
  if (lent_ == nullptr) lent_ = std::make_unique<std::string>();
  if (count < buffered()) {
    lent_->assign(view(), 0, count);
    skip(count);
    return *lent_;
  }
  const std::size_t start = std::exchange(start_, 0);
  *lent_ = std::exchange(buffer_, {});
  return std::string_view(*lent_).substr(start);
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
  eof_ = over_ = true;
  wake_if_satisfied();
}

void ReaderState::fail(std::exception_ptr error) noexcept {
  error_ = std::move(error);
  calm_ = false;
  over_ = true;
  wake_if_satisfied();
}

void ReaderState::wake_if_satisfied() noexcept {
  ReadAwaiterBase* read = waiting_;
  // Without a driver the read has not suspended yet: it looks for itself.
  if (read == nullptr || read->driver_ == nullptr || !is_satisfied(*read)) return;
  waiting_ = nullptr;
  stop_pull();  // Fed by hand, it may still be receiving.
  read->driver_->wake();
}

namespace {

/// The state of a reader that is filled by hand.
class FedReaderState final : public ReaderState {
 public:
  using ReaderState::ReaderState;
  void set_transport(TransportRef<ReadTransport> transport) override {
    if (transport_) throw RuntimeError("StreamReader: Transport already set");
    transport_ = std::move(transport);
  }
  void fed() noexcept override {
    // A read that still waits wants more than that.
    if (transport_ && waiting_ == nullptr && buffered() / 2 > limit()) transport_->pause_reading();
  }

 private:
  bool pull() noexcept override {
    if (transport_) transport_->resume_reading();
    return false;
  }
  TransportRef<ReadTransport> transport_;
};

}  // namespace
}  // namespace detail

StreamReader::StreamReader(std::size_t limit) : state_(new detail::FedReaderState(limit)) {}

void StreamReader::set_transport(ReadTransport& transport) {
  state_->set_transport(transport.ref());
}

void StreamReader::feed_data(std::string_view data) {
  if (state_->has_eof()) throw RuntimeError("StreamReader: feed_data after feed_eof");
  if (data.empty()) return;
  state_->feed(data);
  state_->fed();
}

StreamRead<std::string, detail::Separators> StreamReader::readuntil(
    std::string_view separator) const {
  return readuntil(std::span<const std::string_view>(&separator, 1));
}

StreamRead<std::string, detail::Separators> StreamReader::readuntil(
    std::span<const std::string_view> separators) const {
  if (separators.empty())
    throw ValueError("readuntil: Separator should contain at least one element");
  detail::Separators made;
  if (separators.size() != 1 || separators.front() != "\n") {
    for (const std::string_view separator : separators) {
      if (separator.empty()) {
        throw ValueError("readuntil: Separator should be at least one-byte string");
      }
      made.texts.emplace_back(separator);
    }
    std::sort(made.texts.begin(), made.texts.end(),
              [](const std::string& a, const std::string& b) { return a.size() < b.size(); });
  }
  return StreamRead<std::string, detail::Separators>(
      state_, detail::ReadWish(detail::ReadWish::Kind::until, 0), std::move(made));
}

}  // namespace aster::inline v0
