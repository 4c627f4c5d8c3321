// SPDX-License-Identifier: MIT
#include <aster/coro/promise.hpp>
#include <aster/introspect/call_graph.hpp>
#include <aster/task/scheduler.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <string_view>
#include <unordered_map>

#include "introspect/awaiters.hpp"

namespace aster::inline v0 {
namespace detail {

/// The graph, flat: however long a chain, nothing here recurses, its destruction included.
struct CallGraphNodes {
  struct Node {
    explicit Node(FutureBase& about) noexcept : future(StateRef<FutureBase>::share(about)) {}
    StateRef<FutureBase> future;
    std::vector<FrameCallGraphEntry> stack;  // Innermost first.
    std::vector<std::size_t> awaited_by;
  };
  std::vector<Node> nodes;
};

namespace {

using Stack = std::vector<FrameCallGraphEntry>;

void apply_limit(Stack& stack, std::optional<int> limit) {
  if (!limit) return;
  const std::size_t kept =
      std::min(stack.size(), static_cast<std::size_t>(std::abs(static_cast<long>(*limit))));
  const auto count = static_cast<std::ptrdiff_t>(kept);
  if (*limit >= 0) {
    stack.erase(stack.begin() + count, stack.end());
  } else {
    stack.erase(stack.begin(), stack.end() - count);
  }
}

Stack stack_from(const PromiseBase* frame) {
  Stack stack;
  for (; frame != nullptr; frame = frame->caller()) {
    if (frame->await_site().line() != 0) stack.push_back({frame->await_site()});
  }
  return stack;
}

/// That of the task which asks: begins with the call, which may be in a function that its
/// innermost coroutine has called.
Stack stack_of_current(const TaskBase& task, const CallGraphOptions& options) {
  const PromiseBase* frame = task.innermost();
  Stack stack;
  const bool has_awaited = frame != nullptr && frame->await_site().line() != 0;
  if (has_awaited &&
      std::strcmp(frame->await_site().function_name(), options.here.function_name()) != 0) {
    stack.push_back({options.here, false});
  } else {
    stack.push_back({options.here, true});
    frame = frame != nullptr ? frame->caller() : nullptr;
  }
  Stack rest = stack_from(frame);
  stack.insert(stack.end(), rest.begin(), rest.end());
  const auto skipped = static_cast<std::size_t>(std::max(options.depth, 1) - 1);
  stack.erase(stack.begin(),
              stack.begin() + static_cast<std::ptrdiff_t>(std::min(skipped, stack.size())));
  return stack;
}

class Builder {
 public:
  explicit Builder(const CallGraphOptions& options) : options_(options) {}

  FutureCallGraph build(FutureBase& root) {
    index_of(root);
    for (std::size_t i = 0; i < nodes_->nodes.size(); ++i) {
      FutureBase& future = *nodes_->nodes[i].future;
      if (options_.limit != 0) nodes_->nodes[i].stack = stack_of(future);
      std::vector<std::size_t> above;
      for (TaskBase* task : awaiters_of(future)) above.push_back(index_of(*task));
      nodes_->nodes[i].awaited_by = std::move(above);
    }
    return {std::move(nodes_), 0};
  }

 private:
  std::size_t index_of(FutureBase& future) {
    const auto [found, is_new] = indices_.try_emplace(&future, nodes_->nodes.size());
    if (is_new) nodes_->nodes.emplace_back(future);
    return found->second;
  }

  [[nodiscard]] Stack stack_of(FutureBase& future) const {
    TaskBase* task = future.as_task();
    if (task == nullptr || task->is_done()) return {};
    const Scheduler* running = running_scheduler();
    const bool is_current = running != nullptr && running->current() == static_cast<Driver*>(task);
    Stack stack = is_current ? stack_of_current(*task, options_) : stack_from(task->innermost());
    apply_limit(stack, options_.limit);
    return stack;
  }

  const CallGraphOptions& options_;
  std::shared_ptr<CallGraphNodes> nodes_ = std::make_shared<CallGraphNodes>();
  std::unordered_map<const FutureBase*, std::size_t> indices_;
};

/// Writes a graph, which as text is a tree, depth first.
class Writer {
 public:
  explicit Writer(const std::vector<CallGraphNodes::Node>& nodes)
      : nodes_(nodes), is_open_(nodes.size(), false) {}

