// SPDX-License-Identifier: MIT
// A TLS server as plain as can be, the floor of the TLS rows: OpenSSL on blocking sockets,
// a thread for each connection. Prints its port, then serves until it is killed.
//
//   tls_blocking CERTIFICATE_AND_KEY.pem [sink]
//
// Echoes, or (sink) reads and forgets.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536 };
static SSL_CTX* context;
static bool echoes = true;

static void fail(const char* what) {
  perror(what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static void* serve(void* given) {
  const int fd = (int)(intptr_t)given;
  char* buffer = malloc(BUFFER_SIZE);
  SSL* ssl = SSL_new(context);
  if (buffer == NULL || ssl == NULL || SSL_set_fd(ssl, fd) != 1) fail("SSL_new");
  if (SSL_accept(ssl) == 1) {
    for (;;) {
      const int size = SSL_read(ssl, buffer, BUFFER_SIZE);
      if (size <= 0) break;
      if (echoes && SSL_write(ssl, buffer, size) != size) break;
    }
    SSL_shutdown(ssl);
  }
  SSL_free(ssl);
  close(fd);
  free(buffer);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  echoes = argc < 3 || strcmp(argv[2], "sink") != 0;
  signal(SIGPIPE, SIG_IGN);
  context = SSL_CTX_new(TLS_server_method());
  if (context == NULL || SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, argv[1], SSL_FILETYPE_PEM) != 1) {
    fail(argv[1]);
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (const struct sockaddr*)&address, size) < 0 ||
      listen(listener, 1024) < 0 ||
      getsockname(listener, (struct sockaddr*)&address, &size) < 0) {
    fail("listen");
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  for (;;) {
    const int on = 1;
    const int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    pthread_t thread;
    if (pthread_create(&thread, &attributes, &serve, (void*)(intptr_t)fd) != 0) close(fd);
  }
}
