"""How often a process allocates, measured without stopping it or touching its code.

The kernel counts calls of the allocator for some milliseconds, then pauses for as long as it takes
to keep what the counting costs the process below a twentieth of the time.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from gdbleak.plan.allocators import Entry
from gdbleak.preflight.busy_threads import Demand, choose_threads, read_cpu_time
from gdbleak.preflight.perf_counter import REGISTERS, CallCounter, explain, measure_cost
from gdbleak.recording.rate import Rate, unknown
from gdbleak.verdicts.rates import Count, SetCount, estimate, is_costly

_THREADS = 64
_SETS = 3
_FIRST_SET = 0.75
"""Share of the time that the first set gets, which has the functions that are called most."""
_SHARE = 0.05
"""The share of its time that counting may take from the process."""
_SHORT_S, _LONG_S = 0.0005, 0.01
"""The length of a slice, in seconds; one that is too long cannot be made up for."""
_LATE_S = 0.1
"""How much longer than asked for it may take on an overloaded host."""
_LEAST_COUNT_S = 0.02
"""For how long it is counted at the least, however long it took to ask the kernel for it."""
_LEAST_S = 1e-6
_SPARE_FILES = 64
_RARE = re.compile("align|sized|valloc|array|cfree|nothrow|allocx$|map|brk$")
"""Functions that are counted after the others, because few programs call them often."""


def measure_rate(pid: int, entries: Sequence[Entry], duration_s: float = 0.2) -> Rate:
    """Count a process's calls of its allocator for a moment.

    Up to twelve functions are counted, in up to 64 threads: of more, the busiest, and some that
    stand for the others. Nothing is raised when that cannot be done: the rate has a reason then.

    Args:
        pid: The process. The kernel asks for the same permission as for attaching to it.
        entries: The entries of the functions to count: `Plan.entries`.
        duration_s: How long to count, in seconds.

    """
    if not entries:
        return unknown("there is no function to count")
    try:
        return _Pilot(pid).run(_make_sets(entries), duration_s)
    except OSError as error:
        return unknown(explain(error))


def _make_sets(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Return as many at a time as there are debug registers."""
    ordered = sorted(entries, key=lambda entry: bool(_RARE.search(entry.function.name)))
    starts = range(0, len(ordered), REGISTERS)[:_SETS]
    return [ordered[start : start + REGISTERS] for start in starts]


class _Pilot:
    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._hit_s = measure_cost()
        self._cost_s = 0.0
        self._weights = choose_threads(pid, _find_limit())
        self._demand = Demand(pid, self._weights)
        self._began_s = time.monotonic()

    def run(self, sets: Sequence[Sequence[Entry]], duration_s: float) -> Rate:
        """Count one set after the other, the first for most of the time."""
        cpu_s = read_cpu_time(self._pid)
        counts: list[SetCount] = []
        for number, entries in enumerate(sets):
            if counts and time.monotonic() > self._began_s + duration_s + _LATE_S:
                break  # the functions that are left are called rarely
            rest = number / (len(sets) - 1) if len(sets) > 1 else 1
            share = _FIRST_SET + (1 - _FIRST_SET) * rest
            counts.append(self._count(entries, self._began_s + share * duration_s))
        cpu_s = read_cpu_time(self._pid) - cpu_s
        is_busy = self._demand.is_busy()
        if not is_busy:  # it has paid for the counting with time that it had to spare
            cpu_s -= self._cost_s
        elapsed_s = time.monotonic() - self._began_s
        return estimate(counts, self._hit_s, max(cpu_s, _LEAST_S) / elapsed_s, is_busy)

    def _count(self, entries: Sequence[Entry], until_s: float) -> SetCount:
        addresses = [entry.address for entry in entries]
        counters: list[tuple[CallCounter, float]] = []
        with ExitStack() as stack:
            for thread, weight in self._weights.items():
                with suppress(ProcessLookupError):  # it has ended
                    counter = stack.enter_context(closing(CallCounter(thread, addresses)))
                    counters.append((counter, weight))
            if not counters:
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
            until_s = max(until_s, time.monotonic() + _LEAST_COUNT_S)
            together = _Meter(counters, len(entries))
            alone: _Meter | None = None
            meter, slice_s = together, _SHORT_S
            while True:
                self._cost_s += meter.count_for(slice_s) * self._hit_s
                pause_s = max(0, self._began_s + self._cost_s / _SHARE - time.monotonic())
                left_s = until_s - time.monotonic()
                if left_s < -_LATE_S:
                    break
                if pause_s >= left_s and (alone or not is_costly(together.count, self._hit_s)):
                    break
                time.sleep(min(pause_s, max(left_s, 0)))
                slice_s = _SHORT_S if pause_s else min(2 * slice_s, _LONG_S, max(left_s, _SHORT_S))
                if is_costly(together.count, self._hit_s):
                    calls = together.count.calls
                    alone = alone or _Meter(counters, len(entries), calls.index(max(calls)))
                    meter = alone if meter is together else together
        allocates = tuple(entry.function.allocates for entry in entries)
        return SetCount(allocates, together.count, alone.count if alone else None)


class _Meter:
    """Adds up what is counted, of one function of each counter or of all."""

    def __init__(
        self,
        counters: Sequence[tuple[CallCounter, float]],
        functions: int,
        alone: int | None = None,
    ) -> None:
        self._counters = counters
        self._alone = alone
        self.count = Count((0.0,) * functions, 0, 0)

    def count_for(self, duration_s: float) -> int:
        """Count for a moment; return how many calls there were."""
        began_s = time.monotonic()
        for counter, _ in self._counters:
            counter.start(self._alone)
        started_s = time.monotonic()
        time.sleep(duration_s)
        stopping_s = time.monotonic()
        for counter, _ in self._counters:
            counter.stop()
        wall_s = self.count.wall_s + (stopping_s + time.monotonic() - began_s - started_s) / 2
        hits, busy_s, calls = 0, self.count.busy_s, list(self.count.calls)
        for counter, weight in self._counters:
            reading = counter.take()
            hits += sum(reading.calls)
            busy_s += weight * reading.busy_s
            calls = [sum_ + weight * n for sum_, n in zip(calls, reading.calls)]
        self.count = Count(tuple(calls), wall_s, busy_s)
        return hits


def _find_limit() -> int:
    """Return in how many threads calls can be counted, by how many files may be open."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return _THREADS
    free = allowed - len(list(Path("/proc/self/fd").iterdir())) - _SPARE_FILES
    return max(2, min(_THREADS, free // (REGISTERS + 1)))
