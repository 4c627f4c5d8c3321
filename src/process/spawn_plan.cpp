// SPDX-License-Identifier: MIT
#include "process/spawn_plan.hpp"

#include <aster/base/error.hpp>
#include <aster/process/subprocess_protocol.hpp>

#include <cstdlib>
#include <utility>

namespace aster::inline v0::detail {
namespace {

[[noreturn]] void refuse(const char* call, const std::string& why) {
  throw ValueError(std::string(call) + ": " + why);
}

void check_text(const char* call, const char* what, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    refuse(call, std::string(what) + " has a null byte in it: \"" +
                     std::string(text.substr(0, text.find('\0'))) + "\"");
  }
}

/// The value of `stream` (0 to 2), checked.
int stream_of(const char* call, int stream, const Redirection& given, const Redirection& standard) {
  static constexpr std::array<const char*, 3> names{"stdin_", "stdout_", "stderr_"};
  const int value = given.value() == Redirection::unset ? standard.value() : given.value();
  if (value == Redirection(STDOUT).value() && stream != 2) {
    refuse(call, std::string(names[static_cast<std::size_t>(stream)]) +
                     ": STDOUT can only be used for stderr_");
  }
  if (value < Redirection::inherited) {
    refuse(call, std::string(names[static_cast<std::size_t>(stream)]) +
                     ": invalid file descriptor " + std::to_string(value));
  }
  return value;
}

}  // namespace

SpawnPlan::SpawnPlan(const char* caller, std::vector<std::string> arguments,
                     const SubprocessOptions& options, Redirection standard)
    : call(caller),
      argv(std::move(arguments)),
      executable(options.executable),
      streams{stream_of(caller, 0, options.stdin_, standard),
              stream_of(caller, 1, options.stdout_, standard),
              stream_of(caller, 2, options.stderr_, standard)},
      cwd(options.cwd),
      pass_fds(options.pass_fds.begin(), options.pass_fds.end()),
      close_fds(options.close_fds),
      restore_signals(options.restore_signals),
      start_new_session(options.start_new_session),
      process_group(options.process_group),
      user(options.user),
      group(options.group),
      umask(options.umask),
      limits(options.limits.begin(), options.limits.end()) {
  if (argv.empty() || program().empty()) refuse(call, "there is no program to run");
  for (const std::string& argument : argv) check_text(call, "an argument", argument);
  check_text(call, "executable", executable);
  check_text(call, "cwd", cwd);
  if (options.env) {
    environment.emplace();
    for (const auto& [name, value] : *options.env) {
      check_text(call, "the environment", name);
      check_text(call, "the environment", value);
      if (name.empty() || name.find('=') != std::string_view::npos) {
        refuse(call, "illegal environment variable name \"" + std::string(name) + "\"");
      }
      environment->push_back(std::string(name) + "=" + std::string(value));
    }
  }
  for (const int fd : pass_fds) {
    if (fd < 0) refuse(call, "pass_fds: invalid file descriptor " + std::to_string(fd));
  }
  if (process_group && *process_group < 0) {
    refuse(call, "process_group must be 0 or more, not " + std::to_string(*process_group));
  }
  if (umask && *umask > 07777) refuse(call, "umask must be 07777 or less");
  if (options.extra_groups) {
    extra_groups.emplace(options.extra_groups->begin(), options.extra_groups->end());
  }
  if (options.limit == 0) refuse(call, "limit must not be 0");
}

std::vector<std::string> SpawnPlan::candidates() const {
  const std::string& name = program();
  if (name.find('/') != std::string::npos) return {name};
  std::string_view path = "/bin:/usr/bin";
  if (environment) {
    for (const std::string& entry : *environment) {
      if (entry.starts_with("PATH=")) path = std::string_view(entry).substr(5);
    }
  } else if (const char* ours = std::getenv("PATH"); ours != nullptr) {
    path = ours;
  }
  std::vector<std::string> found;
  for (;;) {
    const std::size_t colon = path.find(':');
    const std::string_view folder = path.substr(0, colon);
    // An empty entry is the folder in which the child starts, as exec(3) has it.
    found.push_back(folder.empty() ? "./" + name : std::string(folder) + "/" + name);
    if (colon == std::string_view::npos) return found;
    path.remove_prefix(colon + 1);
  }
}

std::vector<std::string> shell_arguments(std::string_view command) {
  return {"/bin/sh", "-c", std::string(command)};
}

}  // namespace aster::inline v0::detail
