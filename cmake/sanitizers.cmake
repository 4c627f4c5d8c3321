# SPDX-License-Identifier: MIT

# A sanitizer must see the whole program, so its flags go to every target of the
# build: library, tests, examples and benchmarks.
if(ASTER_SANITIZE)
  if(MSVC)
    message(FATAL_ERROR "ASTER_SANITIZE is for GCC and Clang")
  endif()
  add_compile_options(-fsanitize=${ASTER_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${ASTER_SANITIZE})
  if(ASTER_SANITIZE MATCHES "undefined")
    # A report is a failure, not a line in a log.
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
