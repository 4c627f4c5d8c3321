// SPDX-License-Identifier: MIT
// The floor of the echo rows: a bare level-triggered epoll loop. One buffer serves all
// connections, `send` is tried at once, and only what it leaves is copied and waits for
// the socket. Prints its port, then serves until it is killed.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536, EVENT_MAX = 512 };

struct connection {
  int fd;
  char* rest;  // What `send` did not take; null when it took all.
  size_t rest_size;
  size_t rest_sent;
};

static char buffer[BUFFER_SIZE];

static void fail(const char* call) {
  perror(call);
  exit(1);
}

static void watch(int epoll, struct connection* connection, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = connection};
  if (epoll_ctl(epoll, operation, connection->fd, &event) < 0) fail("epoll_ctl");
}

static void drop(struct connection* connection) {
  close(connection->fd);
  free(connection->rest);
  free(connection);
}

static void accept_all(int epoll, int listener) {
  const int on = 1;
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    struct connection* connection = calloc(1, sizeof *connection);
    if (connection == NULL) fail("calloc");
    connection->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(epoll, connection, EPOLL_CTL_ADD, EPOLLIN);
  }
}

// The socket takes more: sends the rest, then goes back to reading.
static void send_rest(int epoll, struct connection* connection) {
  const ssize_t sent = send(connection->fd, connection->rest + connection->rest_sent,
                            connection->rest_size - connection->rest_sent, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) drop(connection);
    return;
  }
  connection->rest_sent += (size_t)sent;
  if (connection->rest_sent < connection->rest_size) return;
  free(connection->rest);
  connection->rest = NULL;
  watch(epoll, connection, EPOLL_CTL_MOD, EPOLLIN);
}

static void echo(int epoll, struct connection* connection) {
  const ssize_t received = recv(connection->fd, buffer, sizeof buffer, 0);
  if (received <= 0) {
    if (received == 0 || errno != EAGAIN) drop(connection);
    return;
  }
  ssize_t sent = send(connection->fd, buffer, (size_t)received, MSG_NOSIGNAL);
  if (sent == received) return;
  if (sent < 0) {
    if (errno != EAGAIN) {
      drop(connection);
      return;
    }
    sent = 0;
  }
  connection->rest_size = (size_t)(received - sent);
  connection->rest_sent = 0;
  connection->rest = malloc(connection->rest_size);
  if (connection->rest == NULL) fail("malloc");
  memcpy(connection->rest, buffer + sent, connection->rest_size);
  watch(epoll, connection, EPOLL_CTL_MOD, EPOLLOUT);
}

int main(void) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (listener < 0 || bind(listener, (struct sockaddr*)&address, length) < 0) fail("bind");
  if (listen(listener, 1024) < 0) fail("listen");
  if (getsockname(listener, (struct sockaddr*)&address, &length) < 0) fail("getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct connection accepting = {.fd = listener};
  watch(epoll, &accepting, EPOLL_CTL_ADD, EPOLLIN);
  struct epoll_event events[EVENT_MAX];
  for (;;) {
    const int count = epoll_wait(epoll, events, EVENT_MAX, -1);
    for (int i = 0; i < count; ++i) {
      struct connection* connection = events[i].data.ptr;
      if (connection == &accepting) {
        accept_all(epoll, listener);
      } else if (connection->rest != NULL) {
        send_rest(epoll, connection);
      } else {
        echo(epoll, connection);
      }
    }
  }
}
