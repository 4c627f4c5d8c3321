// SPDX-License-Identifier: MIT
#include <aster/file/temporary.hpp>

#include "base/sys.hpp"
#include "file/file_core.hpp"
#include "file/in_thread.hpp"

#include <aster/base/error.hpp>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <system_error>
#include <utility>

#include <fcntl.h>

namespace aster::inline v0 {
namespace detail {
namespace {

constexpr int tries_max = 100;
constexpr unsigned owner_only = 0600;
constexpr unsigned owner_only_dir = 0700;

/// Options that outlive the call.
struct Naming {
  explicit Naming(const TemporaryOptions& options)
      : suffix(options.suffix), prefix(options.prefix), dir(options.dir), mode(options.mode) {
    if (!dir.empty()) return;
    const char* from_environment = std::getenv("TMPDIR");
    dir = from_environment != nullptr && *from_environment != '\0' ? from_environment : "/tmp";
  }
  [[nodiscard]] std::string random_path() const {
    static constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    std::random_device source;
    std::uniform_int_distribution<std::size_t> pick(0, sizeof letters - 2);
    std::string path = dir + '/' + prefix;
    for (int i = 0; i < 12; ++i) path += letters[pick(source)];
    return path + suffix;
  }

  std::string suffix, prefix, dir, mode;
};

/// The first random path for which `make(path)` does not fail for being there already.
template <class Make>
auto make_unique_path(const char* call, const Naming& naming, Make make) {
  for (int i = 1;; ++i) {
    const std::string path = naming.random_path();
    check_path(call, path);
    try {
      return make(path);
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::file_exists || i == tries_max) throw;
    }
  }
}

OpenOptions owner_options() {
  OpenOptions options;
  options.permissions = owner_only;
  return options;
}

std::shared_ptr<FileCore> make_named(const Naming& naming) {
  return make_unique_path("open", naming, [&](const std::string& path) {
    FileMode mode(naming.mode);
    mode.flags |= O_CREAT | O_EXCL;
    std::shared_ptr<FileCore> core = FileCore::open(path, mode, owner_options());
    core->delete_on_close();
    return core;
  });
}

std::shared_ptr<FileCore> make_unnamed(const Naming& naming) {
#if defined(O_TMPFILE)
  FileMode mode(naming.mode);
  mode.flags = (mode.flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_TMPFILE;
  try {
    return FileCore::open(naming.dir, mode, owner_options());
  } catch (const std::system_error& e) {
    const int number = e.code().value();
    if (number != EOPNOTSUPP && number != EISDIR && number != ENOENT) throw;
  }
#endif
  std::shared_ptr<FileCore> core = make_named(naming);  // Its name is gone when it is closed.
  return core;
}

template <std::shared_ptr<FileCore> (*make)(const Naming&)>
Coroutine<File> make_temporary(Naming naming, std::source_location place) {
  const FileMode check_it(naming.mode);
  if (!check_it.writes) {
    throw ValueError("TemporaryFile: a file that nobody can write (mode '" + naming.mode + "')");
  }
  auto making = in_thread([naming] { return make(naming); });
  std::shared_ptr<FileCore> core = co_await std::move(making);
  co_return File(make_file_state(std::move(core), std::move(naming.mode), place));
}

/// Removed at its end, unless its path was taken: whoever asked for it may be cancelled.
class NewDirectory {
 public:
  explicit NewDirectory(std::string path) noexcept : path_(std::move(path)) {}
  NewDirectory(NewDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  NewDirectory& operator=(NewDirectory&&) = delete;
  ~NewDirectory() {
    if (!path_.empty()) static_cast<void>(sys::rmdir(path_.c_str()));
  }
  [[nodiscard]] std::string take() noexcept { return std::exchange(path_, {}); }

 private:
  std::string path_;
};

Coroutine<std::string> make_directory(Naming naming) {
  auto making = in_thread([naming = std::move(naming)] {
    return make_unique_path("mkdtemp", naming, [](const std::string& path) {
      std::string copy = path;  // First: without memory nothing is left behind.
      check_file_call("mkdtemp", path, sys::mkdir(path.c_str(), owner_only_dir));
      return NewDirectory(std::move(copy));
    });
  });
  NewDirectory made = co_await std::move(making);
  co_return made.take();
}

Coroutine<> remove_tree(std::string path) {
  auto removing = in_thread([path = std::move(path)] {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) throw std::system_error(error, "TemporaryDirectory: remove " + path);
  });
  co_await std::move(removing);
}

}  // namespace
}  // namespace detail

Coroutine<File> TemporaryFile(TemporaryOptions options) {
  return detail::make_temporary<detail::make_unnamed>(detail::Naming(options), options.source);
}

Coroutine<File> NamedTemporaryFile(TemporaryOptions options) {
  return detail::make_temporary<detail::make_named>(detail::Naming(options), options.source);
}

Coroutine<std::string> mkdtemp(TemporaryOptions options) {
  return detail::make_directory(detail::Naming(options));
}

TemporaryDirectory::TemporaryDirectory(TemporaryOptions options)
    : suffix_(options.suffix), prefix_(options.prefix), dir_(options.dir) {}

Coroutine<const std::string&> TemporaryDirectory::enter() {
  TemporaryOptions options;
  options.suffix = suffix_;
  options.prefix = prefix_;
  options.dir = dir_;
  auto making = mkdtemp(options);
  name_ = co_await std::move(making);
  co_return name_;
}

Coroutine<bool> TemporaryDirectory::exit(std::exception_ptr) {
  auto removing = detail::remove_tree(name_);
  co_await std::move(removing);
  co_return false;
}

}  // namespace aster::inline v0
