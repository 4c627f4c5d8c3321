# SPDX-License-Identifier: MIT
# Shared by scripts/test, scripts/demo and .ci/run; sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What a build and a test run need, and what the full matrix needs on top.
BUILD_PACKAGES=(g++ cmake make ninja-build ccache python3 pkg-config libssl-dev)
TEST_PACKAGES=("${BUILD_PACKAGES[@]}" libgtest-dev libgmock-dev curl nginx-light openssl gnutls-bin)
CLANG_PACKAGES=(clang-19 libclang-rt-19-dev)
CI_PACKAGES=("${TEST_PACKAGES[@]}" "${CLANG_PACKAGES[@]}" clang-format-19 clang-tidy-19)

fail() {
  echo "aster: $*" >&2
  exit 1
}

# quietly LOG COMMAND...: shows the command's output only when it fails.
quietly() {
  local log=$1 status=0
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 200 "$log" >&2
    echo "aster: failed ($status): $*" >&2
    echo "aster: the whole output is in ${log#"$ROOT"/}" >&2
  fi
  return "$status"
}

# install_packages PACKAGE...: installs those that are missing, with apt-get.
install_packages() {
  local missing=() package
  if ! command -v dpkg >/dev/null; then
    return 0 # Not Debian: CMake says what it misses.
  fi
  for package in "$@"; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$'; then
      missing+=("$package")
    fi
  done
  if [ ${#missing[@]} -eq 0 ]; then
    return 0
  fi
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "please install: ${missing[*]}"
    sudo=(sudo)
  fi
  echo "aster: installing ${missing[*]}"
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
  local install=("${apt[@]}" install -y --no-install-recommends "${missing[@]}")
  mkdir -p "$ROOT/build"
  if ! "${install[@]}" >"$ROOT/build/apt.log" 2>&1; then
    quietly "$ROOT/build/apt.log" "${apt[@]}" update || return
    quietly "$ROOT/build/apt.log" "${install[@]}"
  fi
}

# configure DIRECTORY ARGUMENT...: a configured directory keeps its generator;
# a new one gets Ninja where there is one, else make.
configure() {
  local directory=$1 generator=(-G "Unix Makefiles")
  shift
  if [ -f "$directory/CMakeCache.txt" ]; then
    generator=(-G "$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$directory/CMakeCache.txt")")
  elif command -v ninja >/dev/null; then
    generator=(-G Ninja)
  fi
  quietly "$directory/configure.log" cmake -S "$ROOT" -B "$directory" "${generator[@]}" "$@"
}

# build DIRECTORY [TARGET...]
build() {
  local directory=$1 targets=()
  shift
  if [ $# -gt 0 ]; then
    targets=(--target "$@")
  fi
  quietly "$directory/build.log" cmake --build "$directory" --parallel "$(nproc)" "${targets[@]}"
}

# run_ctest DIRECTORY ARGUMENT...: prints ctest's closing lines, and whatever
# did not pass. Sets TEST_COUNT.
run_ctest() {
  local directory=$1 log=$1/ctest.log status=0
  shift
  ctest --test-dir "$directory" -j2 --output-on-failure --no-tests=error "$@" >"$log" 2>&1 ||
    status=$?
  if [ "$status" -ne 0 ]; then
    grep -Ev '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed |^ +Start +[0-9]+: ' "$log" >&2 || true
    return "$status"
  fi
  grep -E '^100% tests passed' "$log"
  TEST_COUNT=$(sed -n 's/^100% tests passed.* out of \([0-9]*\)$/\1/p' "$log")
}

# ccache finds the same file in another check-out.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$ROOT} CCACHE_NOHASHDIR=1

export ASAN_OPTIONS=${ASAN_OPTIONS:-check_initialization_order=1:strict_init_order=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-second_deadlock_stack=1}
