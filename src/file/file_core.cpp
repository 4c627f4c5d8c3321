// SPDX-License-Identifier: MIT
// Reading first asks for what the system has in its cache (RWF_NOWAIT), which is as quick as
// copying memory; only what a disk must bring goes to a thread. So the lines of a file that was
// read before, or small files, cost no change of threads at all.
#include "file/file_core.hpp"

#include "base/sys.hpp"

#include <aster/base/error.hpp>
#include <aster/base/log.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#if defined(__linux__)
#include <sys/vfs.h>
#endif

namespace aster::inline v0::detail {
namespace {

// What the loop's thread copies in one go; more is better done beside it.
constexpr std::size_t at_once_max = std::size_t{1} << 20U;
constexpr std::size_t work_of_open = std::size_t{16} * 1024;  // As reading so much.
constexpr std::size_t block_max = std::size_t{1} << 30U;      // Of one system call.

[[noreturn]] void throw_bad_mode(std::string_view text) {
  throw ValueError("open: invalid mode: '" + std::string(text.substr(0, 32)) + "'");
}

/// Closed at its end, unless that was taken away.
struct Descriptor {
  explicit Descriptor(int owned) noexcept : fd(owned) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) static_cast<void>(sys::close(fd));
  }
  int fd;
};

/// Whether it is a regular file on a file system that is not across a network or in another
/// program.
bool is_local_file(int fd) noexcept {
#if defined(__linux__)
  struct stat status{};
  struct statfs system{};
  if (sys::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  if (::fstatfs(fd, &system) != 0) return false;
  switch (static_cast<std::uint32_t>(system.f_type)) {
    case 0x6969:      // NFS
    case 0xff534d42:  // CIFS
    case 0xfe534d42:  // SMB2
    case 0x65735546:  // FUSE
    case 0x01021997:  // 9P
    case 0x00c36400:  // Ceph
    case 0x5346414f:  // AFS
    case 0x73757245:  // Coda
      return false;
    default:
      return true;
  }
#else
  static_cast<void>(fd);
  return false;
#endif
}

}  // namespace

std::size_t& work_since_turn() noexcept {
  static constinit thread_local std::size_t work = 0;
  return work;
}

void throw_file_error(const char* call, const std::string& path, std::int64_t negative_error) {
  throw_system_error(static_cast<int>(-negative_error), std::string(call) + ' ' + path);
}

std::int64_t check_file_call(const char* call, const std::string& path, std::int64_t result) {
  if (result < 0) throw_file_error(call, path, result);
  return result;
}

void check_path(const char* call, std::string_view path) {
  if (path.find('\0') == std::string_view::npos) return;
  throw ValueError(std::string(call) + ": a path with a NUL: \"" +
                   std::string(path.substr(0, path.find('\0'))) + "\\0…\"");
}

FileMode::FileMode(std::string_view text) {
  char kind = '\0';
  bool plus = false;
  bool binary = false;
  bool as_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (text.find(c, i + 1) != std::string_view::npos) throw_bad_mode(text);
    switch (c) {
      case 'r':
      case 'w':
      case 'a':
      case 'x':
        if (kind != '\0') {
          throw ValueError("open: must have exactly one of create/read/write/append mode, not '" +
                           std::string(text) + "'");
        }
        kind = c;
        break;
      case '+':
        plus = true;
        break;
      case 'b':
        binary = true;
        break;
      case 't':
        as_text = true;
        break;
      default:
        throw_bad_mode(text);
    }
  }
  if (kind == '\0') throw_bad_mode(text);
  if (binary && as_text) {
    throw ValueError("open: can't have text and binary mode at once: '" + std::string(text) + "'");
  }
  reads = kind == 'r' || plus;
  writes = kind != 'r' || plus;
  appends = kind == 'a';
  flags = reads && writes ? O_RDWR : (reads ? O_RDONLY : O_WRONLY);
  if (kind == 'w') flags |= O_CREAT | O_TRUNC;
  if (kind == 'a') flags |= O_CREAT | O_APPEND;
  if (kind == 'x') flags |= O_CREAT | O_EXCL;
}

std::shared_ptr<FileCore> FileCore::open(const std::string& path, FileMode mode,
                                         const OpenOptions& options) {
  check_path("open", path);
  const int fd = sys::uninterrupted([&] {
    return sys::open(path.c_str(), mode.flags, static_cast<mode_t>(options.permissions));
  });
  check_file_call("open", path, fd);
  return adopt(fd, path, mode, options);
}

