// SPDX-License-Identifier: MIT
#include <aster/executor/run_coroutine_threadsafe.hpp>

namespace aster::inline v0::detail {

const RunnableOps RemoteCancel::runnable_ops{
    [](Runnable& node) {
      auto& self = static_cast<RemoteCancel&>(node);
      const auto hold = std::move(self.hold_);
      if (self.task_) self.task_->cancel({});
    },
    [](Runnable& node) noexcept {
      const auto hold = std::move(static_cast<RemoteCancel&>(node).hold_);
    }};

void RemoteCancel::request() noexcept {
  const auto keep = shared_from_this();
  hold_ = keep;
  if (!inbox_->push(*this)) hold_.reset();
}

}  // namespace aster::inline v0::detail
