// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/loop/event_loop.hpp>

#include <cstddef>
#include <memory>

/// Which loop is this thread's, for programs that manage loops themselves. New
/// programs use `run` or `Runner` and need none of this.
namespace aster::inline v0 {

/// A new loop of the default kind; not made current. Throws as `make_backend`.
///
///     auto loop = aster::new_event_loop({.backend = aster::Backend::epoll});
[[nodiscard]] ASTER_API std::shared_ptr<EventLoop> new_event_loop(LoopOptions options = {});

/// The running loop; else the one that `set_event_loop` gave this thread; else a
/// RuntimeError "There is no current event loop in thread …".
[[nodiscard]] ASTER_API EventLoop& get_event_loop();

/// Makes `loop` this thread's current loop and keeps it; null: none.
ASTER_API void set_event_loop(std::shared_ptr<EventLoop> loop);

/// Decides what the functions above do; the counterpart of asyncio's policies,
/// which are deprecated there. Prefer `.loop_factory` of `run`.
class ASTER_API EventLoopPolicy {
 public:
  EventLoopPolicy() = default;
  EventLoopPolicy(const EventLoopPolicy&) = delete;
  EventLoopPolicy& operator=(const EventLoopPolicy&) = delete;
  virtual ~EventLoopPolicy();

  /// What `new_event_loop()` gives.
  [[nodiscard]] virtual std::shared_ptr<EventLoop> new_event_loop(LoopOptions options);
  /// What `get_event_loop()` gives when no loop runs in this thread.
  [[nodiscard]] virtual EventLoop& get_event_loop();
  /// What `set_event_loop(loop)` does.
  virtual void set_event_loop(std::shared_ptr<EventLoop> loop);
};

/// The policy in force, the default one at first. Any thread.
[[nodiscard]] ASTER_API std::shared_ptr<EventLoopPolicy> get_event_loop_policy();
/// Replaces the policy of the process; null restores the default. Any thread.
ASTER_API void set_event_loop_policy(std::shared_ptr<EventLoopPolicy> policy);

}  // namespace aster::inline v0
