// SPDX-License-Identifier: MIT
// The floor of the network rows: a bare level-triggered epoll loop. One buffer serves all
// connections, `send` is tried at once, and only what it leaves is copied and waits for
// the socket. Prints its port, then serves until it is killed.
//
//   echo_epoll [echo | udp | sink | unix PATH | file PATH]
//
// sink reads and forgets; unix echoes on a unix socket; file answers every message with
// the whole file.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536, EVENT_MAX = 512 };

struct connection {
  int fd;
  char* rest;  // What `send` did not take; null when it took all.
  size_t rest_size;
  size_t rest_sent;
  off_t file_sent;  // Of the file that is being sent; -1 when none is.
};

enum mode { MODE_ECHO, MODE_UDP, MODE_SINK, MODE_UNIX, MODE_FILE };

static char buffer[BUFFER_SIZE];
static enum mode mode;
static int epoll;
static int file = -1;
static off_t file_size;

static void fail(const char* call) {
  perror(call);
  exit(1);
}

static void watch(struct connection* connection, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = connection};
  if (epoll_ctl(epoll, operation, connection->fd, &event) < 0) fail("epoll_ctl");
}

static void drop(struct connection* connection) {
  close(connection->fd);
  free(connection->rest);
  free(connection);
}

static void accept_all(int listener) {
  const int on = 1;
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    struct connection* connection = calloc(1, sizeof *connection);
    if (connection == NULL) fail("calloc");
    connection->fd = fd;
    connection->file_sent = -1;
    if (mode != MODE_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
  }
}

// The socket takes more: sends the rest, then goes back to reading.
static void send_rest(struct connection* connection) {
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
  watch(connection, EPOLL_CTL_MOD, EPOLLIN);
}

static void send_file(struct connection* connection) {
  const bool begins = connection->file_sent < 0;
  if (begins) connection->file_sent = 0;
  while (connection->file_sent < file_size) {
    const size_t left = (size_t)(file_size - connection->file_sent);
    if (sendfile(connection->fd, file, &connection->file_sent, left) >= 0) continue;
    if (errno != EAGAIN) {
      drop(connection);
    } else if (begins) {
      watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
    }
    return;
  }
  connection->file_sent = -1;
  if (!begins) watch(connection, EPOLL_CTL_MOD, EPOLLIN);
}

static void echo(struct connection* connection) {
  const ssize_t received = recv(connection->fd, buffer, sizeof buffer, 0);
  if (received <= 0) {
    if (received == 0 || errno != EAGAIN) drop(connection);
    return;
  }
  if (mode == MODE_SINK) return;
  if (mode == MODE_FILE) {
    send_file(connection);
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
  watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
}

// As many datagrams as are there, at most 64: others wait, too.
static void echo_datagrams(int fd) {
  for (int i = 0; i < 64; ++i) {
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    const ssize_t received =
        recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr*)&from, &length);
    if (received < 0) return;
    sendto(fd, buffer, (size_t)received, 0, (struct sockaddr*)&from, length);
  }
}

static int bound_socket(const char* path) {
  struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  struct sockaddr* address = (struct sockaddr*)&inet;
  socklen_t length = sizeof inet;
  if (mode == MODE_UNIX) {
    strncpy(local.sun_path, path, sizeof local.sun_path - 1);
    address = (struct sockaddr*)&local;
    length = sizeof local;
  }
  const int type = (mode == MODE_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const int fd = socket(mode == MODE_UNIX ? AF_UNIX : AF_INET, type, 0);
  if (fd < 0 || bind(fd, address, length) < 0) fail("bind");
  if (mode != MODE_UDP && listen(fd, 1024) < 0) fail("listen");
  if (getsockname(fd, address, &length) < 0) fail("getsockname");
  printf("%d\n", mode == MODE_UNIX ? 0 : ntohs(inet.sin_port));
  fflush(stdout);
  return fd;
}

static void set_mode(int argc, char** argv) {
  const char* const names[] = {"echo", "udp", "sink", "unix", "file"};
  for (unsigned i = 0; argc > 1 && i < sizeof names / sizeof *names; ++i) {
    if (strcmp(argv[1], names[i]) == 0) mode = (enum mode)i;
  }
  if (mode < MODE_UNIX) return;
  if (argc < 3) {
    fprintf(stderr, "echo_epoll: %s needs a path\n", argv[1]);
    exit(2);
  }
  struct stat status;
  if (mode != MODE_FILE) return;
  file = open(argv[2], O_RDONLY | O_CLOEXEC);
  if (file < 0 || fstat(file, &status) < 0) fail(argv[2]);
  file_size = status.st_size;
}

int main(int argc, char** argv) {
  set_mode(argc, argv);
  struct connection first = {.fd = bound_socket(argv[argc - 1])};
  epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(&first, EPOLL_CTL_ADD, EPOLLIN);
  struct epoll_event events[EVENT_MAX];
  for (;;) {
    const int count = epoll_wait(epoll, events, EVENT_MAX, -1);
    for (int i = 0; i < count; ++i) {
      struct connection* connection = events[i].data.ptr;
      if (connection == &first && mode == MODE_UDP) {
        echo_datagrams(first.fd);
      } else if (connection == &first) {
        accept_all(first.fd);
      } else if (connection->file_sent >= 0) {
        send_file(connection);
      } else if (connection->rest != NULL) {
        send_rest(connection);
      } else {
        echo(connection);
      }
    }
  }
}
