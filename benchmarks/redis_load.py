"""Redis under its own benchmark: throughput and latency, with and without a tool."""

from __future__ import annotations

import csv
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from subprocess import DEVNULL

from figures import ratio, spread
from meter import Tool
from peers import Job, Peer
from runs import CPUS, READY_S, RunError
from spans import RECORDING, Sign, read_opening, read_window
from targets import on, wait_until

REDIS_HEADS = ("", "requests/s", "p50 ms", "p99 ms", "max ms", "p99 : untraced")
SERVERS = ("redis-server", "redis-check-rdb")
"""One program: which it is depends on the name it is started under."""
FIRST = 500
WINDOW = 4
"""The window is so many times as long as the load: the tool has to be there all the time."""


class RedisMissingError(Exception):
    """Redis or its benchmark is not installed."""


@dataclass(frozen=True)
class Load:
    """What redis-benchmark says of one load; times in milliseconds."""

    rate: float
    p50: float
    p99: float
    longest: float


def measure_redis(peer: Peer, seconds: float, folder: Path) -> Load:
    """Put load on a redis for about so many seconds, with a tool attached.

    Raises:
        RedisMissingError: there is none.
        RunError: the tool failed, or ended too early.

    """
    with ExitStack() as stack:
        redis, socket = start_redis(stack, folder)
        if peer.command is None:
            return grow(socket, seconds)
        (folder / RECORDING).unlink(missing_ok=True)
        command = peer.command(Job(redis.pid, WINDOW * seconds, folder))
        with Tool([*on(CPUS), *command], redis.pid, folder) as tool:
            await_tool(peer.sign, tool, folder)
            result = grow(socket, seconds)
            end = time.monotonic()
            is_there = bool(tool.traced) and tool.is_tracing() == (peer.sign is Sign.TRACED)
        if peer.sign is Sign.RECORDING:
            window = read_window(folder)
            is_there = window is not None and window[1] >= end
        if not is_there:
            raise RunError(f"{peer.name}: was not there all the time")
        return result


def start_redis(
    stack: ExitStack, folder: Path, *options: str
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a redis, which ends with a stack; return it and its socket.

    Raises:
        RedisMissingError: there is none.
        RunError: it does not start.

    """
    server = next(filter(None, map(which, SERVERS)), None)
    if server is None or which("redis-benchmark") is None:
        raise RedisMissingError("no redis-server or redis-benchmark (package redis-tools)")
    socket = folder / "redis.socket"
    socket.unlink(missing_ok=True)
    always = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--daemonize", "no"]
    redis = subprocess.Popen(
        ["redis-server", *always, *options],
        executable=server,
        cwd=folder,
        stdout=DEVNULL,
        start_new_session=True,
    )
    stack.callback(redis.wait)
    stack.callback(redis.kill)
    if not wait_until(socket.exists, READY_S):
        raise RunError("redis did not start")
    return redis, socket


def await_tool(sign: Sign, tool: Tool, folder: Path) -> None:
    """Wait until a tool records, or has ended."""

    def has_ended() -> bool:
        return tool.process.poll() is not None

    if sign is Sign.RECORDING:
        wait_until(lambda: read_opening(folder) is not None or has_ended(), READY_S)
        return
    wait_until(lambda: bool(tool.traced) or has_ended(), READY_S)
    if sign is Sign.INJECTED:
        wait_until(lambda: not tool.is_tracing(), READY_S)


def grow(socket: Path, seconds: float) -> Load:
    """Put more and more load on a server until it takes about so long; return the last."""
    count = FIRST
    while True:
        start = time.monotonic()
        result = put_load(socket, count)
        took = time.monotonic() - start
        if took > seconds / 2:
            return result
        count *= int(min(20, max(2, seconds / took)))


def put_load(socket: Path, count: int) -> Load:
    """Send so many SETs of new values from 20 clients."""
    command = ["redis-benchmark", "-s", str(socket), "-t", "set", "-n", str(count), "-c", "20"]
    text = subprocess.run(
        [*on(CPUS), *command, "-r", "10000", "-d", "100", "--csv"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=DEVNULL,
        text=True,
    ).stdout
    [row] = csv.DictReader(text.splitlines())
    return Load(
        float(row["rps"]),
        float(row["p50_latency_ms"]),
        float(row["p99_latency_ms"]),
        float(row["max_latency_ms"]),
    )


def redis_row(name: str, loads: list[Load], untraced: list[Load]) -> tuple[str, ...]:
    """Return a row under REDIS_HEADS."""
    return (
        name,
        spread([load.rate for load in loads]),
        spread([load.p50 for load in loads]),
        spread([load.p99 for load in loads]),
        spread([load.longest for load in loads]),
        ratio([load.p99 for load in loads], [load.p99 for load in untraced]),
    )
