// SPDX-License-Identifier: MIT
// `add_signal_handler`: the signals that a loop's user wants to hear of.
#include "base/debug_text.hpp"
#include "loop/signal_note.hpp"

#include <aster/loop/event_loop.hpp>

#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace aster::inline v0 {
namespace {

/// What is called when a signal comes. It stays with its loop when it is removed, as it
/// may be running.
class SignalHandler final : public detail::SignalNote {
 public:
  SignalHandler(EventLoop& loop, int number)
      : SignalNote(loop.scheduler(), &ops), loop_(loop), number_(number) {}

  void set(Function<void()> callback, const std::source_location& source) {
    auto fresh = std::make_shared<Call>(scheduler_.current_context(), std::move(callback), source);
    if (!is_watching()) {
      if (const int result = watch(number_, false); result < 0) {
        throw RuntimeError("add_signal_handler: sig " + std::to_string(number_) +
                           " cannot be caught");
      }
      handled_ = count();
    }
    call_ = std::move(fresh);
  }

  bool remove() noexcept {
    if (!is_watching()) return false;
    unwatch();
    call_ = nullptr;
    return true;
  }

 private:
  struct Call {
    Call(const detail::ContextSlot& inherited, Function<void()> callback,
         const std::source_location& made_at)
        : context(inherited), function(std::move(callback)), source(made_at) {}
    detail::ContextSlot context;
    Function<void()> function;
    std::source_location source;
  };
  static const detail::RunnableOps ops;

  /// One call for each signal (SIG-5), until it is removed.
  void run() {
    taken();
    const std::uint32_t last = count();
    while (handled_ != last && call_ != nullptr) {
      ++handled_;
      const std::shared_ptr<Call> call = call_;  // It may replace itself.
      const detail::ContextEntry context(scheduler_.context_cell(), call->context);
      try {
        call->function();
      } catch (const BaseError&) {
        if (handled_ != last) queue_again();
        throw;
      } catch (...) {
        loop_.call_exception_handler({"Exception in callback of a signal handler",
                                      std::current_exception(),
                                      {},
                                      text(),
                                      call->source});
      }
    }
  }

  [[nodiscard]] std::string text() const {
    std::string result = "<SignalHandler " + std::to_string(number_);
    if (call_ != nullptr) result += " made at " + detail::short_place(call_->source);
    return result + ">";
  }

  EventLoop& loop_;
  int number_;
  std::uint32_t handled_ = 0;   // Of those that `count` tells.
  std::shared_ptr<Call> call_;  // Null when it is removed.
};

const detail::RunnableOps SignalHandler::ops{
    [](Runnable& node) { static_cast<SignalHandler&>(node).run(); },
    [](Runnable& node) noexcept { static_cast<SignalHandler&>(node).taken(); },
    [](const Runnable& node) { return static_cast<const SignalHandler&>(node).text(); }};

/// A loop's signal handlers, by number.
class SignalService final : public EventLoop::Service {
 public:
  explicit SignalService(EventLoop& /*loop*/) noexcept {}
  void close() noexcept override { handlers.clear(); }  // SIG-6.

  std::map<int, SignalHandler> handlers;
};

/// Whether it is a signal's number, and not one that libc keeps to itself.
void check_signal(const char* call, int number) {
  if (number > 0 && (number < 32 || (number >= SIGRTMIN && number <= SIGRTMAX))) return;
  throw ValueError(std::string(call) + ": invalid signal number " + std::to_string(number));
}

}  // namespace

void EventLoop::set_signal_handler(int number, Function<void()> callback,
                                   const std::source_location& source) {
  constexpr const char* call = "add_signal_handler";
  scheduler_->require_open(call);
  check_signal(call, number);
  if (!callback) throw ValueError(std::string(call) + ": empty callback");
  if (!detail::on_main_thread()) {
    throw RuntimeError(std::string(call) + ": only the main thread may handle signals");
  }
  auto& handlers = service<SignalService>().handlers;
  handlers.try_emplace(number, *this, number).first->second.set(std::move(callback), source);
}

bool EventLoop::remove_signal_handler(int number) {
  check_signal("remove_signal_handler", number);
  if (is_closed()) return false;
  auto& handlers = service<SignalService>().handlers;
  const auto found = handlers.find(number);
  return found != handlers.end() && found->second.remove();
}

}  // namespace aster::inline v0
