// SPDX-License-Identifier: MIT
#include "introspect/awaiters.hpp"

#include <aster/task/child_watch.hpp>
#include <aster/task/future.hpp>
#include <aster/task/task.hpp>
#include <aster/task/wait_list.hpp>

#include <unordered_set>

namespace aster::inline v0::detail {
namespace {

/// Follows links depth first, without recursion: gathers of gathers can be deep, and can
/// meet again above.
class Search {
 public:
  std::vector<TaskBase*> run(FutureBase& future) {
    enter(future);
    while (!open_.empty()) {
      Place& place = open_.back();
      DoneLink* link = place.next;
      if (link == nullptr) {
        open_.pop_back();
        continue;
      }
      place.next = place.future->links().next(*link);
      follow(*link);  // May enter another future; `place` is not used any more.
    }
    return std::move(found_);
  }

 private:
  struct Place {
    FutureBase* future;
    DoneLink* next;  // To be followed.
  };

  void enter(FutureBase& future) {
    if (entered_.insert(&future).second) open_.push_back({&future, future.links().first()});
  }

  void add(Driver* driver) {
    TaskBase* task = driver != nullptr ? driver->task() : nullptr;
    if (task != nullptr && tasks_.insert(task).second) found_.push_back(task);
  }

  void follow(DoneLink& link) {
    const DoneHook* hook = link.as_hook();
    if (hook == nullptr) {
      add(static_cast<Driver*>(link.target()));
      return;
    }
    const ChildWatch* watch = ChildWatch::of(*hook);
    if (watch == nullptr) return;  // A callback: nobody waits.
    const ChildWaiter& waiter = watch->owner().waiter();
    if (FutureBase* outer = waiter.future()) {
      enter(*outer);
    } else if (WaitList* list = waiter.list()) {
      for (WaitNode* node = list->oldest(); node != nullptr; node = list->behind(*node)) {
        add(node->driver());
      }
    } else {
      add(waiter.driver());
    }
  }

  std::vector<Place> open_;
  std::unordered_set<const FutureBase*> entered_;
  std::unordered_set<const TaskBase*> tasks_;
  std::vector<TaskBase*> found_;
};

}  // namespace

std::vector<TaskBase*> awaiters_of(FutureBase& future) { return Search().run(future); }

}  // namespace aster::inline v0::detail
