"""The busy threads of a process: which run, and whether they run all the time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gdbleak.target.proc import list_threads

_CHOICE_S = 0.02
_BUSY = 0.8
"""A thread is busy when it runs, or waits for a processor, for this share of the time."""


def read_cpu_time(pid: int) -> float:
    """Return the processor time of a process in seconds, 0 when it is gone."""
    with suppress(OSError):
        # The number that clock_getcpuclockid(3) returns.
        return time.clock_gettime(~pid << 3 | 2)
    return 0.0


def choose_threads(pid: int, limit: int) -> dict[int, float]:
    """Return threads of a process, and how many of its threads each stands for.

    Of more than `limit` the busiest stand for themselves, and some of the others for the rest.
    """
    threads = list_threads(pid)
    if len(threads) <= limit:
        return dict.fromkeys(threads, 1.0)
    before = {thread: _read_demand(pid, thread) for thread in threads}
    time.sleep(_CHOICE_S)
    ran = {thread: _read_demand(pid, thread)[0] - before[thread][0] for thread in threads}
    random.shuffle(threads)
    threads.sort(key=lambda thread: ran[thread], reverse=True)
    busiest, others = threads[: limit // 2], threads[limit // 2 :]
    sample = random.sample(others, limit - len(busiest))
    return {
        **dict.fromkeys(busiest, 1.0),
        **dict.fromkeys(sample, len(others) / len(sample)),
    }


class Demand:
    """Watches threads from the time that it is made."""

    def __init__(self, pid: int, threads: Iterable[int]) -> None:
        self._pid = pid
        self._before = {thread: _read_demand(pid, thread) for thread in threads}
        self._began_s = time.monotonic()

    def is_busy(self) -> bool:
        """Whether most of what has run since belongs to threads that always want to run."""
        elapsed_s = time.monotonic() - self._began_s
        total_s = busy_s = 0.0
        for thread, (run_before_s, wait_before_s) in self._before.items():
            run_s, wait_s = _read_demand(self._pid, thread)
            run_s, wait_s = run_s - run_before_s, wait_s - wait_before_s
            total_s += max(run_s, 0)
            busy_s += max(run_s, 0) * (run_s + wait_s > _BUSY * elapsed_s)
        return 2 * busy_s > total_s


def _read_demand(pid: int, thread: int) -> tuple[float, float]:
    """Return how long a thread has run and waited for a processor in seconds, 0 when it is gone.

    Source: Documentation/scheduler/sched-stats.rst. A kernel without CONFIG_SCHED_INFO has no such
    file.
    """
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()
        return int(fields[0]) / 1e9, int(fields[1]) / 1e9
    return 0.0, 0.0
