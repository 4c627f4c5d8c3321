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

enum {
  STAMP_SIZE = 8,  // Every message begins with its number.
  SIZE_MAX_ = 1 << 22,
  CONNECTIONS_MAX = 10000,
  EVENT_MAX = 512,
};
static const double seconds_max = 60;
static const double warm_up_seconds = 0.1;

enum mode { MODE_ECHO, MODE_UDP, MODE_CHURN, MODE_RESET, MODE_SINK, MODE_FILE };
static const char* const mode_names[] = {"echo", "udp", "churn", "reset", "sink", "file"};

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
  int port;
  const char* path;
  enum mode mode;
  int connections;
  size_t size;
  double seconds;
  uint64_t requests;
  int server;
  int cpu;
  bool sleeps;
} options = {.connections = 1, .size = 64, .seconds = 1, .requests = UINT64_MAX, .cpu = -1};

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
  const size_t size = options.mode == MODE_FILE ? STAMP_SIZE : options.size;
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
  const size_t missing = options.size - connection->received;
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
  if (connection->received < options.size) return false;
  if (options.mode != MODE_CHURN) return true;
  connection->ends = true;
  if (shutdown(connection->fd, SHUT_WR) < 0) fail("shutdown");
  return false;
}

static void connect_to_server(int fd) {
  struct sockaddr_in inet = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)options.port),
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
  if (options.mode == MODE_SINK) return connection->sent == options.size;
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
  const uint64_t begin = now();
  // A run bounded by requests counts them all: it is no measurement of time.
  const bool warms_up = options.requests == UINT64_MAX;
  const uint64_t warm = begin + (warms_up ? (uint64_t)(warm_up_seconds * 1e9) : 0);
  const uint64_t end = warm + (uint64_t)(options.seconds * 1e9);
  bool measuring = false;
  uint64_t since = begin, cpu = 0, done = 0, started = 0;
  for (int i = 0; i < options.connections && started < options.requests; ++i, ++started) {
    send_next(&connections[i], now());
  }
  for (;;) {
    const int count = epoll_wait(epoll, events, EVENT_MAX, options.sleeps ? 100 : 0);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    uint64_t time = now();
    if (!measuring && time >= warm) {
      measuring = true;
      done = 0;
      memset(histogram, 0, sizeof histogram);
      cpu = server_cpu(options.server);
      since = time = now();
    }
    if (time >= end || done >= options.requests) break;
    for (int i = 0; i < count; ++i) {
      struct connection* connection = events[i].data.ptr;
      if (!progress(connection, events[i].events)) continue;
      time = now();
      ++histogram[place_of(time - connection->start)];
      ++done;
      if (started < options.requests) {
        ++started;
        begin_next(connection, time);
      }
    }
  }
  const double elapsed = (double)(now() - since) / 1e9;
  const double requests = done > 0 ? (double)done : 1;
  printf(
      "{\"mode\": \"%s\", \"connections\": %d, \"size\": %zu, \"requests\": %llu, "
      "\"requests_per_second\": %.0f, "
      "\"p50_us\": %.1f, \"p99_us\": %.1f, \"server_cpu_ns\": %.1f}\n",
      mode_names[options.mode], options.connections, options.size, (unsigned long long)done,
      (double)done / elapsed, quantile_us(done, 0.5), quantile_us(done, 0.99),
      (double)(server_cpu(options.server) - cpu) / requests);
}

static enum mode mode_of(const char* name) {
  for (unsigned i = 0; i < sizeof mode_names / sizeof *mode_names; ++i) {
    if (strcmp(mode_names[i], name) == 0) return (enum mode)i;
  }
  fprintf(stderr, "echo_load: no such mode: %s\n", name);
  exit(2);
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "P:x:m:c:s:d:n:p:C:S")) != -1) {
    switch (option) {
      case 'x':
        options.path = optarg;
        break;
      case 'm':
        options.mode = mode_of(optarg);
        break;
      case 'P':
        options.port = atoi(optarg);
        break;
      case 'c':
        options.connections = atoi(optarg);
        break;
      case 's':
        options.size = (size_t)atol(optarg);
        break;
      case 'd':
        options.seconds = atof(optarg);
        break;
      case 'n':
        options.requests = strtoull(optarg, NULL, 10);
        break;
      case 'p':
        options.server = atoi(optarg);
        break;
      case 'C':
        options.cpu = atoi(optarg);
        break;
      case 'S':
        options.sleeps = true;
        break;
      default:
        return 2;
    }
  }
  if (options.connections < 1 || options.connections > CONNECTIONS_MAX ||
      options.size < STAMP_SIZE || options.size > SIZE_MAX_ || options.seconds > seconds_max) {
    fprintf(stderr, "echo_load: an option is out of range\n");
    return 2;
  }
  pin_to(options.cpu);
  message = make_message(options.size, 0);
  incoming = malloc(options.size + 1);
  struct connection* connections = calloc((size_t)options.connections, sizeof *connections);
  if (incoming == NULL || connections == NULL) fail("malloc");
  epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < options.connections; ++i) open_connection(&connections[i]);
  run(connections);
}
