// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/error.hpp>

#include <exception>
#include <string>
#include <utility>

// What the scenarios of generators note; `text_of` in ex_generators.py is the same.
namespace aster::conformance {

struct KeyError {};

inline std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const StopIteration& stop) {
    const std::string value = stop.has_value() ? stop.value<std::string>() : "";
    return value.empty() ? "stop" : "stop(" + value + ")";
  } catch (const StopAsyncIteration&) {
    return "end";
  } catch (const GeneratorExit&) {
    return "GeneratorExit";
  } catch (const CancelledError&) {
    return "cancelled";
  } catch (const KeyError&) {
    return "KeyError";
  } catch (const TypeError&) {
    return "TypeError";
  } catch (const ValueError& failure) {
    return "ValueError(" + std::string(failure.what()) + ")";
  } catch (const RuntimeError& failure) {
    return "RuntimeError(" + std::string(failure.what()) + ")";
  }
}

inline bool is_value_error(const std::exception_ptr& error) {
  return text_of(error).starts_with("ValueError");
}

/// Python's `finally`.
template <class F>
class Finally {
 public:
  explicit Finally(F& function) : function_(function) {}
  Finally(const Finally&) = delete;
  Finally& operator=(const Finally&) = delete;
  ~Finally() { function_(); }

 private:
  F& function_;
};

}  // namespace aster::conformance
