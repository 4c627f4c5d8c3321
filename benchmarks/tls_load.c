// SPDX-License-Identifier: MIT
// Loads a TLS server: one thread, a closed loop on each connection. Prints one line of
// JSON with requests per second, round-trip times, and the CPU time that the server spent
// for each request. It does not verify the server, as that would be its own work only.
//
//   tls_load -P PORT [-m MODE] [-c CONNECTIONS] [-s SIZE] [-d SECONDS] [-n REQUESTS]
//            [-p SERVER_PID] [-C CPU]
//
// What one request is depends on the mode:
//   echo     a message is sent, and comes back; every byte is compared (the default)
//   sink     SIZE bytes are sent, and nothing comes back
//   full     a connection with a full handshake for each message: echo, and both ends close
//   resumed  the same, with the session of an earlier connection
//
// It ends after -d seconds or -n requests, whichever is first. It polls and never sleeps.
#define _GNU_SOURCE
#include "load.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { STAMP_SIZE = 8, SIZE_MAX_ = 1 << 20, CONNECTIONS_MAX = 10000, EVENT_MAX = 512 };
static const double seconds_max = 60;
static const double warm_up_seconds = 0.1;

enum mode { MODE_ECHO, MODE_SINK, MODE_FULL, MODE_RESUMED };
static const char* const mode_names[] = {"echo", "sink", "full", "resumed"};

struct connection {
  int fd;
  SSL* ssl;
  size_t sent;
  size_t received;
  uint64_t number;
  uint64_t start;
};

static struct {
  int port;
  enum mode mode;
  int connections;
  size_t size;
  double seconds;
  uint64_t requests;
  int server;
  int cpu;
} options = {.connections = 1, .size = 1024, .seconds = 1, .requests = UINT64_MAX, .cpu = -1};

static int epoll;
static char* message;
static char* incoming;
static SSL_CTX* context;
static SSL_SESSION* session;  // To be resumed.
static uint64_t resumed;      // How many were, of those that count.

static void fail_tls(const char* what) {
  fprintf(stderr, "tls_load: %s: %s\n", what, ERR_reason_error_string(ERR_peek_last_error()));
  exit(1);
}

static bool is_short_lived(void) {
  return options.mode == MODE_FULL || options.mode == MODE_RESUMED;
}

static int keep_session(SSL* ssl, SSL_SESSION* made) {
  (void)ssl;
  SSL_SESSION_free(session);
  session = made;
  return 1;
}

static void open_connection(struct connection* connection, uint64_t time) {
  const int on = 1;
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  const struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)options.port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection->fd < 0) fail("socket");
  if (is_short_lived()) bind_elsewhere(connection->fd);
  if (connect(connection->fd, (const struct sockaddr*)&address, sizeof address) < 0) {
    fail("connect");
  }
  setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  fcntl(connection->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0) fail("epoll_ctl");
  connection->ssl = SSL_new(context);
  if (connection->ssl == NULL || SSL_set_fd(connection->ssl, connection->fd) != 1) {
    fail_tls("SSL_new");
  }
  if (options.mode == MODE_RESUMED && session != NULL) SSL_set_session(connection->ssl, session);
  SSL_set_connect_state(connection->ssl);
  connection->sent = connection->received = 0;
  connection->start = time;
  ++connection->number;
}

