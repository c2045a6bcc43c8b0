"""The budget of breakpoints: a target is slowed for no more than its share of the time. Pure.

A leaky bucket: the target earns slowness as time goes by, and pays with what it was slowed. One
that is slowed less than its budget allows never sees a gap. When it owes too much, what tells only
sizes is left out; when it owes twice as much, it is left alone until it has paid, and from then on
the breakpoints are in for bursts, each as long as what was earned since the last. What is earned
and not used does not last: a storm after a calm hour meets the same limit.
"""

from __future__ import annotations

from typing import NamedTuple

from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Role

STOP_NS = 250_000
"""What a stop is taken to cost until that was measured."""

BURST_S = 0.02
"""The length of one burst, in seconds."""

CREDIT_S = 0.2
"""A target may save, or owe before it is helped, what it earns in so many seconds."""


MAX_THREADS = 10_000
"""The number of threads of which something is kept."""


class _Stop(NamedTuple):
    role: Role
    total_ns: int
    waited_ns: int
    """What stops have taken since the one before of its thread."""


class Slowness:
    """How long a target was slowed, computed from the times of its stops."""

    def __init__(self) -> None:
        self.total_ns = 0
        self.stop_ns = STOP_NS
        """What a stop costs."""
        self._latest_ns = 0
        self._stops = 0
        self._entries: dict[int, tuple[int, int]] = {}
        """The time of each thread's entry, and the number of stops up to it."""

    def add(self, time_ns: int, thread: int, role: Role) -> None:
        """Record a stop.

        Between two that follow each other at once, the target has done little but wait. After one
        that is followed by none for long, it has waited for the usual time: that between the entry
        of a function and its return, in which the allocator does next to nothing, divided by the
        number of stops that came meanwhile, of whatever thread.

        Args:
            time_ns: When.
            thread: Whose it is.
            role: The role of its breakpoint; an entry is one that a return follows.

        """
        gap_ns = max(time_ns - self._latest_ns, 0)
        self._stops += 1
        entered_ns, stops = self._entries.pop(thread, (0, 0))
        if role is Role.RETURN and stops:
            cost_ns = max(time_ns - entered_ns, 0) // (self._stops - stops)
            self.stop_ns += (min(cost_ns, 4 * self.stop_ns) - self.stop_ns) // 16
        elif role is Role.ENTRY:
            if len(self._entries) >= MAX_THREADS:
                self._entries.clear()
            self._entries[thread] = time_ns, self._stops
        self.total_ns += gap_ns if gap_ns < 2 * self.stop_ns else self.stop_ns
        self._latest_ns = max(time_ns, self._latest_ns)

    def forget(self) -> None:
        """Forget who is in a call: other breakpoints are in, and its return may not be seen."""
        self._entries.clear()


class Calls:
    """How long a call of the allocator was held up by the stops of all threads.

    A thread waits at a breakpoint until GDB has done with those that came before it. So a call
    stands still from its entry to its return for as long as stops took meanwhile, of whatever
    thread. What it takes by itself does not count. How long it has waited at its entry nobody has
    seen: no longer than stops took since the thread's last, and about as long as at its return.
    """

    def __init__(self) -> None:
        self.longest_ns = 0
        """What it was for the slowest call."""
        self.possible_ns = 0
        """What it can have been."""
        self._latest: dict[int, _Stop] = {}

    def add(self, thread: int, role: Role, total_ns: int, stop_ns: int) -> None:
        """Record a stop.

        Args:
            thread: Whose it is.
            role: The role of its breakpoint; an entry is one that a return follows.
            total_ns: What all stops have taken up to this one.
            stop_ns: What a stop costs.

        """
        if thread not in self._latest and len(self._latest) >= MAX_THREADS:
            self._latest.clear()
        last = self._latest.get(thread)
        waited_ns = total_ns - last.total_ns if last else stop_ns
        if last and last.role is Role.ENTRY and role is Role.RETURN:
            held_ns = min(last.waited_ns, waited_ns) + waited_ns
            self.longest_ns = max(self.longest_ns, held_ns)
            self.possible_ns = max(self.possible_ns, last.waited_ns + waited_ns)
        self._latest[thread] = _Stop(role, total_ns, waited_ns)

    def forget(self) -> None:
        """Forget who is in a call: other breakpoints are in, and its return may not be seen."""
        self._latest.clear()


class Schedule:
    """Decides which breakpoints should be in, from moment to moment of one window."""

    def __init__(self, duration_s: float, tail_s: float, share: float) -> None:
        """Begin.

        Args:
            duration_s: How long new blocks are recorded.
            tail_s: How long, after that, the end of these blocks is still recorded.
            share: The share of the time, 0 to 1, in which the target may be slowed. With 1
                everything is recorded, with every breakpoint.

        """
        self.end_s = duration_s + tail_s
        self._duration_s = duration_s
        self._share = share
        self._full_s = share * CREDIT_S
        self._credit_s = 0.0
        self._elapsed_s = 0.0
        self._slowed_s = 0.0
        self._recording = Phase.ALL
        self.samples = False
        """Whether the breakpoints are in for bursts only."""
        self._is_burst = True

    def choose(self, elapsed_s: float, slowed_s: float, armed: bool) -> Phase:
        """Return which breakpoints should be in now.

        Args:
            elapsed_s: Seconds since the window was opened.
            slowed_s: For how many of them the target was slowed, as far as that is known.
            armed: Whether breakpoints have been in since the last time this was asked.

        """
        if self._share < 1:
            self._settle(elapsed_s, slowed_s, armed)
        if not self._is_burst:
            return Phase.NONE
        return Phase.FREES if elapsed_s >= self._duration_s else self._recording

    def _settle(self, elapsed_s: float, slowed_s: float, armed: bool) -> None:
        passed_s = elapsed_s - self._elapsed_s
        # In a burst, what nobody has seen may be slowness too: on a crowded host, say.
        paid_s = armed * passed_s if self.samples else slowed_s - self._slowed_s
        self._credit_s = min(self._credit_s + passed_s * self._share - paid_s, self._full_s)
        self._elapsed_s, self._slowed_s = elapsed_s, slowed_s
        if self.samples and self._credit_s < 0:
            self._is_burst = False
        elif self._credit_s < -self._full_s:
            self.samples, self._is_burst = True, False
        elif self._credit_s < -self._full_s / 2:
            self._recording = Phase.FEWER
        elif self._credit_s >= min(BURST_S, self._full_s / 2):
            self._is_burst = True
