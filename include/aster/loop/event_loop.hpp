// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/function.hpp>
#include <aster/base/time.hpp>
#include <aster/loop/backend.hpp>
#include <aster/loop/handle.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/exception_context.hpp>
#include <aster/task/future.hpp>
#include <aster/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <typeindex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace aster::inline v0 {

class Address;
class DatagramTransport;
class Executor;
class ProcessPoolExecutor;
class ReadTransport;
class Server;
class Socket;
class SubprocessTransport;
class Transport;
class WriteTransport;
class SSLContext;
class BaseProtocol;
struct Accepted;
struct AcceptedSocketOptions;
struct AddressInfo;
struct ConnectOptions;
struct DatagramOptions;
struct GetaddrinfoOptions;
struct NameInfo;
struct ReceivedFrom;
struct ReceivedIntoFrom;
struct SendfileOptions;
struct ServerOptions;
struct StartTlsOptions;
struct SubprocessOptions;
struct UnixConnectOptions;
struct UnixServerOptions;
template <class P, class T = Transport>
class Endpoint;
template <class T>
class TransportRef;

namespace detail {
/// The protocol that a factory makes: it gives a `std::unique_ptr` or `std::shared_ptr`.
template <class Factory>
using ProtocolOf = typename std::invoke_result_t<Factory&>::element_type;
}  // namespace detail

/// Options of a loop.
struct LoopOptions {
  /// Which system facility to use; `automatic` obeys `ASTER_BACKEND`.
  Backend backend = Backend::automatic;
  /// Debug mode: thread checks and reports; empty: on when `ASTER_DEBUG` is set.
  std::optional<bool> debug = {};
  /// Where the loop was made, for reports.
  std::source_location source = std::source_location::current();
};

/// Decides how tasks are made; see `EventLoop::set_task_factory`. May change the
/// options of each task before it is made.
using TaskFactory = Function<void(EventLoop&, TaskOptions&)>;

/// The event loop: runs callbacks, tasks, timers and I/O of one thread, exactly
/// in asyncio's order. The counterpart of asyncio.AbstractEventLoop.
///
/// Most programs never name one: `run(main())` makes it, and `sleep`,
/// `create_task` or `open_connection` find the running one.
///
///     auto loop = aster::new_event_loop();
///     loop->call_later(1s, [&] { loop->stop(); });
///     loop->run_forever();
///     loop->close();
///
/// A turn waits for I/O if nothing is ready, then queues what the I/O and the due
/// timers made ready, behind what was ready before, and runs what the queue holds
/// at that moment. What those callbacks queue runs in the next turn.
///
/// Thread rule: all members belong to the thread that runs the loop, but
/// `call_soon_threadsafe`. After `close` every call but `is_closed`,
/// `is_running` and the remove and get functions is a RuntimeError "Event loop is
/// closed"; so is every call in a forked child.
class ASTER_API EventLoop {
 public:
  /// A loop on a back end of the system. Throws as `make_backend`.
  explicit EventLoop(LoopOptions options = {});
  /// A loop on a given back end.
  explicit EventLoop(std::unique_ptr<IoBackend> backend, LoopOptions options = {});
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  /// Closes the loop if need be.
  virtual ~EventLoop();

  // Running ------------------------------------------------------------------

  /// Runs until `stop`. RuntimeError when this or another loop runs in this thread.
  void run_forever();

  /// Runs until `future` is done and gives its result or throws its exception.
  /// RuntimeError "Event loop stopped before Future completed." after `stop`.
  template <class T>
  T run_until_complete(Future<T> future) {
    run_until_done(detail::Access::state(future), false);
    return std::move(future).take_or_copy();
  }
  /// Runs a coroutine, or anything that can be awaited, as a task until it ends.
  template <class A>
    requires(awaitable<A> && !std::derived_from<std::remove_cvref_t<A>, detail::FutureTag>)
  auto run_until_complete(A&& coroutine) -> await_result_t<A> {
    check_can_run("run_until_complete");
    auto task = create_task(detail::as_coroutine(std::forward<A>(coroutine)));
    run_until_done(detail::Access::state(task), true);
    return task.take();
  }

