# SPDX-License-Identifier: MIT
"""The crawler against servers that behave well and badly, and its command line."""

import fcntl
import http.server
import os
import pathlib
import pty
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import support

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


def body(size, seed=1):
    return random.Random(seed).randbytes(size)


def whole(data):
    return lambda connection: connection.sendall(
        OK + b"Content-Length: %d\r\n\r\n" % len(data) + data)


def raw(*pieces):
    """Sends the pieces with pauses, and closes."""
    def answer(connection):
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.01)
    return answer


def chunked(data, sizes, trailer=b""):
    def answer(connection):
        connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        start = 0
        for size in sizes:
            part = data[start:start + size]
            start += size
            if part:
                connection.sendall(b"%x;note=1\r\n" % len(part) + part + b"\r\n")
        assert start >= len(data)
        connection.sendall(b"0\r\n" + trailer + b"\r\n")
    return answer


class CrawlerTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def crawl(self, *arguments, **options):
        return support.run("crawler", "--output", self.folder, *arguments, **options)

    def files(self):
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def line_of(self, result, url):
        """The one line that was printed when this URL was done."""
        lines = [line for line in result.stdout.split("\n\n")[0].splitlines()
                 if url in line.split()]
        self.assertEqual(len(lines), 1, result.stdout + result.stderr)
        return lines[0]

    def assert_fails(self, answer, expected, *arguments):
        """A bad answer is reported, leaves nothing, and harms no other download."""
        good = body(300_000)
        behaviours = {"/good": whole(good), "/bad": answer}
        with support.HttpServer(behaviours) as server:
            if answer is None:
                behaviours["/bad"] = server.stall
            result = self.crawl(server.url("/bad"), server.url("/good"), *arguments)

        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertTrue(self.line_of(result, server.url("/bad")).startswith("failed"))
        self.assertRegex(self.line_of(result, server.url("/bad")), expected)
        self.assertTrue(self.line_of(result, server.url("/good")).startswith("ok"))
        self.assertEqual(self.files(), {"good": good})

    def assert_gives(self, answer, expected):
        with support.HttpServer({"/it": answer}) as server:
            result = self.crawl(server.url("/it"))

        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(self.files(), {"it": expected})


