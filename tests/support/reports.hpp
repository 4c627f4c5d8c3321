// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/error.hpp>
#include <aster/base/log.hpp>
#include <aster/loop/event_loop.hpp>

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace aster::support {

/// What a loop's exception handler was told, while this lives.
class Reports {
 public:
  explicit Reports(EventLoop& loop) {
    loop.set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
      messages.push_back(context.message);
      errors.push_back(context.exception != nullptr ? describe(context.exception) : "");
      contexts.push_back(context);
    });
  }
  Reports(const Reports&) = delete;
  Reports& operator=(const Reports&) = delete;

  [[nodiscard]] bool empty() const { return messages.empty(); }

  std::vector<std::string> messages;
  std::vector<std::string> errors;  // As `describe` says; empty when there is none.
  std::vector<ExceptionContext> contexts;
};

/// What went to the logging hook from any thread, while this lives; one at a time.
class Logged {
 public:
  Logged() {
    kept().clear();
    set_log_hook([](LogLevel, std::string_view text) noexcept {
      const std::scoped_lock lock(mutex());
      kept().emplace_back(text);
    });
  }
  Logged(const Logged&) = delete;
  Logged& operator=(const Logged&) = delete;
  ~Logged() { set_log_hook(nullptr); }

  [[nodiscard]] std::vector<std::string> lines() const {
    const std::scoped_lock lock(mutex());
    return kept();
  }
  [[nodiscard]] std::string text() const {
    std::string all;
    for (const std::string& line : lines()) all += line + "\n";
    return all;
  }
  [[nodiscard]] bool contains(std::string_view part) const {
    return text().find(part) != std::string::npos;
  }

 private:
  static std::vector<std::string>& kept() {
    static std::vector<std::string> instance;
    return instance;
  }
  static std::mutex& mutex() {
    static std::mutex instance;
    return instance;
  }
};

}  // namespace aster::support
