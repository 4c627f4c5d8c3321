# SPDX-License-Identifier: MIT

# Warnings for our own code; never part of what a consumer inherits.
function(aster_warnings target)
  if(MSVC)
    target_compile_options(${target} PRIVATE /W4)
    if(ASTER_WERROR)
      target_compile_options(${target} PRIVATE /WX)
    endif()
    return()
  endif()
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # False for `"text" + std::string` at -O2 (GCC bug 105651).
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  if(ASTER_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()