  /// Ends `run_forever` after the present turn; before it, lets it run one turn. The
  /// loop's thread only: from others, post it with `call_soon_threadsafe`.
  void stop() noexcept {
    if (!scheduler_->refuses_thread("stop")) stopping_ = true;
  }

  /// Frees everything: callbacks and timers are dropped without running, pending
  /// tasks are destroyed (and reported), the default executor is told to end. Does
  /// nothing when closed already; RuntimeError while running.
  void close();

  /// Whether it runs now.
  [[nodiscard]] bool is_running() const noexcept { return running_; }
  /// Whether `close` was called.
  [[nodiscard]] bool is_closed() const noexcept { return scheduler_->is_closed(); }

  // Callbacks ----------------------------------------------------------------

  /// Queues `callback()` for the next turn, behind what is queued already.
  template <std::invocable F>
  Handle call_soon(F&& callback, std::source_location source = std::source_location::current()) {
    scheduler_->require_open("call_soon");
    return queue(make_handle(std::forward<F>(callback), inherited_context(), source));
  }
  /// The same in `context` instead of a copy of the current one.
  template <std::invocable F>
  Handle call_soon(F&& callback, const Context& context,
                   std::source_location source = std::source_location::current()) {
    scheduler_->require_open("call_soon");
    return queue(make_handle(std::forward<F>(callback), context.slot(), source));
  }

  /// Calls `callback()` after `delay`, never earlier: negative is due now,
  /// infinite never; equal times in the order of the calls. ValueError for NaN.
  template <std::invocable F>
  TimerHandle call_later(Delay delay, F&& callback,
                         std::source_location source = std::source_location::current()) {
    scheduler_->require_open("call_later");
    const Duration length = delay.checked("call_later");
    return call_at(detail::add_saturated(time(), length), std::forward<F>(callback), source);
  }
  /// The same in `context` instead of a copy of the current one.
  template <std::invocable F>
  TimerHandle call_later(Delay delay, F&& callback, const Context& context,
                         std::source_location source = std::source_location::current()) {
    scheduler_->require_open("call_later");
    const Duration length = delay.checked("call_later");
    return call_at(detail::add_saturated(time(), length), std::forward<F>(callback), context,
                   source);
  }

  /// Calls `callback()` when `time()` has reached `when`.
  template <std::invocable F>
  TimerHandle call_at(TimePoint when, F&& callback,
                      std::source_location source = std::source_location::current()) {
    scheduler_->require_open("call_at");
    return schedule(make_handle(std::forward<F>(callback), inherited_context(), source), when);
  }
  /// The same in `context` instead of a copy of the current one.
  template <std::invocable F>
  TimerHandle call_at(TimePoint when, F&& callback, const Context& context,
                      std::source_location source = std::source_location::current()) {
    scheduler_->require_open("call_at");
    return schedule(make_handle(std::forward<F>(callback), context.slot(), source), when);
  }

  /// Queues `callback()` from any thread and wakes the loop; in order for each
  /// thread. Either the callback will run or be dropped by `close`, or this throws
  /// RuntimeError as the loop is closed.
  template <std::invocable F>
  ThreadsafeHandle call_soon_threadsafe(
      F&& callback, std::source_location source = std::source_location::current()) {
    check_callback<std::decay_t<F>>();
    return queue_threadsafe(std::forward<F>(callback),
                            detail::ContextSlot(detail::current_context()), source);
  }
  /// The same in `context` instead of a copy of the current one.
  template <std::invocable F>
  ThreadsafeHandle call_soon_threadsafe(
      F&& callback, const Context& context,
      std::source_location source = std::source_location::current()) {
    check_callback<std::decay_t<F>>();
    return queue_threadsafe(std::forward<F>(callback), context.slot(), source);
  }

  /// The loop's clock: monotonic; virtual on `testing::SimLoop`.
  [[nodiscard]] TimePoint time() const noexcept { return scheduler_->now(); }

  // Futures and tasks ----------------------------------------------------------

