# SPDX-License-Identifier: MIT
"""The echo server and the chat server with clients that behave well and badly."""

import socket
import threading
import time
import unittest

import support


class Client:
    """A chat client that knows what it waits for."""

    def __init__(self, port, name=None, receive_buffer=None):
        self.socket = support.connect(port, receive_buffer)
        self.received = b""
        if name is not None:
            self.expect(b"Your name?\n")
            self.send(name.encode() + b"\n")
            self.expect(b"Hello " + name.encode())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def expect(self, text):
        """Reads until `text` has come; forgets everything up to it."""
        while text not in self.received:
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError(f"closed before {text!r}: {self.received[-300:]!r}")
            # Of what has been searched, an end is kept: for `text` in pieces, and to be shown.
            self.received = self.received[-len(text) - 300:] + data
        self.received = self.received.split(text, 1)[1]

    def expect_end(self):
        """Reads to the end, which may be a reset."""
        try:
            while data := self.socket.recv(65536):
                self.received += data
        except ConnectionResetError:
            pass
        return self.received


class EchoServer(unittest.TestCase):
    program = "echo_server"

    def test_every_client_gets_its_bytes_back(self):
        with support.server(self.program) as (process, port):
            clients = [support.connect(port) for _ in range(50)]
            for number, client in enumerate(clients):
                client.sendall(b"%d\n" % number * 100)
            for number, client in enumerate(clients):
                expected = b"%d\n" % number * 100
                with client, client.makefile("rb") as stream:
                    self.assertEqual(stream.read(len(expected)), expected)
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(stream.read(), b"")
            support.assert_dies_by_sigint(self, process)

    def test_megabytes_come_back_whole(self):
        data = bytes(range(256)) * 40_000
        with support.server(self.program) as (_, port), support.connect(port) as client:
            sender = threading.Thread(target=lambda: (client.sendall(data),
                                                      client.shutdown(socket.SHUT_WR)))
            sender.start()
            with client.makefile("rb") as stream:
                self.assertEqual(stream.read(), data)
            sender.join()

    def test_clients_that_stall_reset_or_leave_harm_nobody(self):
        with support.server(self.program) as (_, port):
            # Sends and never reads, until the server stops to read.
            staller = support.connect(port)
            staller.setblocking(False)
            sent, last = 0, time.monotonic()
            while time.monotonic() - last < 0.5 and sent < 100_000_000:
                try:
                    sent += staller.send(b"x" * 65536)
                    last = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.01)
            self.assertLess(sent, 100_000_000, "the server buffers without bound")
            leaver = support.connect(port)
            leaver.sendall(b"half a")
            leaver.close()
            resetter = support.connect(port)
            resetter.sendall(b"x" * 100_000)
            support.reset(resetter)

            with support.connect(port) as client:
                client.sendall(b"still there?")
                self.assertEqual(client.recv(100), b"still there?")
            staller.close()

    def test_ctrl_c_ends_it_with_clients_connected(self):
        with support.server(self.program) as (process, port), support.connect(port) as client:
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")

            support.assert_dies_by_sigint(self, process)

            self.assertEqual(client.recv(1), b"")


class EchoSockets(EchoServer):
    program = "echo_sockets"


class ProtocolEcho(EchoServer):
    program = "protocol_echo"


class EchoThreads(EchoServer):
    program = "echo_threads"


class EchoBlocking(unittest.TestCase):
    def test_one_client_after_the_other_gets_its_bytes_back(self):
        data = bytes(range(256)) * 4000
        with support.server("echo_blocking") as (process, port):
            for _ in range(5):
                with support.connect(port) as client:
                    sender = threading.Thread(target=lambda: (client.sendall(data),
                                                              client.shutdown(socket.SHUT_WR)))
                    sender.start()
                    with client.makefile("rb") as stream:
                        self.assertEqual(stream.read(), data)
                    sender.join()
            support.assert_dies_by_sigint(self, process)

    def test_a_second_client_waits_for_the_first(self):
        with support.server("echo_blocking") as (_, port):
            with support.connect(port) as first, support.connect(port) as second:
                first.sendall(b"one")
                self.assertEqual(first.recv(3), b"one")
                second.sendall(b"two")
                second.settimeout(0.2)
                self.assertRaises(TimeoutError, second.recv, 3)

                first.close()

                second.settimeout(support.LIMIT)
                self.assertEqual(second.recv(3), b"two")

    def test_a_reset_ends_that_client_only(self):
        with support.server("echo_blocking") as (_, port):
            first = support.connect(port)
            first.sendall(b"x")
            self.assertEqual(first.recv(1), b"x")
            support.reset(first)
            with support.connect(port) as second:
                second.sendall(b"y")
                self.assertEqual(second.recv(1), b"y")


