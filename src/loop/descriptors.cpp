// SPDX-License-Identifier: MIT
// Descriptors that the user watches: `add_reader`, `add_writer`, and which ones
// belong to transports.
#include "base/debug_text.hpp"

#include <aster/loop/event_loop.hpp>

#include <memory>
#include <string>
#include <utility>

namespace aster::inline v0 {

/// A reader or writer: queued once a turn while its descriptor is ready.
class EventLoop::FdCallback final : public detail::Runnable {
 public:
  FdCallback(EventLoop& loop, native_socket fd, unsigned event, Function<void()>&& function,
             const std::source_location& source)
      : Runnable(&ops),
        loop_(loop),
        fd_(fd),
        event_(event),
        source_(source),
        context_(loop.scheduler_->current_context()),
        function_(std::move(function)),
        made_at_(loop.poll_count_) {}

  /// Not for what the last poll found before this was added.
  void queue() noexcept {
    if (queued_ || made_at_ == loop_.poll_count_) return;
    queued_ = true;
    loop_.scheduler_->post(*this);
  }

  /// Ends it: a queued call is taken back, the callable destroyed.
  static void remove(FdCallback* self) noexcept {
    if (self == nullptr) return;
    self->removed_ = true;
    if (!self->running_) self->function_.reset();
    if (!self->queued_ && !self->running_) delete self;
  }

 private:
  static const detail::RunnableOps ops;

  static void run(Runnable& node) {
    auto& self = static_cast<FdCallback&>(node);
    self.queued_ = false;
    if (self.removed_) {
      delete &self;
      return;
    }
    self.running_ = true;
    struct Guard {
      FdCallback& self;
      ~Guard() {
        self.running_ = false;
        if (self.removed_ && !self.queued_) delete &self;
      }
    } guard{self};
    const detail::ContextEntry context(self.loop_.scheduler_->context_cell(), self.context_);
    try {
      self.function_();
    } catch (const BaseError&) {
      throw;
    } catch (...) {
      self.loop_.call_exception_handler({"Exception in callback of a descriptor",
                                         std::current_exception(),
                                         {},
                                         self.text(),
                                         self.source_});
    }
  }

  static void drop(Runnable& node) noexcept {
    auto& self = static_cast<FdCallback&>(node);
    self.queued_ = false;
    if (self.removed_) delete &self;
  }

  static std::string describe(const Runnable& node) {
    return static_cast<const FdCallback&>(node).text();
  }
  [[nodiscard]] std::string text() const {
    return (event_ == Watch::readable ? "<Reader fd=" : "<Writer fd=") + std::to_string(fd_) +
           " made at " + detail::short_place(source_) + ">";
  }

  EventLoop& loop_;
  native_socket fd_;
  unsigned event_;
  std::source_location source_;
  detail::ContextSlot context_;
  Function<void()> function_;
  std::uint64_t made_at_;  // The loop's poll_count_ then.
  bool queued_ = false;
  bool running_ = false;
  bool removed_ = false;
};

const detail::RunnableOps EventLoop::FdCallback::ops{&FdCallback::run, &FdCallback::drop,
                                                     &FdCallback::describe};

struct EventLoop::FdEntry final : Watch {
  explicit FdEntry(native_socket descriptor) noexcept
      : Watch([](Watch& self, unsigned events) noexcept {
          auto& entry = static_cast<FdEntry&>(self);
          // The reader before the writer of the same descriptor (FD-7).
          if ((events & readable) != 0 && entry.reader != nullptr) entry.reader->queue();
          if ((events & writable) != 0 && entry.writer != nullptr) entry.writer->queue();
        }),
        fd(descriptor) {}
  ~FdEntry() {
    FdCallback::remove(reader);
    FdCallback::remove(writer);
  }
  FdEntry(const FdEntry&) = delete;
  FdEntry& operator=(const FdEntry&) = delete;

  [[nodiscard]] unsigned events() const noexcept {
    return (reader != nullptr ? readable : 0U) | (writer != nullptr ? writable : 0U);
  }
  FdCallback*& slot(unsigned event) noexcept { return event == readable ? reader : writer; }

  native_socket fd;
  FdCallback* reader = nullptr;
  FdCallback* writer = nullptr;
};

void EventLoop::DeleteFdEntry::operator()(FdEntry* entry) const noexcept { delete entry; }

void EventLoop::check_descriptor(native_socket fd, const char* call) const {
  if (fd < 0) {
    throw ValueError(std::string(call) + ": invalid file descriptor " + std::to_string(fd));
  }
  const auto index = static_cast<std::size_t>(fd);
  if (index < transport_fds_.size() && transport_fds_[index]) {
    throw RuntimeError(std::string(call) + ": File descriptor " + std::to_string(fd) +
                       " is used by transport");
  }
}

EventLoop::FdEntry& EventLoop::fd_entry(native_socket fd, const char* call) {
  check_descriptor(fd, call);
  auto found = fds_.find(fd);
  if (found == fds_.end()) {
    std::unique_ptr<FdEntry, DeleteFdEntry> made(new FdEntry(fd));
    found = fds_.emplace(fd, std::move(made)).first;
  }
  return *found->second;
}

void EventLoop::set_fd_callback(native_socket fd, unsigned event, Function<void()> callback,
                                const std::source_location& source) {
  const char* call = event == Watch::readable ? "add_reader" : "add_writer";
  scheduler_->require_open(call);
  if (!callback) throw ValueError(std::string(call) + ": empty callback");
  FdEntry& entry = fd_entry(fd, call);
  auto* fresh = new FdCallback(*this, fd, event, std::move(callback), source);
  FdCallback* former = std::exchange(entry.slot(event), fresh);
  const int result = backend_->set_watch(fd, entry.events(), entry);
  if (result < 0) {
    entry.slot(event) = former;
    FdCallback::remove(fresh);
    if (entry.events() == 0) fds_.erase(fd);
    detail::throw_system_error(-result, std::string(call) + " of descriptor " + std::to_string(fd));
  }
  FdCallback::remove(former);
}

bool EventLoop::remove_fd_callback(native_socket fd, unsigned event) {
  if (is_closed()) return false;
  const auto found = fds_.find(fd);
  if (found == fds_.end()) return false;
  FdEntry& entry = *found->second;
  FdCallback* callback = std::exchange(entry.slot(event), nullptr);
  if (callback == nullptr) return false;
  // A descriptor closed too early cannot be watched any longer, which is as wished.
  static_cast<void>(backend_->set_watch(fd, entry.events(), entry));
  if (entry.events() == 0) fds_.erase(found);
  FdCallback::remove(callback);
  return true;
}

void EventLoop::add_reader(native_socket fd, Function<void()> callback,
                           std::source_location source) {
  set_fd_callback(fd, Watch::readable, std::move(callback), source);
}
void EventLoop::add_writer(native_socket fd, Function<void()> callback,
                           std::source_location source) {
  set_fd_callback(fd, Watch::writable, std::move(callback), source);
}
bool EventLoop::remove_reader(native_socket fd) { return remove_fd_callback(fd, Watch::readable); }
bool EventLoop::remove_writer(native_socket fd) { return remove_fd_callback(fd, Watch::writable); }

void EventLoop::drop_fd_callbacks() noexcept {
  for (auto& [fd, entry] : fds_) static_cast<void>(backend_->set_watch(fd, 0, *entry));
  fds_.clear();
}

void EventLoop::set_transport_fd(native_socket fd, bool owned) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= transport_fds_.size()) {
    if (!owned) return;
    transport_fds_.resize(index + 64);
  }
  transport_fds_[index] = owned;
}

}  // namespace aster::inline v0
