// SPDX-License-Identifier: MIT
// A relay is a coroutine that does nothing but suspend again and again; what
// matters happens in its await_suspend, where by the rules of the language it
// counts as suspended already: only there may other threads be told, as they may
// resume it again at once.
//
// The state says who owns the wake-up:
//   idle       nobody waits; a resume now is one too many
//   armed      a driver waits; the handle may be resumed once, on any thread
//   posting    the resuming thread is queueing the driver
//   posted     the driver is queued; the loop's thread will disarm
//   abandoned  the waiting frame is gone; the resuming thread frees the relay
//
// An awaiter that throws from its await_suspend may have given the handle away
// before. Nobody can tell, and keeping every such relay for ever would be a leak: so
// it is set aside until many others were, and until then a late resume finds it idle.
#include <aster/base/log.hpp>
#include <aster/coro/foreign.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

namespace aster::inline v0::detail {

class RelayState {
 public:
  struct Frame {
    struct promise_type {
      Frame get_return_object() noexcept {
        return {std::coroutine_handle<promise_type>::from_promise(*this)};
      }
      std::suspend_always initial_suspend() noexcept { return {}; }
      std::suspend_always final_suspend() noexcept { return {}; }
      void return_void() noexcept {}
      void unhandled_exception() noexcept {}
    };
    std::coroutine_handle<> handle;
  };

  enum class State : std::uint8_t { idle, armed, posting, posted, abandoned };

  std::atomic<State> state{State::idle};
  Driver* driver = nullptr;  // Written while idle, read by the one that wins `posting`.
  std::coroutine_handle<> handle;

  void resumed() noexcept {
    State seen = State::armed;
    if (state.compare_exchange_strong(seen, State::posting, std::memory_order_acq_rel)) {
      driver->wake_threadsafe();
      state.store(State::posted, std::memory_order_release);
    } else if (seen == State::abandoned) {
      destroy();
    } else {
      log_error("an awaiter resumed its coroutine handle twice; the second resume is ignored");
    }
  }

  void destroy() noexcept {
    const std::coroutine_handle<> frame = handle;
    delete this;
    frame.destroy();
  }

  static RelayState* make();
};

namespace {

struct Resumed {
  RelayState* state;
  explicit Resumed(RelayState* relay) noexcept : state(relay) {}
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept { state->resumed(); }
  void await_resume() const noexcept {}
};

RelayState::Frame relay_body(RelayState* state) {
  for (;;) co_await Resumed(state);
}

/// Relays of one thread that wait for use; freed when the thread ends.
struct Pool {
  Pool() noexcept = default;
  ~Pool() {
    for (RelayState* relay : idle) relay->destroy();
    for (RelayState* relay : distrusted) {
      if (relay != nullptr) relay->destroy();
    }
  }
  void give_back(RelayState* relay) noexcept {
    if (idle.size() < idle.capacity()) {
      idle.push_back(relay);
    } else {
      relay->destroy();
    }
  }
  std::vector<RelayState*> idle;
  std::array<RelayState*, 64> distrusted{};  // A ring: the oldest is at `next`.
  std::size_t next = 0;
};

Pool& pool() {
  static thread_local Pool instance;
  return instance;
}

}  // namespace

RelayState* RelayState::make() {
  auto relay = std::make_unique<RelayState>();
  relay->handle = relay_body(relay.get()).handle;
  return relay.release();
}

std::coroutine_handle<> Relay::arm(Driver& driver) {
  Pool& mine = pool();
  if (mine.idle.empty()) {
    mine.idle.reserve(mine.idle.capacity() + 1);  // So that giving back cannot fail.
    state_ = RelayState::make();
  } else {
    state_ = mine.idle.back();
    mine.idle.pop_back();
  }
  state_->driver = &driver;
  state_->state.store(RelayState::State::armed, std::memory_order_release);
  return state_->handle;
}

bool Relay::is_armed() const noexcept {
  return state_ != nullptr &&
         state_->state.load(std::memory_order_acquire) == RelayState::State::armed;
}

namespace {

/// Makes `relay` idle, whatever the thread that may resume it is at.
void settle(RelayState& relay) noexcept {
  // It may be between queueing the driver and saying so.
  while (relay.state.load(std::memory_order_acquire) == RelayState::State::posting) {
    std::this_thread::yield();
  }
  relay.state.store(RelayState::State::idle, std::memory_order_release);
}

}  // namespace

void Relay::disarm() noexcept {
  RelayState* relay = std::exchange(state_, nullptr);
  if (relay == nullptr) return;
  settle(*relay);
  pool().give_back(relay);
}

void Relay::distrust() noexcept {
  RelayState* relay = std::exchange(state_, nullptr);
  if (relay == nullptr) return;
  settle(*relay);
  Pool& mine = pool();
  std::swap(relay, mine.distrusted[mine.next]);
  mine.next = (mine.next + 1) % mine.distrusted.size();
  if (relay != nullptr) mine.give_back(relay);
}

void Relay::abandon() noexcept {
  if (state_ == nullptr) return;
  RelayState::State seen = RelayState::State::armed;
  if (state_->state.compare_exchange_strong(seen, RelayState::State::abandoned,
                                            std::memory_order_acq_rel)) {
    state_ = nullptr;  // Whoever holds the handle frees it by resuming it.
  } else {
    disarm();
  }
}

}  // namespace aster::inline v0::detail