  /// A pending future of this loop.
  template <class T = void>
  [[nodiscard]] Future<T> create_future(
      std::source_location source = std::source_location::current()) {
    scheduler_->check_thread("create_future");
    return detail::Access::make<Future<T>>(detail::StateRef<detail::FutureBase>(
        detail::make_in_frame<detail::FutureState<T>>(*scheduler_, source)));
  }

  /// As `aster::create_task`, for this loop, running or not.
  template <class T>
  Task<T> create_task(Coroutine<T> coroutine, TaskOptions options = {}) {
    return detail::spawn(*scheduler_, std::move(coroutine), nullptr, options);
  }
  /// As `aster::create_task` with a callable.
  template <class F>
    requires(detail::CoroutineFunction<std::decay_t<F>>)
  auto create_task(F&& callable, TaskOptions options = {}) {
    return detail::spawn_call(*scheduler_, options, std::forward<F>(callable));
  }
  /// As `aster::create_task` with a callable and arguments.
  template <class F, class... Args>
    requires(detail::CoroutineFunction<std::decay_t<F>, std::decay_t<Args>...>)
  auto create_task(TaskOptions options, F&& callable, Args&&... args) {
    return detail::spawn_call(*scheduler_, options, std::forward<F>(callable),
                              std::forward<Args>(args)...);
  }
  /// As `aster::create_task` with another awaitable, such as what `sleep` gives.
  template <class A>
    requires(awaitable<A> && !detail::AnyFuture<A> &&
             !detail::is_coroutine<std::remove_cvref_t<A>> &&
             !detail::CoroutineFunction<std::decay_t<A>>)
  auto create_task(A&& value, TaskOptions options = {}) {
    return create_task(detail::as_coroutine(std::forward<A>(value)), options);
  }

  /// Has `factory(loop, options)` see and change the options of every task before
  /// it is made; null: none. `eager_task_factory` starts all tasks at once.
  void set_task_factory(TaskFactory factory);
  /// Whether a task factory is set.
  [[nodiscard]] bool has_task_factory() const noexcept { return scheduler_->has_task_factory(); }

  // Descriptors ------------------------------------------------------------------

  /// Calls `callback()` in every turn in which `fd` can be read, until
  /// `remove_reader`; replaces the former one. An error or hang-up counts as
  /// readable. ValueError for a negative descriptor, RuntimeError for one that
  /// belongs to a transport, `std::system_error` when the back end cannot watch it
  /// (a regular file, with epoll).
  void add_reader(native_socket fd, Function<void()> callback,
                  std::source_location source = std::source_location::current());
  /// The same for writing.
  void add_writer(native_socket fd, Function<void()> callback,
                  std::source_location source = std::source_location::current());
  /// Ends it, also for a call that is queued; false when there was none. Remove a
  /// descriptor before closing it.
  bool remove_reader(native_socket fd);
  /// The same for writing.
  bool remove_writer(native_socket fd);
  /// The same for an object with a descriptor.
  template <has_fileno T>
  void add_reader(const T& object, Function<void()> callback,
                  std::source_location source = std::source_location::current()) {
    add_reader(object.fileno(), std::move(callback), source);
  }
  /// The same for an object with a descriptor.
  template <has_fileno T>
  void add_writer(const T& object, Function<void()> callback,
                  std::source_location source = std::source_location::current()) {
    add_writer(object.fileno(), std::move(callback), source);
  }
  /// The same for an object with a descriptor.
  template <has_fileno T>
  bool remove_reader(const T& object) {
    return remove_reader(object.fileno());
  }
  /// The same for an object with a descriptor.
  template <has_fileno T>
  bool remove_writer(const T& object) {
    return remove_writer(object.fileno());
  }

  // Signals ----------------------------------------------------------------------

