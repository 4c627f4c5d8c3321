// SPDX-License-Identifier: MIT
// Each operation is an object that first is asked for its result on the loop's thread and, if
// it would have to wait, is sent to a thread; reads then only load the buffer there and are
// asked again. So what was read stays in the file when the reader is cancelled meanwhile.
#include <aster/file/file.hpp>

#include "base/debug_text.hpp"
#include "file/file_core.hpp"
#include "file/in_thread.hpp"

#include <aster/base/error.hpp>
#include <aster/base/log.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/sync/lock.hpp>
#include <aster/task/exception_context.hpp>
#include <aster/task/shield.hpp>

#include <utility>

namespace aster::inline v0 {
namespace detail {
namespace {

// After so many bytes read without a thread, others have their turn.
constexpr std::size_t bytes_between_turns = std::size_t{256} * 1024;

/// Whether others wait for too long; the caller then lets them.
bool wants_turn() noexcept {
  if (work_since_turn() < bytes_between_turns) return false;
  work_since_turn() = 0;
  return true;
}

enum class Need : std::uint8_t { nothing, reading, writing };

}  // namespace

/// A file on its loop. Operations hold it, so that a `File` may move meanwhile.
class FileState {
 public:
  FileState(std::shared_ptr<FileCore> core, std::string mode_text, std::source_location source)
      : core_(std::move(core)),
        mode_text_(std::move(mode_text)),
        source_(source),
        path_(core_->path()) {}

  /// `Op` has `call`, `need`, `Result`; `attempt(core)`, which gives an optional result; and
  /// `load(core)`, after which it is attempted again, or `block(core)`, which gives the result.
  template <class Op>
  static Coroutine<typename Op::Result> perform(std::shared_ptr<FileState> self, Op op);
  static Coroutine<> close(std::shared_ptr<FileState> self);