  std::string run(std::size_t root) {
    enter(root);
    while (!open_.empty()) {
      Place& place = open_.back();
      const std::vector<std::size_t>& above = nodes_[place.node].awaited_by;
      if (place.next == above.size()) {
        is_open_[place.node] = false;
        open_.pop_back();
      } else if (written_ == most_written) {
        line("* ... and more");
        break;
      } else {
        enter(above[place.next++]);
      }
    }
    text_.pop_back();  // The last newline.
    return std::move(text_);
  }

 private:
  static constexpr std::size_t deepest = 100;
  static constexpr std::size_t most_written = 10'000;
  struct Place {
    std::size_t node;
    std::size_t next;  // Of those who await it.
  };

  void line(std::string_view text) {
    text_.append(4 * open_.size(), ' ');
    text_ += text;
    text_ += '\n';
  }

  static std::string hex(std::uintptr_t number) {
    std::array<char, 2 * sizeof number> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), number, 16).ptr;
    return "0x" + std::string(digits.begin(), end);
  }
  static std::string heading(FutureBase& future) {
    const std::string id = "id=" + hex(reinterpret_cast<std::uintptr_t>(&future)) + ")";
    TaskBase* task = future.as_task();
    return task != nullptr ? "* Task(name='" + task->name() + "', " + id : "* Future(" + id;
  }
  static std::string text_of(const FrameCallGraphEntry& entry) {
    return std::string("  |   File '") + entry.frame.file_name() + "', line " +
           std::to_string(entry.frame.line()) + ", in " + (entry.is_coroutine ? "async " : "") +
           entry.function() + "()";
  }

  void enter(std::size_t index) {
    const CallGraphNodes::Node& node = nodes_[index];
    if (open_.size() == deepest) {
      line("* ... and further up");
      return;
    }
    ++written_;
    if (is_open_[index]) {
      line(heading(*node.future) + " ... awaits itself");
      return;
    }
    line(heading(*node.future));
    if (!node.stack.empty()) line("  + Call stack:");
    for (const FrameCallGraphEntry& entry : node.stack) line(text_of(entry));
    if (node.awaited_by.empty()) return;
    line("  + Awaited by:");
    is_open_[index] = true;
    open_.push_back({index, 0});
  }

  const std::vector<CallGraphNodes::Node>& nodes_;
  std::vector<bool> is_open_;
  std::vector<Place> open_;  // The way down to where we are.
  std::size_t written_ = 0;
  std::string text_;
};

}  // namespace

std::optional<FutureCallGraph> capture_current(const CallGraphOptions& options) {
  Driver* driver = require_running("capture_call_graph").current();
  TaskBase* task = driver != nullptr ? driver->task() : nullptr;
  if (task == nullptr) return std::nullopt;
  return capture_of(*task, options);
}

FutureCallGraph capture_of(FutureBase& future, const CallGraphOptions& options) {
  future.scheduler().check_thread("capture_call_graph");
  return Builder(options).build(future);
}

void print_text(std::string text, std::ostream* out) {
  text += "\n";
  if (out != nullptr) {
    *out << text;
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
}

}  // namespace detail

AnyTask FutureCallGraph::task() const {
  const auto& future = nodes_->nodes[node_].future;
  return future->is_task() ? detail::Access::make<AnyTask>(future) : AnyTask();
}

std::uintptr_t FutureCallGraph::id() const noexcept {
  return reinterpret_cast<std::uintptr_t>(nodes_->nodes[node_].future.get());
}

const std::vector<FrameCallGraphEntry>& FutureCallGraph::call_stack() const noexcept {
  return nodes_->nodes[node_].stack;
}

std::vector<FutureCallGraph> FutureCallGraph::awaited_by() const {
  std::vector<FutureCallGraph> graphs;
  for (const std::size_t index : nodes_->nodes[node_].awaited_by) {
    graphs.emplace_back(nodes_, index);
  }
  return graphs;
}

std::string to_string(const FutureCallGraph& graph) {
  return detail::Writer(graph.nodes_->nodes).run(graph.node_);
}

}  // namespace aster::inline v0