  /// Calls `callback()`, as an ordinary callback of the loop, once for each time that
  /// signal `number` came; replaces the former one, and takes the signal away from other
  /// loops until it is removed. The system may merge equal signals that come before the
  /// first is taken. In a forked child they do what they did before.
  /// ValueError for no signal's number, RuntimeError for SIGKILL and SIGSTOP and off the
  /// main thread (the thread that began the program).
  ///
  ///     loop.add_signal_handler(SIGTERM, [&] { loop.stop(); });
  template <std::invocable F>
  void add_signal_handler(int number, F&& callback,
                          std::source_location source = std::source_location::current()) {
    check_callback<std::decay_t<F>>();
    set_signal_handler(number, Function<void()>(std::forward<F>(callback)), source);
  }
  /// Ends it, and restores what the signal did before, unless the program has installed a
  /// handler of its own since; false when there was none. `close` removes all.
  bool remove_signal_handler(int number);

  // Sockets (io/sock.hpp) --------------------------------------------------------

  /// Waits for a connection to a listening socket: the counterpart of
  /// loop.sock_accept. Cancelled in the turn in which one came, it keeps that for the
  /// next `sock_accept`.
  Coroutine<Accepted> sock_accept(Socket& socket);
  /// Connects to a numeric address or path; "sock_connect 127.0.0.1:80: Connection
  /// refused".
  Coroutine<> sock_connect(Socket& socket, Address address);
  /// Looks `host` up, for the socket's family, and connects to its first address.
  Coroutine<> sock_connect(Socket& socket, std::string_view host, int port);
  /// Receives at most `size` bytes, as soon as there are any; "" at the end of the
  /// stream.
  Coroutine<std::string> sock_recv(Socket& socket, std::size_t size);
  /// The same into `buffer`, which must outlive the await; the number of bytes.
  Coroutine<std::size_t> sock_recv_into(Socket& socket, std::span<char> buffer);
  /// One datagram, cut to `size` bytes, and its sender.
  Coroutine<ReceivedFrom> sock_recvfrom(Socket& socket, std::size_t size);
  /// The same into the first `size` bytes of `buffer`, which must outlive the await;
  /// 0: into all of it.
  Coroutine<ReceivedIntoFrom> sock_recvfrom_into(Socket& socket, std::span<char> buffer,
                                                 std::size_t size = 0);
  /// Sends all of `data`, which must outlive the await. After an error or a
  /// cancellation nobody knows how much was sent.
  Coroutine<> sock_sendall(Socket& socket, std::string_view data);
  /// Sends one datagram; the number of bytes sent. `data` must outlive the await.
  Coroutine<std::size_t> sock_sendto(Socket& socket, std::string_view data, Address address);
  /// Sends `count` bytes of `file` from `offset` on, or all that follow, over a stream
  /// socket, in the kernel where it can; the number of bytes sent. The file's position
  /// is behind what was sent afterwards, also after an error. ValueError for a
  /// negative offset, a count of 0 and other kinds of sockets.
  Coroutine<std::size_t> sock_sendfile(Socket& socket, native_file file, std::int64_t offset = 0,
                                       std::optional<std::size_t> count = {});
  /// The same; without `options.fallback` it is a SendfileNotAvailableError when the
  /// kernel cannot.
  Coroutine<std::size_t> sock_sendfile(Socket& socket, native_file file, std::int64_t offset,
                                       std::optional<std::size_t> count,
                                       const SendfileOptions& options);

  // Transports and protocols (net/endpoint.hpp) -------------------------------------
  //
  // A factory is called without arguments, once for each connection, and gives a
  // `std::unique_ptr` or `std::shared_ptr` of a Protocol or BufferedProtocol. All are
  // coroutines to be awaited on this loop.

  /// Connects to a host by TCP, as `open_connection` does and with its errors; then the
  /// protocol is made and its `connection_made` called. Cancelled, it closes.
  template <class Factory, class Options = ConnectOptions>
  auto create_connection(Factory factory, std::string_view host, int port, Options options = {})
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, Transport>>;
  /// The same on a connected stream socket, which it takes over; ValueError for others.
  template <class Factory, class Options = ConnectOptions>
  auto create_connection(Factory factory, Socket socket, Options options = {})
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, Transport>>;
  /// The same on a socket that was accepted elsewhere: with TLS, as the server.
  template <class Factory, class Options = AcceptedSocketOptions>
  auto connect_accepted_socket(Factory factory, Socket socket, Options options = {})
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, Transport>>;
  /// Connects to the path of a unix socket, as `open_unix_connection` does.
  template <class Factory, class Options = UnixConnectOptions>
  auto create_unix_connection(Factory factory, std::string_view path, Options options = {})
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, Transport>>;

