"""How long a target stands still: an estimate, because nobody but the kernel sees every halt."""

from __future__ import annotations

import time
from pathlib import Path

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
        self._halted: dict[int, tuple[int, float]] = {}
        """Of each thread that is halted, how often it has been switched to, and since when."""
        self.longest_s = 0.0
        """The longest time that `frozen_s` has returned, if it was longer than stops are."""

    def sample(self) -> None:
        """Look at the next tenth of the threads."""
        if not self._threads:
            self._threads = list_threads(self._pid)
            self._batch = len(self._threads) // ROUND + 1
            alive = self._halted.keys() & self._threads
            self._halted = {thread: self._halted[thread] for thread in alive}
        for thread in self._threads[-self._batch :]:
            state = read_state(self._pid, thread)
            if state is not None:
                self._samples += 1
                self._stopped += state == "t"
            self._note(thread, state)
        del self._threads[-self._batch :]

    def _note(self, thread: int, state: str | None) -> None:
        if state != "t":
            self._halted.pop(thread, None)
            return
        switches = self._read_switches(thread)
        if self._halted.get(thread, (None,))[0] != switches:  # it has run meanwhile
            self._halted[thread] = switches, time.monotonic()

    def frozen_s(self) -> float:
        """Return for how long a thread has been halted and has not run once."""
        for thread, (_, since_s) in [*self._halted.items()]:
            if time.monotonic() - since_s > FROZEN_S:  # it was seen a while ago
                self._note(thread, read_state(self._pid, thread))
        now_s = time.monotonic()
        frozen_s = max((now_s - since_s for _, since_s in self._halted.values()), default=0.0)
        if frozen_s > FROZEN_S:
            self.longest_s = max(self.longest_s, frozen_s)
        return frozen_s

    def _read_switches(self, thread: int) -> int:
        """Source: proc(5), voluntary_ctxt_switches and nonvoluntary_ctxt_switches."""
        try:
            status = Path(f"/proc/{self._pid}/task/{thread}/status").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        lines = (line.split() for line in status.splitlines() if b"_switches:" in line)
        return sum(int(count) for _, count in lines)

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
