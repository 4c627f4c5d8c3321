// SPDX-License-Identifier: MIT
// All of a pool's state is under one mutex, in an object that the executor and each
// thread share: so a pool can be left to itself while a job does not end.
//
// A thread is started when there are more queued jobs than threads that are idle or
// coming: told of a job, which stays queued until they have taken it.
//
// One thread comes at a time, and tells the next one if there still is a job: so a burst of short
// jobs wakes few threads, and whoever submits pays for one at most. The longest idle is told: it
// sleeps, while the last one may still be on its way to. Each waits for a condition of its own,
// told of after the mutex is free, so that nobody wakes only to wait again.
#include <aster/base/intrusive_list.hpp>
#include <aster/base/log.hpp>
#include <aster/executor/thread_pool.hpp>

#include "executor/pool_support.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include <pthread.h>

namespace aster::inline v0 {
namespace {

int workers_max_of(const ThreadPoolOptions& options) {
  const int count = options.max_workers.value_or(std::min(32, detail::usable_cpus() + 4));
  detail::check_at_least_one("ThreadPoolExecutor", "max_workers", count);
  return count;
}

constexpr const char* broken_text =
    "A thread initializer failed, the thread pool is not usable anymore";
constexpr int tries_max = 100;  // Some microseconds at most.

void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

namespace detail {

class ThreadPool : public std::enable_shared_from_this<ThreadPool> {
 public:
  ThreadPool(const ThreadPoolOptions& options, Function<void()> initializer);

  void execute(Job&& job);
  /// The jobs that were cancelled, for the caller to drop without the lock.
  [[nodiscard]] JobQueue close(bool drop);
  void join();
  void detach();
  [[nodiscard]] std::vector<std::string> leave() noexcept;
  [[nodiscard]] std::size_t thread_count();

  /// In a forked child the mutex may be locked for ever and the threads are gone.
  [[nodiscard]] bool is_foreign() const noexcept { return home_.is_left(); }
  [[nodiscard]] static ThreadPool*& current() noexcept {
    static thread_local ThreadPool* pool = nullptr;
    return pool;
  }

  /// Of the calling thread; null when it is no pool's.
  [[nodiscard]] static const std::string*& own_name() noexcept {
    static thread_local const std::string* name = nullptr;
    return name;
  }

  const int workers_max;
  const std::source_location source;
  ConcurrentFuture<> ended;  // Set by the last thread, or by `close` when there is none.

 private:
  struct Worker : ListNode {  // Of `idle_`.
    std::thread thread;       // Empty once joined or detached.
    std::string name;
    bool busy = false;
    JobName job;  // While busy; none for the initializer.
    bool is_told = false;
    std::condition_variable told;
  };
  using Lock = std::unique_lock<std::mutex>;

  [[nodiscard]] Lock lock_soon() noexcept;
  void start_worker();
  void wait_for_work(Worker& worker, Lock& lock);
  [[nodiscard]] Worker* next_to_tell() noexcept;
  [[nodiscard]] Worker* take_idle() noexcept;
  void tell_all() noexcept;
  void work(Worker& worker);
  bool initialize(Worker& worker, Lock& lock);

  std::string prefix_;
  Function<void()> initializer_;
  const HomeProcess home_;

