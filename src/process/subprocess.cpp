// SPDX-License-Identifier: MIT
#include <aster/process/subprocess.hpp>

#include "net/net_service.hpp"
#include "net/stream_link.hpp"
#include "process/child.hpp"

#include <aster/coro/outcome.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/process/subprocess_protocol.hpp>
#include <aster/task/gather.hpp>

#include <array>
#include <csignal>
#include <exception>
#include <system_error>

namespace aster::inline v0 {
namespace detail {

/// What the handles on a process share.
struct ProcessState {
  ProcessState() noexcept = default;
  ProcessState(const ProcessState&) = delete;
  ProcessState& operator=(const ProcessState&) = delete;
  ~ProcessState() {
    for (const auto& transport : transports) {
      if (transport) transport->close();
    }
  }

  StateRef<Child> child;
  std::optional<StreamWriter> input;
  std::array<std::optional<StreamReader>, 2> readers;  // Of output and error.
  std::array<TransportRef<ReadTransport>, 2> transports;
};

struct ProcessAccess {
  static Process make(std::shared_ptr<ProcessState> state) noexcept {
    return Process(std::move(state));
  }
};

namespace {

void open_streams(EventLoop& loop, ProcessState& state, std::array<OwnedFd, 3>& ends,
                  std::size_t limit, const std::source_location& source) {
  if (ends[0]) {
    const auto link =
        NetService::adopt<StreamLink>(loop, ends[0].release(), Medium::write_pipe, limit, source);
    link->watch_reader();
    state.input.emplace(StreamAccess::writer(link));
  }
  for (std::size_t i = 0; i < 2; ++i) {
    if (!ends[i + 1]) continue;
    const auto link = NetService::adopt<StreamLink>(loop, ends[i + 1].release(), Medium::read_pipe,
                                                    limit, source);
    state.readers[i].emplace(StreamAccess::reader(StateRef<ReaderState>::share(*link)));
    state.transports[i] = TransportRef<ReadTransport>(*link);
  }
}

/// The rest of a creation. It gives way once, as asyncio's does, so that it can be
/// cancelled.
Coroutine<> finish_start(std::shared_ptr<ProcessState> state, std::array<OwnedFd, 3> ends,
                         std::size_t limit, std::source_location source) {
  open_streams(get_running_loop(), *state, ends, limit, source);
  co_await yield_now();
}

Coroutine<Process> start(SpawnPlan plan, std::size_t limit, std::source_location source) {
  auto state = std::make_shared<ProcessState>();
  std::array<OwnedFd, 3> ends;
  state->child = Child::start(get_running_loop(), plan, ends);
  auto finishing = outcome(finish_start(state, std::move(ends), limit, source));
  Outcome<> finished = co_await std::move(finishing);
  if (!finished.has_value()) {  // CAN-21
    state->child->kill_quietly();
    co_await state->child->exited();
  }
  finished.value();
  co_return ProcessAccess::make(std::move(state));
}

Coroutine<std::string> read_all(StreamReader* reader) {
  if (reader == nullptr) co_return std::string();
  std::string data = co_await reader->read();
  co_return data;
}

/// Throws the error that ended the pipe to standard input, unless it is that the child
/// did not read all.
void check_input(const StreamWriter& input) {
  const std::exception_ptr& error = StreamAccess::link(input).lost_error();
  if (error == nullptr) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failed) {
    if (failed.code() != std::errc::broken_pipe && failed.code() != std::errc::connection_reset) {
      throw;
    }
  }
}

Coroutine<ProcessOutput> communicate(std::shared_ptr<ProcessState> state,
                                     std::optional<std::string> input) {
  if (state->input) {
    // The transport sends it by and by, and drops it when the child does not read.
    if (input) state->input->write(*input);
    state->input->close();
    input.reset();
  }
  std::array<std::string, 2> data;
  if (state->readers[0] && state->readers[1]) {
    auto reading = gather(read_all(&*state->readers[0]), read_all(&*state->readers[1]));
    auto both = co_await std::move(reading);
    data = {std::move(std::get<0>(both)), std::move(std::get<1>(both))};
  } else {
    for (std::size_t i = 0; i < 2; ++i) {
      if (!state->readers[i]) continue;
      data[i] = co_await state->readers[i]->read();
    }
  }
  co_await state->child->exited();
  if (state->input) check_input(*state->input);
  co_return ProcessOutput(std::move(data[0]), std::move(data[1]));
}

}  // namespace
}  // namespace detail

Process::Process(std::shared_ptr<detail::ProcessState> state) noexcept : state_(std::move(state)) {}
Process::~Process() = default;

int Process::pid() const noexcept { return state_->child->pid(); }

std::optional<int> Process::returncode() const noexcept { return state_->child->returncode(); }

StreamWriter* Process::stdin_() const noexcept { return state_->input ? &*state_->input : nullptr; }
StreamReader* Process::stdout_() const noexcept {
  return state_->readers[0] ? &*state_->readers[0] : nullptr;
}
StreamReader* Process::stderr_() const noexcept {
  return state_->readers[1] ? &*state_->readers[1] : nullptr;
}

Coroutine<int> Process::wait() const { return detail::Child::wait(state_->child); }

Coroutine<ProcessOutput> Process::communicate(std::optional<std::string_view> input) const {
  if (input && !state_->input) {
    throw ValueError("communicate: there is input, but stdin_ is not PIPE");
  }
  std::optional<std::string> owned;
  if (input) owned.emplace(*input);
  return detail::communicate(state_, std::move(owned));
}

void Process::send_signal(int number) const { state_->child->send_signal("send_signal", number); }
void Process::terminate() const { state_->child->send_signal("terminate", SIGTERM); }
void Process::kill() const { state_->child->send_signal("kill", SIGKILL); }

Coroutine<Process> create_subprocess_exec(std::vector<std::string> argv,
                                          SubprocessOptions options) {
  return detail::start(
      detail::SpawnPlan("create_subprocess_exec", std::move(argv), options, std::nullopt),
      options.limit, options.source);
}

Coroutine<Process> create_subprocess_shell(std::string_view command, SubprocessOptions options) {
  return detail::start(detail::SpawnPlan("create_subprocess_shell",
                                         detail::shell_arguments(command), options, std::nullopt),
                       options.limit, options.source);
}

std::string shlex_quote(std::string_view text) {
  constexpr std::string_view harmless =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
  if (!text.empty() && text.find_first_not_of(harmless) == std::string_view::npos) {
    return std::string(text);
  }
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\"'\"'";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace aster::inline v0