// A pipe or a device may keep `open` waiting, and to open it has effects; a remote file is asked
// for over the network. So what it is comes first, by a descriptor that opens nothing (O_PATH).
std::shared_ptr<FileCore> FileCore::try_open(const std::string& path, FileMode mode,
                                             const OpenOptions& options) {
  static std::atomic<bool> is_possible{true};
  if (mode.flags != O_RDONLY || !is_possible.load(std::memory_order_relaxed)) return nullptr;
  check_path("open", path);
  const Descriptor place(sys::open_cached(path.c_str(), O_PATH));
  if (place.fd == -ENOSYS) is_possible.store(false, std::memory_order_relaxed);
  if (place.fd < 0 || !is_local_file(place.fd)) return nullptr;
  const int fd = sys::open_cached(path.c_str(), O_RDONLY | O_NONBLOCK);
  if (fd < 0) return nullptr;
  work_since_turn() += work_of_open;
  return adopt(fd, path, mode, options);
}

/// A core for `fd`, which it owns from now on.
std::shared_ptr<FileCore> FileCore::adopt(int fd, const std::string& path, FileMode mode,
                                          const OpenOptions& options) {
  Descriptor owned(fd);
  auto core = std::make_shared<FileCore>(fd, path, mode, options.buffering);
  owned.fd = -1;
  struct stat status{};
  check_file_call("open", path, sys::fstat(fd, &status));
  if (S_ISDIR(status.st_mode)) throw_file_error("open", path, -EISDIR);
  core->reads_at_once_ = S_ISREG(status.st_mode);
  core->size_hint_ = status.st_size;
  const bool is_at_start = core->reads_at_once_ && !mode.appends;  // A regular file, just opened.
  core->position_ = is_at_start ? 0
                                : std::max<std::int64_t>(
                                      sys::lseek(fd, 0, mode.appends ? SEEK_END : SEEK_CUR), -1);
  return core;
}

FileCore::FileCore(int fd, std::string path, FileMode mode, std::size_t buffering)
    : fd_(fd), path_(std::move(path)), mode_(mode), buffering_(buffering), reads_at_once_(false) {}

FileCore::~FileCore() {
  const auto tell = [](const std::exception_ptr& untold) noexcept {
    try {
      log_error("unclosed file: " + describe(untold));
    } catch (...) {
      log_error("unclosed file");
    }
  };
  if (error) tell(error);
  if (close_error) tell(close_error);
  if (fd_ < 0) return;
  try {
    close();
  } catch (...) {
    tell(std::current_exception());
  }
}

// Reading ---------------------------------------------------------------------------

/// Room for `room` bytes behind those in the buffer.
char* FileCore::make_room(std::size_t room) {
  if (at_ != 0) {
    std::memmove(buffer_.data(), buffer_.data() + at_, left());
    end_ -= at_;
    at_ = 0;
  }
  if (buffer_.size() < end_ + room) buffer_.resize(end_ + room);
  return buffer_.data() + end_;
}

std::string FileCore::take(std::size_t size) {
  std::string taken;
  if (at_ == 0 && size == end_ && size > buffer_.size() / 2) {
    buffer_.resize(size);
    taken.swap(buffer_);
    end_ = 0;
  } else {
    taken.assign(buffer_, at_, size);
    at_ += size;
  }
  scanned_ = 0;
  if (at_ == end_) at_ = end_ = 0;
  return taken;
}

/// Reads what is there without waiting.
FileCore::Fill FileCore::fill_now(char* data, std::size_t room, std::size_t& got) {
  if (!reads_at_once_) return Fill::would_wait;
  const std::int64_t count = sys::uninterrupted([&] { return sys::read_cached(fd_, data, room); });
  if (count == -EAGAIN) return Fill::would_wait;
  if (count == -EOPNOTSUPP || count == -ENOSYS || count == -EINVAL) {
    reads_at_once_ = false;
    return Fill::would_wait;
  }
  if (count < 0) fail("read", count);
  got = static_cast<std::size_t>(count);
  if (got == 0) return Fill::end;
  if (position_ >= 0) position_ += count;
  work_since_turn() += got;
  return Fill::more;
}

/// The same into the buffer; false when it would have to wait.
bool FileCore::fill_now(std::size_t room) {
  std::size_t got = 0;
  const Fill fill = fill_now(make_room(room), room, got);
  end_ += got;
  at_end_ = fill == Fill::end;
  return fill != Fill::would_wait;
}

