#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the programs of benchmarks/ side by side and prints tables.

scripts/bench builds what this needs and calls it. README.md says how to read the
tables. Everything is bounded in time and count, and on loopback only.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

SERVER_CPU = 0
LOAD_CPU = 1
FLOOR = "epoll loop"  # Where there are no sockets: the bare system calls.
SERVERS = {  # The first is what all others are compared with.
    FLOOR: ["echo_epoll"],
    "aster": ["echo_aster"],
    "aster, read_into": ["echo_aster", "read_into"],
    "aster, strings": ["echo_aster", "read"],
    "aster, protocol": ["echo_aster", "protocol"],
    "libuv": ["echo_uv"],
    "asio, callbacks": ["echo_asio", "callbacks"],
    "asio, coroutines": ["echo_asio", "coroutines"],
}
# Stand for files made for one run.
UNIX_PATH, FILE_PATH, PEM_PATH = "UNIX_PATH", "FILE_PATH", "PEM_PATH"
WORKLOADS = {  # What a request is: (arguments of echo_load, server of each library).
    "echo 1 KiB × 50, protocol": (
        ["-s", "1024", "-c", "50"],
        {FLOOR: ["echo_epoll"], "aster": ["echo_aster", "protocol"], "libuv": ["echo_uv"],
         "asio": ["echo_asio", "callbacks"]}),
    "echo 1 KiB × 50, streams": (
        ["-s", "1024", "-c", "50"],
        {FLOOR: ["echo_epoll"], "aster": ["echo_aster"], "libuv": ["echo_uv"],
         "asio": ["echo_asio", "coroutines"]}),
    "echo 1 KiB × 50, `sock_*`": (
        ["-s", "1024", "-c", "50"],
        {FLOOR: ["echo_epoll"], "aster": ["echo_aster", "sock"], "libuv": ["echo_uv"],
         "asio": ["echo_asio", "coroutines"]}),
    "UDP echo 64 B × 50": (
        ["-m", "udp", "-s", "64", "-c", "50"],
        {FLOOR: ["echo_epoll", "udp"], "aster": ["echo_aster", "udp"], "libuv": ["echo_uv", "udp"],
         "asio": ["echo_asio", "udp"]}),
    "unix socket echo 1 KiB × 50": (
        ["-x", UNIX_PATH, "-s", "1024", "-c", "50"],
        {FLOOR: ["echo_epoll", "unix", UNIX_PATH], "aster": ["echo_aster", "unix", UNIX_PATH],
         "libuv": ["echo_uv", "unix", UNIX_PATH], "asio": ["echo_asio", "unix", UNIX_PATH]}),
    "a connection for each 64 B echo, × 50, protocol": (
        ["-m", "churn", "-s", "64", "-c", "50"],
        {FLOOR: ["echo_epoll"], "aster": ["echo_aster", "protocol"], "libuv": ["echo_uv"],
         "asio": ["echo_asio", "callbacks"]}),
    "a connection for each 64 B echo, × 50, streams": (
        ["-m", "churn", "-s", "64", "-c", "50"],
        {FLOOR: ["echo_epoll"], "aster": ["echo_aster"], "libuv": ["echo_uv"],
         "asio": ["echo_asio", "coroutines"]}),
    "the same, each ended by a reset, protocol": (
        ["-m", "reset", "-s", "64", "-c", "50"],
        {FLOOR: ["echo_epoll"], "aster": ["echo_aster", "protocol"], "libuv": ["echo_uv"],
         "asio": ["echo_asio", "callbacks"]}),
    "the same, each ended by a reset, streams": (
        ["-m", "reset", "-s", "64", "-c", "50"],
        {FLOOR: ["echo_epoll"], "aster": ["echo_aster"], "libuv": ["echo_uv"],
         "asio": ["echo_asio", "coroutines"]}),
    "receiving 64 KiB × 10": (
        ["-m", "sink", "-s", "65536", "-c", "10"],
        {FLOOR: ["echo_epoll", "sink"], "aster": ["echo_aster", "sink"],
         "libuv": ["echo_uv", "sink"], "asio": ["echo_asio", "sink"]}),
    "sendfile 1 MiB × 10": (  # Neither of the peers has one that does not block.
        ["-m", "file", "-s", "1048576", "-c", "10"],
        {FLOOR: ["echo_epoll", "file", FILE_PATH], "aster": ["echo_aster", "file", FILE_PATH]}),
}
TLS_FLOOR = "blocking OpenSSL"
TLS_ECHO = {TLS_FLOOR: ["tls_blocking", PEM_PATH], "aster": ["echo_aster", "tls", PEM_PATH],
            "asio": ["tls_asio", PEM_PATH]}
