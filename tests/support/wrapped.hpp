// SPDX-License-Identifier: MIT
#pragma once

#include <aster/coro/with.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/loop/wait.hpp>
#include <aster/task/gather.hpp>
#include <aster/task/shield.hpp>
#include <aster/task/task_group.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace aster::support {

/// What `inner` gives, awaited through everything that `kinds` names, the outermost
/// first: W wait_for, T timeout, S shield, G TaskGroup, A gather, C as_completed.
inline Coroutine<std::string> wrapped(std::string kinds,
                                      std::function<Coroutine<std::string>()> inner) {
  const std::chrono::hours limit(1);
  if (kinds.empty()) {
    Coroutine<std::string> work = inner();
    co_return co_await std::move(work);
  }
  Coroutine<std::string> rest = wrapped(kinds.substr(1), inner);
  switch (kinds.front()) {
    case 'W':
      co_return co_await wait_for(std::move(rest), limit);
    case 'T': {
      auto body = [&rest](Timeout&) { return std::move(rest); };
      co_return co_await with(timeout(limit), body);
    }
    case 'S':
      co_return co_await shield(std::move(rest));
    case 'G': {
      Task<std::string> child;
      auto body = [&](TaskGroup& group) -> Coroutine<> {
        child = group.create_task(std::move(rest));
        co_return;
      };
      co_await with(TaskGroup(), body);
      co_return child.result();
    }
    case 'A': {
      auto all = co_await gather(std::move(rest));
      co_return std::get<0>(all);
    }
    default: {
      std::vector<Task<std::string>> tasks;
      tasks.push_back(create_task(std::move(rest)));
      auto each = as_completed(tasks);
      auto first = co_await each.next();
      co_return first->result();
    }
  }
}

/// All words of up to `length_max` letters of "WTSGAC", and the empty one.
inline std::vector<std::string> all_wraps(std::size_t length_max) {
  std::vector<std::string> words{""};
  for (std::size_t first = 0, length = 1; length <= length_max; ++length) {
    const std::size_t end = words.size();
    for (; first < end; ++first) {
      for (const char kind : std::string("WTSGAC")) words.push_back(words[first] + kind);
    }
  }
  return words;
}

}  // namespace aster::support