  /// Listens on a host, as `start_server` does and with its errors; every connection gets
  /// a protocol of its own. An error of the factory goes to the exception handler and
  /// ends that connection only.
  template <class Factory, class Options = ServerOptions>
  Coroutine<Server> create_server(Factory factory, std::string_view host, int port,
                                  Options options = {});
  /// The same on several hosts.
  template <class Factory, class Options = ServerOptions>
  Coroutine<Server> create_server(Factory factory, std::vector<std::string> hosts, int port,
                                  Options options = {});
  /// The same on a bound stream socket, which the server takes over.
  template <class Factory, class Options = ServerOptions>
  Coroutine<Server> create_server(Factory factory, Socket socket, Options options = {});
  /// The same on the path of a unix socket, as `start_unix_server` does.
  template <class Factory, class Options = UnixServerOptions>
  Coroutine<Server> create_unix_server(Factory factory, std::string_view path,
                                       Options options = {});

  /// Begins TLS on a connection that had none ("STARTTLS"); gives the transport, which is
  /// the same, once the handshake is done. From there on `protocol` has it, whose
  /// `connection_made` is not called. What is written meanwhile is sent by TLS; nothing is
  /// handed over. Bytes that were received and not handed over (while reading is paused)
  /// belong to the handshake of a server; a client refuses them with an SSLError. A failed
  /// handshake and a cancelled call close the connection.
  template <class Options = StartTlsOptions>
  Coroutine<TransportRef<Transport>> start_tls(Transport& transport,
                                               std::shared_ptr<BaseProtocol> protocol,
                                               const SSLContext& context, Options options = {});
  /// The same with the protocol that the transport has; ValueError for another.
  template <class Options = StartTlsOptions>
  Coroutine<TransportRef<Transport>> start_tls(Transport& transport, BaseProtocol& protocol,
                                               const SSLContext& context, Options options = {});

  /// Reads a pipe, FIFO, socket or character device. Takes the descriptor over, makes it
  /// non-blocking and closes it at its end. ValueError for other kinds of files; the
  /// descriptor then stays the caller's.
  template <class Factory>
  auto connect_read_pipe(Factory factory, native_file fd,
                         std::source_location source = std::source_location::current())
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, ReadTransport>>;
  /// Writes to such a file; notices when the other end of a pipe closes, which closes the
  /// transport, with EPIPE when bytes were left to be written.
  template <class Factory>
  auto connect_write_pipe(Factory factory, native_file fd,
                          std::source_location source = std::source_location::current())
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, WriteTransport>>;

  /// Sends `count` bytes of `file` from `offset` on, or all that follow, behind what was
  /// written to the transport before; the number of bytes. In the kernel where it can,
  /// else in blocks that a thread reads. Meanwhile nothing is handed to the protocol, and
  /// `write` is a RuntimeError; so is this on a transport that is closing, cannot write,
  /// or sends a file already. The file's position is behind what was sent afterwards.
  Coroutine<std::size_t> sendfile(WriteTransport& transport, native_file file,
                                  std::int64_t offset = 0, std::optional<std::size_t> count = {});
  /// The same; without `options.fallback` it is a SendfileNotAvailableError when the
  /// kernel cannot.
  Coroutine<std::size_t> sendfile(WriteTransport& transport, native_file file, std::int64_t offset,
                                  std::optional<std::size_t> count, const SendfileOptions& options);