// Whether a call has to wait; anything else that is no success ends the program.
static bool must_wait(const struct connection* connection, int result, const char* what) {
  const int error = SSL_get_error(connection->ssl, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return true;
  fail_tls(what);
  return false;
}

// Goes on until the request is done (true) or must wait (false).
static bool progress(struct connection* connection) {
  ERR_clear_error();
  memcpy(message, &connection->number, STAMP_SIZE);
  while (connection->sent < options.size) {  // The handshake is its first write's.
    const int sent = SSL_write(connection->ssl, message + connection->sent,
                               (int)(options.size - connection->sent));
    if (sent <= 0 && must_wait(connection, sent, "SSL_write")) return false;
    connection->sent += (size_t)sent;
  }
  if (options.mode == MODE_SINK) return true;
  while (connection->received < options.size) {
    const int received = SSL_read(connection->ssl, incoming, (int)options.size);
    if (received <= 0 && must_wait(connection, received, "SSL_read")) return false;
    memcpy(message, &connection->number, STAMP_SIZE);
    if (connection->received + (size_t)received > options.size ||
        memcmp(incoming, message + connection->received, (size_t)received) != 0) {
      fprintf(stderr, "tls_load: what came back is not what was sent\n");
      exit(1);
    }
    connection->received += (size_t)received;
  }
  return true;
}

// The end of a short-lived connection: ours is said, the server's is waited for.
static bool end(struct connection* connection) {
  if ((SSL_get_shutdown(connection->ssl) & SSL_SENT_SHUTDOWN) == 0) SSL_shutdown(connection->ssl);
  const int received = SSL_read(connection->ssl, incoming, (int)options.size);
  const int error = SSL_get_error(connection->ssl, received);
  if (error == SSL_ERROR_WANT_READ) return false;
  if (error != SSL_ERROR_ZERO_RETURN) fail_tls("the server's end");
  resumed += (uint64_t)SSL_session_reused(connection->ssl);
  return true;
}

static void begin_next(struct connection* connection, uint64_t time) {
  if (is_short_lived()) {
    SSL_free(connection->ssl);
    close(connection->fd);
    open_connection(connection, time);
    return;
  }
  connection->sent = connection->received = 0;
  connection->start = time;
  ++connection->number;
}

// Requests are done one after the other as long as that needs no waiting.
static uint64_t serve(struct connection* connection, uint64_t* left) {
  uint64_t done = 0;
  for (int i = 0; i < 16 && *left > 0; ++i) {
    if (!progress(connection) || (is_short_lived() && !end(connection))) break;
    const uint64_t time = now();
    ++histogram[place_of(time - connection->start)];
    ++done;
    --*left;
    begin_next(connection, time);
  }
  return done;
}

static void run(struct connection* connections) {
  struct epoll_event events[EVENT_MAX];
  const uint64_t begin = now();
  const bool warms_up = options.requests == UINT64_MAX;
  const uint64_t warm = begin + (warms_up ? (uint64_t)(warm_up_seconds * 1e9) : 0);
  const uint64_t finish = warm + (uint64_t)(options.seconds * 1e9);
  bool measuring = false;
  uint64_t since = begin, cpu = 0, done = 0, left = options.requests;
  while (left > 0) {
    const uint64_t time = now();
    if (!measuring && time >= warm) {
      measuring = true;
      done = resumed = 0;
      memset(histogram, 0, sizeof histogram);
      cpu = server_cpu(options.server);
      since = now();
    }
    if (time >= finish) break;
    if (options.mode == MODE_SINK) {  // An edge may have been used up by the 16 of a turn.
      for (int i = 0; i < options.connections; ++i) done += serve(&connections[i], &left);
      continue;
    }
    const int count = epoll_wait(epoll, events, EVENT_MAX, 0);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) done += serve(events[i].data.ptr, &left);
  }
  const double elapsed = (double)(now() - since) / 1e9;
  // A server now and then asks for a full handshake of its own accord.
  if (options.mode == MODE_RESUMED && resumed < done / 10 * 9) {
    fprintf(stderr, "tls_load: only %llu of %llu sessions were resumed\n",
            (unsigned long long)resumed, (unsigned long long)done);
    exit(1);
  }
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
  fprintf(stderr, "tls_load: no such mode: %s\n", name);
  exit(2);
}

int main(int argc, char** argv) {
  int option;
  while ((option = getopt(argc, argv, "P:m:c:s:d:n:p:C:")) != -1) {
    switch (option) {
      case 'P':
        options.port = atoi(optarg);
        break;
      case 'm':
        options.mode = mode_of(optarg);
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
      default:
        return 2;
    }
  }
  if (options.connections < 1 || options.connections > CONNECTIONS_MAX ||
      options.size < STAMP_SIZE || options.size > SIZE_MAX_ || options.seconds > seconds_max) {
    fprintf(stderr, "tls_load: an option is out of range\n");
    return 2;
  }
  pin_to(options.cpu);
  message = make_message(options.size, 0);
  incoming = malloc(options.size);
  struct connection* connections = calloc((size_t)options.connections, sizeof *connections);
  context = SSL_CTX_new(TLS_client_method());
  if (incoming == NULL || connections == NULL || context == NULL) fail("malloc");
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context,
                                 SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(context, &keep_session);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < options.connections; ++i) open_connection(&connections[i], now());
  run(connections);
}
