// SPDX-License-Identifier: MIT
// A unix socket's file outlives its socket, so a path may be taken by the file of a
// server that died. Whether one still serves is asked by a connect of a datagram
// socket: a dead file refuses, and a living stream server does not even notice (it is
// of the wrong type). Between the question and the removal another server may start
// anew; the inode is compared right before, so the gap is a few microseconds.
#include "net/unix_path.hpp"

#include "base/sys.hpp"

#include <aster/base/error.hpp>
#include <aster/base/forks.hpp>

#include <cerrno>
#include <utility>

namespace aster::inline v0::detail {
namespace {

bool is_same(const struct stat& a, dev_t device, ino_t inode) noexcept {
  return a.st_dev == device && a.st_ino == inode;
}

/// Whether `address` is the file of a socket that nobody serves; `status` is its file's.
bool is_stale(const Address& address, struct stat& status) noexcept {
  if (sys::lstat(address.path().c_str(), &status) < 0 || !S_ISSOCK(status.st_mode)) return false;
  const int probe = sys::socket(AF_UNIX, SOCK_DGRAM, 0);
  if (probe < 0) return false;
  const int result =
      sys::connect(probe, static_cast<const sockaddr*>(address.data()), address.size());
  static_cast<void>(sys::close(probe));
  return result == -ECONNREFUSED;
}

}  // namespace

UnixPath::~UnixPath() {
  if (path_.empty() || generation_ != fork_count.load(std::memory_order_relaxed)) return;
  struct stat status{};
  if (sys::lstat(path_.c_str(), &status) == 0 && is_same(status, device_, inode_)) {
    static_cast<void>(sys::unlink(path_.c_str()));
  }
}

void UnixPath::bind(IoBackend& backend, native_socket fd, const Address& address,
                    const UnixPathOptions& options) {
  std::string path = address.path();
  const bool has_file = backend.is_system() && path.front() != '\0';
  int bound = backend.bind(fd, address.data(), address.size());
  struct stat status{};
  struct stat again{};
  if (bound == -EADDRINUSE && has_file && is_stale(address, status) &&
      sys::lstat(path.c_str(), &again) == 0 && is_same(again, status.st_dev, status.st_ino)) {
    static_cast<void>(sys::unlink(path.c_str()));
    bound = backend.bind(fd, address.data(), address.size());
  }
  if (bound < 0) throw_system_error(-bound, "bind " + address.str());
  if (!has_file) return;
  const int found = sys::lstat(path.c_str(), &status);
  // It does not listen yet, so nobody gets in with the permissions of the umask.
  const int changed = options.mode ? sys::chmod(path.c_str(), *options.mode) : 0;
  if (found == 0 && (options.cleanup || changed < 0)) {
    device_ = status.st_dev;
    inode_ = status.st_ino;
    generation_ = fork_count.load(std::memory_order_relaxed);
    path_ = std::move(path);
  }
  if (changed < 0) throw_system_error(-changed, "chmod " + address.str());
}

}  // namespace aster::inline v0::detail
