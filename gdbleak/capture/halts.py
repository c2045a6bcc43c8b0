"""How long threads were halted at once, found by looking at them again and again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread

from gdbleak.target.proc import list_threads, read_state, read_switches

CLOSE_S, CLOSE_SHARE, CLOSE_AT_MOST_S = 0.001, 0.04, 0.01
"""The time between two looks at a thread that is expected to be halted: at least, in seconds; as a
share of how long that has been expected; and at most, in seconds. GDB may need our processor."""
ERROR, ERROR_S = 0.2, 0.002
"""How wrong an estimate may be: as a share of it, or in seconds, whichever is more."""


@dataclass
class Halt:
    """A halt of one thread, as far as it was seen."""

    run: int
    """How often the thread had been switched to: the same as long as it has not run."""
    before_s: float
    """When the thread was last seen without it."""
    first_s: float
    last_s: float
    """When it was first and last seen."""

    @property
    def seen_s(self) -> float:
        """How long it was seen, in seconds."""
        return self.last_s - self.first_s


class Halts:
    """The longest halt of any thread that was looked at. Knows nothing of processes."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        """What is known of it: an estimate in the middle of what it can have been, or, where that
        could be too wrong, for how long it was seen."""
        self.possible_s = 0.0
        """What it can have been, of those halts that were seen twice."""
        self._halts: dict[int, Halt] = {}
        self._looked_s: dict[int, float] = {}

    def note(self, thread: int, run: int | None, now_s: float) -> None:
        """Take in what a look at a thread has shown.

        Args:
            thread: Its id.
            run: How often it has been switched to, if it is halted, else None.
            now_s: When.

        """
        halt = self._halts.get(thread)
        if halt and halt.run == run:
            halt.last_s = now_s
            self._take_in(halt, now_s)
        else:
            if halt:
                self._take_in(self._halts.pop(thread), now_s)
            if run is not None:
                before_s = self._looked_s.get(thread, now_s)
                self._halts[thread] = Halt(run, before_s, now_s, now_s)
        self._looked_s[thread] = now_s

    def keep(self, threads: list[int]) -> None:
        """Forget all threads but these."""
        for thread in self._looked_s.keys() - threads:
            self.note(thread, None, self._looked_s.pop(thread))
            del self._looked_s[thread]

    @property
    def oldest(self) -> tuple[int, Halt] | None:
        """The thread that has been halted for longest, and its halt, if it was seen twice."""
        seen = ((thread, halt) for thread, halt in [*self._halts.items()] if halt.seen_s)
        return min(seen, key=lambda pair: pair[1].first_s, default=None)

    def _take_in(self, halt: Halt, end_s: float) -> None:
        """Take in a halt that was over by `end_s`, or lasts."""
        unseen_s = halt.first_s - halt.before_s + end_s - halt.last_s
        estimate_s = halt.seen_s + unseen_s / 2
        is_good = unseen_s / 2 <= max(ERROR * estimate_s, ERROR_S)
        # One that was seen once may have been a stop at a breakpoint, however long ago one looked.
        if not halt.seen_s:
            estimate_s = min(estimate_s, CLOSE_S)
        else:
            self.possible_s = max(self.possible_s, halt.seen_s + unseen_s)
        self.longest_s = max(self.longest_s, estimate_s if is_good else halt.seen_s)


def look_at(pid: int, thread: int, halts: Halts) -> str | None:
    """Look at a thread, and return its state; None when it has ended."""
    state = read_state(pid, thread)
    halts.note(thread, read_switches(pid, thread) if state == "t" else None, time.monotonic())
    return state


def choose_witnesses(threads: list[int]) -> list[int]:
    """Return threads that stand for all, where all are halted.

    GDB halts them in some order and lets them go in another, in which the first may stand apart.
    """
    places = {0, 1, len(threads) // 2, len(threads) - 1}
    return [threads[place] for place in sorted(places) if 0 <= place < len(threads)]


@dataclass
class Edge:
    """How a target was taken, or let go."""

    bound_s: float | None = None
    """How long its threads may have been halted for that, from the first to the last."""
    slack_s: float = 0.0
    """The longest time without a look, in seconds."""


@dataclass
class Pauses:
    """How long a target stood still, as far as it was looked at."""

    halts: Halts = field(default_factory=Halts)
    taking: Edge = field(default_factory=Edge)
    letting_go: Edge = field(default_factory=Edge)


def find_longest(
    halts: Halts, edges: Iterable[Edge], stop_s: float, possible_s: float
) -> tuple[float, bool]:
    """Return the longest halt, and whether it may have been much longer than that.

    A halt that is too short to be seen has two bounds: it was no longer than the longest time
    without a look, and each thread is halted for only a part of the time that it takes to halt all
    of them and let them go.

    Args:
        halts: What was seen.
        edges: How the target was taken and let go.
        stop_s: The longest at breakpoints.
        possible_s: What that may have been.

    """
    bounds_s = [(edge.bound_s, edge.slack_s) for edge in edges]
    known_s = [
        min(bound_s, max(halts.longest_s, slack_s))
        for bound_s, slack_s in bounds_s
        if bound_s is not None
    ]
    longest_s = max(halts.longest_s, stop_s, *known_s)
    possible_s = max(halts.possible_s, possible_s)
    is_least = possible_s > longest_s + 2 * max(ERROR * longest_s, ERROR_S)
    return longest_s, is_least or len(known_s) < len(bounds_s)


@contextmanager
def watch_closely(pid: int, halts: Halts) -> Iterator[Edge]:
    """Look at some threads all the time, while a target is taken or let go."""
    edge, end = Edge(), Event()
    looker = Thread(target=_look_closely, args=(pid, halts, edge, end), daemon=True)
    looker.start()
    try:
        yield edge
    finally:
        end.set()
        looker.join()


def _look_closely(pid: int, halts: Halts, edge: Edge, end: Event) -> None:
    witnesses = choose_witnesses(list_threads(pid))
    began_s = looked_s = time.monotonic()
    is_over = False
    with suppress(OSError):
        while not is_over:
            wait_s = (looked_s - began_s) * CLOSE_SHARE
            # Once more when it is over: they may have run on by then.
            is_over = end.wait(min(max(wait_s, CLOSE_S), CLOSE_AT_MOST_S))
            oldest = halts.oldest
            for thread in {*witnesses, *([oldest[0]] if oldest else ())}:
                look_at(pid, thread, halts)
            now_s = time.monotonic()
            edge.slack_s = max(edge.slack_s, now_s - looked_s)
            looked_s = now_s
