// SPDX-License-Identifier: MIT
#include <aster/base/log.hpp>
#include <aster/executor/crossing.hpp>
#include <aster/executor/executor.hpp>
#include <aster/executor/thread_pool.hpp>
#include <aster/executor/wrap_future.hpp>
#include <aster/loop/event_loop.hpp>

#include <chrono>
#include <string>
#include <utility>

namespace aster::inline v0 {

Executor::~Executor() = default;

namespace {

/// Runs jobs as callbacks of a loop.
class LoopExecutor final : public Executor {
 public:
  explicit LoopExecutor(EventLoop& loop) noexcept : loop_(loop) {}
  void execute(Job&& job) override {
    loop_.call_soon([held = std::move(job)]() mutable { held(); });
  }
  void shutdown(bool, bool) override {}

 private:
  EventLoop& loop_;
};

std::string in_seconds(Duration time) {
  std::string text = std::to_string(std::chrono::duration<double>(time).count());
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

std::string stuck_text(const ThreadPoolExecutor::Stuck& stuck, Duration limit) {
  const std::size_t count = stuck.threads.size();
  std::string text = "shutdown_default_executor: " + std::to_string(count) +
                     (count == 1 ? " job" : " jobs") + " did not end within " + in_seconds(limit);
  const char* separator = " and run on in ";
  for (const std::string& name : stuck.threads) {
    text += separator + name;
    separator = ", ";
  }
  if (stuck.dropped_count != 0) {
    text += "; " + std::to_string(stuck.dropped_count) + " that had not begun were cancelled";
  }
  return text;
}

}  // namespace

namespace detail {

ExecutorService::ExecutorService(EventLoop& loop) : loop_(loop) {}
ExecutorService::~ExecutorService() = default;

void ExecutorService::close() noexcept {
  while (!crossings_.empty()) static_cast<void>(crossings_.front().detach());
  if (pool_ == nullptr) return;
  try {
    if (pool_.use_count() == 1) {
      static_cast<void>(pool_->leave(false));  // Or its destructor would wait.
    } else {
      pool_->shutdown(false);
    }
  } catch (...) {
    log_error("default executor: " + describe(std::current_exception()));
  }
  pool_.reset();
}

void ExecutorService::run_jobs_on_loop() {
  ASTER_ASSERT(pool_ == nullptr);
  if (on_loop_ == nullptr) on_loop_ = std::make_unique<LoopExecutor>(loop_);
}

Executor& ExecutorService::default_executor() {
  if (is_shut_down_) {
    throw RuntimeError("run_in_executor: Executor shutdown has been called");
  }
  if (on_loop_ != nullptr) return *on_loop_;
  if (pool_ == nullptr) {
    ThreadPoolOptions options;
    options.thread_name_prefix = "asyncio";
    options.source = {};  // It is nobody's place.
    pool_ = std::make_shared<ThreadPoolExecutor>(options);
  }
  return *pool_;
}

void ExecutorService::set_default_executor(std::shared_ptr<ThreadPoolExecutor> executor) {
  on_loop_.reset();
  pool_ = std::move(executor);
}

std::shared_ptr<ThreadPoolExecutor> ExecutorService::begin_shutdown() noexcept {
  is_shut_down_ = true;
  return pool_;
}

}  // namespace detail

void EventLoop::set_default_executor(std::shared_ptr<Executor> executor) {
  scheduler_->require_open("set_default_executor");
  auto pool = std::dynamic_pointer_cast<ThreadPoolExecutor>(std::move(executor));
  if (pool == nullptr) {
    throw TypeError("set_default_executor: executor must be a ThreadPoolExecutor");
  }
  service<detail::ExecutorService>().set_default_executor(std::move(pool));
}

// The last thread of the pool reports its end to the loop, so nobody has to block in
// order to wait for it; joining then takes no time.
Coroutine<> EventLoop::shutdown_default_executor(Delay timeout) {
  const Duration limit = timeout.checked("shutdown_default_executor");
  auto& service = this->service<detail::ExecutorService>();
  if (service.runs_jobs_on_loop()) {
    if (service.is_shut_down()) co_return;
    Future<> last = run_in_executor(nullptr, [] {});  // Behind all others.
    static_cast<void>(service.begin_shutdown());
    co_await std::move(last);
    co_return;
  }
  const std::shared_ptr<ThreadPoolExecutor> pool = service.begin_shutdown();
  if (pool == nullptr) co_return;
  pool->shutdown(false);

  Future<bool> in_time = create_future<bool>();
  wrap_future(pool->ended(), *this).add_done_callback([in_time](Future<>) mutable {
    if (!in_time.done()) in_time.set_result(true);
  });
  struct Timer {
    Timer() noexcept = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { handle.cancel(); }
    TimerHandle handle;
  } timer;
  if (!timeout.is_infinite()) {
    timer.handle = call_later(limit, [in_time]() mutable {
      if (!in_time.done()) in_time.set_result(false);
    });
  }
  const bool has_ended = co_await in_time;
  if (has_ended) {
    pool->shutdown();
    co_return;
  }
  const ThreadPoolExecutor::Stuck stuck = pool->leave(true);
  if (stuck.threads.empty() && stuck.dropped_count == 0) co_return;  // Just in time after all.
  ExceptionContext context;
  context.message = stuck_text(stuck, limit);
  if (pool->source().line() != 0) context.source = pool->source();
  call_exception_handler(context);
}

}  // namespace aster::inline v0
