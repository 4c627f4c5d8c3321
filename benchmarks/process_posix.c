// SPDX-License-Identifier: MIT
// The floor of the rows of processes: posix_spawn and waitpid, and read where there is
// output. Arguments and what is printed: see process_aster.cpp.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static char* const true_arguments[] = {"/bin/true", NULL};
static char* const echo_arguments[] = {"/bin/echo", "x", NULL};

struct child {
  pid_t pid;
  int output;
};

static void check(int good) {
  if (!good) abort();
}

static struct child start(int with_output) {
  struct child child = {0, -1};
  if (!with_output) {
    check(posix_spawn(&child.pid, "/bin/true", NULL, NULL, true_arguments, environ) == 0);
    return child;
  }
  int ends[2];
  check(pipe(ends) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  check(posix_spawn(&child.pid, "/bin/echo", &actions, NULL, echo_arguments, environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  child.output = ends[0];
  return child;
}

static void finish(struct child child) {
  if (child.output >= 0) {
    char text[16];
    check(read(child.output, text, sizeof text) == 2);
    check(read(child.output, text, sizeof text) == 0);
    close(child.output);
  }
  int status;
  check(waitpid(child.pid, &status, 0) == child.pid && status == 0);
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const int with_output = strcmp(argv[1], "output") == 0;
  const int count = atoi(argv[2]);
  const int at_a_time = atoi(argv[3]);
  const size_t size = (size_t)atoi(argv[4]) << 20;
  char* resident = malloc(size + 1);
  memset(resident, 'x', size);
  struct child* children = calloc((size_t)at_a_time, sizeof *children);
  struct timespec begin;
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 0; i < at_a_time; ++i) children[i] = start(with_output);
  for (int i = 0; i < count - at_a_time; ++i) {  // The oldest makes room for the next.
    finish(children[i % at_a_time]);
    children[i % at_a_time] = start(with_output);
  }
  for (int i = 0; i < at_a_time; ++i) finish(children[i]);
  clock_gettime(CLOCK_MONOTONIC, &end);
  const double taken =
      (double)(end.tv_sec - begin.tv_sec) * 1e6 + (double)(end.tv_nsec - begin.tv_nsec) / 1e3;
  printf("%.3f\n", taken / count);
  free(children);
  return resident[size / 2] == 'y';
}