TLS_WORKLOADS = {  # The same of tls_load.
    "TLS echo 1 KiB × 50": (["-s", "1024", "-c", "50"], TLS_ECHO),
    "TLS echo 16 KiB × 50": (["-s", "16384", "-c", "50"], TLS_ECHO),
    "a full handshake for each 64 B echo, × 50": (
        ["-m", "full", "-s", "64", "-c", "50"], TLS_ECHO),
    "a resumed handshake for each 64 B echo, × 50": (
        ["-m", "resumed", "-s", "64", "-c", "50"], TLS_ECHO),
    "receiving 64 KiB × 10 by TLS": (
        ["-m", "sink", "-s", "65536", "-c", "10"],
        {TLS_FLOOR: ["tls_blocking", PEM_PATH, "sink"],
         "aster": ["echo_aster", "tls_sink", PEM_PATH], "asio": ["tls_asio", PEM_PATH, "sink"]}),
}
PROCESS_FLOOR = "posix_spawn"
PROCESS_PROGRAMS = {PROCESS_FLOOR: "process_posix", "aster": "process_aster", "libuv": "process_uv"}
PROCESS_ROWS = {  # What is done: (arguments, children of a round).
    "start and wait, one at a time": (["wait", 1, 0], 1000),
    "start and wait, 20 at a time": (["wait", 20, 0], 1000),
    "the same, our process 200 MiB large": (["wait", 20, 200], 500),
    "start, read the output, wait; one at a time": (["output", 1, 0], 1000),
    "start, read the output, wait; 20 at a time": (["output", 20, 0], 1000),
}
CORE_PROGRAMS = {"aster": "core_bench", "asio": "asio_core_bench", "libuv": "uv_core_bench",
                 "tokio": "core_tokio_bench", "go": "core_go_bench"}
# CPython is as slow as it is steady: a twentieth of the operations will do.
PYTHON = [os.environ.get("PYTHON313") or sys.executable,
          pathlib.Path(__file__).with_name("core_python.py")]
PYTHON_SHARE = 0.05
EXECUTOR_PROGRAMS = {FLOOR: "floor_executor_bench", "aster": "executor_bench",
                     "libuv": "uv_executor_bench", "asio": "asio_executor_bench"}
EXECUTOR_PYTHON = [*PYTHON[:-1], pathlib.Path(__file__).with_name("executor_python.py")]
EXECUTOR_ROWS = ("thread_round_trip threads_100 process_round_trip_1 process_round_trip_1m "
                 "process_calls process_calls_100").split()
FILE_ROWS = "read_64k read_1m small_files small_files_50 lines".split()
CORE_ROWS = {  # Row: its unit. All but the last two are CPU time per operation.
    **dict.fromkeys(
        "create_join create_join_batch switch_1 switch_100 switch_10000 await_depth_1 "
        "await_depth_10 await_depth_100 await_depth_1000 generator_next generator_next_depth_1 "
        "generator_next_depth_10 generator_next_depth_1000 async_generator_next context_copy "
        "call_soon future_handover lock_free "
        "lock_handover semaphore_100 queue_round_trip timer_start_cancel timer_replace_100k "
        "sleep_100k thread_post".split(), "ns"),
    "thread_post_latency": "ns",
    "memory_per_task": "bytes",
}
INSTRUCTION_ROWS = ("create_join create_join_batch switch_100 await_depth_10 call_soon "
                    "future_handover lock_free lock_handover queue_round_trip "
                    "timer_start_cancel").split()


PARTS = ("core", "echo", "network", "tls", "process", "executor", "files", "instructions")


class Failed(Exception):
    pass