class ChatServer(unittest.TestCase):
    def setUp(self):
        running = support.server("chat_server")
        self.process, self.port = running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

    def join(self, name=None, **options):
        client = Client(self.port, name, **options)
        self.addCleanup(client.socket.close)
        return client

    def assert_works(self, *clients):
        """These still hear each other."""
        for number, client in enumerate(clients):
            client.send(b"are you there %d?\n" % number)
            for other in clients:
                if other is not client:
                    other.expect(b": are you there %d?\n" % number)

    def test_what_one_says_all_others_hear(self):
        ada, bob, eve = (self.join(name) for name in ("ada", "bob", "eve"))
        ada.expect(b"* bob is here\n* eve is here\n")

        ada.send("grüß Gott\r\n\n".encode())

        bob.expect("ada: grüß Gott\n".encode())
        eve.expect("ada: grüß Gott\n".encode())
        bob.send(b"hello\n")
        ada.expect(b"bob: hello\n")
        self.assertNotIn(b"ada:", ada.received)

    def test_names_are_asked_for_until_one_is_good(self):
        ada = self.join("ada")
        other = self.join()
        other.expect(b"Your name?\n")

        for bad in (b"ada", b"a b", b"x" * 21, b"\x1b[31m"):
            other.send(bad + b"\n")
            other.expect(b"Another one?\n")

        other.send(b"bob\n")
        other.expect(b"Hello bob, 2 here.\n")
        self.assert_works(ada, other)

    def test_leaving_is_told_and_frees_the_name(self):
        ada = self.join("ada")
        for leave in (lambda bob: bob.send(b"/quit\n"),
                      lambda bob: bob.socket.close(),
                      lambda bob: (bob.send(b"half a line"), bob.socket.close()),
                      lambda bob: support.reset(bob.socket)):
            bob = self.join("bob")
            ada.expect(b"* bob is here\n")
            leave(bob)
            ada.expect(b"* bob has left\n")

    def test_a_line_that_is_too_long_costs_the_connection(self):
        ada, eve, bob = self.join("ada"), self.join("eve"), self.join("bob")

        bob.send(b"x" * 100_000 + b"\n")

        ada.expect(b"* bob has left\n")
        bob.expect_end()
        nameless = self.join()
        nameless.send(b"x" * 2000)
        self.assertIn(b"too long", nameless.expect_end())
        self.assert_works(ada, eve)

    def test_a_line_of_the_longest_length_is_heard(self):
        ada, bob = self.join("ada"), self.join("bob")
        bob.send(b"x" * 1000 + b"\n")
        ada.expect(b"bob: " + b"x" * 1000 + b"\n")

    def test_binary_garbage_is_made_harmless(self):
        ada, eve, bob = self.join("ada"), self.join("eve"), self.join("bob")

        bob.send(bytes(range(256)).replace(b"\n", b"") + b"\0\x1b[2J\x07\n")

        ada.expect(b"bob: ?")
        ada.expect(b"?[2J?\n")
        self.assert_works(ada, eve)

    def test_a_client_that_never_reads_is_dropped(self):
        ada, bob = self.join("ada"), self.join("bob")
        stalled = self.join("stalled", receive_buffer=4096)
        talkers = [self.join(f"talker-{i}") for i in range(10)]
        everybody = [ada, bob, *talkers]
        dropped = threading.Event()

        def talk(client):
            while not dropped.is_set():
                client.send(b"x" * 1000 + b"\n")
                time.sleep(0.01)  # As the server takes them: no store for when we are slow.

        def listen(client):
            while not dropped.is_set():
                client.expect(b"\n")

        threads = [threading.Thread(target=talk, args=[t], daemon=True) for t in talkers]
        threads += [threading.Thread(target=listen, args=[c], daemon=True)
                    for c in everybody if c is not ada]
        for thread in threads:
            thread.start()
        ada.expect(b"* stalled has left\n")
        dropped.set()
        self.assert_works(ada, self.join("newcomer"))
        for thread in threads:
            thread.join(5)

    def test_a_flood_is_slowed_down(self):
        ada, bob = self.join("ada"), self.join("bob")
        start = time.monotonic()

        bob.send(b"x\n" * 50 + b"last\n")

        ada.expect(b"bob: last\n")
        self.assertGreater(time.monotonic() - start, 0.4)

    def test_a_flood_of_blank_lines_harms_nobody(self):
        ada, bob = self.join("ada"), self.join("bob")
        nameless = self.join()
        stop = threading.Event()

        def flood(client):
            client.socket.settimeout(0.05)
            while not stop.is_set():
                try:
                    client.send(b"\n" * 65536)
                except TimeoutError:
                    pass

        floods = [threading.Thread(target=flood, args=[c]) for c in (nameless, self.join("eve"))]
        for thread in floods:
            thread.start()
        before, began = support.cpu_seconds(self.process), time.monotonic()
        self.assert_works(ada, bob)
        time.sleep(1)
        share = (support.cpu_seconds(self.process) - before) / (time.monotonic() - began)
        stop.set()
        for thread in floods:
            thread.join()
        self.assertLess(share, 0.5, "blank lines keep the server busy")
        self.assert_works(ada, bob)

    def test_names_that_are_no_names_are_refused_and_counted(self):
        client = self.join()
        client.expect(b"Your name?\n")
        bad = [b"a b", b"/who", "ärger".encode(), b"\xff\xfe", b"a\0b", b"x" * 21, b"..", b"a,b",
               b"a:", b"*"]
        for name in bad:
            client.send(b"\n" + name + b"\n")
            client.expect(b"Another one?\n")
        self.assertIn(b"the last one", client.expect_end())

    def test_one_without_a_name_may_leave(self):
        client = self.join()
        client.send(b"/quit\n")
        self.assertEqual(client.expect_end(), b"Your name?\n")

    def test_ctrl_c_ends_it_with_clients_connected(self):
        ada, nameless = self.join("ada"), self.join()
        nameless.expect(b"Your name?\n")

        support.assert_dies_by_sigint(self, self.process)

        ada.expect_end()
        nameless.expect_end()


