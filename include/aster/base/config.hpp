// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/build_options.hpp>

#include <cstddef>  // And __GLIBC__.

#if defined(_WIN32)
#if defined(ASTER_EXPORTS)
#define ASTER_API __declspec(dllexport)
#elif ASTER_SHARED
#define ASTER_API __declspec(dllimport)
#else
#define ASTER_API
#endif
#else
#define ASTER_API __attribute__((visibility("default")))
#endif

// For thread-local pointers of the library that inline functions read. One is so small
// that the C library has room for it even in a library that is loaded late, and with
// this it takes no call to find it.
#if defined(__GLIBC__)
#define ASTER_THREAD_POINTER [[gnu::tls_model("initial-exec")]]
#else
#define ASTER_THREAD_POINTER
#endif

namespace aster {
/// The version of the binary interface; every name of the library sits in it.
inline namespace v0 {
namespace detail {
[[noreturn]] ASTER_API void assert_failed(const char* condition, const char* file,
                                          int line) noexcept;
}  // namespace detail
}  // namespace v0
}  // namespace aster

/// Checks an invariant of the library itself, in every build: a false one ends
/// the process with its text and place rather than corrupting a user's data.
#define ASTER_ASSERT(condition)       \
  ((condition) ? static_cast<void>(0) \
               : ::aster::detail::assert_failed(#condition, __FILE__, __LINE__))

/// The same for what users can break: `advice`, a string literal, says what to do.
#define ASTER_REQUIRE(condition, advice) \
  ((condition) ? static_cast<void>(0)    \
               : ::aster::detail::assert_failed(#condition " (" advice ")", __FILE__, __LINE__))
