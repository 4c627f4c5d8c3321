// SPDX-License-Identifier: MIT
// The pool's thread starts workers, waits for their answers and their ends, and completes the
// futures. A call goes to an idle worker right from the thread that submits it, one at a time
// to each; what the socket does not take at once, and calls that find no idle worker, are left
// to the pool's thread. All but the answers is under one mutex.
//
// Workers are started by that thread alone: they are told to die with their parent, which to
// the kernel is the thread that started them.
#include <aster/executor/process_pool.hpp>

#include "base/sys.hpp"
#include "executor/pool_support.hpp"
#include "executor/process_spawn.hpp"
#include "executor/process_worker.hpp"

#include <aster/base/log.hpp>

#include <csignal>
#include <deque>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace aster::inline v0 {
namespace detail {
namespace {

constexpr int failed_starts_max = 3;  // In a row, of workers that die before they are ready.

/// A message on its way to a worker.
class Outgoing {
 public:
  void set(std::string message) noexcept {
    message_ = std::move(message);
    size_ = message_.size();
    sent_ = 0;
  }
  [[nodiscard]] bool is_sent() const noexcept { return sent_ == sizeof size_ + message_.size(); }
  /// Sends what goes without waiting. An error of the socket counts as sent: the worker's end
  /// will be seen.
  void send(int socket) noexcept {
    while (!is_sent()) {
      iovec pieces[2] = {{&size_, sizeof size_}, {message_.data(), message_.size()}};
      msghdr header{};
      if (sent_ < sizeof size_) {
        pieces[0].iov_base = reinterpret_cast<char*>(&size_) + sent_;
        pieces[0].iov_len -= sent_;
        header.msg_iov = pieces;
        header.msg_iovlen = 2;
      } else {
        const std::size_t done = sent_ - sizeof size_;
        pieces[1] = {message_.data() + done, message_.size() - done};
        header.msg_iov = pieces + 1;
        header.msg_iovlen = 1;
      }
      const std::int64_t count =
          sys::uninterrupted([&] { return sys::sendmsg(socket, &header, MSG_DONTWAIT); });
      if (count == -EAGAIN || count == -EWOULDBLOCK) return;
      if (count < 0) {
        sent_ = sizeof size_ + message_.size();
        break;
      }
      sent_ += static_cast<std::size_t>(count);
    }
    std::string().swap(message_);
    size_ = 0;
    sent_ = sizeof size_;
  }

 private:
  std::string message_;
  worker::MessageSize size_ = 0;
  std::size_t sent_ = sizeof size_;
};

/// A message on its way from a worker.
class Incoming {
 public:
  /// Takes what is there; true when the message is whole.
  bool receive(int socket) {
    for (;;) {
      char* at = nullptr;
      std::size_t room = 0;
      if (got_ < sizeof size_) {
        at = reinterpret_cast<char*>(&size_) + got_;
        room = sizeof size_ - got_;
      } else {
        if (reply_.data == nullptr) {
          reply_.data = std::make_unique_for_overwrite<char[]>(size_);
          reply_.size = size_;
        }
        at = reply_.data.get() + (got_ - sizeof size_);
        room = reply_.size - (got_ - sizeof size_);
        if (room == 0) return true;
      }
      const std::int64_t count =
          sys::uninterrupted([&] { return sys::recv(socket, at, room, MSG_DONTWAIT); });
      if (count <= 0) return false;  // Nothing yet, or no more: its end will be seen.
      got_ += static_cast<std::size_t>(count);
    }
  }
  [[nodiscard]] RemoteReply take() noexcept {
    got_ = 0;
    return std::move(reply_);
  }

 private:
  worker::MessageSize size_ = 0;
  std::size_t got_ = 0;
  RemoteReply reply_;
};

/// A call that was submitted.
struct Call {
  std::string request;
  std::shared_ptr<RemoteReply> reply;
  Job job;
};

struct Worker {
  enum class Stage : std::uint8_t { starting, idle, busy, ending };
  WorkerProcess process;
  Stage stage = Stage::starting;
  Outgoing out;
  Incoming in;  // The pool's thread only.
  Call call;    // While busy.
  int calls_done = 0;
};

}  // namespace

class ProcessPool : public std::enable_shared_from_this<ProcessPool> {
 public:
  ProcessPool(const ProcessPoolOptions& options, std::string initializer);
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;
  ~ProcessPool() { static_cast<void>(sys::close(wake_fd_)); }

  void submit(Call call);
  void close(bool drop);
  void stop(int signal);
  void join();
  void detach();
  [[nodiscard]] std::vector<int> pids();
  [[nodiscard]] bool is_foreign() const noexcept { return home_.is_left(); }
  [[nodiscard]] bool is_own_thread() {
    const std::lock_guard lock(mutex_);
    return thread_id_ == std::this_thread::get_id();
  }