/// `room`, or less when the file, as it was opened, has less to give.
std::size_t FileCore::useful(std::size_t room) const noexcept {
  if (position_ < 0 || !reads_at_once_) return std::max<std::size_t>(room, 1);
  const std::int64_t rest = std::max<std::int64_t>(size_hint_ - position_, 0);
  const std::size_t spare = std::max<std::size_t>(buffer_.size() - end_, 512);
  return std::min(std::max<std::size_t>(room, 1),
                  std::max(static_cast<std::size_t>(rest) + 1, spare));
}

/// How much to read for a `read(size)`.
std::size_t FileCore::wanted_now(std::optional<std::size_t> size) const noexcept {
  if (size) return useful(std::max(*size - std::min(*size, left()), buffering_));
  const std::int64_t rest = position_ >= 0 ? size_hint_ - position_ : 0;
  return useful(std::max(
      {buffering_, left(), static_cast<std::size_t>(std::max<std::int64_t>(rest, 0)) + 1}));
}

std::optional<std::string> FileCore::try_read(std::optional<std::size_t> size) {
  if (!pending_.empty()) return std::nullopt;
  while (!at_end_ && (!size || left() < *size)) {
    const std::size_t room = wanted_now(size);
    if (room > at_once_max || !fill_now(room)) return std::nullopt;
  }
  if (size && left() >= *size) return take(*size);
  at_end_ = false;
  return take(left());
}

std::optional<std::size_t> FileCore::find_newline() noexcept {
  const char* from = buffer_.data() + at_ + scanned_;
  const void* found = left() == scanned_ ? nullptr : std::memchr(from, '\n', left() - scanned_);
  if (found == nullptr) {
    scanned_ = left();
    return std::nullopt;
  }
  return static_cast<std::size_t>(static_cast<const char*>(found) - (buffer_.data() + at_)) + 1;
}

std::optional<std::optional<std::string>> FileCore::try_readline() {
  if (!pending_.empty()) return std::nullopt;
  for (;;) {
    if (const auto size = find_newline()) return take(*size);
    if (at_end_) break;
    const std::size_t room = useful(std::max(buffering_, left()));
    if (buffering_ == 0 || room > at_once_max || !fill_now(room)) return std::nullopt;
  }
  at_end_ = false;
  if (left() == 0) return std::optional<std::string>();
  return take(left());
}

std::optional<std::size_t> FileCore::try_readinto(std::span<char> buffer) {
  if (!pending_.empty()) return std::nullopt;
  // Past the buffer, when it has nothing to give: no byte is copied twice.
  if (left() == 0 && !at_end_ && buffer.size() >= buffering_ && buffer.size() <= at_once_max) {
    std::size_t got = 0;
    const Fill fill = fill_now(buffer.data(), buffer.size(), got);
    if (fill == Fill::end || got == buffer.size()) return got;
    std::memcpy(make_room(got), buffer.data(), got);  // A part: as any that was read ahead.
    end_ += got;
  }
  while (!at_end_ && left() < buffer.size()) {
    const std::size_t room = wanted_now(buffer.size());
    if (room > at_once_max || !fill_now(room)) return std::nullopt;
  }
  if (left() < buffer.size()) at_end_ = false;
  const std::size_t size = std::min(left(), buffer.size());
  if (size != 0) std::memcpy(buffer.data(), buffer_.data() + at_, size);
  at_ += size;
  scanned_ = 0;
  if (at_ == end_) at_ = end_ = 0;
  return size;
}

/// Reads once, waiting.
void FileCore::fill(std::size_t room) {
  room = std::min(room, block_max);
  char* data = make_room(room);
  const std::int64_t count = sys::uninterrupted([&] { return sys::read(fd_, data, room); });
  if (count < 0) fail("read", count);
  end_ += static_cast<std::size_t>(count);
  at_end_ = count == 0;
  if (position_ >= 0) position_ += count;
}

void FileCore::load(std::optional<std::size_t> size) {
  flush();
  while (!at_end_ && (!size || left() < *size)) fill(wanted_now(size));
}

void FileCore::load_line() {
  flush();
  while (!at_end_ && !find_newline()) {
    fill(buffering_ == 0 ? 1 : std::max(buffering_, left()));
  }
}

// Writing ---------------------------------------------------------------------------