  [[nodiscard]] FileCore& core() const noexcept { return *core_; }
  [[nodiscard]] bool is_closed() const noexcept { return is_closed_; }
  [[nodiscard]] bool is_busy() const noexcept { return lock_.locked() || is_in_flight(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::string& mode_text() const noexcept { return mode_text_; }
  [[nodiscard]] const std::source_location& source() const noexcept { return source_; }
  void check(const char* call, Need need) const;
  void warn_unclosed() const noexcept;
  /// That closing it in passing failed; `loop` may be null.
  void report_unclosed(EventLoop* loop, std::exception_ptr error) const noexcept;

 private:
  [[nodiscard]] bool is_in_flight() const noexcept { return flight_ && !flight_.done(); }
  void throw_error() {
    if (core_->error) std::rethrow_exception(std::exchange(core_->error, nullptr));
    if (core_->close_error) std::rethrow_exception(std::exchange(core_->close_error, nullptr));
  }
  /// Has a thread call `work(core)`, which keeps the core; what it throws, `throw_error` tells.
  template <class Work>
  void start(Work work);
  /// Waits for that thread; cancelled, it lets it work on.
  Coroutine<> land();

  std::shared_ptr<FileCore> core_;  // Shared with the thread that works on it.
  std::string mode_text_;
  std::source_location source_;
  std::string path_;
  bool is_closed_ = false;
  Lock lock_;        // Held by the operation that goes on; first come, first served.
  Future<> flight_;  // The call in a thread, if any; outlives a cancelled operation.
};

void FileState::check(const char* call, Need need) const {
  if (is_closed_) {
    throw ValueError(std::string(call) + ' ' + path_ + ": I/O operation on closed file");
  }
  const FileMode& mode = core_->mode();
  if ((need == Need::reading && !mode.reads) || (need == Need::writing && !mode.writes)) {
    throw ValueError(std::string(call) + ' ' + path_ + ": not open for " +
                     (need == Need::reading ? "reading" : "writing") + " (mode '" + mode_text_ +
                     "')");
  }
}

void FileState::warn_unclosed() const noexcept try {
  log_warning("unclosed file " + path_ + "\n  opened at: " + full_place(source_));
} catch (...) {
  log_warning("unclosed file");
}

void FileState::report_unclosed(EventLoop* loop, std::exception_ptr error) const noexcept try {
  ExceptionContext context;
  context.message = "unclosed file " + path_;
  context.exception = error;
  context.source = source_;
  if (loop == nullptr) {
    log_error(context.message + ": " + describe(error));
  } else {
    loop->call_exception_handler(context);
  }
} catch (...) {
  log_error("unclosed file: its error, or one of the exception handler, has no place to go");
}

/// Calls `work(core)`; what it throws stays in the core.
template <class Work>
void attempt(FileCore& core, Work& work) noexcept {
  try {
    work(core);
  } catch (...) {
    core.error = std::current_exception();
  }
}

void close_core(FileCore& core) noexcept {
  try {
    core.close();
  } catch (...) {
    core.close_error = std::current_exception();
  }
}

template <class Work>
void FileState::start(Work work) {
  auto call = [core = core_, work = std::move(work)]() mutable noexcept { attempt(*core, work); };
  flight_ = get_running_loop().run_in_executor(nullptr, std::move(call));
}

Coroutine<> FileState::land() {
  Future<> flight = flight_;
  co_await shield(std::move(flight));
}

template <class Op>
Coroutine<typename Op::Result> FileState::perform(std::shared_ptr<FileState> self, Op op) {
  auto held = co_await self->lock_.scoped();
  if (self->is_in_flight()) co_await self->land();
  self->check(Op::call, Op::need);
  self->throw_error();
  FileCore& core = *self->core_;
  if (wants_turn()) co_await yield_now();
  if constexpr (requires { op.load(core); }) {
    for (;;) {
      if (auto result = op.attempt(core)) co_return *std::move(result);
      self->start([op](FileCore& file) { op.load(file); });
      co_await self->land();
      self->throw_error();
    }
  } else {
    if (auto result = op.attempt(core)) co_return *std::move(result);
    auto outcome = std::make_shared<typename Op::Result>();
    auto work = [op = std::move(op), outcome](FileCore& file) { *outcome = op.block(file); };
    self->start(std::move(work));
    co_await self->land();
    self->throw_error();
    co_return *outcome;
  }
}

Coroutine<> FileState::close(std::shared_ptr<FileState> self) {
  auto held = co_await self->lock_.scoped();
  if (self->is_in_flight()) co_await self->land();
  if (!std::exchange(self->is_closed_, true)) {
    if (self->core_->mode().writes) {  // Even without a byte to write: it may be a remote file.
      self->start(&close_core);
      co_await self->land();
    } else {
      close_core(*self->core_);
    }
  }
  // Of what was cancelled, then of this close; the next close tells the other one.
  self->throw_error();
}

// Operations ------------------------------------------------------------------------

namespace {

struct Read {
  using Result = std::string;
  static constexpr const char* call = "read";
  static constexpr Need need = Need::reading;
  std::optional<std::size_t> size;
  [[nodiscard]] std::optional<Result> attempt(FileCore& core) const { return core.try_read(size); }
  void load(FileCore& core) const { core.load(size); }
};

struct ReadLine {
  using Result = std::optional<std::string>;
  static constexpr const char* call = "readline";
  static constexpr Need need = Need::reading;
  [[nodiscard]] static std::optional<Result> attempt(FileCore& core) { return core.try_readline(); }
  static void load(FileCore& core) { core.load_line(); }
};

struct ReadInto {
  using Result = std::size_t;
  static constexpr const char* call = "readinto";
  static constexpr Need need = Need::reading;
  std::span<char> buffer;  // Touched on the loop's thread only.
  [[nodiscard]] std::optional<Result> attempt(FileCore& core) const {
    return core.try_readinto(buffer);
  }
  void load(FileCore& core) const { core.load(buffer.size()); }
};

struct Write {
  using Result = std::size_t;
  static constexpr const char* call = "write";
  static constexpr Need need = Need::writing;
  std::string data;
  [[nodiscard]] std::optional<Result> attempt(FileCore& core) const {
    return core.try_write(data) ? std::optional(data.size()) : std::nullopt;
  }
  [[nodiscard]] Result block(FileCore& core) const {
    core.write(data);
    return data.size();
  }
};

struct Seek {
  using Result = std::int64_t;
  static constexpr const char* call = "seek";
  static constexpr Need need = Need::nothing;
  std::int64_t offset;
  int whence;
  [[nodiscard]] std::optional<Result> attempt(FileCore& core) const {
    return core.try_seek(offset, whence);
  }
  [[nodiscard]] Result block(FileCore& core) const { return core.seek(offset, whence); }
};

struct Tell {
  using Result = std::int64_t;
  static constexpr const char* call = "tell";
  static constexpr Need need = Need::nothing;
  [[nodiscard]] static std::optional<Result> attempt(const FileCore& core) { return core.tell(); }
  [[nodiscard]] static Result block(const FileCore& core) { return core.tell(); }
};

struct Truncate {
  using Result = std::int64_t;
  static constexpr const char* call = "truncate";
  static constexpr Need need = Need::writing;
  std::optional<std::int64_t> size;
  [[nodiscard]] static std::optional<Result> attempt(FileCore&) { return std::nullopt; }
  [[nodiscard]] Result block(FileCore& core) const { return core.truncate(size); }
};

struct Flush {
  using Result = std::monostate;
  static constexpr const char* call = "flush";
  static constexpr Need need = Need::nothing;
  [[nodiscard]] static std::optional<Result> attempt(const FileCore& core) {
    return core.needs_flush() ? std::nullopt : std::optional(Result());
  }
  [[nodiscard]] static Result block(FileCore& core) {
    core.flush();
    return {};
  }
};

struct Sync {
  using Result = std::monostate;
  static constexpr const char* call = "fsync";
  static constexpr Need need = Need::nothing;
  [[nodiscard]] static std::optional<Result> attempt(const FileCore&) { return std::nullopt; }
  [[nodiscard]] static Result block(FileCore& core) {
    core.sync();
    return {};
  }
};

Coroutine<std::vector<std::string>> read_lines(std::shared_ptr<FileState> state) {
  std::vector<std::string> lines;
  for (;;) {
    auto reading = FileState::perform(state, ReadLine());
    std::optional<std::string> line = co_await std::move(reading);
    if (!line) co_return lines;
    lines.push_back(*std::move(line));
  }
}

Coroutine<> write_lines(std::shared_ptr<FileState> state, std::vector<std::string> lines) {
  for (std::string& line : lines) {
    auto writing = FileState::perform(state, Write{std::move(line)});
    co_await std::move(writing);
  }
}

template <class Op>
Coroutine<> perform_for_nothing(std::shared_ptr<FileState> state) {
  auto performing = FileState::perform(std::move(state), Op());
  co_await std::move(performing);
}

Coroutine<File> open_file(std::string path, std::string mode, OpenOptions options) {
  const FileMode parsed(mode);
  if (wants_turn()) co_await yield_now();
  if (auto found = FileCore::try_open(path, parsed, options)) {
    co_return File(std::make_shared<FileState>(std::move(found), std::move(mode), options.source));
  }
  auto opening = in_thread(
      [path = std::move(path), parsed, options] { return FileCore::open(path, parsed, options); });
  std::shared_ptr<FileCore> core = co_await std::move(opening);
  co_return File(std::make_shared<FileState>(std::move(core), std::move(mode), options.source));
}

}  // namespace

std::shared_ptr<FileState> make_file_state(std::shared_ptr<FileCore> core, std::string mode,
                                           std::source_location source) {
  return std::make_shared<FileState>(std::move(core), std::move(mode), source);
}

}  // namespace detail

// File ------------------------------------------------------------------------------

using detail::FileState;

File::~File() { drop(); }

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    drop();
    state_ = std::move(other.state_);
  }
  return *this;
}

void File::drop() noexcept {
  if (state_ == nullptr || state_->is_closed()) return;
  EventLoop* loop = detail::running_scheduler() != nullptr ? &get_running_loop() : nullptr;
  if (loop != nullptr && loop->get_debug()) state_->warn_unclosed();
  // Whoever has operations on it, begun or not, closes it at their end.
  if (state_->is_busy() || state_.use_count() > 1) return;
  try {
    state_->core().close();
  } catch (...) {
    state_->report_unclosed(loop, std::current_exception());
  }
}

const std::shared_ptr<FileState>& File::state() const noexcept {
  ASTER_REQUIRE(state_ != nullptr, "this File was moved from, or never opened");
  return state_;
}

Coroutine<std::string> File::read(std::optional<std::size_t> size) {
  return FileState::perform(state(), detail::Read{size});
}
Coroutine<std::optional<std::string>> File::readline() {
  return FileState::perform(state(), detail::ReadLine());
}
Coroutine<std::vector<std::string>> File::readlines() { return detail::read_lines(state()); }
Coroutine<std::size_t> File::readinto(std::span<char> buffer) {
  return FileState::perform(state(), detail::ReadInto{buffer});
}
Coroutine<std::size_t> File::write(std::string_view data) {
  return FileState::perform(state(), detail::Write{std::string(data)});
}
Coroutine<> File::writelines(std::vector<std::string> lines) {
  return detail::write_lines(state(), std::move(lines));
}
Coroutine<std::int64_t> File::seek(std::int64_t offset, int whence) {
  return FileState::perform(state(), detail::Seek{offset, whence});
}
Coroutine<std::int64_t> File::tell() { return FileState::perform(state(), detail::Tell()); }
Coroutine<std::int64_t> File::truncate(std::optional<std::int64_t> size) {
  return FileState::perform(state(), detail::Truncate{size});
}
Coroutine<> File::flush() { return detail::perform_for_nothing<detail::Flush>(state()); }
Coroutine<> File::fsync() { return detail::perform_for_nothing<detail::Sync>(state()); }
Coroutine<> File::close() { return FileState::close(state()); }

Coroutine<File&> File::enter() {
  state()->check("with", detail::Need::nothing);
  co_return *this;
}

Coroutine<bool> File::exit(std::exception_ptr) {
  co_await close();
  co_return false;
}

bool File::closed() const noexcept { return state()->is_closed(); }

native_file File::fileno() const {
  state()->check("fileno", detail::Need::nothing);
  return state_->core().fd();
}

const std::string& File::name() const noexcept { return state()->path(); }
const std::string& File::mode() const noexcept { return state()->mode_text(); }

Coroutine<File> open(std::string_view path, std::string_view mode, OpenOptions options) {
  return detail::open_file(std::string(path), std::string(mode), options);
}

}  // namespace aster::inline v0
