# SPDX-License-Identifier: MIT
"""Scenarios of protocols; network_protocols_test.cpp is their other half. Their turns
are not counted: how many the network takes is its own affair."""

import asyncio
import socket

from network_streams import network


class Noting(asyncio.Protocol):
    """Notes what it is told, each with the name it was given."""

    def __init__(self, s, name):
        self.s = s
        self.name = name
        self.lost = s.loop.create_future()

    def connection_made(self, transport):
        self.transport = transport
        if self.name == "client":  # Which end is first is the network's affair.
            self.s.note("client:made")

    def data_received(self, data):
        self.s.note(self.name + ":" + data.decode())

    def eof_received(self):
        self.s.note(self.name + ":eof")

    def connection_lost(self, error):
        self.s.note(self.name + ":lost")
        self.lost.set_result(error)


class Greeter(Noting):
    def connection_made(self, transport):
        super().connection_made(transport)
        transport.write(b"hello")


class Closer(Noting):
    def data_received(self, data):
        super().data_received(data)
        self.transport.close()
        self.s.note(self.name + ":close_returned")


async def connected(s, server_kind, client_kind):
    """The protocols of a client and of its server's end, and the server."""
    served = []

    def serve():
        served.append(server_kind(s, "server"))
        return served[0]

    server = await s.loop.create_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    _, client = await s.loop.create_connection(lambda: client_kind(s, "client"), host, port)
    s.note("caller")
    return client, served, server


@network
async def ord_26_protocol(s):
    client, _, server = await connected(s, Greeter, Closer)
    await client.lost
    server.close()
    await server.wait_closed()


@network
async def ord_26_waiting_data(s):
    # What came before the transport was made is told after the caller has gone on.
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.send(b"early")
    transport, client = await s.loop.create_connection(lambda: Noting(s, "client"), sock=ours)
    s.note("caller")
    theirs.close()
    s.note("error:" + str(await client.lost))


@network
async def ord_27_protocol(s):
    client, served, server = await connected(s, Closer, Noting)
    client.transport.write(b"bye")
    await served[0].lost
    await client.lost
    server.close()
    await server.wait_closed()


@network
async def ord_28_protocol(s):
    client, served, server = await connected(s, Noting, Noting)
    client.transport.write(b"one_")
    client.transport.write(b"two")
    client.transport.close()
    s.note("error:" + str(await client.lost))
    await served[0].lost
    server.close()
    await server.wait_closed()


@network
async def ord_30_protocol(s):
    client, served, server = await connected(s, Noting, Noting)
    client.transport.write_eof()
    s.note("error:" + str(await served[0].lost))
    await client.lost
    server.close()
    await server.wait_closed()
