// SPDX-License-Identifier: MIT
// Servers on libuv: one buffer for all connections, `uv_try_write` first. Prints its
// port, then serves until it is killed.
//
//   echo_uv [echo | udp | sink | unix PATH]
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static char buffer[65536];
static int is_sink;
static int is_unix;

// A connection of either kind.
union stream {
  uv_handle_t handle;
  uv_stream_t stream;
  uv_tcp_t tcp;
  uv_pipe_t pipe;
};

// The part of a message that could not be sent at once, kept behind its request.
struct rest {
  uv_write_t request;
  char data[];
};

// A datagram that could not be sent at once.
struct late_datagram {
  uv_udp_send_t request;
  char data[];
};

static void fail(const char* what) {
  fprintf(stderr, "echo_uv: cannot %s\n", what);
  exit(1);
}

static void on_closed(uv_handle_t* handle) { free(handle); }

static void give_buffer(uv_handle_t* handle, size_t hint, uv_buf_t* target) {
  (void)handle;
  (void)hint;
  *target = uv_buf_init(buffer, sizeof buffer);
}

static void on_rest_sent(uv_write_t* request, int status) {
  (void)status;
  free(request);
}

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* data) {
  if (size < 0) uv_close((uv_handle_t*)stream, on_closed);
  if (size <= 0 || is_sink) return;
  uv_buf_t piece = uv_buf_init(data->base, (unsigned)size);
  const int result = uv_try_write(stream, &piece, 1);
  const size_t sent = result < 0 ? 0 : (size_t)result;
  if (sent == (size_t)size) return;
  const size_t left = (size_t)size - sent;
  struct rest* rest = malloc(sizeof *rest + left);
  if (rest == NULL) abort();
  memcpy(rest->data, data->base + sent, left);
  piece = uv_buf_init(rest->data, (unsigned)left);
  uv_write(&rest->request, stream, &piece, 1, on_rest_sent);
}

static void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  union stream* connection = malloc(sizeof *connection);
  if (connection == NULL) abort();
  if (is_unix) {
    uv_pipe_init(listener->loop, &connection->pipe, 0);
  } else {
    uv_tcp_init(listener->loop, &connection->tcp);
  }
  if (uv_accept(listener, &connection->stream) < 0) {
    uv_close(&connection->handle, on_closed);
    return;
  }
  if (!is_unix) uv_tcp_nodelay(&connection->tcp, 1);
  uv_read_start(&connection->stream, give_buffer, on_read);
}

static void on_late_sent(uv_udp_send_t* request, int status) {
  (void)status;
  free(request);
}

static void on_datagram(uv_udp_t* socket, ssize_t size, const uv_buf_t* data,
                        const struct sockaddr* from, unsigned flags) {
  (void)flags;
  if (size < 0 || from == NULL) return;
  uv_buf_t piece = uv_buf_init(data->base, (unsigned)size);
  if (uv_udp_try_send(socket, &piece, 1, from) >= 0) return;
  struct late_datagram* late = malloc(sizeof *late + (size_t)size);
  if (late == NULL) abort();
  memcpy(late->data, data->base, (size_t)size);
  piece.base = late->data;
  if (uv_udp_send(&late->request, socket, &piece, 1, from, on_late_sent) < 0) free(late);
}

static void print_port(const struct sockaddr_in* address) {
  printf("%d\n", ntohs(address->sin_port));
  fflush(stdout);
}

static int serve_udp(uv_loop_t* loop) {
  uv_udp_t socket;
  struct sockaddr_in address;
  int length = sizeof address;
  uv_udp_init(loop, &socket);
  uv_ip4_addr("127.0.0.1", 0, &address);
  if (uv_udp_bind(&socket, (struct sockaddr*)&address, 0) < 0 ||
      uv_udp_getsockname(&socket, (struct sockaddr*)&address, &length) < 0) {
    fail("bind");
  }
  print_port(&address);
  uv_udp_recv_start(&socket, give_buffer, on_datagram);
  return uv_run(loop, UV_RUN_DEFAULT);
}

static int serve_streams(uv_loop_t* loop, const char* path) {
  union stream listener;
  struct sockaddr_in address = {0};
  int length = sizeof address;
  if (is_unix) {
    uv_pipe_init(loop, &listener.pipe, 0);
    if (uv_pipe_bind(&listener.pipe, path) < 0) fail("bind");
  } else {
    uv_tcp_init(loop, &listener.tcp);
    uv_ip4_addr("127.0.0.1", 0, &address);
    if (uv_tcp_bind(&listener.tcp, (struct sockaddr*)&address, 0) < 0) fail("bind");
  }
  if (uv_listen(&listener.stream, 1024, on_connection) < 0) fail("listen");
  if (!is_unix) uv_tcp_getsockname(&listener.tcp, (struct sockaddr*)&address, &length);
  print_port(&address);
  return uv_run(loop, UV_RUN_DEFAULT);
}

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  uv_loop_t* loop = uv_default_loop();
  const char* mode = argc > 1 ? argv[1] : "echo";
  if (strcmp(mode, "udp") == 0) return serve_udp(loop);
  is_sink = strcmp(mode, "sink") == 0;
  is_unix = strcmp(mode, "unix") == 0 && argc > 2;
  return serve_streams(loop, argv[argc - 1]);
}
