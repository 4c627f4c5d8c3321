// SPDX-License-Identifier: MIT
// Starts programs and waits for them, with libuv. Arguments and what is printed: see
// process_aster.cpp.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static char* true_arguments[] = {"/bin/true", NULL};
static char* echo_arguments[] = {"/bin/echo", "x", NULL};
static char buffer[65536];

// A lane starts its next child when the one before has ended.
struct lane {
  uv_process_t process;
  uv_pipe_t output;
  int left;
  int open;  // Handles that are not closed yet.
  size_t size;
};

static int with_output;

static void start(struct lane* lane);

static void check(int good) {
  if (!good) abort();
}

static void on_closed(uv_handle_t* handle) {
  struct lane* lane = handle->data;
  if (--lane->open > 0) return;
  if (with_output) check(lane->size == 2);
  if (--lane->left > 0) start(lane);
}

static void on_exit_of(uv_process_t* process, int64_t status, int signal) {
  check(status == 0 && signal == 0);
  uv_close((uv_handle_t*)process, on_closed);
}

static void give_buffer(uv_handle_t* handle, size_t hint, uv_buf_t* target) {
  (void)handle;
  (void)hint;
  *target = uv_buf_init(buffer, sizeof buffer);
}

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* data) {
  (void)data;
  struct lane* lane = stream->data;
  if (size < 0) {
    uv_close((uv_handle_t*)stream, on_closed);
  } else {
    lane->size += (size_t)size;
  }
}

static void start(struct lane* lane) {
  uv_stdio_container_t streams[3] = {{.flags = UV_INHERIT_FD, .data.fd = 0},
                                     {.flags = UV_INHERIT_FD, .data.fd = 1},
                                     {.flags = UV_INHERIT_FD, .data.fd = 2}};
  uv_process_options_t options = {.exit_cb = on_exit_of, .stdio_count = 3, .stdio = streams};
  options.args = with_output ? echo_arguments : true_arguments;
  options.file = options.args[0];
  lane->process.data = lane;
  lane->open = 1;
  lane->size = 0;
  if (with_output) {
    check(uv_pipe_init(uv_default_loop(), &lane->output, 0) == 0);
    lane->output.data = lane;
    lane->open = 2;
    streams[1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    streams[1].data.stream = (uv_stream_t*)&lane->output;
  }
  check(uv_spawn(uv_default_loop(), &lane->process, &options) == 0);
  if (with_output) uv_read_start((uv_stream_t*)&lane->output, give_buffer, on_read);
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  with_output = strcmp(argv[1], "output") == 0;
  const int count = atoi(argv[2]);
  const int at_a_time = atoi(argv[3]);
  const size_t size = (size_t)atoi(argv[4]) << 20;
  char* resident = malloc(size + 1);
  memset(resident, 'x', size);
  struct lane* lanes = calloc((size_t)at_a_time, sizeof *lanes);
  const uint64_t begin = uv_hrtime();
  for (int i = 0; i < at_a_time; ++i) {
    lanes[i].left = count / at_a_time;
    start(&lanes[i]);
  }
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
  printf("%.3f\n", (double)(uv_hrtime() - begin) / 1e3 / count);
  free(lanes);
  return resident[size / 2] == 'y';
}
