// SPDX-License-Identifier: MIT
//
// The only place that knows which back ends a platform has. A new one is an entry of
// `built_in`, best first, and a line in the build.
#include <aster/base/error.hpp>
#include <aster/loop/backend.hpp>

#include "backend/poll.hpp"
#include "backend/select.hpp"
#if defined(__linux__)
#include "backend/epoll.hpp"
#endif

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

namespace aster::inline v0 {

namespace {

struct Name {
  Backend kind;
  std::string_view text;
};

constexpr std::array names{
    Name{Backend::automatic, "automatic"}, Name{Backend::epoll, "epoll"},
    Name{Backend::poll, "poll"},           Name{Backend::select, "select"},
    Name{Backend::kqueue, "kqueue"},       Name{Backend::io_uring, "io_uring"},
    Name{Backend::iocp, "iocp"},
};

struct Maker {
  Backend kind;
  std::unique_ptr<IoBackend> (*make)();
};

constexpr std::array built_in{
#if defined(__linux__)
    Maker{Backend::epoll, detail::make_epoll_backend},
#endif
    Maker{Backend::poll, detail::make_poll_backend},
    Maker{Backend::select, detail::make_select_backend},
};

std::string name_of(Backend kind) {
  for (const Name& name : names) {
    if (name.kind == kind) return std::string(name.text);
  }
  return std::to_string(static_cast<int>(kind));
}

// What ASTER_BACKEND asks for; `automatic` when it is not set.
Backend wished_by_environment() {
  const char* const value = std::getenv("ASTER_BACKEND");
  if (value == nullptr || *value == '\0') return Backend::automatic;
  std::string valid;
  for (const Name& name : names) {
    if (name.text == value) return name.kind;
    if (!valid.empty()) valid += ", ";
    valid += name.text;
  }
  throw ValueError("ASTER_BACKEND: unknown back end '" + std::string(value) +
                   "'; it can be: " + valid);
}

}  // namespace

std::unique_ptr<IoBackend> make_backend(Backend kind) {
  if (kind == Backend::automatic) kind = wished_by_environment();
  if (kind == Backend::automatic) kind = built_in.front().kind;
  for (const Maker& maker : built_in) {
    if (maker.kind == kind) return maker.make();
  }
  throw ValueError("back end " + name_of(kind) + " is not built in");
}

}  // namespace aster::inline v0