class Bodies(CrawlerTest):
    def test_a_length_is_obeyed(self):
        self.assert_gives(whole(body(3_000_000)), body(3_000_000))

    def test_an_empty_body_is_a_file(self):
        self.assert_gives(whole(b""), b"")

    def test_chunks_are_joined(self):
        data = body(500_000)
        sizes = [1, 2, 3, 1000, 65536, 100_000, 7, 400_000]
        self.assert_gives(chunked(data, sizes, b"X-Trailer: yes\r\n"), data)

    def test_no_chunks_are_an_empty_file(self):
        self.assert_gives(chunked(b"", []), b"")

    def test_chunks_in_the_smallest_segments(self):
        text = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        self.assert_gives(raw(*[bytes([b]) for b in text]), b"abcde")

    def test_without_a_length_the_end_of_the_connection_counts(self):
        data = body(200_000)
        self.assert_gives(raw(b"HTTP/1.0 200 OK\r\n\r\n", data[:1000], data[1000:]), data)

    def test_interim_answers_are_skipped(self):
        self.assert_gives(raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" +
                              b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), b"hi")

    def test_a_server_that_keeps_the_connection_open_is_done_all_the_same(self):
        def answer(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            connection.recv(1)
        self.assert_gives(answer, b"hi")

    def test_line_feeds_alone_end_lines(self):
        self.assert_gives(raw(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"), b"hi")

    def test_the_request_is_complete(self):
        with support.HttpServer({"/a%20b?c=d": whole(b"x")}) as server:
            result = self.crawl(server.url("/a%20b?c=d#part"))

        self.assertEqual(result.returncode, 0, result.stdout)
        lines = server.requests[0].decode().split("\r\n")
        self.assertEqual(lines[0], "GET /a%20b?c=d HTTP/1.1")
        self.assertIn(f"Host: 127.0.0.1:{server.port}", lines)
        self.assertIn("Connection: close", lines)


class BadServers(CrawlerTest):
    def test_stall_before_the_answer(self):
        self.assert_fails(None, "timed out", "--timeout", "5")

    def test_stall_in_the_body(self):
        def answer(connection):
            connection.sendall(OK + b"Content-Length: 1000\r\n\r\nabc")
            connection.recv(1)
        self.assert_fails(answer, "timed out", "--timeout", "5")

    def test_reset_before_the_answer(self):
        self.assert_fails(support.reset, "reset")

    def test_reset_in_the_body(self):
        def answer(connection):
            connection.sendall(OK + b"Content-Length: 1000\r\n\r\nabc")
            time.sleep(0.1)
            support.reset(connection)
        self.assert_fails(answer, "reset")

    def test_garbage(self):
        self.assert_fails(raw(body(1000) + b"\n"), "not an answer of HTTP")

    def test_garbage_without_line_ends(self):
        self.assert_fails(raw(b"\xff" * 1_000_000), "no end")

    def test_silence(self):
        self.assert_fails(raw(b""), "closed without an answer")

    def test_end_in_the_header(self):
        self.assert_fails(raw(OK), "closed too early")

    def test_truncated_body(self):
        self.assert_fails(raw(OK + b"Content-Length: 1000\r\n\r\n" + b"a" * 999),
                          "closed after 999 of 1000 bytes")

    def test_body_longer_than_its_length(self):
        self.assert_fails(raw(OK + b"Content-Length: 10\r\n\r\n" + b"a" * 11), "longer")

    def test_truncated_chunk(self):
        self.assert_fails(raw(OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\nabc"), "closed after 3")

    def test_missing_last_chunk(self):
        self.assert_fails(raw(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), "too early")

    def test_chunk_longer_than_its_size(self):
        self.assert_fails(raw(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"),
                          "longer")

    def test_bad_chunk_sizes(self):
        for size in (b"", b"-1", b"x", b"0x2", b"11111111111111111"):
            with self.subTest(size=size):
                text = OK + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\nab\r\n0\r\n\r\n"
                self.assert_fails(raw(text), "chunk size")

    def test_bad_lengths(self):
        for length in (b"", b"-1", b"+1", b"1 1", b"0x1", b"1e3", b"99999999999999999999",
                       b"1\r\nContent-Length: 2"):
            with self.subTest(length=length):
                self.assert_fails(raw(OK + b"Content-Length: " + length + b"\r\n\r\na"),
                                  "Content-Length")

    def test_length_and_chunks(self):
        self.assert_fails(raw(OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na"),
                          "both")

    def test_unknown_encoding(self):
        self.assert_fails(raw(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\na"), "Encoding")

    def test_endless_headers(self):
        def answer(connection):
            connection.sendall(OK)
            while True:
                connection.sendall(b"X-More: and more\r\n" * 100)
        self.assert_fails(answer, "64 KiB of header")

    def test_endless_interim_answers(self):
        def answer(connection):
            while True:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        self.assert_fails(answer, "64 KiB of header")

    def test_bad_header_lines(self):
        for line in (b"no colon", b": no name", b"a name: x", b" folded: x"):
            with self.subTest(line=line):
                self.assert_fails(raw(OK + line + b"\r\n\r\n"), "not a header line")

    def test_other_status(self):
        self.assert_fails(raw(b"HTTP/1.1 404 Not \x1b[31mFound\r\nContent-Length: 2\r\n\r\nno"),
                          r"404 .*404 Not \?\[31mFound")

    def test_redirect_is_told_and_not_followed(self):
        self.assert_fails(raw(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n"),
                          "302 Found, not followed to http://elsewhere/")


class Addresses(CrawlerTest):
    def test_ipv6(self):
        try:
            server = support.HttpServer({"/six": whole(b"6")}, socket.AF_INET6, "::1")
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        with server:
            result = self.crawl(f"http://[::1]:{server.port}/six")

        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(self.files(), {"six": b"6"})

    def test_refused(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
            result = self.crawl(url)

        self.assertEqual(result.returncode, 1)
        self.assertRegex(self.line_of(result, url), "refused")
        self.assertEqual(self.files(), {})

    def test_unknown_host(self):
        result = self.crawl("http://no-such-host.invalid/x", "--timeout", "20")

        self.assertEqual(result.returncode, 1)
        self.assertRegex(self.line_of(result, "http://no-such-host.invalid/x"),
                         "^failed .*(no-such-host.invalid|timed out)")
        self.assertEqual(self.files(), {})

    def test_https(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", key, "-out", cert], check=True, capture_output=True)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        data = body(300_000)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # A client that does not trust it.

        with Server(("127.0.0.1", 0), Handler) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"https://127.0.0.1:{server.server_port}/file"
            result = self.crawl("--cacert", cert, url)
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertEqual((self.folder / "file").read_bytes(), data)
            (self.folder / "file").unlink()
            result = self.crawl(url)
            self.assertEqual(result.returncode, 1, result.stdout)
            self.assertRegex(result.stdout, "certificate verify failed")
            self.assertFalse((self.folder / "file").exists())
            server.shutdown()

    def test_bad_urls(self):
        for url, expected in {
            "ftp://example.org/": "not a URL",
            "example.org": "not a URL",
            "http://": "no host",
            "http:///x": "no host",
            "http://host:0/": "port",
            "http://host:65536/": "port",
            "http://host:x/": "port",
            "http://[::1": "no ']'",
            "http://[::1]8/": "port",
            "http://a@host/": "user names",
        }.items():
            with self.subTest(url=url):
                result = self.crawl(url)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(self.line_of(result, url), "^failed .*" + expected)
        result = self.crawl("http://a\r\nb/ c")
        self.assertEqual(result.returncode, 1)
        self.assertIn("http://a??b/ c  a URL has no spaces", result.stdout)


class Names(CrawlerTest):
    def test_names_stay_in_the_folder_and_apart(self):
        paths = {"/": "index.html", "/a/": "index-2.html", "/a/b.txt": "b.txt",
                 "/c/b.txt": "b-2.txt", "/../../..": "_.", "/%2e%2e%2fetc%2fpasswd":
                 "_2e_2e_2fetc_2fpasswd", "/.hidden": "_hidden", "/x?y=/../z": "x",
                 "/" + "n" * 1000: "n" * 200}
        behaviours = {path: whole(path.encode()) for path in paths}
        with support.HttpServer(behaviours) as server:
            result = self.crawl(*(server.url(path) for path in paths))

        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(self.files(), {name: path.encode() for path, name in paths.items()})

    def test_a_file_that_cannot_be_written_is_a_failure_of_its_own(self):
        (self.folder / "taken").mkdir()
        with support.HttpServer({"/taken": whole(b"x"), "/free": whole(b"y")}) as server:
            result = self.crawl(server.url("/taken"), server.url("/free"))

        self.assertEqual(result.returncode, 1)
        self.assertRegex(self.line_of(result, server.url("/taken")), "^failed")
        self.assertEqual({p.name for p in self.folder.iterdir()}, {"taken", "free"})


class CommandLine(CrawlerTest):
    def test_help(self):
        for option in ("--help", "-h"):
            result = support.run("crawler", option)

            self.assertEqual((result.returncode, result.stderr), (0, ""))
            for option in ("--file", "--concurrency", "--output", "--timeout"):
                self.assertIn(option, result.stdout)

    def test_a_report_that_cannot_be_written_is_told(self):
        with support.HttpServer({"/a": whole(b"A")}) as server, open("/dev/full", "w") as full:
            for arguments in ([server.url("/a"), "--output", self.folder], ["--help"]):
                result = subprocess.run([support.program("crawler"), *arguments], stdout=full,
                                        stderr=subprocess.PIPE, text=True, timeout=support.LIMIT)
                self.assertEqual(result.returncode, 1)
                self.assertEqual(result.stderr, "crawler: cannot write to standard output: "
                                                "No space left on device\n")
        self.assertEqual((self.folder / "a").read_bytes(), b"A")

    def test_a_folder_that_is_none_is_told(self):
        result = support.run("crawler", "--output", "/dev/full", "http://127.0.0.1:1/")

        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "/dev/full")

    def test_wrong_usage(self):
        for arguments in (["--nonsense"], ["--file"], ["--file", "/does/not/exist"],
                          ["--concurrency", "0", "http://x/"], ["--concurrency", "2x", "http://x/"],
                          ["--timeout", "-1", "http://x/"], ["--timeout", "nan", "http://x/"],
                          ["--output", "/tmp"], ["--file", "/dev/null"]):
            with self.subTest(arguments=arguments):
                result = support.run("crawler", *arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertRegex(result.stderr, "^crawler: .*\nTry 'crawler --help'.\n$")

    def test_a_list_of_urls(self):
        with support.HttpServer({"/a": whole(b"A"), "/b": whole(b"B")}) as server:
            urls = self.folder / "urls"
            urls.write_text(f"# a comment\n\n{server.url('/a')}\r\n  {server.url('/b')}  \n")
            result = support.run("crawler", "--output", self.folder / "new" / "folder",
                                 "--file", urls)

        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual((self.folder / "new/folder/a").read_bytes(), b"A")
        self.assertEqual((self.folder / "new/folder/b").read_bytes(), b"B")

    def test_no_more_than_concurrency_at_once(self):
        running, most = set(), []
        three = threading.Barrier(3, timeout=support.LIMIT)

        def answer(connection):
            running.add(connection)
            most.append(len(running))
            three.wait()
            time.sleep(0.05)  # A fourth would come now.
            running.discard(connection)
            whole(b"x")(connection)

        with support.HttpServer({f"/{i}": answer for i in range(12)}) as server:
            result = self.crawl("--concurrency", "3", *(server.url(f"/{i}") for i in range(12)))

        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(max(most), 3)

    def test_the_table_names_every_download(self):
        with support.HttpServer({"/a": whole(b"A" * 1500), "/b": raw(b"")}) as server:
            result = self.crawl(server.url("/a"), server.url("/b"))

        table = result.stdout.split("\n\n")[1].splitlines()
        self.assertRegex(table[0], r"^result +bytes +seconds +URL$")
        self.assertRegex(table[1], r"^ok +1500 +\d+\.\d\d +" + server.url("/a") + "$")
        self.assertRegex(table[2], r"^failed +0 +\d+\.\d\d +" + server.url("/b") + "  .*answer$")
        self.assertRegex(result.stdout, r"\n1 of 2 ok, 1 failed, 1\.5 KiB in ")

    def test_the_demonstration_checks_itself(self):
        start = time.monotonic()
        result = support.run("crawler", env={**os.environ, "TMPDIR": str(self.folder)})

        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("demo: 40 of 40 files are the same", result.stdout)
        self.assertEqual(self.files(), {})
        self.assertLess(time.monotonic() - start, 30)

    def test_a_terminal_gets_a_bar(self):
        master, slave = pty.openpty()
        with support.HttpServer({"/a": whole(body(100_000)), "/b": raw(b"")}) as server:
            process = subprocess.Popen(
                [support.program("crawler"), "--output", self.folder, server.url("/a"),
                 server.url("/b")], stdout=slave)
            os.close(slave)
            output = b""
            try:
                while data := os.read(master, 65536):
                    output += data
            except OSError:
                pass  # EIO: the other side is closed.
            os.close(master)
            self.assertEqual(process.wait(support.LIMIT), 1)
        self.assertRegex(output, rb"\r\x1b\[K\[#+\.*\] \d/2  .*/s")
        self.assertRegex(output, rb"\nfailed +0 .*answer")


class Interrupt(CrawlerTest):
    def assert_leaves_whole_files_only(self, sign):
        done = body(100_000)

        def answer(connection):
            connection.sendall(OK + b"Content-Length: 1000000\r\n\r\n" + body(500_000))
            connection.recv(1)

        def half_done():
            return [n for n in range(6) if (self.folder / f".{n}.part").exists()
                    and (self.folder / f".{n}.part").stat().st_size >= 400_000]

        behaviours = {"/done": whole(done)}
        behaviours.update({f"/{i}": answer for i in range(6)})
        with support.HttpServer(behaviours) as server:
            urls = [server.url(path) for path in behaviours]
            process = subprocess.Popen(
                [support.program("crawler"), "--output", self.folder, "--concurrency", "4", *urls],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(process.kill)
            support.wait_until(lambda: len(half_done()) == 4, "four downloads are half done")
            out = support.assert_dies_by_sigint(self, process, sign)

        self.assertIn("interrupted: 1 of 7 done", out)
        self.assertEqual(self.files(), {"done": done})

    def test_ctrl_c_leaves_whole_files_only(self):
        self.assert_leaves_whole_files_only(signal.SIGINT)

    def test_sigterm_leaves_whole_files_only(self):
        self.assert_leaves_whole_files_only(signal.SIGTERM)

    def test_ctrl_c_ends_the_demonstration_without_a_trace(self):
        # A full pipe: it cannot go on after its first download before somebody reads.
        reader, writer = os.pipe()
        os.write(writer, b"." * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
        process = subprocess.Popen([support.program("crawler")], stdout=writer,
                                   stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "TMPDIR": str(self.folder)})
        os.close(writer)
        process.stdout = open(reader)
        self.addCleanup(process.kill)
        support.wait_until(lambda: list(self.folder.glob("*/downloads/file-*")),
                           "one download is done")
        out = support.assert_dies_by_sigint(self, process)

        self.assertRegex(out, r"interrupted: \d+ of 40 done")

        self.assertEqual(self.files(), {})


if __name__ == "__main__":
    support.main()
