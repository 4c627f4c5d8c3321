// SPDX-License-Identifier: MIT
#pragma once

/// Which sanitizers this program was built with: for the few tests that what they
/// allocate, open or start themselves would disturb. Such a test skips, and says why.
namespace aster::support {

#if defined(__has_feature)
inline constexpr bool has_address_sanitizer = __has_feature(address_sanitizer);
inline constexpr bool has_thread_sanitizer = __has_feature(thread_sanitizer);
inline constexpr bool has_undefined_sanitizer = __has_feature(undefined_behavior_sanitizer);
#else  // g++ 12 does not tell of its undefined-behaviour sanitizer.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool has_address_sanitizer = true;
#else
inline constexpr bool has_address_sanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool has_thread_sanitizer = true;
#else
inline constexpr bool has_thread_sanitizer = false;
#endif
inline constexpr bool has_undefined_sanitizer = false;
#endif

}  // namespace aster::support
