// SPDX-License-Identifier: MIT
#include "loop/asyncgens.hpp"

#include <aster/base/log.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/task/gather.hpp>

#include <utility>
#include <vector>

namespace aster::inline v0 {
namespace {

Coroutine<> aclose(detail::AsyncGenRef generator) {
  detail::AsyncGenClose closing(
      detail::AsyncGenRequest(std::move(generator), detail::AsyncGenAction::close));
  co_await closing;
}

}  // namespace

void EventLoop::AsyncGens::began(detail::AsyncGenState& generator) noexcept {
  if (shut_down_) {
    detail::log_warning("an asynchronous generator was begun after loop.shutdown_asyncgens()");
  }
  open_.push_back(generator);
}

void EventLoop::AsyncGens::dropped(detail::AsyncGenState& generator) noexcept {
  if (loop_.is_closed()) {
    generator.discard();
  } else {
    loop_.scheduler_->post(generator);
  }
}

void EventLoop::AsyncGens::close_dropped(detail::AsyncGenState& generator) {
  generator.add_reference();
  detail::AsyncGenRef reference(&generator);
  static_cast<void>(loop_.create_task(aclose(std::move(reference))));
}

Coroutine<> EventLoop::AsyncGens::shutdown() {
  shut_down_ = true;
  std::vector<Coroutine<>> closing;
  for (auto* each = open_.first(); each != nullptr; each = open_.next(*each)) {
    each->add_reference();
    closing.push_back(aclose(detail::AsyncGenRef(each)));
  }
  if (closing.empty()) co_return;
  std::vector<Outcome<>> ends = co_await gather(return_exceptions, std::move(closing));
  for (const Outcome<>& end : ends) {
    if (end.has_value() || end.cancelled()) continue;
    loop_.call_exception_handler({"an error occurred during closing of asynchronous generator",
                                  end.exception(),
                                  {},
                                  {},
                                  {}});
  }
}

void EventLoop::AsyncGens::forget_all() noexcept {
  while (!open_.empty()) open_.pop_front().forget_hooks();
}

}  // namespace aster::inline v0