def run(command, seconds, **options):
    """The output of a program, which must succeed within that time."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]}: not done after {seconds} s") from None
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: status {done.returncode}: "
                     f"{done.stderr.strip()[-300:]}")
    return done.stdout


def rotated(items, turn):
    items = list(items)
    turn %= len(items)
    return items[turn:] + items[:turn]


def median_ratio(rounds, row, column, base):
    """The median over the rounds of column / base, each pair from one round."""
    ratios = [
        values[row, column] / values[row, base]
        for values in rounds
        if values.get((row, column)) and values.get((row, base))
    ]
    return statistics.median(ratios) if ratios else None


def median(rounds, row, column):
    values = [values[row, column] for values in rounds if (row, column) in values]
    return statistics.median(values) if values else None


def table(title, head, lines):
    print(f"\n**{title}**\n")
    print("| " + " | ".join(head) + " |")
    print("|---|" + "---:|" * (len(head) - 1))
    for line in lines:
        print("| " + " | ".join("–" if cell is None else str(cell) for cell in line) + " |")
    sys.stdout.flush()


def number(value):
    if value is None:
        return None
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


class Session:
    def __init__(self, options):
        self.options = options
        self.programs = options.build / "benchmarks"
        self.errors = []
        self.results = {}

    def has(self, program):
        return (self.programs / program).exists()

    @contextlib.contextmanager
    def tolerated(self, what):
        """A failure is written down, and the session goes on."""
        try:
            yield
        except Failed as error:
            self.errors.append(f"{what}: {error}")
            print(f"aster: {what}: {error}", file=sys.stderr)

    # In-process rows ----------------------------------------------------------------

    def core(self):
        programs = {name: [self.programs / program]
                    for name, program in CORE_PROGRAMS.items() if self.has(program)}
        programs["cpython"] = PYTHON
        scale = 0.2 if self.options.quick else 1
        rounds = []
        for turn in range(self.options.rounds):
            values = {}
            for name, program in rotated(programs.items(), turn):
                share = PYTHON_SHARE if name == "cpython" else 1
                for arguments in (["--scale", str(scale * share)], ["--memory"]):
                    with self.tolerated(name):
                        for line in run([*program, *arguments], 120).splitlines():
                            row = json.loads(line)
                            values[row["row"], name] = row.get("cpu_ns", row.get("value"))
            rounds.append(values)
        peers = [name for name in programs if name != "aster"]
        lines = []
        for row, unit in CORE_ROWS.items():
            ratios = [median_ratio(rounds, row, peer, "aster") for peer in peers]
            lines.append([f"`{row}`, {unit}"] +
                         [number(median(rounds, row, name)) for name in programs] +
                         [None if ratio is None else f"{ratio:.2f}" for ratio in ratios])
        table(f"In one process: CPU time of one operation, median of {len(rounds)} rounds",
              ["row", *programs, *(f"{peer} / aster" for peer in peers)], lines)
        self.results["core"] = [
            {f"{row}/{name}": value for (row, name), value in values.items()} for values in rounds]

    # Threads, processes, files --------------------------------------------------------

    def side_by_side(self, part, title, rows, programs, share):
        """Real time, as the work is done by others than the process that waits."""
        rounds = []
        scale = 0.1 if self.options.quick else 0.5
        for turn in range(self.options.rounds):
            values = {}
            for name, program in rotated(programs.items(), turn):
                arguments = ["--rows", ",".join(rows), "--scale",
                             str(scale * (share if name == "cpython" else 1))]
                with self.tolerated(name):
                    for line in run([*program, *arguments], 120).splitlines():
                        row = json.loads(line)
                        values[row["row"], name] = row["wall_ns"]
            rounds.append(values)
        peers = [name for name in programs if name not in (FLOOR, "aster")]
        lines = []
        for row in rows:
            floor = median_ratio(rounds, row, "aster", FLOOR)
            ratios = [median_ratio(rounds, row, peer, "aster") for peer in peers]
            lines.append([f"`{row}`"] + [number(median(rounds, row, name)) for name in programs] +
                         [None if ratio is None else f"{ratio:.2f}" for ratio in (floor, *ratios)])
        table(f"{title}: real time in ns, median of {len(rounds)} rounds",
              ["row", *("bare calls" if name == FLOOR else name for name in programs),
               "aster / bare calls", *(f"{peer} / aster" for peer in peers)], lines)
        self.results[part] = [
            {f"{row}/{name}": value for (row, name), value in values.items()} for values in rounds]

    def executor_programs(self, *names):
        return {name: [self.programs / EXECUTOR_PROGRAMS[name]] for name in names
                if self.has(EXECUTOR_PROGRAMS[name])}

    def executor(self):
        programs = self.executor_programs(FLOOR, "aster", "libuv", "asio")
        programs["cpython"] = EXECUTOR_PYTHON
        self.side_by_side("executor", "Work in threads and processes", EXECUTOR_ROWS, programs, 0.2)

    def files(self):
        self.side_by_side("files", "Files that the system has in memory", FILE_ROWS,
                          self.executor_programs(FLOOR, "aster", "libuv"), 1)

    # Echo -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def server(self, command, prefix=()):
        """A running server: (process id, port)."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [*prefix, self.programs / command[0], *command[1:]],
                stdout=subprocess.PIPE, stderr=errors, text=True)
            try:
                line = process.stdout.readline()
                if not line.strip().isdigit():
                    errors.seek(0)
                    raise Failed(f"{command[0]} does not serve: {errors.read()[-300:]!r}")
                yield process.pid, int(line)
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                process.stdout.close()

    def load(self, port, connections, size, *arguments, seconds=60):
        command = [self.programs / "echo_load", "-P", port, "-c", connections, "-s", size, *arguments]
        return json.loads(run([str(word) for word in command], seconds))

    def echo(self):
        servers = {name: command for name, command in SERVERS.items() if self.has(command[0])}
        if self.options.quick:
            cells, seconds = [(64, 50), (64, 1000), (65536, 50)], 0.2
        else:
            cells, seconds = [(64, 1), (64, 50), (64, 1000), (1024, 50), (1024, 1000), (16384, 50),
                              (16384, 1000), (65536, 50), (65536, 1000)], 0.4
        pin = ("taskset", "-c", str(SERVER_CPU))
        rounds, runs = [], []
        for turn in range(self.options.rounds):
            values = {}
            with contextlib.ExitStack() as stack:
                ports = {}
                for name, command in servers.items():
                    with self.tolerated(name):
                        ports[name] = stack.enter_context(self.server(command, pin))
                for position, (size, connections) in enumerate(cells):
                    for name in rotated(ports, turn * 5 + position):
                        pid, port = ports[name]
                        with self.tolerated(f"{name}, {connections} x {size}"):
                            result = self.load(port, connections, size, "-d", seconds, "-p", pid,
                                               "-C", LOAD_CPU, seconds=30)
                            values[(size, connections), name] = result["server_cpu_ns"]
                            runs.append({"round": turn, "server": name, **result})
            rounds.append(values)

        def title(cell):
            size = f"{cell[0] // 1024} KiB" if cell[0] >= 1024 else f"{cell[0]} B"
            return f"{size} × {cell[1]}"

        lines = [[FLOOR] + [f"{median(rounds, cell, FLOOR):,.0f} ns" for cell in cells]]
        for name in servers:
            if name != FLOOR:
                ratios = [median_ratio(rounds, cell, name, FLOOR) for cell in cells]
                lines.append([name] + [None if ratio is None else f"{ratio:.2f}" for ratio in ratios])
        table(f"Echo: the server's CPU time for one request (message × connections), as a ratio to "
              f"the {FLOOR}; median of {len(rounds)} rounds", ["server", *map(title, cells)], lines)

        lines = []
        for name in servers:
            here = [one for one in runs if (one["server"], one["size"], one["connections"]) ==
                    (name, 64, 50)]
            if here:
                best = max(here, key=lambda one: one["requests_per_second"])
                lines.append([name, f"{best['requests_per_second']:,.0f}", best["p50_us"],
                              best["p99_us"]])
        table("Echo, 64 B × 50, the best round, for orientation only",
              ["server", "requests/s", "p50 µs", "p99 µs"], lines)
        self.results["echo"] = runs

    # Other workloads ------------------------------------------------------------------

    def workload_round(self, turn, workload, arguments, servers, program, paths, runs):
        """Each library once; the values of the round by (measure, library)."""
        values = {}
        for name, command in rotated(servers.items(), turn):
            if not self.has(command[0]):
                continue
            places = paths(len(runs))  # What stands for a path, and the path.
            command = [places.get(word, word) for word in command]
            load = [places.get(word, word) for word in arguments]
            with self.tolerated(f"{name}, {workload}"), \
                    self.server(command, ("taskset", "-c", str(SERVER_CPU))) as (pid, port):
                seconds = 0.2 if self.options.quick else 0.5
                result = json.loads(run(
                    [str(word) for word in (self.programs / program, "-P", port, *load, "-d",
                                            seconds, "-p", pid, "-C", LOAD_CPU)], 30))
                values["cpu", name] = result["server_cpu_ns"]
                values["rate", name] = result["requests_per_second"]
                runs.append({"round": turn, "workload": workload, "library": name, **result})
        return values

    def workload_tables(self, rounds, floor_name, peers):
        for measure, unit, text in (("cpu", "ns", "the server's CPU time for one request"),
                                    ("rate", "1/s", "requests per second")):
            lines = []
            for workload, values in rounds.items():
                floor = median(values, measure, floor_name)
                ratios = [median_ratio(values, measure, peer, floor_name) for peer in peers]
                lines.append([workload, None if floor is None else f"{floor:,.0f} {unit}"] +
                             [None if ratio is None else f"{ratio:.2f}" for ratio in ratios])
            table(f"{text[0].upper()}{text[1:]}, as a ratio to the {floor_name}; median of "
                  f"{self.options.rounds} rounds", ["workload", floor_name, *peers], lines)

    def workloads(self, workloads, program, paths, floor, peers):
        """Rounds of all workloads, and their tables; every single result."""
        runs = []
        rounds = {workload: [] for workload in workloads}
        for turn in range(self.options.rounds):
            for workload in workloads:
                rounds[workload].append(
                    self.workload_round(turn, workload, *workloads[workload], program, paths, runs))
        self.workload_tables(rounds, floor, peers)
        return runs

    def network(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "file").write_bytes(os.urandom(1 << 20))

            def paths(serial):
                return {UNIX_PATH: str(folder / f"socket-{serial}"), FILE_PATH: str(folder / "file")}

            self.results["network"] = self.workloads(WORKLOADS, "echo_load", paths, FLOOR,
                                                     ["aster", "libuv", "asio"])

    def tls(self):
        if not self.has("tls_load") or shutil.which("openssl") is None:
            print("aster: no OpenSSL: TLS is not measured")
            return
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name) / "certificate.pem"
            run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                 "-keyout", path, "-out", path.with_suffix(".cert")], 20)
            with path.open("a", encoding="ascii") as both:
                both.write(path.with_suffix(".cert").read_text(encoding="ascii"))
            self.results["tls"] = self.workloads(TLS_WORKLOADS, "tls_load",
                                                 lambda serial: {PEM_PATH: str(path)}, TLS_FLOOR,
                                                 ["aster", "asio"])

    # Processes --------------------------------------------------------------------------

    def process(self):
        programs = {name: program for name, program in PROCESS_PROGRAMS.items()
                    if self.has(program)}
        rounds = []
        for turn in range(self.options.rounds):
            values = {}
            for row, ((mode, at_a_time, resident), count) in PROCESS_ROWS.items():
                count = count // 5 if self.options.quick else count
                for name, program in rotated(programs.items(), turn):
                    with self.tolerated(f"{name}, {row}"):
                        values[row, name] = float(run(
                            [str(word) for word in (self.programs / program, mode, count, at_a_time,
                                                    resident)], 60))
            rounds.append(values)
        peers = [name for name in programs if name != PROCESS_FLOOR]
        lines = []
        for row in PROCESS_ROWS:
            floor = median(rounds, row, PROCESS_FLOOR)
            ratios = [median_ratio(rounds, row, peer, PROCESS_FLOOR) for peer in peers]
            lines.append([row, None if floor is None else f"{floor:,.0f} µs"] +
                         [None if ratio is None else f"{ratio:.2f}" for ratio in ratios])
        table(f"Processes: real time for one, as a ratio to {PROCESS_FLOOR} and waitpid; median of "
              f"{len(rounds)} rounds", ["what", PROCESS_FLOOR, *peers], lines)
        self.results["process"] = [
            {f"{row}/{name}": value for (row, name), value in values.items()} for values in rounds]

    # Instructions ---------------------------------------------------------------------

    def counted(self, name, action):
        """Runs `action` with what counts instructions before it; their number."""
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            action(("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
                    f"--log-file={log}"))
            counts = re.findall(r"I *refs: *([\d,]+)", log.read_text())
            if not counts:
                raise Failed(f"{name}: valgrind tells no count")
            return int(counts[-1].replace(",", ""))

    def instructions(self):
        if shutil.which("valgrind") is None:
            print("aster: no valgrind: instructions are not counted")
            return
        # Stripped, as valgrind 3.19 does not read all of clang's debug information.
        stripped = self.options.build / "stripped"
        stripped.mkdir(exist_ok=True)
        for program in [command[0] for command in SERVERS.values()] + list(CORE_PROGRAMS.values()):
            if self.has(program):
                run(["strip", "-o", stripped / program, self.programs / program], 60)
        load_programs, self.programs = self.programs, stripped
        shutil.copy2(load_programs / "echo_load", stripped)
        try:
            echo = self.echo_instructions()
            core = self.core_instructions()
        finally:
            self.programs = load_programs
        self.results["instructions"] = {"echo": echo, "core": core}

    def echo_instructions(self):
        few, many = (1000, 4000) if self.options.quick else (2000, 12000)
        slopes = {}
        for name, command in SERVERS.items():
            if not self.has(command[0]):
                continue

            def serve(prefix, requests):
                with self.server(command, prefix) as (_, port):
                    result = self.load(port, 50, 64, "-S", "-d", 40, "-n", requests)
                    if result["requests"] != requests:
                        raise Failed(f"{result['requests']} of {requests} requests")

            with self.tolerated(f"instructions of {name}"):
                counts = [self.counted(name, lambda prefix: serve(prefix, requests))
                          for requests in (few, many)]
                slopes[name] = (counts[1] - counts[0]) / (many - few)
        table("Instructions in user space for one request of the echo, 64 B × 50",
              ["server", "instructions"], [[name, f"{slope:,.0f}"] for name, slope in slopes.items()])
        return slopes

    def core_instructions(self):
        names = [name for name in ("aster", "asio") if self.has(CORE_PROGRAMS[name])]
        scales = (0.02, 0.06)
        slopes = {}
        for row in INSTRUCTION_ROWS:
            for name in names:
                operations = []

                def measure(prefix, scale):
                    output = run([*prefix, self.programs / CORE_PROGRAMS[name], "--rows", row,
                                  "--scale", str(scale)], 120)
                    # The warm-up is a tenth more.
                    operations.append(json.loads(output)["operations"] * 1.1)

                with self.tolerated(f"instructions of {name}, {row}"):
                    counts = [self.counted(name, lambda prefix: measure(prefix, scale))
                              for scale in scales]
                    slopes[row, name] = (counts[1] - counts[0]) / (operations[1] - operations[0])
        lines = [[f"`{row}`"] + [None if (row, name) not in slopes else f"{slopes[row, name]:,.0f}"
                                 for name in names] for row in INSTRUCTION_ROWS]
        table("Instructions in user space for one operation", ["row", *names], lines)
        return {f"{row}/{name}": slope for (row, name), slope in slopes.items()}


def compiler(build):
    cache = (build / "CMakeCache.txt").read_text()
    path = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.MULTILINE).group(1)
    return run([path, "--version"], 20).splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the build folder")
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes")
    parser.add_argument("--rounds", type=int, help="how often each cell is measured (5; quick: 2)")
    parser.add_argument("--only", choices=PARTS, action="append",
                        help="only this part; may be repeated")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 2 if options.quick else 5
    options.rounds = min(max(options.rounds, 1), 50)

    # A thousand connections need more descriptors than many shells allow.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))

    session = Session(options)
    session.results["machine"] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "kernel": platform.release(), "processors": os.cpu_count(),
        "compiler": compiler(options.build), "load": os.getloadavg(),
    }
    print(", ".join(f"{key} {value}" for key, value in session.results["machine"].items()))
    for part in options.only or PARTS:
        getattr(session, part)()
    session.results["machine"]["load_after"] = os.getloadavg()
    session.results["errors"] = session.errors
    path = options.build / "results.json"
    path.write_text(json.dumps(session.results, indent=1), encoding="utf-8")
    print(f"\nload average {os.getloadavg()[0]:.1f}; all values: {path}")
    return 1 if session.errors else 0


if __name__ == "__main__":
    sys.exit(main())
