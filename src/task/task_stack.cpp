// SPDX-License-Identifier: MIT
#include <aster/base/function_name.hpp>
#include <aster/coro/await_path.hpp>
#include <aster/coro/promise.hpp>
#include <aster/task/task.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <ostream>

namespace aster::inline v0::detail {

std::vector<std::source_location> task_stack(TaskBase& task, std::optional<int> limit) {
  const std::size_t most =
      limit ? static_cast<std::size_t>(std::max(*limit, 0)) : static_cast<std::size_t>(-1);
  std::vector<std::source_location> sites;
  if (task.is_done()) {
    if (!task.is_cancelled()) sites = await_path(task.stored_error());
    std::reverse(sites.begin(), sites.end());
    if (sites.size() > most) sites.resize(most);
    return sites;
  }
  for (PromiseBase* frame = task.innermost(); frame != nullptr && sites.size() < most;
       frame = frame->caller()) {
    if (frame->await_site().line() != 0) sites.push_back(frame->await_site());
  }
  std::reverse(sites.begin(), sites.end());
  return sites;
}

void print_task_stack(TaskBase& task, std::optional<int> limit, std::ostream* out) {
  const std::vector<std::source_location> sites = task_stack(task, limit);
  const std::exception_ptr error = task.is_cancelled() ? nullptr : task.stored_error();
  std::string text;
  if (sites.empty()) {
    text = "No stack for " + task.text() + "\n";
  } else {
    text = (error != nullptr ? "Traceback for " : "Stack for ") + task.text() +
           " (most recent call last):\n";
  }
  for (const std::source_location& site : sites) {
    text += std::string("  File \"") + site.file_name() + "\", line " +
            std::to_string(site.line()) + ", in " + short_function_name(site) + "\n";
  }
  if (error != nullptr) text += describe(error) + "\n";
  if (out != nullptr) {
    *out << text;
  } else {
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
}

}  // namespace aster::inline v0::detail
