"""How long breakpoints have slowed a target, by the times of their stops. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gdbleak.recording.probes import Role

STOP_NS = 250_000
"""What a stop is taken to cost until that was measured."""
MAX_THREADS = 10_000
"""The number of threads of which something is kept."""
_LEARNS, _LEARNS_FIRST = 32, 8
"""The cost of a stop is an average over about so many calls, and over fewer at first."""
_OUTLIER = 16
"""A call counts for the average as no more than so many times what stops cost so far."""
_MOST_OWED = 64
"""Of so many stops that took less than usual, others may have taken more."""
_CALL_NS = 50_000_000
"""A call of the allocator that takes longer may do so by itself: it moves much memory, say."""


class _Call(NamedTuple):
    """A call that has not returned yet."""

    entered_ns: int
    stops: int
    """How many there were up to its entry."""
    left_ns: int
    """How much of the time up to its entry did not count as slowness."""


class _Stop(NamedTuple):
    role: Role
    total_ns: int
    waited_ns: int
    """What stops have taken since the one before of its thread."""


class Slowness:
    """How long a target was slowed, computed from the times of its stops.

    On a busy host most stops take a quarter of a millisecond, and some take 20, because GDB or the
    thread waits for a processor. So a stop costs what stops cost on average, those included: where
    one took less than that, a long time between two others makes up for it.
    """

    def __init__(self) -> None:
        self.total_ns = 0
        self.stop_ns = STOP_NS
        """What a stop costs, on average."""
        self._learned = _LEARNS_FIRST
        self._latest_ns = 0
        self._stops = 0
        self._calls: dict[int, _Call] = {}
        """By thread."""
        self._left_ns = 0
        """The time between stops that did not count."""
        self._owed_ns = 0
        """By how much the latest stops took less than usual, as far as that was not made up for."""

    def add(self, time_ns: int, thread: int, role: Role) -> None:
        """Record a stop.

        From the entry of a function to its return the target does next to nothing but wait: all of
        that time counts, and, divided by the number of stops meanwhile, of whatever thread, it is
        what a stop costs. Between two stops that follow each other at once, it has done little but
        wait as well. After one that is followed by none for long, it has waited for the usual time.

        Args:
            time_ns: When.
            thread: Whose it is.
            role: The role of its breakpoint; an entry is one that a return follows.

        """
        gap_ns = max(time_ns - self._latest_ns, 0)
        self._latest_ns = max(time_ns, self._latest_ns)
        self._stops += 1
        counted_ns = gap_ns if gap_ns < 2 * self.stop_ns else self.stop_ns + self._owed_ns
        self._count(min(counted_ns, gap_ns), self.stop_ns)
        self._left_ns += gap_ns - min(counted_ns, gap_ns)
        call = self._calls.pop(thread, None)
        if role is Role.RETURN and call:
            left_ns = min(max(self._left_ns - call.left_ns, 0), _CALL_NS)
            self._count(left_ns, 0)
            self._left_ns -= left_ns
            self._learn(max(time_ns - call.entered_ns, 0) // (self._stops - call.stops))
        elif role is Role.ENTRY:
            if len(self._calls) >= MAX_THREADS:
                self._calls.clear()
            self._calls[thread] = _Call(time_ns, self._stops, self._left_ns)

    def _count(self, counted_ns: int, usual_ns: int) -> None:
        """Count a time as slowness, where so much was usual."""
        self.total_ns += counted_ns
        owed_ns = self._owed_ns + usual_ns - counted_ns
        self._owed_ns = min(max(owed_ns, 0), _MOST_OWED * self.stop_ns)

    def _learn(self, cost_ns: int) -> None:
        self.stop_ns += (min(cost_ns, _OUTLIER * self.stop_ns) - self.stop_ns) // self._learned
        self._learned = min(self._learned + 1, _LEARNS)

    def forget(self) -> None:
        """Forget who is in a call: other breakpoints are in, and its return may not be seen."""
        self._calls.clear()
        self._owed_ns = 0


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
