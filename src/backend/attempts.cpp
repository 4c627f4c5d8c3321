// SPDX-License-Identifier: MIT
//
// What an attempt is, and what it teaches
//
// An attempt makes the call that an operation stands for, on a descriptor that does not
// block. Either the operation is over, or the kernel said EAGAIN, and another attempt is
// worth while once the descriptor is ready. Both tell something about the descriptor.
//
// What is remembered. `maybe_readable` and `maybe_writable` say whether a try is
// worth while. They start true, become false when the kernel said EAGAIN, and true
// again with the next event. While one is false `submit` waits without a try. An
// edge-triggered facility reports a change only once, so events are noted also
// when no operation waits. A flag that is false before the facility knows the
// descriptor is right too: registering reports its present state.
//
// Short reads. A recv that gives fewer bytes than asked has emptied the socket: the
// flag falls without a second recv to see EAGAIN. On level-triggered facilities that
// is always safe, as what is left is reported again. On edge-triggered ones it is
// not when
//   - the socket keeps message borders (datagrams): so the rule is for TCP, and for
//     AF_UNIX streams, where a recv stops at passed descriptors only, and says so
//     when it is made as a recvmsg;
//   - the end of the stream or an error has been reported together with the data:
//     the event was the last one. `short_read_proves_nothing` then keeps the flag
//     up until a recv says EAGAIN;
//   - out-of-band data has arrived, at which a recv stops: the same.
// A send that took fewer bytes than given has filled the socket, and the kernel
// reports when there is room again, on all facilities.
#include "backend/attempts.hpp"

