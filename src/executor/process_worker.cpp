// SPDX-License-Identifier: MIT
// A worker is the program itself, started anew: the library's hook below finds the variable in
// its environment, and the process never comes to `main`.
//
// The functions to be called may use globals with constructors. So work begins behind the last
// initialiser of the program: the hook, which is an initialiser itself, replaces the last entry
// of the program's list of them (DT_INIT_ARRAY) by one that calls the original and then works.
// That page is read-only by then, so it is made writable for the moment.
#include "executor/process_worker.hpp"

#include <aster/base/error.hpp>
#include <aster/executor/remote_call.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

namespace aster::inline v0::detail::worker {

namespace {

constinit bool hook_has_run = false;
constinit bool is_to_work = false;  // A worker that has not begun to.

// Messages ------------------------------------------------------------------------

[[noreturn]] void leave(int status) {
  std::exit(status);  // As a program ends: buffers are written, static objects destroyed.
}

/// False at the end of the stream.
bool receive(void* data, std::size_t size) {
  auto* at = static_cast<char*>(data);
  while (size != 0) {
    const ssize_t count = ::recv(socket_fd, at, size, MSG_WAITALL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

void send(std::string_view message) {
  MessageSize size = message.size();
  iovec pieces[2] = {{&size, sizeof size}, {const_cast<char*>(message.data()), message.size()}};
  msghdr header{};
  header.msg_iov = pieces;
  header.msg_iovlen = 2;
  while (header.msg_iovlen != 0) {
    const ssize_t count = ::sendmsg(socket_fd, &header, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) leave(0);  // Nobody wants it any more.
    auto left = static_cast<std::size_t>(count);
    while (header.msg_iovlen != 0 && left >= header.msg_iov->iov_len) {
      left -= header.msg_iov->iov_len;
      ++header.msg_iov;
      --header.msg_iovlen;
    }
    if (header.msg_iovlen == 0) break;
    header.msg_iov->iov_base = static_cast<char*>(header.msg_iov->iov_base) + left;
    header.msg_iov->iov_len -= left;
  }
}

/// Keeps its memory from one message to the next, unless that was uncommonly large.
class Message {
 public:
  [[nodiscard]] bool receive() {
    if (!worker::receive(&size_, sizeof size_)) return false;
    if (size_ > room_) {
      data_.reset();
      data_ = std::make_unique_for_overwrite<char[]>(size_);
      room_ = size_;
    }
    return worker::receive(data_.get(), size_);
  }
  [[nodiscard]] std::string_view bytes() const { return {data_.get(), size_}; }
  void drop() {
    constexpr std::size_t kept_max = std::size_t{4} << 20U;
    if (room_ <= kept_max) return;
    data_.reset();
    room_ = 0;
  }

 private:
  std::unique_ptr<char[]> data_;
  MessageSize size_ = 0;
  std::size_t room_ = 0;
};

// Calls ---------------------------------------------------------------------------

std::string answer_to(const Message& request) {
  Encoder out;
  try {
    out(true);
    Decoder in(request.bytes());
    if (in.left() != 0) {
      const auto place = in.get<FunctionPlace>();
      // NOLINTNEXTLINE(performance-no-int-to-ptr): found as an address.
      reinterpret_cast<RemoteEntry>(reinterpret_cast<std::uintptr_t>(function_at(place)))(in, out);
    }
    return std::move(out).take();
  } catch (...) {
    Encoder failed;
    failed(false);
    encode_error(failed, std::current_exception());
    return std::move(failed).take();
  }
}

[[noreturn]] void work() {
  is_to_work = false;
  Message request;
  while (request.receive()) {
    const std::string answer = answer_to(request);
    request.drop();
    // What the job has printed comes before its result.
    std::cout.flush();
    std::fflush(stdout);
    send(answer);
  }
  leave(0);
}

/// False when this process is no worker, whatever its environment says.
bool become_worker(const char* text) {
  int fd = -1;
  long parent = 0;
  struct stat status{};
  if (std::sscanf(text, "%d %ld", &fd, &parent) != 2 || fd != socket_fd) return false;
  if (::fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  is_to_work = true;
  ::unsetenv(variable);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  std::signal(SIGINT, SIG_IGN);  // Ctrl-C is for the parent, which then ends its workers.
#if defined(__linux__)
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  if (::getppid() != parent) ::_exit(cannot_begin_status);  // It has ended already.
  return true;
}

// The hook ------------------------------------------------------------------------

using Initialiser = void (*)(int, char**, char**);

constinit Initialiser last_initialiser = nullptr;

void last_then_work(int argc, char** argv, char** environment) {
  last_initialiser(argc, argv, environment);
  work();
}

/// The end of the program's list of initialisers; null when it has none.
Initialiser* initialisers_end() {
  Initialiser* end = nullptr;
  ::dl_iterate_phdr(
      [](dl_phdr_info* program, std::size_t, void* data) {
        for (int i = 0; i < program->dlpi_phnum; ++i) {
          const ElfW(Phdr)& part = program->dlpi_phdr[i];
          if (part.p_type != PT_DYNAMIC) continue;
          // NOLINTNEXTLINE(performance-no-int-to-ptr): the linker tells numbers.
          const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(program->dlpi_addr + part.p_vaddr);
          std::uintptr_t address = 0;
          std::size_t size = 0;
          for (; entry->d_tag != DT_NULL; ++entry) {
            if (entry->d_tag == DT_INIT_ARRAY) address = program->dlpi_addr + entry->d_un.d_ptr;
            if (entry->d_tag == DT_INIT_ARRAYSZ) size = entry->d_un.d_val;
          }
          if (address != 0 && size != 0) {
            // NOLINTNEXTLINE(performance-no-int-to-ptr): the same.
            *static_cast<Initialiser**>(data) = reinterpret_cast<Initialiser*>(address + size);
          }
        }
        return 1;  // The first object is the program.
      },
      static_cast<void*>(&end));
  return end;
}

[[gnu::constructor]] void begin_if_worker(int, char**, char**) {
  hook_has_run = true;
  // A program with more rights than its user must not be told from outside what to call.
  const char* text = ::secure_getenv(variable);
  if (text == nullptr || !become_worker(text)) return;
  Initialiser* const end = initialisers_end();
  if (end == nullptr || end[-1] == &begin_if_worker) work();  // There is none behind this one.
  const auto page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto* page =
      // NOLINTNEXTLINE(performance-no-int-to-ptr): rounded down.
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(end - 1) & ~(page_size - 1));
  if (::mprotect(page, page_size, PROT_READ | PROT_WRITE) != 0) {
    std::fprintf(stderr, "aster: a worker process cannot begin: mprotect: %s\n",
                 std::strerror(errno));
    ::_exit(cannot_begin_status);
  }
  last_initialiser = std::exchange(end[-1], &last_then_work);
}

}  // namespace

void require_hook() {
  if (hook_has_run && !is_to_work && std::getenv(variable) == nullptr) return;
  throw RuntimeError(
      "ProcessPoolExecutor: a worker of this program would come to main: link aster to the "
      "program itself, not only to what it loads later");
}

}  // namespace aster::inline v0::detail::worker
