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

void GatherCore::stop_watching() noexcept {
  for (ChildWatch& watch : children_) watch.stop();
}

void GatherCore::begin_cancel(GatherCore* above, TaskBase* asker) noexcept {
  cancelling_ = true;
  accepted_ = false;
  next_child_ = 0;
  above_ = above;
  is_last_above_ = above == nullptr || above->asks_the_last();
  asker_ = asker;
}

bool GatherCore::cancel_children(std::string& message) noexcept {
  if (cancelling_) {  // Its own children await it: the circle ends here.
    end_cancelled(std::move(message));
    return true;
  }
  // Children may be gathers, or tasks that await one, and so on: all are asked in
  // asyncio's order, depth first, but each notes where it was reached from instead of
  // being called from there.
  begin_cancel(nullptr, nullptr);
  GatherCore* core = this;
  for (;;) {
    if (core->next_child_ < core->children_.size()) {
      if (GatherCore* below = core->cancel_next(message)) core = below;
      continue;
    }
    core->cancelling_ = false;
    if (core->accepted_) {
      core->cancel_requested_ = true;
    } else if (core->asker_ != nullptr) {
      core->asker_->keep_cancel(copy_or_empty(message));
    }
    GatherCore* above = core->above_;
    if (above == nullptr) return core->accepted_;
    if (core->accepted_) above->accepted_ = true;
    core = above;
  }
}

GatherCore* GatherCore::cancel_next(std::string& message) noexcept {
  FutureBase& child = children_[next_child_++].child();
  if (child.is_done()) return nullptr;
  // The last one gets the text itself: when it takes it, nobody above has to keep it.
  const bool is_last = asks_the_last();
  std::string copy = is_last ? std::string() : copy_or_empty(message);
  std::string& text = is_last ? message : copy;
  TaskBase* asker = nullptr;
  GatherCore* below = child.as_gather();
  if (TaskBase* task = child.as_task()) {
    accepted_ = true;
    below = task->pass_cancel(text, asker);
  } else if (below == nullptr) {
    if (child.cancel(std::move(text))) accepted_ = true;
    return nullptr;
  }
  if (below == nullptr) return nullptr;
  if (below->cancelling_) {
    below->end_cancelled(std::move(text));
    accepted_ = true;
    return nullptr;
  }
  below->begin_cancel(this, asker);
  return below;
}

void GatherCore::fail_as(FutureBase& child) {
  if (child.is_cancelled()) {
    fail(std::make_exception_ptr(CancelledError(child.message_copy())));
  } else {
    fail(child.stored_error());
  }
}

void GatherCore::child_done(ChildWatch& watch) {
  FutureBase& child = watch.child();
  ++done_count_;
  const bool is_last = done_count_ == children_.size();
  if (!errors_are_results_ || cancel_requested_ || outer().is_done()) child.mark_retrieved();
  if (outer().is_done()) return;
  if (!errors_are_results_ && decisive_ == nullptr &&
      (child.is_cancelled() || child.stored_error() != nullptr)) {
    decisive_ = &child;
  }
  if (decisive_ != nullptr && (is_last || !cancel_requested_)) {
    fail_as(*decisive_);
  } else if (is_last && cancel_requested_) {  // All refused, or errors are results.
    fail(std::make_exception_ptr(CancelledError(child.message_copy())));
  } else if (is_last) {
    succeed();
  }
}

}  // namespace aster::inline v0::detail