namespace aster::inline v0::detail {

// Tries an operation; true: it is over.
bool Attempts::attempt(Known& known, Operation& operation) noexcept {
  switch (operation.kind) {
    case Operation::Kind::accept:
      return attempt_accept(known, operation);
    case Operation::Kind::connect:
      return known.has(Known::is_connecting) ? finish_connect(known, operation)
                                             : attempt_connect(known, operation);
    case Operation::Kind::recv:
      return attempt_recv(known, operation);
    case Operation::Kind::send:
      return attempt_send(known, operation);
    case Operation::Kind::poll_in:
    case Operation::Kind::poll_out:
      return attempt_poll(known, operation);
    case Operation::Kind::recv_from:
      return attempt_recv_from(known, operation);
    case Operation::Kind::send_to:
      return attempt_send_to(known, operation);
    case Operation::Kind::read:
      return attempt_read(known, operation);
    case Operation::Kind::write:
      return attempt_write(known, operation);
  }
  operation.result = -EINVAL;
  return true;
}

bool Attempts::attempt_accept(Known& known, Operation& operation) noexcept {
  socklen_t size = operation.address_size;
  auto* const peer = static_cast<sockaddr*>(operation.peer);
  operation.result = sys::uninterrupted(
      [&] { return sys::accept(operation.fd, peer, peer != nullptr ? &size : nullptr); });
  if (operation.result >= 0) operation.address_size = size;
  if (!would_block(operation.result)) return true;
  known.clear(Known::maybe_readable | Known::short_read_proves_nothing);
  return false;
}

bool Attempts::attempt_connect(Known& known, Operation& operation) noexcept {
  // Not repeated on EINTR: the kernel goes on connecting (and would say EALREADY).
  operation.result = sys::connect(operation.fd, static_cast<const sockaddr*>(operation.address),
                                  operation.address_size);
  const bool under_way = operation.result == -EINPROGRESS || operation.result == -EINTR ||
                         operation.result == -EALREADY;
  // EAGAIN of a local socket (the listener's backlog is full) is an error like any
  // other: nothing is under way, and such a socket is always "writable".
  if (!under_way) return true;
  known.set(Known::is_connecting);
  known.clear(Known::maybe_writable);
  return false;
}

bool Attempts::finish_connect(Known& known, Operation& operation) noexcept {
  // An event may date from before the connect, and SO_ERROR is 0 also while it is
  // under way: so first ask for the present state.
  pollfd state{operation.fd, POLLOUT, 0};
  const int ready = sys::uninterrupted([&] { return sys::poll(&state, 1, Duration::zero()); });
  if (ready == 0) {
    known.clear(Known::maybe_writable);
    return false;
  }
  int error = 0;
  socklen_t size = sizeof error;
  const int result = sys::getsockopt(operation.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  operation.result = result < 0 ? result : -error;
  return true;
}

[[gnu::noinline]] bool Attempts::attempt_recv_telling(Known& known, Operation& operation) noexcept {
  const std::span<char> target = target_of(operation);
  bool has_stopped = false;
  const std::int64_t result = sys::uninterrupted(
      [&] { return sys::recv_telling(operation.fd, target.data(), target.size(), has_stopped); });
  return note_received(known, operation, target, result, has_stopped);
}

bool Attempts::attempt_read(Known& known, Operation& operation) noexcept {
  if (known.has(Known::is_unix_stream)) return attempt_recv_telling(known, operation);
  const std::span<char> target = target_of(operation);
  const std::int64_t result =
      sys::uninterrupted([&] { return sys::read(operation.fd, target.data(), target.size()); });
  return note_received(known, operation, target, result, false);
}

bool Attempts::may_be_drained(int fd, Known& known) const noexcept {
  if (known.has(Known::short_read_proves_nothing)) return false;
  if (!edge_triggered_) return true;
  if (known.has(Known::is_kind_known)) return known.has(Known::is_tcp | Known::is_unix_stream);
  known.set(Known::is_kind_known);
  const auto option = [fd](int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return sys::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  };
#if defined(SO_PROTOCOL)
  if (option(SO_PROTOCOL) == IPPROTO_TCP) {
    known.set(Known::is_tcp);
    return true;
  }
#endif
#if defined(SO_DOMAIN)
  if (option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == SOCK_STREAM) {
    known.set(Known::is_unix_stream);  // From the next recv on, which will tell.
  }
#endif
  return false;
}

bool Attempts::attempt_send(Known& known, Operation& operation) noexcept {
  return take_sent(known, operation, sys::uninterrupted([&] {
                     return sys::send(operation.fd, operation.data, operation.size);
                   }));
}

bool Attempts::attempt_write(Known& known, Operation& operation) noexcept {
  return take_sent(known, operation, write_quietly(operation.fd, operation.data, operation.size));
}

bool Attempts::take_sent(Known& known, Operation& operation, std::int64_t result) noexcept {
  operation.result = result;
  note_sent(known, result, operation.size);
  return !would_block(result);
}

void Attempts::note_sent(Known& known, std::int64_t result, std::size_t size) noexcept {
  // A send that took less than it was given has filled the socket.
  const bool is_short = result >= 0 && static_cast<std::size_t>(result) < size && !sys::was_cut();
  if (is_short || would_block(result)) known.clear(Known::maybe_writable);
}

bool Attempts::attempt_poll(Known& known, Operation& operation) noexcept {
  const bool reads = operation.kind == Operation::Kind::poll_in;
  pollfd state{operation.fd, static_cast<short>(reads ? POLLIN : POLLOUT), 0};
  const int ready = sys::uninterrupted([&] { return sys::poll(&state, 1, Duration::zero()); });
  if (ready == 0) {
    if (reads) {
      known.clear(Known::maybe_readable | Known::short_read_proves_nothing);
    } else {
      known.clear(Known::maybe_writable);
    }
    return false;
  }
  operation.result = ready < 0 ? ready : (state.revents & POLLNVAL) != 0 ? -EBADF : 0;
  return true;
}

// A datagram is taken whole, so how much came says nothing about what is left.
bool Attempts::attempt_recv_from(Known& known, Operation& operation) noexcept {
  operation.result = recv_from_now(operation.fd, {operation.data, operation.size}, operation.peer,
                                   operation.address_size);
  if (!would_block(operation.result)) return true;
  known.clear(Known::maybe_readable | Known::short_read_proves_nothing);
  return false;
}

bool Attempts::attempt_send_to(Known& known, Operation& operation) noexcept {
  operation.result = send_to_now(operation.fd, {operation.data, operation.size}, operation.address,
                                 operation.address_size);
  if (!would_block(operation.result)) return true;
  known.clear(Known::maybe_writable);
  return false;
}

}  // namespace aster::inline v0::detail
