// SPDX-License-Identifier: MIT
#pragma once

#include "process/child.hpp"

#include <aster/process/subprocess_protocol.hpp>
#include <aster/task/context_slot.hpp>
#include <aster/task/future.hpp>

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>

namespace aster::inline v0::detail {

/// A protocol's child: its pipes are ordinary transports with protocols of ours, which
/// pass on what comes; its exit comes from `Child`. Callbacks that follow from either are
/// made by one queued note, as a ProtocolLink does.
class ProcessLink final : public SubprocessTransport, private ChildListener {
 public:
  /// `child` runs already; `ends` are our ends of its pipes.
  ProcessLink(EventLoop& loop, StateRef<Child> child, std::shared_ptr<SubprocessProtocol> protocol,
              const std::source_location& source);
  ~ProcessLink() override;

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept { release(); }

  /// Queues `connection_made`, after which `started` is done and the pipes are read.
  void start(EventLoop& loop, std::array<OwnedFd, 3>& ends, Future<> started);
  [[nodiscard]] Child& child() const noexcept { return *child_; }

  void close() noexcept override;
  [[nodiscard]] bool is_closing() const noexcept override { return closed_; }
  [[nodiscard]] std::shared_ptr<BaseProtocol> get_protocol() const noexcept override {
    return protocol_;
  }
  void set_protocol(std::shared_ptr<BaseProtocol> protocol) override;
  [[nodiscard]] std::string str() const override;
  [[nodiscard]] int get_pid() const noexcept override { return child_->pid(); }
  [[nodiscard]] std::optional<int> get_returncode() const noexcept override {
    return child_->returncode();
  }
  [[nodiscard]] Transport* get_pipe_transport(int fd) const noexcept override;
  void send_signal(int number) override { child_->send_signal("send_signal", number); }
  void terminate() override;
  void kill() override;

  // For the protocols of its pipes -------------------------------------------------

  void pipe_data(int fd, std::string_view data);
  void pipe_lost(int fd, const std::exception_ptr& error);
  void pipe_flow(void (BaseProtocol::*callback)(), const char* name);
  /// The loop closes: a pipe's protocol goes without having been told.
  void pipe_dropped(int fd) noexcept;

 private:
  struct Note final : Runnable {
    explicit Note(ProcessLink& link) noexcept : Runnable(&ops), owner(link) {}
    static const RunnableOps ops;
    ProcessLink& owner;
  };

  void retain() noexcept override { ++references_; }
  void release() noexcept override {
    if (--references_ == 0) delete this;
  }
  void child_exited() noexcept override;
  void loop_closed() noexcept override;
  void queue_note() noexcept;
  void run_note();
  void finish_if_over() noexcept;
  template <class Callback>
  void call(const char* name, Callback&& callback);

  Scheduler* scheduler_;
  StateRef<Child> child_;
  std::shared_ptr<SubprocessProtocol> protocol_;  // Null once lost.
  ContextSlot context_;
  Future<> started_;
  std::array<TransportRef<Transport>, 3> pipes_;
  std::array<bool, 3> is_open_{};
  std::uint32_t references_ = 1;
  bool is_made_ = false;   // connection_made was called.
  bool exit_due_ = false;  // process_exited is to be called.
  bool lost_due_ = false;  // connection_lost is.
  bool is_queued_ = false;
  bool closed_ = false;
  Note note_;
  std::source_location source_;
};

}  // namespace aster::inline v0::detail
