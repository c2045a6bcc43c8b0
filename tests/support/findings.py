"""What a trace must find in a program of the distribution."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import pytest

from support.crew import TORTURE
from support.processes import Lines

T = TypeVar("T")

TARGETS = Path(__file__).parents[1] / "targets"
WINDOWS = 2 if TORTURE == 1 else 10
"""In so many windows nothing of a program may be called lost that has no leak."""
LOAD_S = 3
PACE_S = 0.005
"""Between one request and the next: a busy host must get done with what is recorded."""
SEARCH_S = 300
_GDB_STACK = Path(__file__).parent / "gdb_stack.py"


def find_program(*names: str) -> Path:
    """Return the path of a program by its name in the PATH, or by a glob; skip without it."""
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
        for path in Path("/").glob(name.lstrip("/")):
            return path
    pytest.skip(f"{names[0]} is not installed: run .ci/setup real")


def line_of(source: str, text: str) -> int:
    """Return the number of the one line of a target's source that holds a text."""
    lines = (TARGETS / source).read_text().splitlines()
    [number] = [number for number, line in enumerate(lines, 1) if text in line]
    return number


def trace_while(cli: Any, pid: int, work: Callable[[], Any], *options: object) -> Any:
    """Trace a process while something is done with it; return the report, which must be whole."""
    trace = cli.start_trace(pid, "--stack-bytes", "64k", *options)
    work()
    trace.send(signal.SIGINT)
    report = trace.finish().report
    window = report["window"]
    assert (window["complete"], window["ended_by"]) == (True, "interrupt")
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
    assert report["verification"]["ok"] is True
    assert not any(site["truncated"] for site in report["sites"])
    return report


def trace_under_load(cli: Any, pid: int, serve: Callable[[], Any], *options: object) -> Any:
    """Trace a process that is kept busy until its memory was searched; return the report."""
    ended = Event()

    def keep_busy() -> None:
        while not ended.wait(PACE_S):
            serve()

    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(keep_busy)
        try:
            how = ("--stack-bytes", "16k", "--duration", LOAD_S, "--scan-time", SEARCH_S)
            report = cli.start_trace(pid, *how, *options).finish(SEARCH_S).report
        finally:
            ended.set()
    busy.result()
    window = report["window"]
    assert (window["complete"], window["ended_by"]) == (True, "duration")
    assert window["references"]["reason"] is None
    # Where no recorded block is left, there is nothing to look for.
    assert window["references"]["looks"] >= 3 or not any(s["reach"] for s in report["sites"])
    assert report["verification"]["ok"] is True
    return report


def is_lost(site: Any) -> bool:
    """Return whether a site is called lost, certainly or not."""
    return "refers to" in site["verdict"]["evidence"] or "refer to" in site["verdict"]["evidence"]


def assert_nothing_lost(cli: Any, pid: int, serve: Callable[[], Any]) -> None:
    """Assert that in several windows no call stack of a busy process is called lost."""
    for number in range(WINDOWS):
        probe = ("inline", "breakpoint")[number % 2]
        report = trace_under_load(cli, pid, serve, "--probe", probe)
        assert report["window"]["allocations"]
        lost = {str(functions(site)): site["reach"] for site in report["sites"] if is_lost(site)}
        assert lost == {}


def functions(site: Any) -> list[str | None]:
    """Return the functions of a site's call stack, innermost first."""
    return [frame["function"] for frame in site["frames"]]


def find_site(report: Any, *names: str) -> Any:
    """Return the one site whose call stack holds functions in this order, others between them."""

    def holds(site: Any) -> bool:
        rest = iter(functions(site))
        return all(name in rest for name in names)

    sites = [site for site in report["sites"] if site["outstanding_count"] and holds(site)]
    assert len(sites) == 1, [functions(site) for site in sites or report["sites"]]
    return sites[0]


def counts(site: Any) -> tuple[int, int, int]:
    """Return how many blocks a site made, how many are left, and their bytes."""
    return site["allocated_count"], site["outstanding_count"], site["outstanding_bytes"]


def caller(site: Any) -> tuple[str | None, str, int | None]:
    """Return function, file and line of the first frame."""
    frame = site["frames"][0]
    return frame["function"], Path(frame["file"] or "").name, frame["line"]


def assert_nothing_stays(report: Any, at_least: int) -> None:
    """Assert that many blocks were made, and fewer than 2 % of them are left."""
    made = sum(site["allocated_count"] for site in report["sites"])
    left = {str(functions(site)): counts(site) for site in report["sites"]}
    assert made >= at_least
    assert sum(outstanding for _, outstanding, _ in left.values()) < made / 50, left


def assert_gdb_sees_the_same(site: Any, pid: int, provoke: Callable[[], T]) -> T:
    """Assert that GDB, stopped at the return of the allocator to a site, unwinds the same stack.

    `provoke` makes the site allocate once more, and waits for nothing; what it returns is returned.
    """
    expected = [frame["address"] for frame in site["frames"] if not frame["inlined"]]
    gdb = subprocess.Popen(
        [shutil.which("gdb") or "gdb", "-nx", "-q", "-batch", "-x", _GDB_STACK],
        env={
            **os.environ,
            "GDB_STACK": f"{pid} {expected[0]} {expected[1]}",
            "DEBUGINFOD_URLS": "",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )
    try:
        assert gdb.stdout
        lines = Lines(gdb.stdout)
        while lines.next() != "armed":
            pass
        provoked = provoke()
        said = lines.rest().splitlines()
        assert expected == [line.split()[1] for line in said if line.startswith("pc ")]
    finally:
        if gdb.poll() is None:
            gdb.terminate()
        gdb.wait(60)
        gdb.stdout.close()
    return provoked