  /// Opens a socket for datagrams, bound to `local`, connected to `remote`, and gives it
  /// to the protocol that `factory()` makes, as a `std::unique_ptr` or `shared_ptr`; see
  /// net/datagram.hpp. Done once `connection_made` was called. ValueError when neither
  /// addresses nor options tell the family, or they contradict one another;
  /// `std::system_error` as "bind 127.0.0.1:53: Permission denied".
  /// (`Where` and `Options` are never given: they let the types be incomplete here.)
  template <class Factory, class Where = std::optional<Address>, class Options = DatagramOptions>
  auto create_datagram_endpoint(Factory factory, std::type_identity_t<Where> local,
                                std::type_identity_t<Where> remote = {},
                                std::type_identity_t<Options> options = {})
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, DatagramTransport>>;

  // Processes (process/subprocess_protocol.hpp) -------------------------------------

  /// Starts a program and gives it to the SubprocessProtocol that `factory()` makes, as a
  /// `std::unique_ptr` or `shared_ptr`; its standard streams are pipes unless `options`
  /// say otherwise. Done once `connection_made` was called. Otherwise as
  /// `create_subprocess_exec`, which is for streams.
  template <class Factory, std::same_as<SubprocessOptions> Options = SubprocessOptions>
  auto subprocess_exec(Factory factory, std::vector<std::string> argv, Options options = {})
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, SubprocessTransport>>;
  /// The same with the arguments one by one; options first, `{}` for none.
  template <class Factory, class Options = SubprocessOptions,
            std::convertible_to<std::string_view>... Arguments>
  auto subprocess_exec(Factory factory, std::type_identity_t<Options> options,
                       std::string_view program, const Arguments&... arguments)
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, SubprocessTransport>>;
  /// The same with a command for /bin/sh, as `create_subprocess_shell`.
  template <class Factory, class Options = SubprocessOptions>
  auto subprocess_shell(Factory factory, std::string_view command, Options options = {})
      -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, SubprocessTransport>>;

  // Executors (executor/executor.hpp) -----------------------------------------------

  /// Runs `function(args...)` in another thread: of `executor`, or of the default
  /// thread pool when that is null. The call is submitted now; the future's
  /// cancellation takes back a call that has not started.
  template <class F, class... Args>
  auto run_in_executor(Executor* executor, F&& function, Args&&... args)
      -> Future<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>;
  /// The same in a worker process; see `ProcessPoolExecutor` for what can be called so.
  /// ValueError for a null pointer.
  template <std::same_as<ProcessPoolExecutor> Pool, class F, class... Args>
  auto run_in_executor(Pool* executor, F&& function, Args&&... args);
  /// The pool that `run_in_executor(nullptr, …)` and `to_thread` use; TypeError
  /// for null or another kind than a `ThreadPoolExecutor`.
  void set_default_executor(std::shared_ptr<Executor> executor);
  /// Waits until the default pool's jobs have ended, at most `timeout`; then further
  /// use is a RuntimeError. When the time is over, the exception handler is told how
  /// many jobs are stuck and in which threads; these are left to themselves, and
  /// jobs that have not begun are cancelled.
  Coroutine<> shutdown_default_executor(Delay timeout = Delay::infinite());

  /// Closes the asynchronous generators that began on this loop and are open, each in
  /// a task; the exception handler is told of those that fail. `run` does so at its
  /// end. Generators that begin afterwards are warned of and no longer closed.
  Coroutine<> shutdown_asyncgens();

  // Names (io/resolve.hpp) ---------------------------------------------------------

  /// As the free functions of these names, for this loop, running or not.
  [[nodiscard]] Future<std::vector<AddressInfo>> getaddrinfo(std::string_view host, int port);
  [[nodiscard]] Future<std::vector<AddressInfo>> getaddrinfo(std::string_view host, int port,
                                                             const GetaddrinfoOptions& options);
  [[nodiscard]] Future<std::vector<AddressInfo>> getaddrinfo(std::string_view host,
                                                             std::string_view service_name);
  [[nodiscard]] Future<std::vector<AddressInfo>> getaddrinfo(std::string_view host,
                                                             std::string_view service_name,
                                                             const GetaddrinfoOptions& options);
  /// As `aster::getnameinfo`, for this loop, running or not.
  [[nodiscard]] Future<NameInfo> getnameinfo(const Address& address, int flags = 0);

