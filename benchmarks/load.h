// SPDX-License-Identifier: MIT
// What the load programs have in common: time, the server's CPU time, round-trip times.
// Included by the one source of each, after _GNU_SOURCE was defined.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

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
