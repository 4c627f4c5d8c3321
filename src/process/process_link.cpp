// SPDX-License-Identifier: MIT
#include "process/process_link.hpp"

#include "base/debug_text.hpp"
#include "net/net_service.hpp"
#include "net/protocol_link.hpp"

#include <aster/coro/outcome.hpp>
#include <aster/task/exception_context.hpp>

#include <csignal>
#include <utility>

namespace aster::inline v0 {
namespace detail {
namespace {

/// The protocol of one of our ends: passes all on.
class PipeProtocol final : public Protocol {
 public:
  PipeProtocol(ProcessLink& link, int fd) : link_(StateRef<ProcessLink>::share(link)), fd_(fd) {}
  ~PipeProtocol() override { link_->pipe_dropped(fd_); }

  void data_received(std::string_view data) override { link_->pipe_data(fd_, data); }
  void connection_lost(std::exception_ptr error) override { link_->pipe_lost(fd_, error); }
  void pause_writing() override { link_->pipe_flow(&BaseProtocol::pause_writing, "pause_writing"); }
  void resume_writing() override {
    link_->pipe_flow(&BaseProtocol::resume_writing, "resume_writing");
  }

 private:
  StateRef<ProcessLink> link_;
  int fd_;
};

}  // namespace

const RunnableOps ProcessLink::Note::ops{
    [](Runnable& node) {
      const StateRef<ProcessLink> link(&static_cast<Note&>(node).owner);
      link->is_queued_ = false;
      try {
        link->run_note();
      } catch (...) {  // A base error leaves the loop; what is left is done later.
        link->queue_note();
        throw;
      }
    },
    [](Runnable& node) noexcept {
      const StateRef<ProcessLink> link(&static_cast<Note&>(node).owner);
      link->is_queued_ = false;
    },
    [](const Runnable& node) { return static_cast<const Note&>(node).owner.str(); }};

ProcessLink::ProcessLink(EventLoop& loop, StateRef<Child> child,
                         std::shared_ptr<SubprocessProtocol> protocol,
                         const std::source_location& source)
    : scheduler_(&loop.scheduler()),
      child_(std::move(child)),
      protocol_(std::move(protocol)),
      context_(scheduler_->current_context()),
      note_(*this),
      source_(source) {
  scheduler_->add_reference();
}

ProcessLink::~ProcessLink() { scheduler_->release_reference(); }

void ProcessLink::start(EventLoop& loop, std::array<OwnedFd, 3>& ends, Future<> started) {
  started_ = std::move(started);
  child_->listen(this);
  add_reference();  // The child's.
  queue_note();     // Before those of the pipes.
  for (int fd = 0; fd < 3; ++fd) {
    const auto i = static_cast<std::size_t>(fd);
    if (!ends[i]) continue;
    const auto medium = fd == 0 ? Medium::write_pipe : Medium::read_pipe;
    const auto link =
        NetService::adopt<ProtocolLink>(loop, ends[i].release(), medium, source_, fd == 0);
    pipes_[i] = TransportRef<Transport>(*link);
    is_open_[i] = true;
    link->start(HeldProtocol(std::make_shared<PipeProtocol>(*this, fd)), {});
  }
}

// Callbacks ---------------------------------------------------------------------------

/// An error of the protocol's is told and ends nothing.
template <class Callback>
void ProcessLink::call(const char* name, Callback&& callback) {
  if (protocol_ == nullptr) return;
  const std::shared_ptr<SubprocessProtocol> protocol = protocol_;
  try {
    callback(*protocol);
  } catch (const BaseError&) {
    throw;
  } catch (...) {
    scheduler_->call_exception_handler(
        {std::string("Exception in callback SubprocessProtocol.") + name + "()",
         std::current_exception(),
         {},
         str(),
         source_});
  }
}

void ProcessLink::queue_note() noexcept {
  if (std::exchange(is_queued_, true)) return;
  add_reference();
  scheduler_->post(note_);
}

void ProcessLink::run_note() {
  const ContextEntry context(scheduler_->context_cell(), context_);
  if (!std::exchange(is_made_, true)) {
    call("connection_made", [this](SubprocessProtocol& p) { p.connection_made(*this); });
  }
  if (Future<> started = std::exchange(started_, {}); started && !started.done()) {
    started.set_result();
  }
  if (std::exchange(exit_due_, false)) {
    call("process_exited", [](SubprocessProtocol& p) { p.process_exited(); });
  }
  if (std::exchange(lost_due_, false)) {
    call("connection_lost", [](SubprocessProtocol& p) { p.connection_lost(nullptr); });
    protocol_ = nullptr;
    pipes_ = {};
  }
}

void ProcessLink::pipe_data(int fd, std::string_view data) {
  call("pipe_data_received", [&](SubprocessProtocol& p) { p.pipe_data_received(fd, data); });
}

void ProcessLink::pipe_lost(int fd, const std::exception_ptr& error) {
  struct Last {  // Also when a base error leaves.
    ProcessLink& link;
    int fd;
    ~Last() {
      link.is_open_[static_cast<std::size_t>(fd)] = false;
      link.finish_if_over();
    }
  } last{*this, fd};
  call("pipe_connection_lost", [&](SubprocessProtocol& p) { p.pipe_connection_lost(fd, error); });
}

void ProcessLink::pipe_flow(void (BaseProtocol::*callback)(), const char* name) {
  call(name, [&](SubprocessProtocol& p) { (p.*callback)(); });
}

void ProcessLink::pipe_dropped(int fd) noexcept { is_open_[static_cast<std::size_t>(fd)] = false; }

void ProcessLink::child_exited() noexcept {
  const StateRef<ProcessLink> self(this);  // The child's.
  exit_due_ = true;
  queue_note();
  finish_if_over();
}

void ProcessLink::loop_closed() noexcept {
  const StateRef<ProcessLink> self(this);
  closed_ = true;
  protocol_ = nullptr;
  pipes_ = {};
  started_ = {};
}

void ProcessLink::finish_if_over() noexcept {
  if (!child_->returncode() || protocol_ == nullptr) return;
  for (const bool is_open : is_open_) {
    if (is_open) return;
  }
  lost_due_ = true;
  closed_ = true;
  queue_note();
}

// The transport -----------------------------------------------------------------------

void ProcessLink::close() noexcept {
  if (std::exchange(closed_, true)) return;
  for (const auto& pipe : pipes_) {
    if (pipe) pipe->close();
  }
  child_->kill_quietly();
}

void ProcessLink::set_protocol(std::shared_ptr<BaseProtocol> protocol) {
  auto wanted = std::dynamic_pointer_cast<SubprocessProtocol>(std::move(protocol));
  if (wanted == nullptr) throw TypeError("set_protocol: this is no SubprocessProtocol");
  if (protocol_ != nullptr) protocol_ = std::move(wanted);
}

std::string ProcessLink::str() const {
  std::string text = "<SubprocessTransport pid=" + std::to_string(child_->pid());
  if (const auto code = child_->returncode()) {
    text += " returncode=" + std::to_string(*code);
  } else {
    text += " running";
  }
  return text + (closed_ ? " closed>" : ">");
}

Transport* ProcessLink::get_pipe_transport(int fd) const noexcept {
  return fd >= 0 && fd < 3 ? pipes_[static_cast<std::size_t>(fd)].get() : nullptr;
}

void ProcessLink::terminate() { child_->send_signal("terminate", SIGTERM); }
void ProcessLink::kill() { child_->send_signal("kill", SIGKILL); }

// Starting ------------------------------------------------------------------------------

namespace {

/// Closes the link unless it comes as far as `connection_made`.
Coroutine<StateRef<ProcessLink>> begin_link(EventLoop& loop, StateRef<ProcessLink> link,
                                            std::array<OwnedFd, 3> ends) {
  struct Close {
    ProcessLink* link;
    ~Close() {
      if (link != nullptr) link->close();
    }
  } close_unless{link.get()};
  Future<> started = loop.create_future<>();
  link->start(loop, ends, started);
  co_await std::move(started);
  close_unless.link = nullptr;
  co_return link;
}

Coroutine<TransportRef<SubprocessTransport>> start_link(
    EventLoop& loop, SpawnPlan plan, std::shared_ptr<SubprocessProtocol> protocol,
    std::source_location source) {
  std::array<OwnedFd, 3> ends;
  const StateRef<Child> child = Child::start(loop, plan, ends);
  auto link = StateRef<ProcessLink>(new ProcessLink(loop, child, std::move(protocol), source));
  auto beginning = outcome(begin_link(loop, std::move(link), std::move(ends)));
  auto begun = co_await std::move(beginning);
  if (!begun.has_value()) co_await child->exited();  // CAN-21: it was killed.
  co_return TransportRef<SubprocessTransport>(*begun.value());
}

}  // namespace

NewProcess::NewProcess(const char* call, std::vector<std::string> argv,
                       const SubprocessOptions& options)
    : plan_(std::make_unique<SpawnPlan>(call, std::move(argv), options, PIPE)),
      source_(options.source) {}
NewProcess::NewProcess(NewProcess&&) noexcept = default;
NewProcess::~NewProcess() = default;

Coroutine<TransportRef<SubprocessTransport>> NewProcess::start(
    EventLoop& loop, std::shared_ptr<SubprocessProtocol> protocol) && {
  return start_link(loop, std::move(*plan_), std::move(protocol), source_);
}

}  // namespace detail

SubprocessTransport::~SubprocessTransport() = default;

void SubprocessProtocol::connection_made(SubprocessTransport& /*transport*/) {}
void SubprocessProtocol::pipe_data_received(int /*fd*/, std::string_view /*data*/) {}
void SubprocessProtocol::pipe_connection_lost(int /*fd*/, std::exception_ptr /*error*/) {}
void SubprocessProtocol::process_exited() {}

}  // namespace aster::inline v0