class UdpEcho(unittest.TestCase):
    def test_datagrams_come_back_to_their_senders(self):
        with support.server("udp_echo") as (process, port):
            clients = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(20)]
            for number, client in enumerate(clients):
                client.settimeout(support.LIMIT)
                client.connect(("127.0.0.1", port))  # Hears nobody else.
                client.send(b"%d" % number * 500)
                client.send(b"")
            for number, client in enumerate(clients):
                with client:
                    self.assertEqual(client.recv(65536), b"%d" % number * 500)
                    self.assertEqual(client.recv(65536), b"")
            support.assert_dies_by_sigint(self, process)

    def test_senders_that_are_gone_harm_nobody(self):
        with support.server("udp_echo") as (_, port):
            for _ in range(100):
                with socket.socket(type=socket.SOCK_DGRAM) as gone:
                    gone.sendto(b"x", ("127.0.0.1", port))
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.settimeout(0.2)
                client.connect(("127.0.0.1", port))
                answer = b""
                for _ in range(int(support.LIMIT / 0.2)):
                    # Again: a full buffer drops it, and an echo to one that is gone may come here.
                    client.send(b"largest" + b"." * 65500)
                    try:
                        answer = client.recv(65536)
                    except TimeoutError:
                        continue
                    if answer.startswith(b"largest"):
                        break
                self.assertEqual(len(answer), 65507)


class Workers(unittest.TestCase):
    def test_connections_are_served_by_several_loops(self):
        with support.server("workers") as (process, port):
            # Connections are spread by a hash over the loops that listen already: more of
            # them reach a loop that has come up late.
            sent, served = 0, []
            while sum(share > 0 for share in served) < 2:
                for _ in range(200):
                    with support.connect(port) as client:
                        client.sendall(b"x")
                        self.assertEqual(client.recv(10), b"x")
                sent += 200
                while sum(served) < sent:
                    line = process.stdout.readline()
                    self.assertTrue(line.startswith("served: "), (line, sent, served))
                    served = [int(share) for share in line.split()[1:]]
                self.assertEqual(sum(served), sent)
                self.assertLess(sent, 4000, "one loop serves all")
            support.assert_dies_by_sigint(self, process)


if __name__ == "__main__":
    support.main()
