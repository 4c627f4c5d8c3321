# SPDX-License-Identifier: MIT
"""The crawler against nginx: many files of all sizes arrive byte for byte."""

import hashlib
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import support

FILE_COUNT = 500
SIZE_MAX = 10 * 1024 * 1024

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1;
  proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4;
  scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/site;
  }}
}}
"""


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.folder.chmod(0o755)  # When root runs this, the worker is somebody else.
        (self.folder / "site").mkdir()
        self.port = self.start()

    def start(self):
        """Another program may take the port between choosing and using it: try again."""
        for _ in range(5):
            port = free_port()
            (self.folder / "nginx.conf").write_text(
                CONFIGURATION.format(folder=self.folder, port=port))
            process = subprocess.Popen(
                [NGINX, "-p", self.folder, "-e", self.folder / "error.log", "-c",
                 self.folder / "nginx.conf"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            # It writes its number when it listens. That somebody answers says less: it may
            # be who has taken the port.
            support.wait_until(
                lambda: process.poll() is not None or (self.folder / "nginx.pid").exists(),
                "nginx listens or gives up")
            if process.poll() is None:
                self.addCleanup(self.stop, process)
                return port
        self.fail((self.folder / "error.log").read_text())

    @staticmethod
    def stop(process):
        process.terminate()
        try:
            process.wait(support.LIMIT)
        finally:
            process.kill()

    def test_five_hundred_files(self):
        generator = random.Random(20240601)
        urls = []
        site = self.folder / "site"
        # Spread by their logarithm, with more small ones than large ones; both ends of
        # the range are there for certain.
        sizes = [1, SIZE_MAX] + [int(SIZE_MAX ** generator.triangular(0, 1, 0.3))
                                 for _ in range(FILE_COUNT - 2)]
        self.assertLess(sum(sizes), 150 * 1024 * 1024)
        generator.shuffle(sizes)
        for number, size in enumerate(sizes):
            (site / f"{number}.bin").write_bytes(generator.randbytes(size))
            urls.append(f"http://127.0.0.1:{self.port}/{number}.bin")
        (self.folder / "urls").write_text("\n".join(urls))

        output = self.folder / "downloads"
        result = support.run("crawler", "--file", self.folder / "urls", "--output", output,
                             "--concurrency", "32")

        self.assertEqual(result.returncode, 0, result.stdout[-5000:] + result.stderr)
        self.assertIn(f"{FILE_COUNT} of {FILE_COUNT} ok, 0 failed", result.stdout)
        self.assertEqual(sorted(p.name for p in output.iterdir()),
                         sorted(p.name for p in site.iterdir()))
        for path in output.iterdir():
            self.assertEqual(digest(path), digest(site / path.name), path.name)

    def test_a_missing_file(self):
        (self.folder / "site" / "here").write_bytes(b"x" * 100_000)
        result = support.run("crawler", "--output", self.folder / "downloads",
                             f"http://127.0.0.1:{self.port}/missing",
                             f"http://127.0.0.1:{self.port}/here")

        self.assertEqual(result.returncode, 1)
        self.assertIn("404 Not Found", result.stdout)
        self.assertEqual([p.name for p in (self.folder / "downloads").iterdir()], ["here"])


NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
if NGINX is None:
    # ctest knows this line; see tests/CMakeLists.txt.
    print("skipped: nginx is not installed (Debian: nginx-light)")
    sys.exit(77)

if __name__ == "__main__":
    support.main()
