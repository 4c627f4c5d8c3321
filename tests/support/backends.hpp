// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/error.hpp>
#include <aster/loop/backend.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/policy.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>

namespace aster {

/// What a test of a back end is called with, in its listing.
inline void PrintTo(Backend backend, std::ostream* out) {
  switch (backend) {
    case Backend::epoll:
      *out << "epoll";
      break;
    case Backend::poll:
      *out << "poll";
      break;
    case Backend::select:
      *out << "select";
      break;
    default:
      *out << "other";
  }
}

}  // namespace aster

namespace aster::support {

/// A test that runs on every real back end of this system.
class OnEachBackend : public ::testing::TestWithParam<Backend> {
 public:
  OnEachBackend() : loop(new_event_loop({.backend = GetParam()})) {}
  ~OnEachBackend() override { loop->close(); }

  std::shared_ptr<EventLoop> loop;
};

inline std::string backend_name(const ::testing::TestParamInfo<Backend>& info) {
  return ::testing::PrintToString(info.param);
}

}  // namespace aster::support

#define ASTER_ON_EACH_BACKEND(suite)                                                          \
  INSTANTIATE_TEST_SUITE_P(Backends, suite,                                                   \
                           ::testing::Values(Backend::epoll, Backend::poll, Backend::select), \
                           support::backend_name)
