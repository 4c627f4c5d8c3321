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

enum { SIZE_MAX_ = 1 << 20 };
enum mode { MODE_ECHO, MODE_SINK, MODE_FULL, MODE_RESUMED };
static const char* const mode_names[] = {"echo", "sink", "full", "resumed", NULL};

struct connection {
  int fd;
  SSL* ssl;
  size_t sent;
  size_t received;
  uint64_t number;
  uint64_t start;
};

static enum mode mode;
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
  return mode == MODE_FULL || mode == MODE_RESUMED;
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
                                      .sin_port = htons((uint16_t)load.port),
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
  if (mode == MODE_RESUMED && session != NULL) SSL_set_session(connection->ssl, session);
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
  while (connection->sent < load.size) {  // The handshake is its first write's.
    const int sent = SSL_write(connection->ssl, message + connection->sent,
                               (int)(load.size - connection->sent));
    if (sent <= 0 && must_wait(connection, sent, "SSL_write")) return false;
    connection->sent += (size_t)sent;
  }
  if (mode == MODE_SINK) return true;
  while (connection->received < load.size) {
    const int received = SSL_read(connection->ssl, incoming, (int)load.size);
    if (received <= 0 && must_wait(connection, received, "SSL_read")) return false;
    memcpy(message, &connection->number, STAMP_SIZE);
    if (connection->received + (size_t)received > load.size ||
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
  const int received = SSL_read(connection->ssl, incoming, (int)load.size);
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
static void serve(struct connection* connection, uint64_t* left) {
  for (int i = 0; i < 16 && *left > 0; ++i) {
    if (!progress(connection) || (is_short_lived() && !end(connection))) break;
    const uint64_t time = now();
    count_request(connection->start, time);
    --*left;
    begin_next(connection, time);
  }
}

static void run(struct connection* connections) {
  struct epoll_event events[EVENT_MAX];
  uint64_t left = load.requests;
  bool restarted = false;
  begin_measurement();
  while (goes_on(&restarted) && left > 0) {
    if (restarted) resumed = 0;
    if (mode == MODE_SINK) {  // An edge may have been used up by the 16 of a turn.
      for (int i = 0; i < load.connections; ++i) serve(&connections[i], &left);
      continue;
    }
    const int count = epoll_wait(epoll, events, EVENT_MAX, 0);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) serve(events[i].data.ptr, &left);
  }
  // A server now and then asks for a full handshake of its own accord.
  if (mode == MODE_RESUMED && resumed < measured.done / 10 * 9) {
    fprintf(stderr, "tls_load: only %llu of %llu sessions were resumed\n",
            (unsigned long long)resumed, (unsigned long long)measured.done);
    exit(1);
  }
  print_measured(mode_names[mode]);
}

int main(int argc, char** argv) {
  int option;
  load.size = 1024;
  while ((option = getopt(argc, argv, LOAD_OPTIONS "m:")) != -1) {
    if (option == 'm') {
      mode = (enum mode)mode_of(optarg, mode_names);
    } else if (!take_option(option, optarg)) {
      return 2;
    }
  }
  check_options(SIZE_MAX_);
  pin_to(load.cpu);
  message = make_message(load.size, 0);
  incoming = malloc(load.size);
  struct connection* connections = calloc((size_t)load.connections, sizeof *connections);
  context = SSL_CTX_new(TLS_client_method());
  if (incoming == NULL || connections == NULL || context == NULL) fail("malloc");
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context,
                                 SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(context, &keep_session);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < load.connections; ++i) open_connection(&connections[i], now());
  run(connections);
}
