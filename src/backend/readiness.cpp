// SPDX-License-Identifier: MIT
//
// How readiness becomes completion
//
// `submit` tries the call. Most succeed at once; only what gives EAGAIN waits: the
// operation is put into its descriptor's entry, the facility is told (`update`),
// and when it reports the descriptor (`deliver`) the call is made again and the
// operation completed. One operation a direction. What an attempt is, and what it
// teaches, is in attempts.cpp.
//
// Fairness. After some inline completions since the last poll `submit` does not try
// but defers: the next poll does not wait, delivers what is ready elsewhere, and
// then tries each deferred operation once.
//
// Turns. What a poll found is delivered either by `poll` itself or, in a loop, by a
// node of the ready queue (`Delivery`). That delivers an event, has run what the event
// has woken, and goes on to the next: bytes are received, used and answered while they
// are in the cache, before the next descriptor is touched, and in the order in which
// `poll` would have woken the tasks. Until its delivery an event has no effect:
// operations can be cancelled and submitted meanwhile, and no byte has moved.
//
// Stale events. Between the poll and its delivery, and in a completion, any
// descriptor may be closed, and its number may be in use again before its event is
// looked at. So events carry the
// generation that the entry had when they were asked for, and entries raise it when
// the number may change its meaning: in `forget`, and when a watch ends that nothing
// else was keeping registered (its owner may close the descriptor without a word).
// After every callback the generation is compared before the entry is used again.
#include "backend/readiness.hpp"

