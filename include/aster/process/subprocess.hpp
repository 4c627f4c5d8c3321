// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/net/stream_writer.hpp>
#include <aster/process/subprocess_options.hpp>

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aster::inline v0 {

namespace detail {
struct ProcessState;
struct ProcessAccess;
}  // namespace detail

/// What a child has written to its pipes; see `Process::communicate`.
struct ProcessOutput {
  /// From its parts.
  ProcessOutput(std::string out, std::string error) noexcept
      : stdout_data(std::move(out)), stderr_data(std::move(error)) {}
  std::string stdout_data;  ///< Empty when standard output is no pipe.
  std::string stderr_data;  ///< Empty when standard error is no pipe.
};

/// A running child process: the counterpart of asyncio.subprocess.Process. Made by
/// `create_subprocess_exec` and `create_subprocess_shell`; for callbacks instead of
/// streams see `EventLoop::subprocess_exec`.
///
///     Process p = co_await create_subprocess_exec({.stdin_ = PIPE, .stdout_ = PIPE}, "sort");
///     ProcessOutput o = co_await p.communicate("b\na\n");
///     int code = *p.returncode();
///
/// A handle; copies refer to the same child. Dropping the last one closes our ends of the
/// pipes, so a child that writes on gets SIGPIPE; it is not killed, and the loop reaps it
/// when it ends. Closing the loop, as `run` does, kills and reaps what still runs.
///
/// Thread rule: that of the loop that made it. Any thread may run that loop (SP-14); no
/// SIGCHLD handler is installed or needed.
class ASTER_API Process {
 public:
  Process(const Process&) noexcept = default;
  Process(Process&&) noexcept = default;
  Process& operator=(const Process&) noexcept = default;
  Process& operator=(Process&&) noexcept = default;
  ~Process();

  /// The child's number, also after its end, when the system may give it to another.
  [[nodiscard]] int pid() const noexcept;
  /// Its exit status, or minus N when signal N has ended it; nothing as long as the loop
  /// has not noticed its end. 255, and a warning in the log, when somebody else reaped it.
  [[nodiscard]] std::optional<int> returncode() const noexcept;

  /// The stream to its standard input; null unless `.stdin_ = PIPE`. Valid while a handle
  /// on this process is kept, as the next two.
  [[nodiscard]] StreamWriter* stdin_() const noexcept;
  /// The stream from its standard output; null unless `.stdout_ = PIPE`.
  [[nodiscard]] StreamReader* stdout_() const noexcept;
  /// The stream from its standard error; null unless `.stderr_ = PIPE`.
  [[nodiscard]] StreamReader* stderr_() const noexcept;

  /// Waits for the child's end and gives its return code, even when a child of its own
  /// holds the pipes open. A child that writes more than a pipe holds (64 KiB) ends only
  /// if somebody reads: use `communicate` (SP-12). Any number of tasks may wait;
  /// cancelling one leaves the child, and the others, alone.
  [[nodiscard]] Coroutine<int> wait() const;

  /// Writes `input` to standard input and closes it, reads output and error to their
  /// ends, all at once so that it cannot deadlock, and waits for the child. That the
  /// child does not read its input is no error. ValueError for an input without a pipe.
  /// Cancelled, it leaves the child alone; what was read is lost.
  [[nodiscard]] Coroutine<ProcessOutput> communicate(
      std::optional<std::string_view> input = {}) const;

  /// Sends a signal; it never reaches another process. Nothing when the child has ended
  /// unnoticed; an ESRCH `std::system_error` when its return code is known. ValueError
  /// for an impossible number.
  void send_signal(int number) const;
  /// Sends SIGTERM.
  void terminate() const;
  /// Sends SIGKILL.
  void kill() const;

 private:
  friend struct detail::ProcessAccess;
  explicit Process(std::shared_ptr<detail::ProcessState> state) noexcept;
  std::shared_ptr<detail::ProcessState> state_;
};

/// Starts a program without a shell: `argv[0]` is looked for in PATH unless it has a
/// slash, and gets the rest as its arguments, as they are. `options.executable` is run
/// instead when given.
///
///     std::vector<std::string> argv{"grep", "-c", pattern};
///     Process p = co_await create_subprocess_exec(std::move(argv), {.stdout_ = PIPE});
///
/// The thread waits until the program runs, some 0.1 ms, and has the error when it
/// cannot: `std::system_error` as "create_subprocess_exec grap: No such file or
/// directory", or "create_subprocess_exec: chdir /nowhere: …". ValueError for an empty
/// argv, null bytes and other impossible options. RuntimeError on a simulated loop, which
/// has no processes. Cancelled, the child is killed and reaped before the CancelledError
/// comes out.
[[nodiscard]] ASTER_API Coroutine<Process> create_subprocess_exec(std::vector<std::string> argv,
                                                                  SubprocessOptions options = {});

/// The same with the arguments one by one; options first, `{}` for none.
///
///     Process p = co_await create_subprocess_exec({.stdout_ = PIPE}, "ls", "-l");
template <std::convertible_to<std::string_view>... Arguments>
[[nodiscard]] Coroutine<Process> create_subprocess_exec(SubprocessOptions options,
                                                        std::string_view program,
                                                        const Arguments&... arguments) {
  return create_subprocess_exec(detail::argument_list(program, arguments...), options);
}

/// Has /bin/sh run `command`. Text from elsewhere in it can run anything: quote it with
/// `shlex_quote`, or better do without the shell.
///
///     Process p = co_await create_subprocess_shell("ls | wc -l", {.stdout_ = PIPE});
///
/// Otherwise as `create_subprocess_exec`. That a command is not found is no error here
/// but the shell's return code 127.
[[nodiscard]] ASTER_API Coroutine<Process> create_subprocess_shell(std::string_view command,
                                                                   SubprocessOptions options = {});

/// `text` as one word of a shell command: the counterpart of shlex.quote.
///
///     std::string command = "ls -l " + shlex_quote(name);
[[nodiscard]] ASTER_API std::string shlex_quote(std::string_view text);

}  // namespace aster::inline v0
