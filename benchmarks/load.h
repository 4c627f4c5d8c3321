// SPDX-License-Identifier: MIT
// What the load programs have in common: time, the server's CPU time, round-trip times.
// Included by the one source of each, after _GNU_SOURCE was defined.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void fail(const char* what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// The time that the server has spent on a CPU with all its threads, in nanoseconds.
static uint64_t server_cpu(int server) {
  clockid_t clock;
  struct timespec time;
  if (server == 0) return 0;
  if (clock_getcpuclockid(server, &clock) != 0 || clock_gettime(clock, &time) < 0) {
    fail("the server's CPU time");
  }
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Round-trip times --------------------------------------------------------------------

// Counts by time: 32 steps for each power of two, so within 3 %.
enum { STEPS = 32, POWERS = 40 };
static uint64_t histogram[POWERS * STEPS];

static unsigned place_of(uint64_t time) {
  if (time < STEPS) return (unsigned)time;
  const unsigned power = 63 - (unsigned)__builtin_clzll(time);
  const unsigned place =
      (power - 4) * STEPS + (unsigned)(time >> (power - 5) & (uint64_t)(STEPS - 1));
  return place < POWERS * STEPS ? place : POWERS * STEPS - 1;
}

static double time_at(unsigned place) {
  if (place < STEPS) return place;
  const unsigned power = place / STEPS + 4;
  return (double)((uint64_t)(STEPS + place % STEPS) << (power - 5));
}

static double quantile_us(uint64_t total, double part) {
  const uint64_t wanted = (uint64_t)((double)total * part);
  uint64_t seen = 0;
  for (unsigned place = 0; place < POWERS * STEPS; ++place) {
    seen += histogram[place];
    if (seen > wanted) return time_at(place) / 1000;
  }
  return 0;
}

// Each from another address, as the ports of one would run out: ended connections are
// remembered for a minute.
static void bind_elsewhere(int fd) {
  enum { FIRST = 0x7f010001, COUNT = 50000 };
  static uint32_t next = 0;
  const int on = 1;
  const struct sockaddr_in from = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(FIRST + next++ % COUNT)};
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (const struct sockaddr*)&from, sizeof from) < 0) fail("bind");
}

static void pin_to(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// What every connection sends, but for the number in front; `room` bytes more are
// allocated, and nothing in them.
static char* make_message(size_t size, size_t room) {
  char* made = malloc(size + room);
  if (made == NULL) fail("malloc");
  for (size_t i = 0; i < size; ++i) made[i] = (char)(i * 31 + i / 251);
  return made;
}

// Options that all have: -P port, -c connections, -s size, -d seconds, -n requests,
// -p server, -C cpu ------------------------------------------------------------------------

#define LOAD_OPTIONS "P:c:s:d:n:p:C:"
enum { STAMP_SIZE = 8, CONNECTIONS_MAX = 10000, EVENT_MAX = 512 };

static struct {
  int port;
  int connections;
  size_t size;
  double seconds;
  uint64_t requests;
  int server;
  int cpu;
} load = {.connections = 1, .size = 64, .seconds = 1, .requests = UINT64_MAX, .cpu = -1};

// False: it is not one of those.
static bool take_option(int option, const char* value) {
  switch (option) {
    case 'P':
      load.port = atoi(value);
      return true;
    case 'c':
      load.connections = atoi(value);
      return true;
    case 's':
      load.size = (size_t)atol(value);
      return true;
    case 'd':
      load.seconds = atof(value);
      return true;
    case 'n':
      load.requests = strtoull(value, NULL, 10);
      return true;
    case 'p':
      load.server = atoi(value);
      return true;
    case 'C':
      load.cpu = atoi(value);
      return true;
    default:
      return false;
  }
}

static void check_options(size_t size_max) {
  static const double seconds_max = 60;
  if (load.connections >= 1 && load.connections <= CONNECTIONS_MAX && load.size >= STAMP_SIZE &&
      load.size <= size_max && load.seconds <= seconds_max) {
    return;
  }
  fprintf(stderr, "load: an option is out of range\n");
  exit(2);
}

// The place of a name in a list that ends with NULL.
static int mode_of(const char* name, const char* const* names) {
  for (int i = 0; names[i] != NULL; ++i) {
    if (strcmp(names[i], name) == 0) return i;
  }
  fprintf(stderr, "load: no such mode: %s\n", name);
  exit(2);
}

// The measurement --------------------------------------------------------------------------

static struct {
  uint64_t warm;
  uint64_t end;
  bool is_running;
  uint64_t since;
  uint64_t cpu;
  uint64_t done;  // Requests.
} measured;

static void begin_measurement(void) {
  static const double warm_up_seconds = 0.1;
  const uint64_t begin = now();
  // A run bounded by requests counts them all: it is no measurement of time.
  const bool warms_up = load.requests == UINT64_MAX;
  measured.warm = begin + (warms_up ? (uint64_t)(warm_up_seconds * 1e9) : 0);
  measured.end = measured.warm + (uint64_t)(load.seconds * 1e9);
  measured.since = begin;
}

// To be called often. False: the time is over. `*restarted`: counting begins anew.
static bool goes_on(bool* restarted) {
  const uint64_t time = now();
  *restarted = !measured.is_running && time >= measured.warm;
  if (*restarted) {
    measured.is_running = true;
    measured.done = 0;
    memset(histogram, 0, sizeof histogram);
    measured.cpu = server_cpu(load.server);
    measured.since = now();
  }
  return time < measured.end;
}

static void count_request(uint64_t start, uint64_t time) {
  ++histogram[place_of(time - start)];
  ++measured.done;
}

static void print_measured(const char* mode) {
  const double elapsed = (double)(now() - measured.since) / 1e9;
  const double requests = measured.done > 0 ? (double)measured.done : 1;
  printf(
      "{\"mode\": \"%s\", \"connections\": %d, \"size\": %zu, \"requests\": %llu, "
      "\"requests_per_second\": %.0f, "
      "\"p50_us\": %.1f, \"p99_us\": %.1f, \"server_cpu_ns\": %.1f}\n",
      mode, load.connections, load.size, (unsigned long long)measured.done,
      (double)measured.done / elapsed, quantile_us(measured.done, 0.5),
      quantile_us(measured.done, 0.99), (double)(server_cpu(load.server) - measured.cpu) / requests);
}
