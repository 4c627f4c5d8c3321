// SPDX-License-Identifier: MIT
#include <aster/coro/promise.hpp>
#include <aster/task/child_watch.hpp>
#include <aster/task/introspection_table.hpp>
#include <aster/task/scheduler.hpp>
#include <aster/task/task.hpp>
#include <aster/task/wait_list.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <source_location>

namespace aster::inline v0 {
namespace detail {
namespace {

/// What `std::source_location` points to, in libstdc++ and libc++, which follow what the
/// compilers emit.
struct Site {
  const char* file;
  const char* function;
  unsigned line;
};
static_assert(sizeof(std::source_location) == sizeof(void*));

constinit std::mutex schedulers_mutex;
constinit Scheduler* newest = nullptr;

}  // namespace

// Offsets in types that are not of standard layout: both compilers know them.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

/// Sees into what it describes.
struct Layout {
  static constexpr aster_introspection_table table() noexcept {
    aster_introspection_table t{};
    const char magic[] = "aster";
    for (std::size_t i = 0; i < sizeof magic; ++i) t.magic[i] = magic[i];
    t.version = 1;
    t.size = sizeof t;
    t.task_kind = &TaskBase::driver_ops;
    t.watch_kind = &ChildWatch::runnable_ops;

    t.scheduler_next = offsetof(Scheduler, next_scheduler_);
    t.scheduler_tasks = offsetof(Scheduler, tasks_) + offsetof(IntrusiveList<TaskBase>, root_);
    t.scheduler_current = offsetof(Scheduler, current_);
    t.node_next = offsetof(ListNode, next_);

    t.future_state = offsetof(FutureBase, state_);
    t.future_kind = offsetof(FutureBase, kind_);
    t.future_links = offsetof(FutureBase, links_) + offsetof(NarrowList<DoneLink>, first_);
    t.future_source = offsetof(FutureBase, source_);

    t.task_node = offsetof(FutureBase, next_) - t.node_next;
    t.task_driver = offsetof(TaskBase, ops_);
    t.task_details = offsetof(FutureBase, details_);
    t.details_name = offsetof(FutureDetails, name);

    t.runnable_kind = offsetof(Driver, ops_);
    t.driver_frame = offsetof(Driver, leaf_);
    t.driver_phase = offsetof(Driver, phase_);

    t.frame_site = offsetof(PromiseBase, site_);
    t.frame_origin = offsetof(PromiseBase, origin_);
    t.call_size = sizeof(CallLink);
    t.call_parent = offsetof(CallLink, parent_);

    t.link_next = offsetof(NarrowNode, next_);
    t.link_target = offsetof(DoneLink, target_);
    t.hook_owner = offsetof(DoneHook, owner_);
    t.watch_owner = offsetof(ChildWatch, owner_);
    t.owner_waiter = offsetof(ChildOwner, waiter_) + offsetof(ChildWaiter, tagged_);

    t.list_waits = offsetof(WaitList, nodes_) + offsetof(IntrusiveList<WaitNode>, root_);
    t.wait_node = offsetof(WaitNode, next_) - t.node_next;
    t.wait_driver = offsetof(WaitNode, driver_);

    t.site_file = offsetof(Site, file);
    t.site_function = offsetof(Site, function);
    t.site_line = offsetof(Site, line);
#if defined(__GLIBCXX__) && _GLIBCXX_USE_CXX11_ABI
    t.string_data = 0;
    t.string_size = sizeof(void*);
#endif
    return t;
  }

 private:
  // What the table leaves unsaid.
  static_assert(offsetof(FutureBase, next_) < offsetof(FutureBase, links_) &&
                offsetof(TaskBase, links_) == offsetof(FutureBase, links_));
  static_assert(offsetof(DoneLink, next_) == offsetof(NarrowNode, next_));
  static_assert(offsetof(DoneHook, target_) == offsetof(DoneLink, target_));
  static_assert(offsetof(Driver, ops_) == 0 && offsetof(ChildWatch, ops_) == 0);
};

#pragma GCC diagnostic pop

void lock_schedulers() noexcept { schedulers_mutex.lock(); }
void unlock_schedulers() noexcept { schedulers_mutex.unlock(); }

}  // namespace detail

// The newest loop's is the first. That the list begins in the table keeps the table in
// every program that has a loop.

Scheduler::Scheduler(EventLoop& loop) noexcept : loop_(&loop) {
  const std::lock_guard<std::mutex> guard(detail::schedulers_mutex);
  next_scheduler_ = detail::newest;
  if (next_scheduler_ != nullptr) next_scheduler_->previous_scheduler_ = this;
  aster_introspection_v1.schedulers = detail::newest = this;
}

Scheduler::~Scheduler() {
  const std::lock_guard<std::mutex> guard(detail::schedulers_mutex);
  if (next_scheduler_ != nullptr) next_scheduler_->previous_scheduler_ = previous_scheduler_;
  if (previous_scheduler_ != nullptr) {
    previous_scheduler_->next_scheduler_ = next_scheduler_;
  } else {
    aster_introspection_v1.schedulers = detail::newest = next_scheduler_;
  }
}

}  // namespace aster::inline v0

constinit aster_introspection_table aster_introspection_v1 = aster::detail::Layout::table();
