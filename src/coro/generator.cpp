// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/coro/generator_frame.hpp>

namespace aster::inline v0::detail {

void GeneratorFrame::already_executing() { throw ValueError("generator already executing"); }

void GeneratorFrame::nothing_returned() {
  throw RuntimeError("yield_from: the generator has ended and returns nothing more");
}

void GeneratorFrame::require_started() const {
  require_idle();
  if (state_ == State::created) {
    throw TypeError("can't send a value to a just-started generator; begin with next()");
  }
}

void GeneratorFrame::fail(std::exception_ptr error) noexcept {
  if (is_stop_iteration(error)) {  // It would look like the end of whoever calls next.
    error = std::make_exception_ptr(RuntimeError("generator raised StopIteration"));
  }
  error_ = std::move(error);
}

bool GeneratorFrame::throw_in(std::exception_ptr error) {
  require_idle();
  if (state_ == State::created) {
    error_ = std::move(error);
    state_ = State::ended;
    return false;
  }
  if (is_generator_exit(error)) {
    if (std::exception_ptr instead = close_inner()) error = std::move(instead);
  }
  thrown_ = std::move(error);
  return run();
}

void GeneratorFrame::close() {
  if (throw_in(std::make_exception_ptr(GeneratorExit()))) {
    throw RuntimeError("generator ignored GeneratorExit");
  }
  if (is_generator_exit(error_)) error_ = nullptr;
}

/// Ends all frames but the outermost as their `close` would, innermost first, where
/// the error of one is thrown at the `co_yield` of the next. Null, or the last error.
std::exception_ptr GeneratorFrame::close_inner() noexcept {
  std::exception_ptr error;
  while (innermost_ != this) {
    GeneratorLink& link = *innermost_->link_;
    thrown_ = error != nullptr ? std::move(error) : std::make_exception_ptr(GeneratorExit());
    state_ = State::running;
    do {  // Its cleanup may yield from others in turn.
      innermost_->outermost_ = this;
      innermost_->handle().resume();
    } while (state_ == State::running && innermost_ != link.parent_);
    if (state_ == State::running) {
      error = link.child_->error_;
      if (is_generator_exit(error)) error = nullptr;
      destroy(*std::exchange(link.child_, nullptr));
    } else {
      error = std::make_exception_ptr(RuntimeError("generator ignored GeneratorExit"));
      while (innermost_ != link.parent_) pop();
    }
  }
  state_ = State::suspended;
  return error;
}

/// Destroys the innermost frame.
void GeneratorFrame::pop() noexcept {
  GeneratorFrame& frame = *innermost_;
  innermost_ = frame.link_->parent_;
  frame.link_->child_ = nullptr;
  frame.handle().destroy();
}

void GeneratorFrame::destroy(GeneratorFrame& outermost) noexcept {
  ASTER_ASSERT(outermost.state_ != State::running);
  while (outermost.innermost_ != &outermost) outermost.pop();
  outermost.handle().destroy();
}

}  // namespace aster::inline v0::detail
