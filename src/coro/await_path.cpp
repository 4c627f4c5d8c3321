// SPDX-License-Identifier: MIT
// A few records a thread, found by the address of the exception object, without
// allocation: exceptions must also get through when there is no memory. An address
// may be used again by a later exception. So a record is continued only when the
// exception was thrown again by an await just before; else it begins anew.
#include "base/debug_text.hpp"

#include <aster/coro/await_path.hpp>

#include <array>
#include <cstddef>
#include <cstring>

namespace aster::inline v0 {
namespace {

constexpr std::size_t kept = 8;
constexpr std::size_t sites_max = 16;

struct Record {
  const void* object;
  std::size_t count;
  std::array<std::source_location, sites_max> sites;
};

struct Records {
  std::array<Record, kept> all;
  std::size_t next;          // The one to be used for the next exception.
  const void* thrown_again;  // By the last await that failed.
};

constinit thread_local Records records{};

const void* object_of(const std::exception_ptr& error) noexcept {
  static_assert(sizeof(std::exception_ptr) == sizeof(void*));
  const void* object = nullptr;
  std::memcpy(static_cast<void*>(&object), static_cast<const void*>(&error), sizeof object);
  return object;
}

Record* find(const void* object) noexcept {
  for (Record& record : records.all) {
    if (record.object == object && object != nullptr) return &record;
  }
  return nullptr;
}

}  // namespace

void detail::note_made(const std::exception_ptr& error) noexcept {
  if (Record* record = find(object_of(error))) *record = Record{};
}

void detail::note_rethrow(const std::exception_ptr& error) noexcept {
  records.thrown_again = object_of(error);
}

void detail::note_left(const std::exception_ptr& error, const std::source_location& site) noexcept {
  const void* object = object_of(error);
  Record* record = find(object);
  const bool goes_on = records.thrown_again == object;
  if (record == nullptr) {
    record = &records.all[records.next];
    records.next = (records.next + 1) % kept;
    *record = Record{object, 0, {}};
  } else if (!goes_on) {
    record->count = 0;
  }
  if (goes_on && record->count < sites_max) record->sites[record->count++] = site;
  records.thrown_again = nullptr;  // The next await says so again, or this is another.
}

std::vector<std::source_location> await_path(const std::exception_ptr& error) {
  const Record* record = find(object_of(error));
  if (record == nullptr) return {};
  return {record->sites.begin(),
          record->sites.begin() + static_cast<std::ptrdiff_t>(record->count)};
}

std::string format_await_path(const std::exception_ptr& error) {
  std::string text;
  for (const std::source_location& site : await_path(error)) {
    if (!text.empty()) text += ", ";
    text += detail::short_place(site);
  }
  return text;
}

}  // namespace aster::inline v0
