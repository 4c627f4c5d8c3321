// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/address.hpp>
#include <aster/loop/backend.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include <sys/types.h>

namespace aster::inline v0::detail {

/// How the file of a unix socket is made and ends.
struct UnixPathOptions {
  UnixPathOptions(std::optional<unsigned> mode_, bool cleanup_) noexcept
      : mode(mode_), cleanup(cleanup_) {}
  std::optional<unsigned> mode;
  bool cleanup;
};

/// The file that a listening unix socket has made. Removed when this goes, unless
/// somebody has put another in its place or the process is a fork.
class UnixPath {
 public:
  UnixPath() noexcept = default;
  UnixPath(const UnixPath&) = delete;
  UnixPath& operator=(const UnixPath&) = delete;
  ~UnixPath();

  /// Binds `fd` to `address`. What a dead server has left there is removed first; a
  /// path that is in use, by a socket or another kind of file, is an EADDRINUSE.
  void bind(IoBackend& backend, native_socket fd, const Address& address,
            const UnixPathOptions& options);

 private:
  std::string path_;  // Empty: nothing is to be removed.
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::uint32_t generation_ = 0;  // The fork count when it was made.
};

}  // namespace aster::inline v0::detail
