"""The search for processes that grow: all are looked at again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gdbleak.bounds import bounded, check_bounds
from gdbleak.report.lineup import STEADY, Lineup, Suspect
from gdbleak.report.trend import Trend, find_trend
from gdbleak.survey.containers import find_container
from gdbleak.survey.runtime import find_runtime
from gdbleak.target.memory_limit import find_limit
from gdbleak.target.proc import memory_status, read_start
from gdbleak.target.processes import describe_process

_KERNEL = {
    "SUnreclaim": "slab, unreclaimable: see `slabtop -o -s c`",
    "KernelStack": "stacks of threads: see `ps -eLf | wc -l`",
    "PageTables": "page tables: see VmPTE in /proc/PID/status",
    "VmallocUsed": "vmalloc: see /proc/vmallocinfo",
    "Percpu": "per-CPU memory, often of control groups that were removed",
}
"""Kinds of the kernel's own memory that can leak, by their names in /proc/meminfo; proc(5)."""


@dataclass(frozen=True)
class Search:
    """How to look for suspects."""

    duration_s: float = bounded(30.0, 0.1, 31 * 86400)
    interval_s: float = bounded(1.0, 0.01, 86400)
    """Seconds between two looks; more when a look takes long."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range.

        """
        check_bounds(self)


@dataclass
class _Track:
    """Looks at one process: (seconds since the first look, bytes of private memory)."""

    started: int | None
    points: list[tuple[float, float]] = field(default_factory=list)


def find_suspects(
    search: Search = Search(),
    on_look: Callable[[float], None] = lambda _: None,
) -> Lineup:
    """Look at all processes for a while, and return those that grow.

    Ctrl-C ends the search early, with what was seen so far.

    Args:
        search: How long to look, and how often.
        on_look: Called after each look with the seconds since the first one.

    Raises:
        KeyboardInterrupt: Ctrl-C came before the second look.

    """
    tracks: dict[int, _Track] = {}
    kernel: list[tuple[float, dict[str, int]]] = []
    unreadable: set[int] = set()
    began_s = time.monotonic()
    try:
        while True:
            now_s = time.monotonic() - began_s
            _look(now_s, tracks, unreadable)
            kernel.append((now_s, _read_kernel()))
            on_look(now_s)
            took_s = time.monotonic() - began_s - now_s
            if now_s + search.interval_s > search.duration_s:
                break
            # Looking takes processor time: no more than a tenth.
            time.sleep(max(search.interval_s - took_s, 9 * took_s))
    except KeyboardInterrupt:
        if len(kernel) < 2:
            raise
    whole = {pid: track for pid, track in tracks.items() if len(track.points) == len(kernel)}
    trends = {pid: find_trend(track.points) for pid, track in whole.items()}
    growing = [pid for pid, trend in trends.items() if trend.slope > 0]
    growing.sort(key=lambda pid: (trends[pid].steadiness < STEADY, -trends[pid].slope))
    suspects = (_describe(pid, whole[pid], trends[pid]) for pid in growing)
    return Lineup(
        tuple(suspect for suspect in suspects if suspect),
        looks=len(kernel),
        processes=len(whole),
        unreadable=len(unreadable),
        ended=len(tracks) - len(whole),
        kernel=_judge_kernel(kernel, sum(trend.slope for trend in trends.values())),
    )


def _look(now_s: float, tracks: dict[int, _Track], unreadable: set[int]) -> None:
    """Add a point to the track of every process."""
    for pid in psutil.pids():
        if pid == os.getpid():  # it holds what it has seen
            continue
        try:
            started = read_start(pid)
            held = memory_status(pid)
        except PermissionError:
            unreadable.add(pid)
            continue
        # A kernel before 4.5 does not count anonymous memory: what is not shared stands in for it.
        private = held.get("RssAnon")
        if private is None:
            private = _read_unshared(pid)
        if private is None:  # it has ended, or is a thread of the kernel
            continue
        track = tracks.get(pid)
        if track is None or track.started != started:  # another process has its PID now
            track = tracks[pid] = _Track(started)
        track.points.append((now_s, private + held.get("VmSwap", 0)))


def _read_unshared(pid: int) -> int | None:
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return None
    return (memory.rss - memory.shared) or None


def _describe(pid: int, track: _Track, trend: Trend) -> Suspect | None:
    candidate = describe_process(pid)
    if candidate is None:
        return None
    return Suspect(
        pid,
        candidate.command,
        candidate.age_s,
        int(track.points[-1][1]),
        trend,
        tuple(int(size) for _, size in track.points),
        find_runtime(pid),
        find_limit(pid),
        _container_of(pid),
    )


def _container_of(pid: int) -> str | None:
    try:
        return find_container(Path(f"/proc/{pid}/cgroup").read_text(errors="surrogateescape"))
    except OSError:  # it has ended, or the kernel has no control groups
        return None


def _read_kernel() -> dict[str, int]:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:  # a container may hide it
        return {}
    lines = (line.split() for line in text.splitlines())
    return {name.rstrip(":"): int(size) << 10 for name, size, *_ in lines}


def _judge_kernel(
    looks: list[tuple[float, dict[str, int]]], processes_per_s: float
) -> tuple[str, ...]:
    """Return sentences about memory of the kernel that grows faster than all processes."""
    said = []
    for name, where in _KERNEL.items():
        trend = find_trend([(now_s, sizes[name]) for now_s, sizes in looks if name in sizes])
        if trend.steadiness >= STEADY and trend.slope > max(processes_per_s, 1024):
            said.append(f"the kernel's own memory grows: {where}; gdbleak sees nothing of it")
    return tuple(said)
