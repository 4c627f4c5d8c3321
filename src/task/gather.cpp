// SPDX-License-Identifier: MIT
#include <aster/task/gather.hpp>

namespace aster::inline v0::detail {

void GatherCore::watch(StateRef<FutureBase> child) {
  children_.emplace_back(*this, std::move(child));
}

void GatherCore::start() {
  if (children_.empty()) {
    succeed();
    return;
  }
  // Children that are pending are watched first; those that are done then count at
  // once, so that a gather of done futures is done when it is made (WAIT-22).
  for (ChildWatch& watch : children_) {
    if (!watch.child().is_done()) watch.start();
  }
  for (ChildWatch& watch : children_) {
    if (watch.child().is_done()) child_done(watch);
  }
}

bool GatherCore::cancel_children(const std::string& message) noexcept {
  bool accepted = false;
  cancelling_ = true;
  for (ChildWatch& watch : children_) {
    if (watch.child().is_done()) continue;
    if (watch.child().cancel(copy_or_empty(message))) accepted = true;
  }
  cancelling_ = false;
  if (accepted) cancel_requested_ = true;
  return accepted;
}

void GatherCore::child_done(ChildWatch& watch) {
  FutureBase& child = watch.child();
  ++done_count_;
  const bool is_last = done_count_ == children_.size();
  if (outer_done()) {
    child.mark_retrieved();
    return;
  }
  if (cancel_requested_) {
    child.mark_retrieved();
    if (is_last) fail(std::make_exception_ptr(CancelledError(child.message_copy())));
    return;
  }
  if (!errors_are_results_) {
    child.mark_retrieved();
    if (child.is_cancelled()) {
      fail(std::make_exception_ptr(CancelledError(child.message_copy())));
      return;
    }
    if (std::exception_ptr error = child.stored_error()) {
      fail(std::move(error));
      return;
    }
  }
  if (is_last) succeed();
}

}  // namespace aster::inline v0::detail
