// SPDX-License-Identifier: MIT
#include <aster/file/file_system.hpp>

#include "base/sys.hpp"
#include "file/file_core.hpp"
#include "file/in_thread.hpp"

#include <aster/base/error.hpp>

#include <cerrno>
#include <utility>

#include <dirent.h>
#include <sys/stat.h>

namespace aster::inline v0 {
namespace detail {
namespace {

using Call = int (*)(const char* path, unsigned option);

std::chrono::system_clock::time_point time_of(const timespec& time) {
  const auto since = std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(since));
}

/// A call with a path that gives nothing.
Coroutine<> call_in_thread(const char* name, Call call, std::string path, unsigned option = 0) {
  auto calling = in_thread([name, call, path = std::move(path), option] {
    check_path(name, path);
    check_file_call(name, path, call(path.c_str(), option));
  });
  co_await std::move(calling);
}

Coroutine<> rename_in_thread(std::string from, std::string to) {
  auto calling = in_thread([from = std::move(from), to = std::move(to)] {
    check_path("rename", from);
    check_path("rename", to);
    check_file_call("rename", from + " -> " + to, sys::rename(from.c_str(), to.c_str()));
  });
  co_await std::move(calling);
}

FileStatus status_of(const std::string& path, bool follows) {
  check_path("stat", path);
  struct stat found{};
  const char* name = path.c_str();
  check_file_call("stat", path, follows ? sys::stat(name, &found) : sys::lstat(name, &found));
  FileStatus status;
  status.size = found.st_size;
  status.mode = found.st_mode;
  status.inode = found.st_ino;
  status.device = found.st_dev;
  status.link_count = found.st_nlink;
  status.owner = found.st_uid;
  status.group = found.st_gid;
#if defined(__APPLE__)
  status.accessed = time_of(found.st_atimespec);
  status.modified = time_of(found.st_mtimespec);
  status.changed = time_of(found.st_ctimespec);
#else
  status.accessed = time_of(found.st_atim);
  status.modified = time_of(found.st_mtim);
  status.changed = time_of(found.st_ctim);
#endif
  return status;
}

std::vector<std::string> names_in(const std::string& path) {
  check_path("listdir", path);
  struct Directory {
    DIR* stream = nullptr;
    ~Directory() {
      if (stream != nullptr) ::closedir(stream);
    }
  } directory;
  const int fd = sys::open(path.c_str(), O_RDONLY | O_DIRECTORY);
  check_file_call("listdir", path, fd);
  directory.stream = ::fdopendir(fd);
  if (directory.stream == nullptr) {
    const int error = errno;
    static_cast<void>(sys::close(fd));
    throw_file_error("listdir", path, -error);
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.stream);
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) throw_file_error("listdir", path, -errno);
  return names;
}

Coroutine<FileStatus> stat_in_thread(std::string path, bool follows) {
  auto calling = in_thread([path = std::move(path), follows] { return status_of(path, follows); });
  co_return co_await std::move(calling);
}

Coroutine<std::vector<std::string>> list_in_thread(std::string path) {
  auto calling = in_thread([path = std::move(path)] { return names_in(path); });
  co_return co_await std::move(calling);
}

}  // namespace
}  // namespace detail

bool FileStatus::is_file() const noexcept { return S_ISREG(mode); }
bool FileStatus::is_dir() const noexcept { return S_ISDIR(mode); }
bool FileStatus::is_symlink() const noexcept { return S_ISLNK(mode); }

Coroutine<FileStatus> stat(std::string_view path, StatOptions options) {
  return detail::stat_in_thread(std::string(path), options.follow_symlinks);
}

Coroutine<> remove(std::string_view path) {
  return detail::call_in_thread(
      "remove", [](const char* name, unsigned) { return detail::sys::unlink(name); },
      std::string(path));
}

Coroutine<> rename(std::string_view from, std::string_view to) {
  return detail::rename_in_thread(std::string(from), std::string(to));
}

Coroutine<> mkdir(std::string_view path, unsigned permissions) {
  return detail::call_in_thread(
      "mkdir",
      [](const char* name, unsigned mode) {
        return detail::sys::mkdir(name, static_cast<mode_t>(mode));
      },
      std::string(path), permissions);
}

Coroutine<> rmdir(std::string_view path) {
  return detail::call_in_thread(
      "rmdir", [](const char* name, unsigned) { return detail::sys::rmdir(name); },
      std::string(path));
}

Coroutine<std::vector<std::string>> listdir(std::string_view path) {
  return detail::list_in_thread(std::string(path));
}

}  // namespace aster::inline v0
