// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace aster::inline v0::detail {

/// A callable and its arguments, kept alive by the task that runs it.
class ASTER_API HeldCallable {
 public:
  HeldCallable() noexcept = default;
  HeldCallable(const HeldCallable&) = delete;
  HeldCallable& operator=(const HeldCallable&) = delete;
  virtual void destroy() noexcept = 0;

 protected:
  ~HeldCallable() = default;
};

/// What few futures and tasks have, apart from them, as many wait at a time.
struct FutureDetails {
  std::uintptr_t name;  // Odd: twice a task's number and one. Even: a string, owned by the task.
  HeldCallable* held = nullptr;  // Destroyed when the task ends.
  std::string message;           // Of a cancellation not yet delivered.
};

/// Details for every future of a loop, made before they are needed, as `cancel` may not
/// allocate. What nobody has needed yet is untouched: the system gives it no memory.
class ASTER_API DetailsReserve {
 public:
  DetailsReserve() noexcept = default;
  DetailsReserve(const DetailsReserve&) = delete;
  DetailsReserve& operator=(const DetailsReserve&) = delete;
  ~DetailsReserve();

  /// From here on `take` works once more. Throws `std::bad_alloc`.
  void add_future() {
    if (futures_ == places_) [[unlikely]]
      add_places();
    ++futures_;
  }
  /// The counterpart of `add_future`, when what was taken has been given back; how many
  /// futures remain.
  std::size_t remove_future() noexcept { return --futures_; }
  [[nodiscard]] std::size_t future_count() const noexcept { return futures_; }

  /// At most once for each future.
  [[nodiscard]] FutureDetails& take(std::uintptr_t name) noexcept;
  void give_back(FutureDetails& details) noexcept;

 private:
  struct Free;
  struct Chunk;
  void add_places();

  std::size_t futures_ = 0;
  std::size_t places_ = 0;  // In all chunks; never fewer than futures.
  Free* free_ = nullptr;    // Places that were given back.
  Chunk* oldest_ = nullptr;
  Chunk* filling_ = nullptr;  // The oldest with untouched places; null: all are touched.
  Chunk* newest_ = nullptr;
};

}  // namespace aster::inline v0::detail