  const int workers_max;

 private:
  using Lock = std::unique_lock<std::mutex>;

  // With the lock.
  void dispatch();
  void give(Worker& worker, Call call);
  [[nodiscard]] bool wants_worker() const noexcept;
  void finish_idle_workers() noexcept;
  std::deque<Call> break_pool(std::string why);
  void wake() noexcept;

  // The pool's thread, without the lock.
  void run();
  void start_worker();
  void wait();
  void read(Worker& worker, bool has_ended);
  void became_ready(Worker& worker, RemoteReply reply, bool has_ended);
  void answered(Worker& worker, RemoteReply reply, bool has_ended);
  void ended(Worker& worker);
  void fail(std::deque<Call> calls);

  std::string initializer_;
  std::optional<int> calls_max_;
  const HomeProcess home_;
  int wake_fd_;

  std::mutex mutex_;  // Guards all that follows.
  std::deque<Call> queue_;
  std::deque<std::unique_ptr<Worker>> workers_;  // Changed by the pool's thread only.
  int failed_starts_ = 0;
  bool is_closed_ = false;
  std::string broken_;  // Why it is, when it is.
  std::thread::id thread_id_;
  std::mutex join_mutex_;  // Guards `thread_` against two joins.
  std::thread thread_;     // Started with the first call.

  std::vector<pollfd> polled_;  // The pool's thread only.
  std::vector<Worker*> polled_workers_;
};

ProcessPool::ProcessPool(const ProcessPoolOptions& options, std::string initializer)
    : workers_max(options.max_workers.value_or(usable_cpus())),
      initializer_(std::move(initializer)),
      calls_max_(options.max_tasks_per_child),
      wake_fd_(-1) {
  check_at_least_one("ProcessPoolExecutor", "max_workers", workers_max);
  if (calls_max_) {
    check_at_least_one("ProcessPoolExecutor", "max_tasks_per_child", *calls_max_);
  }
  worker::require_hook();
  wake_fd_ = sys::eventfd();
  if (wake_fd_ < 0) throw_system_error(-wake_fd_, "ProcessPoolExecutor: eventfd");
}

// Any thread ------------------------------------------------------------------------

void ProcessPool::submit(Call call) {
  if (is_foreign()) {
    throw RuntimeError(
        "ProcessPoolExecutor: this pool belongs to the parent process; make a new one after a "
        "fork");
  }
  const Lock lock(mutex_);
  if (!broken_.empty()) throw BrokenProcessPool(broken_);
  if (is_closed_) throw RuntimeError("cannot schedule new futures after shutdown");
  if (!thread_.joinable()) {
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
    thread_id_ = thread_.get_id();
  }
  queue_.push_back(std::move(call));
  dispatch();
  if (wants_worker()) wake();
}

/// Hands waiting calls to idle workers.
void ProcessPool::dispatch() {
  for (auto& worker : workers_) {
    if (worker->stage != Worker::Stage::idle) continue;
    while (!queue_.empty() && worker->stage == Worker::Stage::idle) {
      Call call = std::move(queue_.front());
      queue_.pop_front();
      if (call.job.begin()) give(*worker, std::move(call));  // Else it was cancelled.
    }
  }
}

void ProcessPool::give(Worker& worker, Call call) {
  worker.stage = Worker::Stage::busy;
  worker.out.set(std::move(call.request));
  worker.call = std::move(call);
  worker.out.send(worker.process.socket());
  if (!worker.out.is_sent()) wake();
}

bool ProcessPool::wants_worker() const noexcept {
  std::size_t coming = 0;
  for (const auto& worker : workers_) coming += worker->stage == Worker::Stage::starting ? 1 : 0;
  std::size_t leaving = 0;
  for (const auto& worker : workers_) leaving += worker->stage == Worker::Stage::ending ? 1 : 0;
  return queue_.size() > coming &&
         workers_.size() - leaving < static_cast<std::size_t>(workers_max) && broken_.empty();
}

void ProcessPool::wake() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(sys::write(wake_fd_, &one, sizeof one));
}

void ProcessPool::close(bool drop) {
  std::deque<Call> dropped;  // Ended without the lock.
  const Lock lock(mutex_);
  is_closed_ = true;
  if (drop) dropped.swap(queue_);
  wake();
}

void ProcessPool::stop(int signal) {
  std::deque<Call> dropped;
  const Lock lock(mutex_);
  is_closed_ = true;
  dropped.swap(queue_);
  for (auto& worker : workers_) worker->process.signal(signal);
  wake();
}

