// SPDX-License-Identifier: MIT
// Programs and libraries lie at random addresses, so a function travels as its object and its
// offset there. The object's build id, which the linker puts into it, tells another version of
// the file; a digest of the program headers stands in where there is none.
#include <aster/base/error.hpp>
#include <aster/executor/remote_call.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include <dlfcn.h>
#include <link.h>

namespace aster::inline v0::detail {
namespace {

std::string hexadecimal(const unsigned char* bytes, std::size_t size) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += digits[bytes[i] >> 4U];
    text += digits[bytes[i] & 15U];
  }
  return text;
}

const unsigned char* in_memory(const dl_phdr_info& object, const ElfW(Phdr) & part) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the linker tells numbers.
  return reinterpret_cast<const unsigned char*>(object.dlpi_addr + part.p_vaddr);
}

std::size_t padded(std::size_t size) { return (size + 3) / 4 * 4; }

std::string build_id_of(const dl_phdr_info& object) {
  std::uint64_t digest = 14695981039346656037U;  // FNV-1a.
  const auto* headers = reinterpret_cast<const unsigned char*>(object.dlpi_phdr);
  for (std::size_t i = 0; i < object.dlpi_phnum * sizeof(ElfW(Phdr)); ++i) {
    digest = (digest ^ headers[i]) * 1099511628211U;
  }
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object.dlpi_phdr[i];
    if (part.p_type != PT_NOTE) continue;
    const unsigned char* notes = in_memory(object, part);
    for (std::size_t at = 0; at + sizeof(ElfW(Nhdr)) <= part.p_memsz;) {
      ElfW(Nhdr) note;
      std::memcpy(&note, notes + at, sizeof note);
      const std::size_t name = at + sizeof note;
      const std::size_t content = name + padded(note.n_namesz);
      at = content + padded(note.n_descsz);
      if (at > part.p_memsz) break;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
          std::memcmp(notes + name, "GNU", 4) == 0) {
        return hexadecimal(notes + content, note.n_descsz);
      }
    }
  }
  char text[32];
  std::snprintf(text, sizeof text, "headers-%016llx", static_cast<unsigned long long>(digest));
  return text;
}

bool holds(const dl_phdr_info& object, std::uintptr_t address) {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object.dlpi_phdr[i];
    if (part.p_type == PT_LOAD && address - object.dlpi_addr - part.p_vaddr < part.p_memsz) {
      return true;
    }
  }
  return false;
}

/// Calls `visit(object, is_program)` for each loaded object until it gives true.
template <class Visit>
bool any_object(Visit visit) {
  struct State {
    Visit& visit;
    bool is_first;
    std::exception_ptr error;
  } state{visit, true, nullptr};
  const int found = ::dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* data) noexcept {
        auto& each = *static_cast<State*>(data);
        try {
          return each.visit(*object, std::exchange(each.is_first, false)) ? 1 : 0;
        } catch (...) {
          each.error = std::current_exception();
          return 1;
        }
      },
      &state);
  if (state.error) std::rethrow_exception(state.error);
  return found != 0;
}

/// An object of this process.
struct Found {
  std::uintptr_t base;
  std::string build_id;
};

std::optional<Found> find_object(const std::string& path) {
  std::optional<Found> found;
  any_object([&](const dl_phdr_info& object, bool is_program) {
    if (is_program ? !path.empty() : path != object.dlpi_name) return false;
    found = Found{object.dlpi_addr, build_id_of(object)};
    return true;
  });
  return found;
}

}  // namespace

FunctionPlace place_of(const void* function) {
  const auto address = reinterpret_cast<std::uintptr_t>(function);
  FunctionPlace place;
  const bool found = any_object([&](const dl_phdr_info& object, bool is_program) {
    if (!holds(object, address)) return false;
    if (!is_program) place.object = object.dlpi_name;
    place.build_id = build_id_of(object);
    place.offset = address - object.dlpi_addr;
    return true;
  });
  if (!found) {
    char text[32];
    std::snprintf(text, sizeof text, "%p", function);
    throw RuntimeError("ProcessPoolExecutor: the function at " + std::string(text) +
                       " lies in no file of this program");
  }
  return place;
}

const void* function_at(const FunctionPlace& place) {
  static thread_local std::string last_object = "\n";  // No path.
  static thread_local Found last{};
  if (place.object != last_object) {
    std::optional<Found> found = find_object(place.object);
    if (!found && ::dlopen(place.object.c_str(), RTLD_NOW) != nullptr) {
      found = find_object(place.object);
    }
    if (!found) {
      const char* why = ::dlerror();
      throw RuntimeError("ProcessPoolExecutor: a worker cannot load " + place.object + ": " +
                         (why != nullptr ? why : "it has another path there"));
    }
    last_object = place.object;
    last = *std::move(found);
  }
  if (last.build_id != place.build_id) {
    throw RuntimeError("ProcessPoolExecutor: " +
                       (place.object.empty() ? std::string("the program") : place.object) +
                       " has changed since it was loaded: build id " + place.build_id + " here, " +
                       last.build_id + " in the worker");
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the linker tells numbers.
  return reinterpret_cast<const void*>(last.base + place.offset);
}

}  // namespace aster::inline v0::detail
