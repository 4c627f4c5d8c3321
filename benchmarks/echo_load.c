// SPDX-License-Identifier: MIT
// Loads a server: one thread, a closed loop on each connection. Prints one line of JSON
// with requests per second, round-trip times, and the CPU time that the server spent for
// each request.
//
//   echo_load -P PORT | -x PATH [-m MODE] [-c CONNECTIONS] [-s SIZE] [-d SECONDS]
//             [-n REQUESTS] [-p SERVER_PID] [-C CPU] [-S]
//
// What one request is depends on the mode:
//   echo   a message is sent, and comes back; every byte is compared (the default)
//   udp    the same with datagrams
//   churn  a connection of its own for each message: connect, echo, end, wait for the end
//   reset  the same, and the connection is reset when the message is back
//   sink   SIZE bytes are sent, and nothing comes back
//   file   the message's number is sent, SIZE bytes of any content come back
//
// -x: the server is at a unix socket. It ends after -d seconds or -n requests, whichever
// is first. By default it polls and never sleeps, so that no server pays, inside its
// `send`, for waking it; -S sleeps.
#define _GNU_SOURCE
#include "load.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

enum { SIZE_MAX_ = 1 << 22 };

enum mode { MODE_ECHO, MODE_UDP, MODE_CHURN, MODE_RESET, MODE_SINK, MODE_FILE };
static const char* const mode_names[] = {"echo", "udp", "churn", "reset", "sink", "file", NULL};

struct connection {
  int fd;
  bool waits_to_write;
  bool ends;            // Its message is back; the server's end is waited for.
  size_t sent;      // Of the message that is being sent,
  size_t received;  // and of the same message on its way back.
  uint64_t number;
  uint64_t start;
};

static struct {
  const char* path;
  enum mode mode;
  bool sleeps;
} options;

static int epoll;
static char* message;  // What every connection sends, but for the stamp.
static char* incoming;

// One connection -------------------------------------------------------------------------

static void wait_to_write(struct connection* connection, bool wait) {
  if (connection->waits_to_write == wait) return;
  connection->waits_to_write = wait;
  struct epoll_event event = {.events = EPOLLIN | (wait ? (uint32_t)EPOLLOUT : 0),
                              .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event) < 0) fail("epoll_ctl");
}

static void send_more(struct connection* connection) {
  const size_t size = options.mode == MODE_FILE ? STAMP_SIZE : load.size;
  memcpy(message, &connection->number, STAMP_SIZE);
  while (connection->sent < size) {
    const ssize_t sent =
        send(connection->fd, message + connection->sent, size - connection->sent, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) fail("send");
      wait_to_write(connection, true);
      return;
    }
    connection->sent += (size_t)sent;
  }
  // A sink answers nothing: it is its socket that says when there is room for more.
  wait_to_write(connection, options.mode == MODE_SINK);
}

static void send_next(struct connection* connection, uint64_t time) {
  connection->sent = 0;
  connection->received = 0;
  connection->start = time;
  ++connection->number;
  send_more(connection);
}

// True when the message is back whole.
static bool receive(struct connection* connection) {
  const size_t missing = load.size - connection->received;
  // One byte more than is due, to notice a server that says too much.
  const ssize_t received = recv(connection->fd, incoming, missing + 1, 0);
  if (received < 0 && errno == EAGAIN) return false;
  if (received == 0 && connection->ends) return true;
  if (received <= 0) fail("connection lost");
  memcpy(message, &connection->number, STAMP_SIZE);
  if ((size_t)received > missing ||
      (options.mode != MODE_FILE &&
       memcmp(incoming, message + connection->received, (size_t)received) != 0)) {
    fprintf(stderr, "echo_load: what came back is not what was sent\n");
    exit(1);
  }
  connection->received += (size_t)received;
  if (connection->received < load.size) return false;
  if (options.mode != MODE_CHURN) return true;
  connection->ends = true;
  if (shutdown(connection->fd, SHUT_WR) < 0) fail("shutdown");
  return false;
}

static void connect_to_server(int fd) {
  struct sockaddr_in inet = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)load.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  const struct sockaddr* address = (struct sockaddr*)&inet;
  socklen_t size = sizeof inet;
  if (options.path != NULL) {
    strncpy(local.sun_path, options.path, sizeof local.sun_path - 1);
    address = (struct sockaddr*)&local;
    size = sizeof local;
  }
  if (connect(fd, address, size) < 0) fail("connect");
}

static void open_connection(struct connection* connection) {
  const int on = 1;
  // Closing resets, so that no thousands of sockets linger in TIME_WAIT.
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  const int type = options.mode == MODE_UDP ? SOCK_DGRAM : SOCK_STREAM;
  connection->fd = socket(options.path != NULL ? AF_UNIX : AF_INET, type | SOCK_CLOEXEC, 0);
  if (connection->fd < 0) fail("socket");
  if (options.mode == MODE_CHURN && options.path == NULL) bind_elsewhere(connection->fd);
  connect_to_server(connection->fd);
  if (options.path == NULL && type == SOCK_STREAM) {
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  fcntl(connection->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0) fail("epoll_ctl");
  connection->waits_to_write = false;
  connection->ends = false;
}

// The run ----------------------------------------------------------------------------------

// What has happened to a connection; true when that ended a request.
static bool progress(struct connection* connection, uint32_t events) {
  if ((events & EPOLLOUT) != 0) send_more(connection);
  if (options.mode == MODE_SINK) return connection->sent == load.size;
  return (events & ~(uint32_t)EPOLLOUT) != 0 && receive(connection);
}

static void begin_next(struct connection* connection, uint64_t time) {
  if (options.mode == MODE_CHURN || options.mode == MODE_RESET) {
    close(connection->fd);
    time = now();
    open_connection(connection);
  }
  send_next(connection, time);
}

static void run(struct connection* connections) {
  struct epoll_event events[EVENT_MAX];
  uint64_t started = 0;
  bool restarted = false;
  begin_measurement();
  for (int i = 0; i < load.connections && started < load.requests; ++i, ++started) {
    send_next(&connections[i], now());
  }
  while (goes_on(&restarted) && measured.done < load.requests) {
    const int count = epoll_wait(epoll, events, EVENT_MAX, options.sleeps ? 100 : 0);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) {
      struct connection* connection = events[i].data.ptr;
      if (!progress(connection, events[i].events)) continue;
      const uint64_t time = now();
      count_request(connection->start, time);
      if (started < load.requests) {
        ++started;
        begin_next(connection, time);
      }
    }
  }
  print_measured(mode_names[options.mode]);
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, LOAD_OPTIONS "x:m:S")) != -1) {
    if (option == 'x') {
      options.path = optarg;
    } else if (option == 'm') {
      options.mode = (enum mode)mode_of(optarg, mode_names);
    } else if (option == 'S') {
      options.sleeps = true;
    } else if (!take_option(option, optarg)) {
      return 2;
    }
  }
  check_options(SIZE_MAX_);
  pin_to(load.cpu);
  message = make_message(load.size, 0);
  incoming = malloc(load.size + 1);
  struct connection* connections = calloc((size_t)load.connections, sizeof *connections);
  if (incoming == NULL || connections == NULL) fail("malloc");
  epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < load.connections; ++i) open_connection(&connections[i]);
  run(connections);
}
