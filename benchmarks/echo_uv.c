// SPDX-License-Identifier: MIT
// An echo server on libuv: one buffer for all connections, `uv_try_write` first.
// Prints its port, then serves until it is killed.
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static char buffer[65536];

// The part of a message that could not be sent at once, kept behind its request.
struct rest {
  uv_write_t request;
  char data[];
};

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
  if (size <= 0) return;
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
  uv_tcp_t* connection = malloc(sizeof *connection);
  if (connection == NULL) abort();
  uv_tcp_init(listener->loop, connection);
  if (uv_accept(listener, (uv_stream_t*)connection) < 0) {
    uv_close((uv_handle_t*)connection, on_closed);
    return;
  }
  uv_tcp_nodelay(connection, 1);
  uv_read_start((uv_stream_t*)connection, give_buffer, on_read);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  uv_loop_t* loop = uv_default_loop();
  uv_tcp_t listener;
  struct sockaddr_in address;
  int length = sizeof address;
  uv_tcp_init(loop, &listener);
  uv_ip4_addr("127.0.0.1", 0, &address);
  if (uv_tcp_bind(&listener, (struct sockaddr*)&address, 0) < 0 ||
      uv_listen((uv_stream_t*)&listener, 1024, on_connection) < 0 ||
      uv_tcp_getsockname(&listener, (struct sockaddr*)&address, &length) < 0) {
    fprintf(stderr, "cannot listen\n");
    return 1;
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return uv_run(loop, UV_RUN_DEFAULT);
}
