# SPDX-License-Identifier: MIT
"""Scenarios of child processes; processes_test.cpp is their other half. Their turns are
not counted: how long a child takes is its own affair."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

from network_streams import network


class Noting(asyncio.SubprocessProtocol):
    """Notes what it is told."""

    def __init__(self, s):
        self.s = s
        self.data = {1: b"", 2: b""}
        self.exited = s.loop.create_future()
        self.lost = s.loop.create_future()
        self.pipe_lost = s.loop.create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.s.note("made")

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.s.note(f"pipe{fd}:{exc}")
        if not self.pipe_lost.done():
            self.pipe_lost.set_result(None)

    def process_exited(self):
        self.s.note(f"exited:{self.transport.get_returncode()}")
        self.exited.set_result(None)

    def connection_lost(self, exc):
        self.s.note(f"lost:{exc}")
        self.lost.set_result(None)


async def started(s, command, **options):
    return await s.loop.subprocess_shell(lambda: Noting(s), command, **options)


async def cancelled_while(s, coroutine):
    """Waits for what is cancelled while it waits."""
    task = s.loop.create_task(coroutine)
    await asyncio.sleep(0)
    task.cancel()
    await s.noted("await", task)


@network
async def ord_43_no_pipes(s):
    _, protocol = await started(s, "exit 3", stdin=None, stdout=None, stderr=None)
    await protocol.lost


@network
async def ord_43_pipe_outlives(s):
    reading, writing = os.pipe()
    _, protocol = await started(
        s, f"(read x; echo late) <&{reading} & exit 0", stdin=DEVNULL, stderr=None,
        pass_fds=[reading])
    os.close(reading)
    await protocol.exited
    s.note("release")
    os.close(writing)
    await protocol.lost
    s.note(protocol.data[1].decode().strip())


@network
async def ord_43_pipe_first(s):
    transport, protocol = await started(
        s, "exec >&-; exec sleep 60", stdin=DEVNULL, stderr=None)
    await protocol.pipe_lost
    transport.kill()
    await protocol.lost


@network
async def ord_43_input_closed(s):
    transport, protocol = await started(s, "cat; exit 4", stdout=DEVNULL, stderr=DEVNULL)
    s.note("caller")
    transport.get_pipe_transport(0).write(b"x" * 10)
    transport.get_pipe_transport(0).close()
    await protocol.lost


@network
async def can_18_wait(s):
    process = await asyncio.create_subprocess_exec("sleep", "60")
    await cancelled_while(s, process.wait())
    s.note("returncode:" + str(process.returncode))
    process.terminate()
    s.note("wait:" + str(await process.wait()))
    s.note("returncode:" + str(process.returncode))


@network
async def can_18_communicate(s):
    process = await asyncio.create_subprocess_exec("sleep", "60", stdout=PIPE)
    await cancelled_while(s, process.communicate())
    s.note("returncode:" + str(process.returncode))
    process.kill()
    s.note("wait:" + str(await process.wait()))


@network
async def can_21(s):
    task = s.loop.create_task(asyncio.create_subprocess_exec("sleep", "60"))
    await asyncio.sleep(0)
    task.cancel()
    await s.noted("create", task)
    try:
        os.waitpid(-1, os.WNOHANG)
        s.note("left")
    except ChildProcessError:
        s.note("none")


@network
async def ord_43_communicate(s):
    async def outputs(command, data, **options):
        process = await asyncio.create_subprocess_shell(command, **options)
        out, err = await process.communicate(data)
        s.note(f"{(out or b'').decode().strip()}/{(err or b'').decode().strip()}"
               f"/{process.returncode}")

    await outputs("cat; echo err >&2; exit 3", b"in", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    await outputs("cat; echo err >&2", b"in", stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    await outputs("echo out", None, stdout=PIPE)
    await outputs("cat", None, stdin=PIPE, stdout=PIPE)
    await outputs("true", b"x" * 1000000, stdin=PIPE, stdout=PIPE)
    await outputs("kill -TERM $$", None)


@network
async def ex_11_spawn(s):
    await s.noted("missing", asyncio.create_subprocess_exec("/no-such-program"))
    await s.noted("forbidden", asyncio.create_subprocess_exec("/etc/passwd"))
    await s.noted("folder", asyncio.create_subprocess_exec("true", cwd="/nowhere"))
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    try:
        process.send_signal(signal.SIGTERM)
    except OSError as error:
        s.note("signal:" + type(error).__name__)
