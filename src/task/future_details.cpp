// SPDX-License-Identifier: MIT
#include <aster/task/future_details.hpp>

#include <algorithm>
#include <memory>
#include <new>

namespace aster::inline v0::detail {
namespace {

constexpr std::size_t fewest_places = 64;
constexpr std::size_t most_places = 8192;  // In one chunk.

}  // namespace

/// A place that was given back.
struct DetailsReserve::Free {
  Free* next;
};

/// Its places follow it.
struct alignas(FutureDetails) DetailsReserve::Chunk {
  Chunk* newer;
  std::size_t count;
  std::size_t touched;  // The first ones.

  [[nodiscard]] std::byte* place(std::size_t index) noexcept {
    return reinterpret_cast<std::byte*>(this + 1) + index * sizeof(FutureDetails);
  }
};

DetailsReserve::~DetailsReserve() {
  while (oldest_ != nullptr) {
    Chunk* chunk = oldest_;
    oldest_ = chunk->newer;
    ::operator delete(chunk);
  }
}

void DetailsReserve::add_places() {
  const std::size_t count = std::clamp(places_, fewest_places, most_places);
  void* memory = ::operator new(sizeof(Chunk) + count * sizeof(FutureDetails));
  auto* chunk = ::new (memory) Chunk{nullptr, count, 0};
  if (newest_ != nullptr) {
    newest_->newer = chunk;
  } else {
    oldest_ = chunk;
  }
  newest_ = chunk;
  if (filling_ == nullptr) filling_ = chunk;
  places_ += count;
}

FutureDetails& DetailsReserve::take(std::uintptr_t name) noexcept {
  void* place = free_;
  if (place != nullptr) {
    free_ = free_->next;
  } else {
    ASTER_ASSERT(filling_ != nullptr);
    place = filling_->place(filling_->touched);
    if (++filling_->touched == filling_->count) filling_ = filling_->newer;
  }
  return *::new (place) FutureDetails{name, nullptr, {}};
}

void DetailsReserve::give_back(FutureDetails& details) noexcept {
  std::destroy_at(&details);
  free_ = ::new (static_cast<void*>(&details)) Free{free_};
}

}  // namespace aster::inline v0::detail
