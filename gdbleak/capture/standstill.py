"""An estimate of how long a target stands still: only the kernel sees every halt."""

from __future__ import annotations

import time

import psutil

from gdbleak.capture.halts import Halts, choose_witnesses, look_at
from gdbleak.target.proc import list_threads, read_runnable_ns, read_state, read_switches

ROUND = 10
"""After how many samples every thread has been looked at once."""
SAMPLE_S = 0.008
"""The least time between two samples, in seconds."""


class Standstill:
    """Two estimates of the same time, both of which err on the low side.

    Threads are sampled for a tracing stop; where GDB shares a processor with the target, the
    samples miss most of them. While GDB is at work, or waits for a processor, the target waits for
    it, unless no breakpoint is in; that leaves out how long the target itself waits for a
    processor, to be halted or to step.
    """

    def __init__(self, pid: int, debugger_pid: int, halts: Halts) -> None:
        self._pid = pid
        self._debugger = psutil.Process(debugger_pid)
        self._halts = halts
        self._stops_of_debugger = Halts()
        self._busy_s = 0.0
        self._busy_before_s = self._read_busy()
        self._is_armed = True
        self._threads: list[int] = []
        self._witnesses: list[int] = []
        self._batch = 1
        self._sampled_s = time.monotonic()
        self._stopped_s = 0.0

    def sample(self, is_armed: bool = True) -> None:
        """Look at the next tenth of the threads, and at those that tell when all are halted.

        When it is called again at once it looks only at the latter; otherwise the times when GDB is
        busy would count for more.

        Args:
            is_armed: Whether breakpoints are in from now on.

        """
        self.read_busy()
        self._is_armed = is_armed
        if not self._threads:
            self._threads = list_threads(self._pid)
            self._batch = len(self._threads) // ROUND + 1
            self._witnesses = choose_witnesses(self._threads)
            self._halts.keep(self._threads)
        now_s = time.monotonic()
        batch = [] if now_s - self._sampled_s < SAMPLE_S else self._threads[-self._batch :]
        states = [look_at(self._pid, thread, self._halts) for thread in batch]
        if batch:
            # A sample stands for the time since the last: there are more of them while GDB speaks.
            share = states.count("t") / max(len(states) - states.count(None), 1)
            self._stopped_s += share * (now_s - self._sampled_s)
            self._sampled_s = now_s
        self._look_at_debugger()
        for thread in self._witnesses:
            if thread not in batch:
                look_at(self._pid, thread, self._halts)
        del self._threads[len(self._threads) - len(batch) :]

    def _look_at_debugger(self) -> None:
        pid = self._debugger.pid
        switches = read_switches(pid, pid) if read_state(pid) == "T" else None
        self._stops_of_debugger.note(pid, switches, time.monotonic())

    @property
    def possible_s(self) -> float:
        """For how long GDB was stopped at once: who came to a breakpoint then stood still."""
        return self._stops_of_debugger.possible_s

    def frozen_s(self) -> float:
        """Return for how long a thread has been seen halted that has not run once."""
        now_s = time.monotonic()
        while (oldest := self._halts.oldest) is not None:
            thread, halt = oldest
            if halt.last_s < now_s:  # it was seen a while ago
                look_at(self._pid, thread, self._halts)
            if halt.last_s >= now_s:
                return halt.seen_s
        return 0.0

    def estimate(self, elapsed_s: float) -> float:
        """Return for how many of the seconds gone by the target stood still."""
        return min(max(self._stopped_s, self.read_busy()), elapsed_s)

    def read_busy(self) -> float:
        """Return for how many seconds GDB was at work, or waited for a processor.

        What it does while no breakpoint is in keeps nobody waiting.
        """
        now_s = max(self._read_busy(), self._busy_before_s)
        if self._is_armed:
            self._busy_s += now_s - self._busy_before_s
        self._busy_before_s = now_s
        return self._busy_s

    def _read_busy(self) -> float:
        runnable_ns = read_runnable_ns(self._debugger.pid)
        if runnable_ns:
            return runnable_ns / 1e9
        try:
            times = self._debugger.cpu_times()
        except psutil.Error:  # it has died: what was read last stands
            return 0.0
        return times.user + times.system