void ProcessPool::join() {
  const std::lock_guard joining(join_mutex_);
  if (thread_.joinable()) thread_.join();  // Not started again: it is closed.
}

void ProcessPool::detach() {
  const std::lock_guard joining(join_mutex_);
  if (thread_.joinable()) thread_.detach();
}

std::vector<int> ProcessPool::pids() {
  const Lock lock(mutex_);
  std::vector<int> pids;
  pids.reserve(workers_.size());
  for (const auto& worker : workers_) pids.push_back(worker->process.pid());
  return pids;
}

// The pool's thread -----------------------------------------------------------------

void ProcessPool::run() {
  name_this_thread("ProcessPool");
  for (;;) {
    bool starts = false;
    {
      const Lock lock(mutex_);
      dispatch();
      starts = wants_worker();
      if (!starts && is_closed_ && queue_.empty()) finish_idle_workers();
      if (!starts && is_closed_ && workers_.empty()) return;
    }
    if (starts) {
      start_worker();
    } else {
      wait();
    }
  }
}

void ProcessPool::finish_idle_workers() noexcept {
  for (auto& worker : workers_) {
    if (worker->stage != Worker::Stage::idle && worker->stage != Worker::Stage::starting) continue;
    worker->stage = Worker::Stage::ending;
    worker->process.finish();
  }
}

void ProcessPool::start_worker() {
  auto worker = std::make_unique<Worker>();
  try {
    worker->process.start();
  } catch (...) {
    const std::string why = describe(std::current_exception());
    std::deque<Call> failed;
    bool others_work = false;
    {
      const Lock lock(mutex_);
      others_work = !workers_.empty();
      if (!others_work) failed = break_pool("no worker can be started: " + why);
    }
    fail(std::move(failed));
    if (!others_work) return;
    // They will come to the calls that wait; when one of them ends, this is tried again.
    log_error("ProcessPoolExecutor: " + why);
    wait();
    return;
  }
  const Lock lock(mutex_);
  worker->out.set(initializer_);
  worker->out.send(worker->process.socket());
  workers_.push_back(std::move(worker));
}

/// For something to happen, and deals with it.
void ProcessPool::wait() {
  polled_.assign(1, {wake_fd_, POLLIN, 0});
  polled_workers_.clear();
  {
    const Lock lock(mutex_);
    for (auto& worker : workers_) {
      const bool is_sending = !worker->out.is_sent();
      const auto events = static_cast<short>(is_sending ? POLLIN | POLLOUT : POLLIN);
      polled_.push_back({worker->process.socket(), events, 0});
      polled_.push_back({worker->process.exit_fd(), POLLIN, 0});
      polled_workers_.push_back(worker.get());
    }
  }
  if (sys::poll(polled_.data(), polled_.size(), Duration::max()) < 0) return;  // A signal.
  if (polled_[0].revents != 0) {
    std::uint64_t count = 0;
    static_cast<void>(sys::read(wake_fd_, &count, sizeof count));
  }
  for (std::size_t i = 0; i < polled_workers_.size(); ++i) {
    Worker& worker = *polled_workers_[i];
    const pollfd& socket = polled_[1 + 2 * i];
    const pollfd& exit = polled_[2 + 2 * i];
    if ((socket.revents & POLLOUT) != 0) {
      const Lock lock(mutex_);
      worker.out.send(worker.process.socket());
    }
    const bool has_ended =
        worker.process.exit_fd() >= 0 ? exit.revents != 0 : (socket.revents & POLLHUP) != 0;
    if ((socket.revents & ~POLLOUT) != 0 || exit.revents != 0) read(worker, has_ended);
    if (has_ended) ended(worker);
  }
}

/// `has_ended`: the process has; what it sent before is read all the same.
void ProcessPool::read(Worker& worker, bool has_ended) {
  try {
    if (!worker.in.receive(worker.process.socket())) return;
  } catch (const std::bad_alloc&) {
    worker.process.signal(SIGKILL);  // An answer that has no room here is none.
    return;
  }
  bool is_busy = false;
  {
    const Lock lock(mutex_);
    is_busy = worker.stage == Worker::Stage::busy;
  }
  if (is_busy) {
    answered(worker, worker.in.take(), has_ended);
  } else {
    became_ready(worker, worker.in.take(), has_ended);
  }
}