#include "base/sys.hpp"

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace aster::inline v0::detail {

namespace {

// Inline completions between two polls. Large enough to make the poll's cost
// vanish, small enough that a turn stays far below a millisecond.
constexpr unsigned attempts_max = 32;

bool is_read(Operation::Kind kind) noexcept {
  return kind == Operation::Kind::recv || kind == Operation::Kind::accept ||
         kind == Operation::Kind::poll_in || kind == Operation::Kind::recv_from ||
         kind == Operation::Kind::read;
}

bool is_poll(Operation::Kind kind) noexcept {
  return kind == Operation::Kind::poll_in || kind == Operation::Kind::poll_out;
}

}  // namespace

Readiness::Readiness(bool edge_triggered, std::uint8_t settled, int fd_limit)
    : Attempts(edge_triggered),
      settled_(settled),
      fd_limit_(fd_limit),
      attempts_left_(attempts_max),
      wake_event_(std::make_shared<WakeEvent>()) {
  static_assert(sizeof(void*) != 8 || sizeof(Entry) == 32, "two entries in a cache line");
}

Readiness::~Readiness() {
  // An operation still pending here would be cancelled later, by its owner.
  ASTER_ASSERT(pending_count_ == 0 || is_abandoned());
}

// The table --------------------------------------------------------------------------

Readiness::Entry* Readiness::find(int fd) const noexcept {
  const auto number = static_cast<unsigned>(fd);  // A negative one is beyond every table.
  const std::size_t page = number >> page_bits;
  if (page >= page_count_ || pages_[page] == nullptr) return nullptr;
  return &(*pages_[page])[number & ((1U << page_bits) - 1)];
}

// An entry for a descriptor that has none yet.
int Readiness::make(int fd, Entry*& entry) noexcept {
  if (fd < 0) return -EBADF;
  if (fd >= fd_limit_) return -EINVAL;
  const std::size_t page = static_cast<unsigned>(fd) >> page_bits;
  try {
    if (page >= pages_.size()) {
      // Only a descriptor that exists may size the table.
      if (const int flags = sys::fcntl(fd, F_GETFD); flags < 0) return flags;
      pages_.resize(page + 1);
      page_count_ = pages_.size();
    }
    if (pages_[page] == nullptr) pages_[page] = std::make_unique<Page>();
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  entry = find(fd);
  return 0;
}

// Operations -------------------------------------------------------------------------

bool Readiness::submit(Operation& operation) noexcept {
  ASTER_ASSERT(!operation.pending);
  Entry* const entry = find(operation.fd);
  // What almost every receive on a connection meets: nothing to try, nothing to tell.
  if (entry != nullptr && operation.kind == Operation::Kind::recv && entry->is_settled(settled_) &&
      entry->reader == nullptr &&
      !entry->has(Entry::maybe_readable | Entry::short_read_proves_nothing)) [[likely]] {
    entry->reader = &operation;
    operation.pending = true;
    ++pending_count_;
    return false;
  }
  return submit_slowly(entry, operation);
}

bool Readiness::submit_slowly(Entry* entry, Operation& operation) noexcept {
  if (entry == nullptr) [[unlikely]] {
    if (const int error = make(operation.fd, entry); error < 0) {
      operation.result = error;
      return true;
    }
  }
  const bool reads = is_read(operation.kind);
  Operation*& slot = reads ? entry->reader : entry->writer;
  if (slot != nullptr) {
    operation.result = -EBUSY;
    return true;
  }

  bool deferred = false;
  const bool worth_a_try =
      operation.kind == Operation::Kind::connect ||
      (reads ? entry->has(Entry::maybe_readable | Entry::short_read_proves_nothing)
             : entry->has(Entry::maybe_writable));
  if (worth_a_try) {
    deferred = attempts_left_ == 0 && defer(*entry, operation);
    if (!deferred && attempt(*entry, operation)) {
      if (attempts_left_ != 0) --attempts_left_;
      return true;
    }
  }

  slot = &operation;
  operation.pending = true;
  ++pending_count_;
  if (deferred) return false;
  if (const int error = refresh(operation.fd, *entry); error < 0) {
    detach(*entry, operation);
    operation.result = error;
    return true;
  }
  return false;
}

bool Readiness::cancel(Operation& operation) noexcept {
  ASTER_ASSERT(operation.pending);
  Entry* const entry = find(operation.fd);
  ASTER_ASSERT(entry != nullptr);
  detach(*entry, operation);
  static_cast<void>(refresh(operation.fd, *entry));
  return true;
}

void Readiness::reclaim(Operation& operation) noexcept { static_cast<void>(cancel(operation)); }

// Takes a pending operation out of its entry.
void Readiness::detach(Entry& entry, Operation& operation) noexcept {
  if (is_read(operation.kind)) {
    ASTER_ASSERT(entry.reader == &operation);
    entry.reader = nullptr;
    entry.clear(Entry::is_read_deferred);
  } else {
    ASTER_ASSERT(entry.writer == &operation);
    entry.writer = nullptr;
    entry.clear(Entry::is_write_deferred);
    entry.clear(Entry::is_connecting);
  }
  operation.pending = false;
  --pending_count_;
}

void Readiness::complete(Entry& entry, Operation& operation) noexcept {
  detach(entry, operation);
  operation.complete(operation);  // May free the operation, or submit it again.
}

// Polling ----------------------------------------------------------------------------

void Readiness::poll(Duration timeout) noexcept {
  // What was found before may not be delivered yet when an error left the turn.
  if (is_abandoned() || has_undelivered()) return;
  attempts_left_ = attempts_max;
  running_.clear();
  next_ = note_count_ = found_count_ = 0;
  wait(deferred_.empty() ? timeout : Duration::zero());
  running_.swap(deferred_);  // What is deferred from here on is the next poll's.
  found_count_ = note_count_ + running_.size();
  if (!has_undelivered()) return;
  if (delivery_.ready != nullptr) {
    delivery_.ready->push(delivery_);
  } else {
    while (has_undelivered()) deliver_next();
  }
}

bool Readiness::defer(Entry& entry, const Operation& operation) noexcept {
  const bool reads = is_read(operation.kind);
  try {
    deferred_.push_back({operation.fd, entry.generation, reads});
  } catch (const std::bad_alloc&) {
    return false;  // Then it is tried at once: unfair beats undone.
  }
  if (reads) {
    entry.set(Entry::is_read_deferred);
  } else {
    entry.set(Entry::is_write_deferred);
  }
  return true;
}

void Readiness::run_deferred(const Deferred& item) noexcept {
  Entry& entry = *find(item.fd);
  if (entry.generation != item.generation) return;
  if (item.is_read ? !entry.has(Entry::is_read_deferred) : !entry.has(Entry::is_write_deferred))
    return;
  if (item.is_read) {
    entry.clear(Entry::is_read_deferred);
  } else {
    entry.clear(Entry::is_write_deferred);
  }
  proceed(entry, item.is_read ? *entry.reader : *entry.writer);
}

// Tries a pending operation outside of an event; when it must wait, waits for real.
void Readiness::proceed(Entry& entry, Operation& operation) noexcept {
  const int fd = operation.fd;
  const std::uint32_t generation = entry.generation;
  if (!attempt(entry, operation)) {
    const int error = refresh(fd, entry);
    if (error == 0) return;
    operation.result = error;
  }
  complete(entry, operation);
  if (entry.generation == generation) static_cast<void>(refresh(fd, entry));
}

// Acts on an event.
[[gnu::always_inline]] inline void Readiness::deliver(const Note& note) noexcept {
  Entry* const entry = find(note.fd);
  if (entry == nullptr || entry->generation != note.generation) [[unlikely]]
    return;
  Operation* const waiting = entry->reader;
  const bool plain = (note.found | found_writable) == (found_readable | found_writable) &&
                     entry->writer == nullptr && entry->is_settled(settled_) &&
                     waiting != nullptr && waiting->kind == Operation::Kind::recv;
  if (!plain) [[unlikely]]
    return deliver_slowly(note, *entry);
  // A receive that waits, and nothing else. Nothing is left to do afterwards.
  if (note.found != found_readable) entry->set(Entry::maybe_writable);
  if (!attempt_recv(*entry, *waiting)) [[unlikely]]
    return;
  entry->reader = nullptr;
  entry->clear(Entry::is_read_deferred);
  waiting->pending = false;
  --pending_count_;
  waiting->complete(*waiting);
}

[[gnu::always_inline]] inline void Readiness::deliver_next() noexcept {
  const std::size_t index = next_++;
  if (index < note_count_) [[likely]] {
    deliver(notes_[index]);
  } else {
    run_deferred(running_[index - note_count_]);
  }
}

// Delivers until several things have been woken at once: they run next, and then this
// again. One alone, as is the rule, is run from here.
void Readiness::deliver_in_turn() {
  ReadyQueue& ready = *delivery_.ready;
  ReadyQueue& batch = *delivery_.batch;
  while (has_undelivered() && !is_abandoned()) {
    const ReadyQueue::Mark mark = ready.mark();
    deliver_next();
    Runnable* const woken = *delivery_.is_timed ? nullptr : ready.take_only_since(mark);
    if (woken != nullptr) [[likely]] {
      try {
        woken->run();
      } catch (...) {  // Leaves the loop's turn; what is left keeps its place.
        const ReadyQueue::Mark end = ready.mark();
        ready.push(delivery_);
        ready.move_since(end, batch);
        throw;
      }
    } else if (!ready.is_at(mark)) {
      if (has_undelivered()) ready.push(delivery_);
      return ready.move_since(mark, batch);
    }
  }
}

const RunnableOps Readiness::Delivery::ops{
    [](Runnable& node) { static_cast<Delivery&>(node).owner.deliver_in_turn(); },
    [](Runnable& node) noexcept {
      Readiness& readiness = static_cast<Delivery&>(node).owner;
      readiness.next_ = readiness.found_count_;
    },
    [](const Runnable&) { return std::string("<delivery of I/O>"); }};

void Readiness::deliver_slowly(const Note& note, Entry& entry) noexcept {
  const int fd = note.fd;
  const std::uint32_t generation = note.generation;
  const unsigned found = note.found;
  if (found == found_closed) [[unlikely]]
    return deliver_closed(note.fd, entry);
  const bool readable = (found & (found_readable | found_end | found_failed)) != 0;
  const bool writable = (found & (found_writable | found_failed)) != 0;
  if (readable) entry.set(Entry::maybe_readable);
  if (writable) entry.set(Entry::maybe_writable);
  if ((found & (found_end | found_failed | found_urgent)) != 0) {
    entry.set(Entry::short_read_proves_nothing);
  }

  if (readable && entry.reader != nullptr) {
    serve(entry, *entry.reader);
    if (entry.generation != generation) return;
  }
  if (writable && entry.writer != nullptr) {
    serve(entry, *entry.writer);
    if (entry.generation != generation) return;
  }
  if (entry.watch_mask != 0) {
    const unsigned events =
        ((readable ? Watch::readable : 0U) | (writable ? Watch::writable : 0U)) & entry.watch_mask;
    if (events != 0) {
      entry.watch->ready(*entry.watch, events);
      if (entry.generation != generation) return;
    }
  }
  static_cast<void>(refresh(fd, entry));
}

// Acts on a pending operation whose descriptor is ready.
void Readiness::serve(Entry& entry, Operation& operation) noexcept {
  if (is_poll(operation.kind) && (delivery_.ready == nullptr || !operation.is_exact)) {
    operation.result = 0;  // In a later turn than the poll it would have to be asked again.
  } else if (!attempt(entry, operation)) {
    return;
  }
  complete(entry, operation);
}

void Readiness::deliver_closed(int fd, Entry& closed) noexcept {
  // In a later turn than the poll the number may be a new file's.
  if (delivery_.ready != nullptr && sys::fcntl(fd, F_GETFD) != -EBADF) return;
  Entry* const entry = &closed;
  if (entry->armed != 0) remove(fd, *entry);
  entry->armed = 0;
  const std::uint32_t generation = ++entry->generation;

  // One by one, each still in its entry until its turn: a callback may cancel the
  // others.
  if (Operation* const reader = entry->reader; reader != nullptr) {
    reader->result = -EBADF;
    complete(*entry, *reader);
    if (entry->generation != generation) return;
  }
  if (Operation* const writer = entry->writer; writer != nullptr) {
    writer->result = -EBADF;
    complete(*entry, *writer);
    if (entry->generation != generation) return;
  }
  if (Watch* const watch = entry->watch; watch != nullptr) {
    const unsigned events = entry->watch_mask;
    entry->watch = nullptr;
    entry->watch_mask = 0;
    --watch_count_;
    watch->ready(*watch, events);
  }
}

// Watches ----------------------------------------------------------------------------

int Readiness::set_watch(native_socket fd, unsigned events, Watch& watch) noexcept {
  events &= Watch::readable | Watch::writable;
  if (events == 0) {
    Entry* const entry = find(fd);
    if (entry == nullptr || entry->watch == nullptr) return 0;
    entry->watch = nullptr;
    entry->watch_mask = 0;
    --watch_count_;
    static_cast<void>(refresh(fd, *entry));
    // Its owner may close it now without telling: events that were noted for it
    // must not reach the number's next user.
    if (entry->armed == 0 && interest(*entry) == 0) ++entry->generation;
    return 0;
  }

  Entry* entry = find(fd);
  if (entry == nullptr) {
    if (const int error = make(fd, entry); error < 0) return error;
  }
  if (!is_edge_triggered() && entry->watch == nullptr) {
    // poll and select would only notice while they wait.
    if (const int flags = sys::fcntl(fd, F_GETFD); flags < 0) return flags;
  }
  Watch* const former_watch = entry->watch;
  const std::uint8_t former_mask = entry->watch_mask;
  entry->watch = &watch;
  entry->watch_mask = static_cast<std::uint8_t>(events);
  if (const int error = refresh(fd, *entry); error < 0) {
    entry->watch = former_watch;
    entry->watch_mask = former_mask;
    return error;
  }
  if (former_watch == nullptr) ++watch_count_;
  return 0;
}

// Descriptors ------------------------------------------------------------------------

int Readiness::set_no_delay(native_socket fd) noexcept {
  const int result = Attempts::set_no_delay(fd);
  if (result == 0) {
    if (Entry* const entry = find(fd); entry != nullptr) note_tcp(*entry);
  }
  return result;
}

void Readiness::forget(native_socket fd) noexcept {
  Entry* const entry = find(fd);
  if (entry == nullptr) return;
  ASTER_ASSERT(entry->reader == nullptr);
  ASTER_ASSERT(entry->writer == nullptr);
  if (entry->watch != nullptr) --watch_count_;
  if (entry->armed != 0 && !is_abandoned()) remove(fd, *entry);
  const std::uint32_t generation = entry->generation;
  *entry = Entry{};
  entry->generation = generation + 1;
}

int Readiness::close_socket(native_socket fd) noexcept {
  forget(fd);
  return close_now(fd);
}

std::int64_t Readiness::send_now(native_socket fd, const char* data, std::size_t size) noexcept {
  const std::int64_t result = sys::send(fd, data, size);
  if (result == static_cast<std::int64_t>(size)) [[likely]]
    return result;
  return result == -EINTR ? send_now(fd, data, size) : note_short_send(fd, result, size);
}

// A send operation for what is left over need not try again. Gives `sent`.
std::int64_t Readiness::note_short_send(int fd, std::int64_t sent, std::size_t size) noexcept {
  if (Entry* const entry = find(fd); entry != nullptr) note_sent(*entry, sent, size);
  return sent;
}

void Readiness::abandon_after_fork() noexcept {
  if (forks_ == no_forks) return;
  forks_ = no_forks;
  abandon();
  wake_event_->abandon();
}

}  // namespace aster::inline v0::detail
