# SPDX-License-Identifier: MIT
"""What the tests of the examples share: programs with a time limit, servers that
say where they listen, and a server that misbehaves on request."""

import argparse
import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

# Seconds that anything may take before the test fails; nothing should come near.
LIMIT = 60

_folder = None


def main():
    """unittest.main with an option that says where the programs are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    global _folder
    _folder = options.programs.resolve()
    unittest.main(module="__main__", argv=[sys.argv[0], *rest])


def program(name):
    # This file is imported under its own name, also when a test is `__main__`.
    return str(_folder / name)


def run(name, *arguments, **options):
    """Runs a program to its end."""
    return subprocess.run([program(name), *map(str, arguments)], capture_output=True,
                          text=True, timeout=LIMIT, stdin=subprocess.DEVNULL, **options)


@contextlib.contextmanager
def server(name):
    """A program that prints `listening on 127.0.0.1:PORT`; gives process and port."""
    process = subprocess.Popen([program(name), "0"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(LIMIT, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
        if not line.startswith("listening on 127.0.0.1:"):
            process.kill()
            raise AssertionError(f"{name}: {line!r} {process.communicate()[1]}")
        yield process, int(line.rsplit(":", 1)[1])
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def connect(port, receive_buffer=None):
    connection = socket.socket()
    connection.settimeout(LIMIT)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect(("127.0.0.1", port))
    return connection


def reset(connection):
    """Closes with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def cpu_seconds(process):
    """How long a running process has computed."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(condition, what):
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.02)


def assert_dies_by_sigint(test, process, sent=signal.SIGINT):
    process.send_signal(sent)
    out, err = process.communicate(timeout=LIMIT)
    test.assertEqual(process.returncode, -signal.SIGINT, (out, err))
    test.assertEqual(err, "")
    return out


class HttpServer:
    """Answers each request by `behaviours[path](connection)`, a thread each."""

    def __init__(self, behaviours, family=socket.AF_INET, host="127.0.0.1"):
        self._behaviours = behaviours
        self._listener = socket.socket(family)
        self._listener.bind((host, 0))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]
        self.requests = []
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._ended.set()
        # Wakes accept; a plain close would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(LIMIT)
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                data = connection.recv(65536)
                if not data:
                    return
                request += data
            self.requests.append(request)
            self._behaviours[request.split()[1].decode()](connection)

    def stall(self, connection):
        """Says nothing more until the test ends or the client goes."""
        connection.settimeout(0.05)
        while not self._ended.is_set():
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                pass
