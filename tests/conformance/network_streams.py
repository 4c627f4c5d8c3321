# SPDX-License-Identifier: MIT
"""Scenarios over TCP; network_test.cpp is their other half. Their turns are not
counted: how many the network takes is its own affair."""

import asyncio
import contextlib

from can_awaits import cancelled_while, pausing
from scenario import outcome_of


@contextlib.asynccontextmanager
async def connected(s):
    """A client and its server's end, which is closed at the end."""
    accepted = s.loop.create_future()

    async def serve(reader, writer):
        accepted.set_result((reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield client, await accepted
    finally:
        for _, writer in (client, accepted.result()):
            writer.transport.abort()
        server.close()
        await server.wait_closed()


def network(main):
    def scenario(s):
        s.mark_turns = False
        s.waits = True
        s.run(main(s))

    scenario.__module__ = main.__module__
    return scenario


@network
async def can_16_network(s):
    async with connected(s) as ((reader, _), (_, writer)):
        await cancelled_while(s, reader.readline())
        writer.write(b"line\n")
        s.note((await reader.readline()).decode().strip())


@network
async def can_17(s):
    async with connected(s) as ((reader, _), (_, writer)):
        size = 0
        while writer.transport.get_write_buffer_size() == 0:
            writer.write(b"x" * 1000000)
            size += 1000000
        writer.write(b"x" * 1000000)
        size += 1000000
        await cancelled_while(s, writer.drain(), "drain")
        s.note("closing:" + str(writer.is_closing()).lower())
        await reader.readexactly(size)
        await writer.drain()
        s.note("drained")


@network
async def can_17_wait_closed(s):
    async with connected(s) as (_, (_, writer)):
        # What cannot be sent keeps the connection open.
        while writer.transport.get_write_buffer_size() == 0:
            writer.write(b"x" * 1000000)
        writer.close()
        await cancelled_while(s, writer.wait_closed(), "wait_closed")
        writer.transport.abort()
        await s.noted("wait_closed_again", writer.wait_closed())


@network
async def can_19(s):
    async with connected(s) as (_, (_, _)):
        pass
    held = s.loop.create_future()

    async def serve(reader, writer):
        held.set_result(writer)
        await reader.read()
        s.note("handler:ended")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await held
    serving = asyncio.create_task(s.noted("serve_forever", server.serve_forever()))
    await pausing(3)
    s.note("cancel")
    serving.cancel()
    await pausing(5)
    s.note("serving:" + str(server.is_serving()).lower())
    s.note("task:" + outcome_of(serving))
    writer.close()
    await serving


@network
async def can_20(s):
    server = await asyncio.start_server(lambda *_: s.note("accepted"), "127.0.0.1", 0,
                                        start_serving=False)
    host, port = server.sockets[0].getsockname()

    async def main():
        await s.noted("open_connection", asyncio.open_connection(host, port))

    task = asyncio.create_task(main())
    await asyncio.sleep(0)
    s.note("cancel")
    task.cancel()
    await task
    server.close()


@network
async def ord_26(s):
    # Without protocols: the connection is there when the caller goes on, and what was
    # sent at once can be read.
    async def serve(reader, writer):
        writer.write(b"hello\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    s.note("connected:" + str(writer.get_extra_info("peername") is not None).lower())
    s.note((await reader.readline()).decode().strip())
    writer.close()
    server.close()
    await server.wait_closed()


@network
async def ord_27(s):
    # Without protocols: close() returns before the connection is lost.
    async with connected(s) as ((reader, _), (_, writer)):
        waiting = asyncio.create_task(s.noted("closed", writer.wait_closed()))
        await asyncio.sleep(0)
        writer.close()
        s.note("close_returned")
        s.note("closing:" + str(writer.is_closing()).lower())
        await waiting
        s.note("read:" + (await reader.read()).decode())


@network
async def ord_28(s):
    async with connected(s) as ((reader, _), (_, writer)):
        writer.write(b"one ")
        writer.write(b"two")
        writer.close()
        await s.noted("closed", writer.wait_closed())
        s.note("read:" + (await reader.read()).decode().replace(" ", "_"))
        s.note("eof:" + str(reader.at_eof()).lower())


@network
async def ord_29(s):
    # Without protocols: drain waits above the high-water mark until the low one.
    async with connected(s) as ((reader, _), (_, writer)):
        size = 0
        while writer.transport.get_write_buffer_size() == 0:
            writer.write(b"x" * 1000000)
            size += 1000000
        writer.write(b"x" * 1000000)
        size += 1000000
        draining = asyncio.create_task(s.noted("drained", writer.drain()))
        await pausing(3)
        s.note("draining:" + outcome_of(draining))
        got = len(await reader.readexactly(size))
        await draining
        s.note("all:" + str(got == size).lower())


@network
async def ord_30(s):
    # Streams keep the writing half open at the end of the other direction.
    async with connected(s) as ((reader, client), (server_reader, writer)):
        client.write_eof()
        s.note("server_read:" + (await server_reader.read()).decode())
        s.note("server_eof:" + str(server_reader.at_eof()).lower())
        writer.write(b"answer")
        writer.close()
        s.note("client_read:" + (await reader.read()).decode())
        await s.noted("closed", writer.wait_closed())