  // Errors and debugging --------------------------------------------------------------

  using ExceptionHandler = Function<void(EventLoop&, const ExceptionContext&)>;
  /// Replaces what is told of errors that nobody can be thrown; null restores the
  /// default handler.
  void set_exception_handler(ExceptionHandler handler) {
    handler_ = handler ? std::make_shared<ExceptionHandler>(std::move(handler)) : nullptr;
  }
  /// Whether a handler is set; false when the default one is in force.
  [[nodiscard]] bool has_exception_handler() const noexcept { return handler_ != nullptr; }
  /// Writes the context to the logging hook.
  void default_exception_handler(const ExceptionContext& context);
  /// Tells the handler. What it throws is told to the default handler; only base
  /// errors come through.
  void call_exception_handler(const ExceptionContext& context);

  /// Debug mode, which may change while the loop runs.
  [[nodiscard]] bool get_debug() const noexcept { return scheduler_->is_debug(); }
  /// Turns debug mode on or off.
  void set_debug(bool enabled) noexcept;
  /// In debug mode, what runs this long or longer is reported: "Executing <Task …> took
  /// 0.250 seconds", to the logging hook.
  Duration slow_callback_duration = std::chrono::milliseconds(100);

  /// Polls the kernel before every turn, as asyncio does, instead of every 61 turns
  /// or 50 µs of work. Costs a system call a turn; makes the order of I/O against
  /// callbacks exact.
  void set_strict_order(bool strict) noexcept { strict_ = strict; }

  // Hosting: another loop drives this one ------------------------------------------------

  /// A descriptor that is readable when `run_once` has something to do, -1 when the
  /// back end has none.
  [[nodiscard]] int backend_fd() const noexcept;
  /// How long the host may wait before the next `run_once`; `Duration::max()` when
  /// only I/O can make something ready.
  [[nodiscard]] Duration backend_timeout() const noexcept;
  /// One turn that waits at most `limit`; true when something is ready for the next.
  bool run_once(Delay limit = Duration::zero());

  // For the library's other layers ---------------------------------------------------------

  /// Something another layer keeps with a loop: its pool, its transports.
  class ASTER_API Service {
   public:
    Service() noexcept = default;
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    virtual ~Service();
    /// The loop closes; its back end still works.
    virtual void close() noexcept {}
  };
  /// This loop's `S`, made on first use as `S(loop)`.
  template <class S>
  S& service() {
    if (Service* const known = service_slot(typeid(S)); known != nullptr) {
      return static_cast<S&>(*known);
    }
    auto made = std::make_unique<S>(*this);
    S& service = *made;
    services_.push_back(std::move(made));
    service_slot(typeid(S)) = &service;
    return service;
  }

