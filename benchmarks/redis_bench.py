"""redis under its own benchmark, with and without a tool attached."""

from __future__ import annotations

import csv
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from peers import Peer

REQUESTS = 200_000
READY_S = 20.0
END_S = 60.0
HEADERS = ("", "requests/s", "of it", "p50 ms", "p99 ms", "longest ms")


def is_there() -> bool:
    """Whether server and benchmark are installed."""
    return bool(_find_server() and shutil.which("redis-benchmark"))


def _find_server() -> str | None:
    # One program, that looks at the name by which it was called.
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")


def measure(peers: Iterable[Peer], folder: Path, rounds: int) -> list[Sequence[str]]:
    """Return a row for the server alone, and for each tool."""
    rows = []
    alone = 0.0
    for peer in (None, *peers):
        results = []
        for number in range(rounds):
            socket = folder / f"redis-{number}"
            with _serve(socket) as server, _attach(peer, server.pid, folder):
                results.append(_ask(socket, REQUESTS if peer is None else REQUESTS // 10))
        middle = [statistics.median(column) for column in zip(*results)]
        alone = alone or middle[0]
        rows.append(
            (
                peer.name if peer else "untraced",
                f"{middle[0]:,.0f}",
                f"{middle[0] / alone:.2%}",
                *(f"{value:.3g}" for value in middle[1:]),
            )
        )
    return rows


def _ask(socket: Path, requests: int) -> list[float]:
    """Return requests a second, and median, 99th percentile and longest of their times in ms."""
    command = ["redis-benchmark", "-s", socket, "-t", "set", "-n", requests, "-r", 100_000, "--csv"]
    said = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=True
    ).stdout
    (row,) = csv.DictReader(said.splitlines())
    fields = ("rps", "p50_latency_ms", "p99_latency_ms", "max_latency_ms")
    return [float(row[field]) for field in fields]


@contextmanager
def _serve(socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""]
    words = [str(word) for word in command]
    with subprocess.Popen(words, executable=_find_server(), stdout=subprocess.DEVNULL) as server:
        try:
            _wait_until(socket.exists)
            yield server
        finally:
            server.kill()


def _attach(peer: Peer | None, pid: int, folder: Path) -> Any:
    return nullcontext() if peer is None else _attached(peer, pid, folder)


@contextmanager
def _attached(peer: Peer, pid: int, folder: Path) -> Iterator[None]:
    with subprocess.Popen(
        peer.command(pid, folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as tool:
        try:
            status = Path(f"/proc/{pid}/status")
            _wait_until(lambda: "TracerPid:\t0\n" not in status.read_text())
            yield
            tool.send_signal(peer.end)
            tool.wait(END_S)
        finally:
            tool.kill()


def _wait_until(condition: Any) -> None:
    deadline_s = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("it did not start")
        time.sleep(0.01)
