"""How long a target stands still: an estimate, because nobody but the kernel sees every halt."""

from __future__ import annotations

import psutil

from gdbleak.proc import list_threads, read_state


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
        self._samples = 0
        self._stopped = 0

    def sample(self) -> None:
        """Look at the next thread, and at GDB."""
        if not self._threads:
            self._threads = list_threads(self._pid)
        state = read_state(self._pid, self._threads.pop()) if self._threads else None
        if state is not None:
            self._samples += 1
            self._stopped += state == "t"

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
