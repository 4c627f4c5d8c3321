// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/net/endpoint.hpp>
#include <aster/net/protocol.hpp>
#include <aster/net/transport.hpp>
#include <aster/process/subprocess_options.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A child process by callbacks: the counterparts of asyncio's SubprocessTransport and
/// SubprocessProtocol. Streams are easier: `create_subprocess_exec`.
///
///     struct Date : aster::SubprocessProtocol {
///       std::string text;
///       void pipe_data_received(int, std::string_view data) override { text += data; }
///     };
///     auto make = [] { return std::make_unique<Date>(); };
///     auto child = co_await loop.subprocess_exec(make, {.stdin_ = aster::DEVNULL}, "date");
namespace aster::inline v0 {

/// A child process and our ends of its pipes. Made by the loop, which keeps it until
/// `connection_lost` has returned; `ref()` keeps it longer. Thread rule: the loop's thread.
class ASTER_API SubprocessTransport : public virtual BaseTransport {
 public:
  /// Closes the pipes and kills the child if it runs still (SP-15). Nothing when called
  /// again.
  void close() noexcept override = 0;

  /// The child's number, also after its end, when the system may give it to another.
  [[nodiscard]] virtual int get_pid() const noexcept = 0;
  /// As `Process::returncode`.
  [[nodiscard]] virtual std::optional<int> get_returncode() const noexcept = 0;
  /// The transport of the pipe to standard input (0), from output (1) or error (2): null
  /// for others and where there is no pipe. It has one half only: the other's calls are
  /// RuntimeErrors. Valid as long as this one.
  [[nodiscard]] virtual Transport* get_pipe_transport(int fd) const noexcept = 0;

  /// As `Process::send_signal`.
  virtual void send_signal(int number) = 0;
  /// Sends SIGTERM.
  virtual void terminate() = 0;
  /// Sends SIGKILL.
  virtual void kill() = 0;

  /// Keeps it alive.
  [[nodiscard]] TransportRef<SubprocessTransport> ref() noexcept {
    return TransportRef<SubprocessTransport>(*this);
  }

 protected:
  ~SubprocessTransport() override;
};

/// A protocol for a child process. `connection_made` comes first; the child's end and the
/// ends of its pipes in any order, as a pipe may outlive the child or the other way
/// round; `connection_lost`, with null, once all of them have come (SP-16). Exceptions
/// are told to the loop's exception handler and end nothing. `pause_writing` and
/// `resume_writing` are about standard input.
class ASTER_API SubprocessProtocol : public BaseProtocol {
 public:
  /// The child runs. `transport` is valid until `connection_lost` has returned; its
  /// `ref()` keeps it longer.
  virtual void connection_made(SubprocessTransport& transport);
  /// The child has written to its output (`fd` 1) or error (2); `data` is valid during
  /// the call.
  virtual void pipe_data_received(int fd, std::string_view data);
  /// A pipe is closed; `error` is null unless it failed. 0 is standard input.
  virtual void pipe_connection_lost(int fd, std::exception_ptr error);
  /// The child has ended: the transport has its return code.
  virtual void process_exited();
};

namespace detail {

class ProcessLink;
struct SpawnPlan;

/// A child that is to be started for a protocol: its checked plan.
class ASTER_API NewProcess {
 public:
  NewProcess(const char* call, std::vector<std::string> argv, const SubprocessOptions& options);
  NewProcess(NewProcess&&) noexcept;
  NewProcess& operator=(NewProcess&&) = delete;
  ~NewProcess();

  /// Starts it; done once `connection_made` was called. Cancelled, it kills and reaps.
  [[nodiscard]] Coroutine<TransportRef<SubprocessTransport>> start(
      EventLoop& loop, std::shared_ptr<SubprocessProtocol> protocol) &&;

 private:
  std::unique_ptr<SpawnPlan> plan_;
  std::source_location source_;
};

/// The arguments of "/bin/sh -c command".
[[nodiscard]] ASTER_API std::vector<std::string> shell_arguments(std::string_view command);

template <class Factory>
Coroutine<Endpoint<ProtocolOf<Factory>, SubprocessTransport>> start_process(EventLoop& loop,
                                                                            Factory factory,
                                                                            NewProcess process) {
  using P = ProtocolOf<Factory>;
  static_assert(std::derived_from<P, SubprocessProtocol>,
                "aster: the factory gives a std::unique_ptr or std::shared_ptr of a class derived "
                "from SubprocessProtocol");
  std::shared_ptr<P> protocol = make_protocol(factory);
  auto starting = std::move(process).start(loop, protocol);
  TransportRef<SubprocessTransport> transport = co_await std::move(starting);
  co_return Endpoint<P, SubprocessTransport>(std::move(transport), std::move(protocol));
}

}  // namespace detail

template <class Factory, std::same_as<SubprocessOptions> Options>
auto EventLoop::subprocess_exec(Factory factory, std::vector<std::string> argv, Options options)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, SubprocessTransport>> {
  return detail::start_process(*this, std::move(factory),
                               detail::NewProcess("subprocess_exec", std::move(argv), options));
}

template <class Factory, class Options, std::convertible_to<std::string_view>... Arguments>
auto EventLoop::subprocess_exec(Factory factory, std::type_identity_t<Options> options,
                                std::string_view program, const Arguments&... arguments)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, SubprocessTransport>> {
  return subprocess_exec(std::move(factory), detail::argument_list(program, arguments...), options);
}

template <class Factory, class Options>
auto EventLoop::subprocess_shell(Factory factory, std::string_view command, Options options)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, SubprocessTransport>> {
  return detail::start_process(
      *this, std::move(factory),
      detail::NewProcess("subprocess_shell", detail::shell_arguments(command), options));
}

}  // namespace aster::inline v0