  /// What tasks and primitives see of this loop.
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }
  /// The back end; RuntimeError when the loop is closed.
  [[nodiscard]] IoBackend& backend() const;
  /// Marks a descriptor as a transport's (FD-5), or no longer.
  void set_transport_fd(native_socket fd, bool owned);
  /// ValueError for a negative descriptor, RuntimeError for a transport's; both
  /// begin with `call`.
  void check_descriptor(native_socket fd, const char* call) const;

 protected:
  /// The loop has waited because nothing was ready.
  virtual void waited() {}
  /// Whether the last turn ran anything.
  [[nodiscard]] bool last_turn_ran() const noexcept { return last_turn_ran_; }

 private:
  friend class Scheduler;
  friend class Runner;
  class AsyncGens;
  struct FdEntry;
  struct DeleteFdEntry {
    ASTER_API void operator()(FdEntry* entry) const noexcept;
  };
  class FdCallback;
  class StopOnDone;
  class Running;

  template <class F>
  static constexpr void check_callback() noexcept {
    static_assert(!detail::is_coroutine<std::remove_cvref_t<std::invoke_result_t<F&>>>,
                  "aster: a callback that gives a coroutine would do nothing: give it to "
                  "create_task");
  }
  template <class F>
  detail::HandleState& make_handle(F&& callback, detail::ContextSlot&& context,
                                   std::source_location source) {
    using Held = std::decay_t<F>;
    check_callback<Held>();
    return *detail::make_in_frame<detail::TypedHandle<Held>>(*scheduler_, std::move(context),
                                                             source, std::forward<F>(callback));
  }
  [[nodiscard]] detail::ContextSlot inherited_context() const noexcept {
    return detail::ContextSlot(scheduler_->current_context());
  }
  Handle queue(detail::HandleState& state) noexcept {
    state.add_reference();
    scheduler_->post(state);
    return Handle(&state);
  }
  TimerHandle schedule(detail::HandleState& state, TimePoint when) {
    TimerHandle handle(&state);
    state.when = when;
    try {
      scheduler_->call_at(state, when);
    } catch (...) {  // No memory for the timer.
      handle.cancel();
      throw;
    }
    state.add_reference();
    return handle;
  }
  template <class F>
  ThreadsafeHandle queue_threadsafe(F&& callback, detail::ContextSlot&& context,
                                    std::source_location source) {
    auto* state = detail::make_in_frame<detail::TypedSharedHandle<std::decay_t<F>>>(
        std::move(context), source, std::forward<F>(callback));
    ThreadsafeHandle handle(state);
    post_threadsafe(*state);
    return handle;
  }
  void post_threadsafe(detail::SharedHandleState& state);
  void check_can_run(const char* call) const;
  void run_until_done(detail::FutureBase& future, bool is_new_task);
  void turn(Duration limit);
  void poll(Duration limit) noexcept;
  void run_ready();
  void run_timed(detail::Runnable& node);
  void warn_unclosed() const noexcept;
  static void tell_never_awaited(const std::source_location& definition,
                                 const void* called_from) noexcept;
  void collect_due(bool polled);
  void tell_reports();
  void drop_ready() noexcept;
  [[nodiscard]] bool poll_is_due() noexcept;
  [[nodiscard]] Duration time_to_next_timer() noexcept;
  FdEntry& fd_entry(native_socket fd, const char* call);
  void drop_fd_callbacks() noexcept;
  void set_fd_callback(native_socket fd, unsigned event, Function<void()> callback,
                       const std::source_location& source);
  bool remove_fd_callback(native_socket fd, unsigned event);
  void set_signal_handler(int number, Function<void()> callback,
                          const std::source_location& source);
  Service*& service_slot(std::type_index type);

  Scheduler* scheduler_;                // One reference.
  std::unique_ptr<IoBackend> backend_;  // Null once closed.
  bool running_ = false;
  bool stopping_ = false;
  bool strict_ = false;
  bool last_turn_ran_ = false;
  std::uint32_t turns_since_poll_ = 0;
  std::uint64_t cycles_at_poll_ = 0;
  std::uint64_t poll_count_ = 0;
  std::thread::id thread_;    // While running.
  std::uint32_t generation_;  // The fork count when it was made.
  std::source_location source_;
  std::unique_ptr<AsyncGens> asyncgens_;
  std::shared_ptr<ExceptionHandler> handler_;  // Null: the default one.
  TaskFactory task_factory_;
  std::unordered_map<native_socket, std::unique_ptr<FdEntry, DeleteFdEntry>> fds_;  // The user's.
  std::vector<bool> transport_fds_;
  std::vector<std::unique_ptr<Service>> services_;  // In order of creation.
  std::vector<std::pair<std::type_index, Service*>> service_index_;
};

/// A loop in one line for people: "<EventLoop backend=epoll running=true closed=false
/// debug=false>". The form may change. Thread rule: the loop's thread.
[[nodiscard]] ASTER_API std::string to_string(const EventLoop& loop);

/// The loop that runs in this thread; RuntimeError "no running event loop" when
/// none does.
[[nodiscard]] ASTER_API EventLoop& get_running_loop();

/// A task factory that starts every task at once, inside `create_task`.
ASTER_API void eager_task_factory(EventLoop& loop, TaskOptions& options);

}  // namespace aster::inline v0
