// SPDX-License-Identifier: MIT
#include <aster/task/child_watch.hpp>

namespace aster::inline v0::detail {

const RunnableOps ChildWatch::runnable_ops{
    [](Runnable& node) {
      auto& self = static_cast<ChildWatch&>(node);
      struct Release {
        ChildOwner& owner;
        ~Release() { owner.release(); }
      } release{*self.owner_};
      self.owner_->child_done(self);
    },
    [](Runnable& node) noexcept { static_cast<ChildWatch&>(node).owner_->release(); }};

}  // namespace aster::inline v0::detail