/// Forgets what was read ahead, so that the system's position is the present place. What has
/// none, as a terminal, gives nothing twice: there it stays to be read.
void FileCore::before_write() {
  if (position_ < 0) return;
  if (left() != 0) {
    const std::int64_t place = position_ - static_cast<std::int64_t>(left());
    check_file_call("write", path_, sys::lseek(fd_, place, SEEK_SET));
    position_ = place;
  }
  forget_read();
}

void FileCore::forget_read() noexcept {
  at_ = end_ = scanned_ = 0;
  at_end_ = false;
}

bool FileCore::try_write(std::string_view data) {
  if (data.size() + pending_.size() > buffering_) return data.empty();
  before_write();
  pending_ += data;
  return true;
}

/// `done` tells how far it came, even if it throws.
void FileCore::write_all(std::string_view data, std::size_t& done) {
  while (done < data.size()) {
    const std::size_t size = std::min(data.size() - done, block_max);
    const std::int64_t count =
        sys::uninterrupted([&] { return sys::write(fd_, data.data() + done, size); });
    if (count <= 0) {
      const int error_number = count == 0 ? EIO : static_cast<int>(-count);
      const std::string progress = done == 0
                                       ? ""
                                       : " (" + std::to_string(done) + " of " +
                                             std::to_string(data.size()) + " bytes were written)";
      throw_system_error(error_number, "write " + path_ + progress);
    }
    done += static_cast<std::size_t>(count);
    if (position_ >= 0) position_ += count;
  }
  if (mode_.appends && position_ >= 0) position_ = sys::lseek(fd_, 0, SEEK_CUR);
}

void FileCore::flush() {
  if (pending_.empty()) return;
  std::size_t done = 0;
  try {
    write_all(pending_, done);
  } catch (...) {
    pending_.erase(0, done);  // What is left is tried again.
    throw;
  }
  pending_.clear();
}

void FileCore::write(std::string_view data) {
  before_write();
  flush();
  if (data.size() < buffering_) {
    pending_ = data;
    return;
  }
  std::size_t done = 0;
  write_all(data, done);
}

// The rest --------------------------------------------------------------------------

std::int64_t FileCore::tell() const {
  if (position_ < 0) fail("tell", -ESPIPE);
  return position_ - static_cast<std::int64_t>(left()) + static_cast<std::int64_t>(pending_.size());
}

std::optional<std::int64_t> FileCore::try_seek(std::int64_t offset, int whence) {
  if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END) {
    throw ValueError("seek " + path_ + ": invalid whence (" + std::to_string(whence) +
                     ", should be 0, 1 or 2)");
  }
  if (!pending_.empty() || whence == SEEK_END) return std::nullopt;  // May take time.
  return seek(offset, whence);
}

std::int64_t FileCore::seek(std::int64_t offset, int whence) {
  flush();
  if (position_ < 0) fail("seek", -ESPIPE);
  if (whence != SEEK_END) {
    std::int64_t target = offset;
    if (whence == SEEK_CUR && __builtin_add_overflow(tell(), offset, &target))
      fail("seek", -EOVERFLOW);
    const std::int64_t begin = position_ - static_cast<std::int64_t>(end_);
    if (target >= begin && target <= position_ && end_ != 0) {  // It is in the buffer.
      at_ = static_cast<std::size_t>(target - begin);
      scanned_ = 0;
      at_end_ = false;
      return target;
    }
    offset = target;
    whence = SEEK_SET;
  }
  const std::int64_t place = check_file_call("seek", path_, sys::lseek(fd_, offset, whence));
  forget_read();
  return position_ = place;
}

std::int64_t FileCore::truncate(std::optional<std::int64_t> size) {
  before_write();
  flush();
  const std::int64_t wanted = size ? *size : tell();
  check_file_call("truncate", path_,
                  sys::uninterrupted([&] { return sys::ftruncate(fd_, wanted); }));
  return wanted;
}

void FileCore::sync() {
  flush();
  check_file_call("fsync", path_, sys::uninterrupted([&] { return sys::fsync(fd_); }));
}

void FileCore::close() {
  std::exception_ptr failed;
  try {
    flush();
  } catch (...) {
    failed = std::current_exception();
    pending_.clear();
  }
  const int result = sys::close(std::exchange(fd_, -1));
  if (is_deleted_) static_cast<void>(sys::unlink(path_.c_str()));
  if (failed) std::rethrow_exception(failed);
  if (result != -EINTR) check_file_call("close", path_, result);  // Interrupted, it is closed.
}

}  // namespace aster::inline v0::detail
