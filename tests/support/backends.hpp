// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/error.hpp>
#include <aster/loop/backend.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/policy.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace aster::support {

/// A test that runs on every real back end of this system.
class OnEachBackend : public ::testing::TestWithParam<Backend> {
 public:
  OnEachBackend() : loop(new_event_loop({.backend = GetParam()})) {}
  ~OnEachBackend() override { loop->close(); }

  std::shared_ptr<EventLoop> loop;
};

inline std::string backend_name(const ::testing::TestParamInfo<Backend>& info) {
  switch (info.param) {
    case Backend::epoll:
      return "epoll";
    case Backend::poll:
      return "poll";
    case Backend::select:
      return "select";
    default:
      return "other";
  }
}

}  // namespace aster::support

#define ASTER_ON_EACH_BACKEND(suite)                                                          \
  INSTANTIATE_TEST_SUITE_P(Backends, suite,                                                   \
                           ::testing::Values(Backend::epoll, Backend::poll, Backend::select), \
                           support::backend_name)
