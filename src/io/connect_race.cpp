// SPDX-License-Identifier: MIT
#include "io/connect_race.hpp"

#include <aster/base/error.hpp>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <new>
#include <utility>

#include <sys/socket.h>

namespace aster::inline v0::detail {

std::vector<Address> interleaved(std::vector<Address> addresses, std::size_t first_count) {
  std::vector<std::deque<Address>> families;
  for (const Address& address : addresses) {
    const auto same = std::find_if(families.begin(), families.end(), [&](const auto& family) {
      return family.front().family() == address.family();
    });
    if (same != families.end()) {
      same->push_back(address);
    } else {
      families.push_back({address});
    }
  }

  std::vector<Address> ordered;
  for (std::size_t i = 1; i < first_count && !families.empty() && !families.front().empty(); ++i) {
    ordered.push_back(families.front().front());
    families.front().pop_front();
  }
  while (ordered.size() < addresses.size()) {
    for (std::deque<Address>& family : families) {
      if (family.empty()) continue;
      ordered.push_back(family.front());
      family.pop_front();
    }
  }
  return ordered;
}

ConnectRace::Attempt::Attempt(ConnectRace& owner, const Address& where) noexcept
    : Operation([](Operation& operation) noexcept {
        auto& attempt = static_cast<Attempt&>(operation);
        attempt.race.ended(attempt);
      }),
      race(owner),
      target(where) {
  kind = Kind::connect;
  address = target.data();
  address_size = target.size();
}

ConnectRace::ConnectRace(EventLoop& loop, std::span<const Address> targets,
                         std::span<const Address> locals, Duration delay, int proto)
    : Timer(&timer_ops),
      loop_(loop),
      backend_(loop.backend()),
      locals_(locals.begin(), locals.end()),
      delay_(delay),
      proto_(proto) {
  for (const Address& target : targets) attempts_.emplace_back(*this, target);
}

ConnectRace::~ConnectRace() {
  close_all();
  if (winner_ != none) static_cast<void>(backend_.close_socket(winner_));
}

bool ConnectRace::await_ready() noexcept {
  begin_more();
  return is_over();
}

native_socket ConnectRace::await_resume() {
  if (driver_ != nullptr) driver_->check();
  return std::exchange(winner_, none);
}

bool ConnectRace::is_over() const noexcept {
  return winner_ != none || (running_ == 0 && next_ == attempts_.size());
}

// True: it is under way or has won.
bool ConnectRace::begin(Attempt& attempt) noexcept {
  const int family = attempt.target.family();
  const bool has_local = std::any_of(locals_.begin(), locals_.end(), [&](const Address& local) {
    return local.family() == family;
  });
  if (!locals_.empty() && !has_local) {
    failed(attempt, "local address", -EADDRNOTAVAIL);
    return false;
  }
  const std::int64_t opened = backend_.open_socket(family, SOCK_STREAM, proto_);
  if (opened < 0) {
    failed(attempt, "socket", opened);
    return false;
  }
  attempt.fd = static_cast<native_socket>(opened);
  int bound = 0;
  for (const Address& local : locals_) {
    if (local.family() != family) continue;
    bound = backend_.bind(attempt.fd, local.data(), local.size());
    if (bound == 0) break;
    attempt.local = local;
  }
  if (bound < 0) {
    failed(attempt, "bind", bound);
    return false;
  }
  if (!backend_.submit(attempt)) {
    ++running_;
    return true;
  }
  if (attempt.result < 0) {
    failed(attempt, "connect", attempt.result);
    return false;
  }
  won(attempt);
  return true;
}

// Begins attempts until one is under way.
void ConnectRace::begin_more() noexcept {
  while (next_ < attempts_.size()) {
    if (begin(attempts_[next_++])) break;
  }
  if (winner_ == none && next_ < attempts_.size()) arm();
}

// An attempt that was under way is over; inside the back end's poll.
void ConnectRace::ended(Attempt& attempt) noexcept {
  --running_;
  if (attempt.result >= 0) {
    won(attempt);
  } else {
    failed(attempt, "connect", attempt.result);
    // Only the latest is waited for; an earlier one has had its time.
    if (&attempt == &attempts_[next_ - 1] && next_ < attempts_.size()) {
      disarm();
      begin_more();
    }
  }
  if (is_over()) {
    disarm();
    driver_->wake();
  }
}

void ConnectRace::failed(Attempt& attempt, const char* step, std::int64_t result) noexcept {
  attempt.error = static_cast<int>(-result);
  attempt.step = step;
  close(attempt);
}

void ConnectRace::won(Attempt& attempt) noexcept {
  winner_ = std::exchange(attempt.fd, none);
  close_all();
}

const RunnableOps ConnectRace::timer_ops{
    [](Runnable& node) {
      auto& race = static_cast<ConnectRace&>(static_cast<Timer&>(node));
      race.timer_queued_ = false;
      race.begin_more();
      if (race.is_over()) race.driver_->wake();
    },
    [](Runnable& node) noexcept {
      static_cast<ConnectRace&>(static_cast<Timer&>(node)).timer_queued_ = false;
    }};

void ConnectRace::arm() noexcept {
  if (delay_ == Duration::max()) return;
  Scheduler& scheduler = loop_.scheduler();
  try {
    scheduler.call_at(*this, add_saturated(scheduler.now(), delay_));
    timer_queued_ = true;
  } catch (...) {
    delay_ = Duration::max();  // No memory: then one after the other.
  }
}

void ConnectRace::disarm() noexcept {
  if (std::exchange(timer_queued_, false)) loop_.scheduler().withdraw(*this);
}

void ConnectRace::close(Attempt& attempt) noexcept {
  if (attempt.fd == none) return;
  static_cast<void>(backend_.close_socket(std::exchange(attempt.fd, none)));
}

void ConnectRace::close_all() noexcept {
  disarm();
  for (Attempt& attempt : attempts_) {
    if (attempt.is_pending()) {
      backend_.reclaim(attempt);
      --running_;
    }
    close(attempt);
  }
}

bool ConnectRace::cancel(Driver& driver, std::string& message) noexcept {
  if (is_over()) return false;  // The driver is on its way, and will throw.
  next_ = attempts_.size();
  close_all();
  driver.wake_cancelled(message);
  return true;
}

std::vector<std::exception_ptr> ConnectRace::errors() const {
  std::vector<std::exception_ptr> errors;
  for (const Attempt& attempt : attempts_) {
    if (attempt.error == 0) continue;
    const std::string step = attempt.step;
    const std::string target = attempt.target.str();
    std::string what = "connect " + target;
    if (step == "socket") what = "socket for " + target;
    if (step == "bind") what = "bind " + attempt.local.str();
    if (step == "local address") what += ": no address of a usable family to connect from";
    errors.push_back(system_error_ptr(attempt.error, what));
  }
  return errors;
}

}  // namespace aster::inline v0::detail