void ProcessPool::became_ready(Worker& worker, RemoteReply reply, bool has_ended) {
  Decoder in({reply.data.get(), reply.size});
  if (in.get<bool>()) {
    if (has_ended) return;  // It was of no use: `ended` counts it.
    const Lock lock(mutex_);
    failed_starts_ = 0;
    if (worker.stage == Worker::Stage::starting) worker.stage = Worker::Stage::idle;
    dispatch();
    return;
  }
  const std::string error = describe(decode_error(in));
  log_error("Exception in initializer of a ProcessPoolExecutor: " + error);
  std::deque<Call> failed;
  {
    const Lock lock(mutex_);
    worker.stage = Worker::Stage::ending;
    worker.process.finish();
    failed = break_pool("the initializer failed in worker process " +
                        std::to_string(worker.process.pid()) + ": " + error);
  }
  fail(std::move(failed));
}

void ProcessPool::answered(Worker& worker, RemoteReply reply, bool has_ended) {
  Call call;
  {
    const Lock lock(mutex_);
    call = std::move(worker.call);
    if (has_ended) {
      worker.stage = Worker::Stage::ending;
    } else if (calls_max_ && ++worker.calls_done >= *calls_max_) {
      worker.stage = Worker::Stage::ending;
      worker.process.finish();
    } else {
      worker.stage = Worker::Stage::idle;
      dispatch();  // First, so that it works on while the future gets its result.
    }
  }
  *call.reply = std::move(reply);
  call.job();
}

void ProcessPool::ended(Worker& worker) {
  // Without a descriptor for its end only its socket is known to be closed.
  if (worker.process.exit_fd() < 0) worker.process.signal(SIGKILL);
  Call call;
  std::deque<Call> failed;
  const pid_t pid = worker.process.pid();
  std::optional<int> returncode;
  {
    const Lock lock(mutex_);
    returncode = worker.process.reap();
    call = std::move(worker.call);
    const bool is_wanted = !is_closed_ || !queue_.empty();
    if (worker.stage == Worker::Stage::starting && is_wanted &&
        ++failed_starts_ == failed_starts_max) {
      failed = break_pool("worker processes do not come up: the last one, " + std::to_string(pid) +
                          ", " + end_text(returncode));
    }
    std::erase_if(workers_, [&](const auto& each) { return each.get() == &worker; });
  }
  if (call.job) {
    call.job.fail(std::make_exception_ptr(
        BrokenProcessPool("worker process " + std::to_string(pid) + ' ' + end_text(returncode) +
                              " while it ran " + call.job.name().str(),
                          pid, returncode)));
  }
  fail(std::move(failed));
}

/// No further worker will be started; the calls that this ends.
std::deque<Call> ProcessPool::break_pool(std::string why) {
  broken_ = "the process pool is not usable any more: " + std::move(why);
  return std::exchange(queue_, {});
}

void ProcessPool::fail(std::deque<Call> calls) {
  for (Call& call : calls) call.job.fail(std::make_exception_ptr(BrokenProcessPool(broken_)));
}

}  // namespace detail

ProcessPoolExecutor::ProcessPoolExecutor(ProcessPoolOptions options,
                                         std::string initializer_request)
    : pool_(std::make_shared<detail::ProcessPool>(options, std::move(initializer_request))) {}

ProcessPoolExecutor::~ProcessPoolExecutor() {
  if (pool_->is_foreign()) {
    // Its mutexes and thread cannot even be destroyed here.
    static_cast<void>(new std::shared_ptr<detail::ProcessPool>(std::move(pool_)));
    return;
  }
  pool_->close(false);
  if (pool_->is_own_thread()) {
    pool_->detach();  // A callback held the executor: its thread cannot wait for itself.
  } else {
    pool_->join();
  }
}

void ProcessPoolExecutor::send(std::string request, std::shared_ptr<detail::RemoteReply> reply,
                               Job&& job) {
  detail::Call call{std::move(request), std::move(reply), std::move(job)};
  pool_->submit(std::move(call));
}

void ProcessPoolExecutor::execute(Job&&) {
  throw TypeError(
      "ProcessPoolExecutor: a call through Executor* cannot travel to another process: use the "
      "pool's own type");
}

void ProcessPoolExecutor::shutdown(bool wait, bool cancel_futures) {
  if (pool_->is_foreign()) return;
  if (wait && pool_->is_own_thread()) {
    throw RuntimeError("shutdown: the pool's thread cannot wait for its own end");
  }
  pool_->close(cancel_futures);
  if (wait) pool_->join();
}

void ProcessPoolExecutor::stop_workers(int signal) {
  if (!pool_->is_foreign()) pool_->stop(signal);
}

void ProcessPoolExecutor::terminate_workers() { stop_workers(SIGTERM); }
void ProcessPoolExecutor::kill_workers() { stop_workers(SIGKILL); }

int ProcessPoolExecutor::max_workers() const noexcept { return pool_->workers_max; }

std::vector<int> ProcessPoolExecutor::worker_pids() const {
  return pool_->is_foreign() ? std::vector<int>() : pool_->pids();
}

}  // namespace aster::inline v0