  std::mutex mutex_;  // Guards all that follows.
  JobQueue queue_;
  std::vector<std::unique_ptr<Worker>> workers_;  // All ever started.
  IntrusiveList<Worker> idle_;                    // The longest idle first.
  std::size_t idle_count_ = 0;
  std::size_t coming_count_ = 0;  // Told, and not yet here.
  std::size_t live_count_ = 0;    // Not yet at their end.
  bool is_closed_ = false;
  bool is_broken_ = false;
  std::mutex join_mutex_;  // Guards the threads of `workers_` against two joins.
};

ThreadPool::ThreadPool(const ThreadPoolOptions& options, Function<void()> initializer)
    : workers_max(workers_max_of(options)),
      source(options.source),
      prefix_(options.thread_name_prefix),
      initializer_(std::move(initializer)) {
  static std::atomic<std::size_t> unnamed_count{0};
  if (prefix_.empty()) {
    prefix_ = "ThreadPoolExecutor-" +
              std::to_string(unnamed_count.fetch_add(1, std::memory_order_relaxed));
  }
  static_cast<void>(ended.set_running_or_notify_cancel());
}

void ThreadPool::execute(Job&& job) {
  if (is_foreign()) {
    throw RuntimeError(
        "ThreadPoolExecutor: this pool belongs to the parent process; make a new "
        "one after a fork");
  }
  Lock lock = lock_soon();
  if (is_broken_) {
    throw BrokenThreadPool(broken_text);
  }
  if (is_closed_) throw RuntimeError("cannot schedule new futures after shutdown");
  if (queue_.size() + 1 > idle_count_ + coming_count_ &&
      workers_.size() < static_cast<std::size_t>(workers_max)) {
    try {
      start_worker();
    } catch (...) {
      if (live_count_ == 0) throw;  // Else those that run will come to it.
    }
  }
  queue_.push(std::move(job));
  Worker* worker = next_to_tell();
  lock.unlock();
  if (worker != nullptr) worker->told.notify_one();
}

/// The mutex is held for some instructions only: to sleep for it costs more than to try again.
ThreadPool::Lock ThreadPool::lock_soon() noexcept {
  Lock lock(mutex_, std::try_to_lock);
  for (int i = 0; i < tries_max && !lock.owns_lock(); ++i) {
    pause();
    static_cast<void>(lock.try_lock());
  }
  if (!lock.owns_lock()) lock.lock();
  return lock;
}

/// Whoever is to come for a job; none while another does, who tells the next.
ThreadPool::Worker* ThreadPool::next_to_tell() noexcept {
  return queue_.empty() || coming_count_ != 0 ? nullptr : take_idle();
}

ThreadPool::Worker* ThreadPool::take_idle() noexcept {
  if (idle_.empty()) return nullptr;
  Worker& worker = idle_.pop_front();
  --idle_count_;
  ++coming_count_;
  worker.is_told = true;
  return &worker;
}

void ThreadPool::tell_all() noexcept {
  while (Worker* worker = take_idle()) worker->told.notify_one();
}

/// Until there may be a job, or an end.
void ThreadPool::wait_for_work(Worker& worker, Lock& lock) {
  idle_.push_back(worker);
  ++idle_count_;
  worker.told.wait(lock, [&worker] { return std::exchange(worker.is_told, false); });
  --coming_count_;
}

void ThreadPool::start_worker() {
  // All that needs memory is made here, where whoever submits can be told.
  std::string name = prefix_ + '_' + std::to_string(workers_.size());
  workers_.push_back(std::make_unique<Worker>());
  Worker& worker = *workers_.back();
  worker.name = std::move(name);
  try {
    worker.thread = std::thread([self = shared_from_this(), &worker] { self->work(worker); });
  } catch (...) {
    workers_.pop_back();
    throw;
  }
  ++live_count_;
}

void ThreadPool::work(Worker& worker) {
  current() = this;
  own_name() = &worker.name;
  name_this_thread(worker.name);
  Lock lock(mutex_);
  if (initialize(worker, lock)) {
    for (;;) {
      if (!queue_.empty()) {
        Job job = queue_.pop();
        worker.busy = true;
        worker.job = job.name();
        Worker* const next = next_to_tell();
        lock.unlock();
        if (next != nullptr) next->told.notify_one();
        job();
        lock = lock_soon();
        worker.busy = false;
      } else if (is_closed_ || is_broken_) {
        break;
      } else {
        wait_for_work(worker, lock);
      }
    }
  }
  const bool is_last = --live_count_ == 0 && is_closed_;
  lock.unlock();
  own_name() = nullptr;
  if (is_last) ended.set_result();
}

/// Runs the initializer without the lock; false when the pool is broken.
bool ThreadPool::initialize(Worker& worker, Lock& lock) {
  if (!initializer_) return true;
  // Nothing will come, and who ends the pool need not wait for an initializer that
  // has not even begun.
  if (is_closed_ && queue_.empty()) return true;
  worker.busy = true;
  lock.unlock();
  std::exception_ptr error;
  try {
    initializer_();
  } catch (...) {
    error = std::current_exception();
  }
  if (error == nullptr) {
    lock.lock();
    worker.busy = false;
    return true;
  }
  std::exception_ptr broken;
  try {
    throw BrokenThreadPool(broken_text);
  } catch (const std::exception&) {  // Or `std::bad_alloc`.
    broken = std::current_exception();
  }
  try {
    log_error("Exception in initializer of a ThreadPoolExecutor: " + describe(error));
  } catch (const std::bad_alloc&) {
    log_error("Exception in initializer of a ThreadPoolExecutor");
  }
  lock.lock();
  is_broken_ = true;
  tell_all();
  JobQueue pending(std::move(queue_));
  lock.unlock();
  while (!pending.empty()) {
    pending.pop().fail(broken);
  }
  lock.lock();
  worker.busy = false;
  return false;
}

JobQueue ThreadPool::close(bool drop) {
  Lock lock(mutex_);
  const bool is_first = !std::exchange(is_closed_, true);
  JobQueue dropped(drop ? JobQueue(std::move(queue_)) : JobQueue());
  tell_all();
  const bool is_ended = is_first && live_count_ == 0;
  lock.unlock();
  if (is_ended) ended.set_result();
  return dropped;
}

void ThreadPool::join() {
  const std::lock_guard joining(join_mutex_);
  // No worker is added once the pool is closed, hence no lock.
  for (auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

void ThreadPool::detach() {
  const std::lock_guard joining(join_mutex_);
  for (auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.detach();
  }
}

/// Joins the threads where that takes no time, else leaves them; the names of the
/// busy ones, as far as there is memory for them.
std::vector<std::string> ThreadPool::leave() noexcept {
  std::vector<std::string> names;
  bool has_work = false;
  {
    const Lock lock(mutex_);
    has_work = !queue_.empty();
    for (auto& worker : workers_) {
      if (!worker->busy) continue;
      has_work = true;
      try {
        names.push_back(worker->name + " (" + worker->job.str() + ')');
      } catch (const std::bad_alloc&) {  // Leaving matters more than its report.
      }
    }
  }
  if (has_work || current() == this) {
    detach();
  } else {
    join();
  }
  return names;
}

std::size_t ThreadPool::thread_count() {
  if (is_foreign()) return 0;
  const Lock lock(mutex_);
  return workers_.size();
}

}  // namespace detail

ThreadPoolExecutor::ThreadPoolExecutor(ThreadPoolOptions options, Function<void()> initializer)
    : pool_(std::make_shared<detail::ThreadPool>(options, std::move(initializer))) {}

ThreadPoolExecutor::~ThreadPoolExecutor() {
  if (pool_->is_foreign()) {
    // Its mutexes and threads cannot even be destroyed here.
    static_cast<void>(new std::shared_ptr<detail::ThreadPool>(std::move(pool_)));
    return;
  }
  const detail::JobQueue none = pool_->close(false);
  if (detail::ThreadPool::current() == pool_.get()) {
    pool_->detach();  // A job held the executor: its thread cannot wait for itself.
  } else {
    pool_->join();
  }
}

void ThreadPoolExecutor::execute(Job&& job) { pool_->execute(std::move(job)); }

void ThreadPoolExecutor::shutdown(bool wait, bool cancel_futures) {
  if (pool_->is_foreign()) return;
  if (wait && detail::ThreadPool::current() == pool_.get()) {
    throw RuntimeError("shutdown: a thread of the pool cannot wait for its own end");
  }
  {
    const detail::JobQueue dropped = pool_->close(cancel_futures);
  }
  if (wait) pool_->join();
}

int ThreadPoolExecutor::max_workers() const noexcept { return pool_->workers_max; }

std::size_t ThreadPoolExecutor::thread_count() const { return pool_->thread_count(); }

const std::source_location& ThreadPoolExecutor::source() const noexcept { return pool_->source; }

ConcurrentFuture<> ThreadPoolExecutor::ended() const { return pool_->ended; }

ThreadPoolExecutor::Stuck ThreadPoolExecutor::leave(bool drop) {
  Stuck stuck;
  if (pool_->is_foreign()) return stuck;
  {
    const detail::JobQueue dropped = pool_->close(drop);
    stuck.dropped_count = dropped.size();
  }
  stuck.threads = pool_->leave();
  return stuck;
}

std::string current_thread_name() {
  if (const std::string* name = detail::ThreadPool::own_name()) return *name;
  return detail::system_thread_name();
}

}  // namespace aster::inline v0
