"""How long a target stands still: an estimate, because nobody but the kernel sees every halt."""

from __future__ import annotations

import time

import psutil

from gdbleak.proc import list_threads, read_state

ROUND = 10
"""In how many samples every thread is looked at once."""

FROZEN_S = 0.2
"""Longer than stops are, and than it takes to look at every thread again."""


class Standstill:
    """Two views of the same thing, both of which err on the low side.

    Threads are sampled for a tracing stop; where GDB shares a processor with the target, the
    samples miss most of them. GDB's own processor time is time in which the target waits for it;
    that leaves out how long it takes to wake either of them up.
    """

    def __init__(self, pid: int, debugger_pid: int) -> None:
        self._pid = pid
        self._debugger = psutil.Process(debugger_pid)
        self._busy_s = 0.0
        self._busy_before_s = self._read_busy()
        self._threads: list[int] = []
        self._batch = 1
        self._samples = 0
        self._stopped = 0
        self._halted = False
        self._moved_at = time.monotonic()
        self._events = 0
        self.longest_s = 0.0
        """The longest time that `frozen_s` has returned, if it was no chain of ordinary stops."""

    def sample(self) -> None:
        """Look at the next tenth of the threads."""
        if not self._threads:
            if not self._halted:
                self._moved_at = time.monotonic()
            self._halted = False
            self._threads = list_threads(self._pid)
            self._batch = len(self._threads) // ROUND + 1
        for thread in self._threads[-self._batch :]:
            state = read_state(self._pid, thread)
            if state is not None:
                self._samples += 1
                self._stopped += state == "t"
                self._halted |= state == "t"
        del self._threads[-self._batch :]

    def frozen_s(self, events: int) -> float:
        """Return for how long a thread was seen halted while no event was recorded."""
        now = time.monotonic()
        if events != self._events:
            self._events = events
            self._moved_at = now
        frozen_s = now - self._moved_at
        if frozen_s > FROZEN_S:
            self.longest_s = max(self.longest_s, frozen_s)
        return frozen_s

    def estimate(self, elapsed_s: float) -> float:
        """Return for how many of the seconds gone by the target stood still."""
        share = self._stopped / self._samples if self._samples else 0.0
        self._busy_s = max(self._busy_s, self._read_busy() - self._busy_before_s)
        return min(max(share * elapsed_s, self._busy_s), elapsed_s)

    def _read_busy(self) -> float:
        try:
            times = self._debugger.cpu_times()
        except psutil.Error:  # it has died: what was read last stands
            return 0.0
        return times.user + times.system
