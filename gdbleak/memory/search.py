"""Several looks at the memory of a process, and what they may cost. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.judgement import find_reached
from gdbleak.memory.look import Ranges, References, harden, join, look
from gdbleak.memory.pieces import WORD_BYTES, Range, choose_regions, subtract, touched
from gdbleak.memory.source import Searchable, Waiting
from gdbleak.memory.table import Table

LOOKS, MOST_LOOKS = 3, 8
"""There are more when references are seen to move: each may miss one that moves."""
QUICK_S = 2.0
"""There are more only if one takes no longer: it is recorded until they have ended."""
APART_S = 0.1
"""The least time from the beginning of a look to that of the next."""
RED_ZONE = 128
"""What a function may use below the stack pointer without moving it. Source: the System V ABI."""
_LEAD_S = 0.02
"""So far ahead of its pace a look may be before it waits."""


class TooLongError(Exception):
    """The looks would take too long; the message says how many seconds."""


class Pace:
    """Holds a search to a rate and a limit, and tells how far it is."""

    def __init__(self, bytes_per_s: float, limit_s: float, tell: Callable[[float], None]) -> None:
        """Begin.

        Args:
            bytes_per_s: How much may be read each second.
            limit_s: How long all looks together may take.
            tell: Called often with the share of the looks that is done; it may raise.

        """
        self._bytes_per_s = bytes_per_s
        self._limit_s = limit_s
        self._tell = tell
        self._first_s = self._began_s = time.monotonic()
        self._number, self._done, self._total = 0, 0, 1
        self._share = 0.0
        self.first_ended_s = self._first_s
        """When the first look had ended, on the monotonic clock."""

    def begin_look(self, number: int, size: int) -> None:
        """Begin to read so many bytes; looks are counted from 0.

        Raises:
            TooLongError: at this rate, or as fast as the looks were until now, it takes too long.

        """
        self._began_s = time.monotonic()
        self._number, self._done, self._total = number, 0, max(size, 1)
        took_s = self._began_s - self._first_s
        if number == 1:
            self.first_ended_s = self._began_s
        if number < LOOKS:
            rest = LOOKS - number
            self._plan(took_s + rest * max(size / self._bytes_per_s, took_s / max(number, 1)))
        else:
            self._plan(took_s + took_s / number)

    def step(self, size: int) -> None:
        """Wait for as long as it takes to keep the pace, once so many bytes more were read.

        Raises:
            TooLongError: it has taken too long already.

        """
        self._done += size
        share = (self._number + min(self._done / self._total, 1)) / max(LOOKS, self._number + 1)
        self._share = max(share, self._share)
        self.check()
        now_s = time.monotonic()
        ahead_s = self._began_s + self._done / self._bytes_per_s - now_s
        if ahead_s > _LEAD_S:
            time.sleep(ahead_s)

    @property
    def is_quick(self) -> bool:
        """Whether the look that has just ended took little time."""
        return time.monotonic() - self._began_s <= QUICK_S

    def check(self) -> None:
        """Tell how much is done, while nothing is read.

        Raises:
            TooLongError: it has taken too long already.

        """
        self._tell(self._share)
        if time.monotonic() - self._first_s > self._limit_s:
            raise TooLongError(f"more than {self._limit_s:g}")

    def await_next(self) -> None:
        """Wait until the next look may begin."""
        time.sleep(max(self._began_s + APART_S - time.monotonic(), 0))

    def _plan(self, whole_s: float) -> None:
        if whole_s > self._limit_s:
            raise TooLongError(f"{whole_s:.0f}")


def take_looks(
    table: Table,
    process: Searchable,
    left_out: Sequence[Range],
    pace: Pace,
    find_free: Callable[[], Ranges],
    find_gone: Callable[[], NDArray[np.bool_]] | None = None,
) -> list[References]:
    """Look at all memory of a process, at least three times.

    Args:
        table: The blocks that may be referred to.
        process: Runs meanwhile.
        left_out: Memory that is not the process's own.
        pace: Of the search.
        find_free: Returns what belongs to nobody, as far as the allocator tells.
        find_gone: Returns which of the blocks were freed since; None where nobody knows.

    Raises:
        TooLongError: they would take longer than the pace admits.
        TooManyError: the blocks refer to each other too often.

    """
    looks: list[References] = []
    once, always = np.zeros(len(table), bool), np.ones(len(table), bool)
    free = find_free()
    while len(looks) < LOOKS or _takes_more(once, always, find_gone):
        if looks:
            pace.await_next()
        try:
            seen = _look_once(table, process, left_out, free, pace, len(looks))
        except TooLongError:
            if len(looks) < LOOKS:
                raise
            break
        looks.append(seen)
        if len(looks) == MOST_LOOKS or (len(looks) >= LOOKS and not pace.is_quick):
            break
        reached = find_reached(seen)
        once |= reached
        always &= reached
    return harden(looks, find_free())


def _takes_more(
    once: NDArray[np.bool_],
    always: NDArray[np.bool_],
    find_gone: Callable[[], NDArray[np.bool_]] | None,
) -> bool:
    """Return whether some blocks seem lost, and something moves that refers to others.

    Args:
        once: Which blocks a look has reached.
        always: Which all of them have reached.
        find_gone: Returns which were freed; None if all are there still.

    """
    lost, moving = ~once, once & ~always
    if find_gone is not None and lost.any() and moving.any():
        gone = find_gone()
        lost, moving = lost & ~gone, moving & ~gone
    return bool(lost.any() and moving.any())


def _look_once(
    table: Table,
    process: Searchable,
    left_out: Sequence[Range],
    free: Ranges,
    pace: Pace,
    number: int,
) -> References:
    searched = choose_ranges(process, left_out, pace.check)
    pace.begin_look(number, sum(end - start for start, end in searched.ranges))
    seen = look(table, process.read, searched.ranges, pace.step, free, backwards=bool(number % 2))
    used = find_used(process, searched)
    if used:
        seen = join(seen, look(table, process.read, used, pace.step, free))
    return seen


class Searched(NamedTuple):
    """What of the memory is to be searched."""

    ranges: list[Range]
    unused: dict[int, Range]
    """The part of the stacks of threads that these do not use, by their ids; it is left out."""
    waiting: Mapping[int, Waiting]
    """The threads that waited, by their ids."""


def choose_ranges(
    process: Searchable, left_out: Sequence[Range], check: Callable[[], None] = lambda: None
) -> Searched:
    """Return what of the memory may hold references, in order of address.

    Args:
        process: Runs meanwhile.
        left_out: What does not, in any order.
        check: Called often; it may raise.

    """
    waiting = process.find_waiting()
    unused = _find_unused(process.find_stacks(waiting), waiting)
    pages = touched(choose_regions(process.read_mappings()), process.find_pages, check)
    return Searched(subtract(pages, sorted([*left_out, *unused.values()])), unused, waiting)


def find_used(process: Searchable, searched: Searched) -> list[Range]:
    """Return where threads that have run meanwhile may have put something on their stacks.

    That is in the part that they did not use, which was left out.
    """
    again = process.find_waiting()
    unused, waiting = searched.unused, searched.waiting
    return sorted(unused[thread] for thread in unused if again.get(thread) != waiting[thread])


def _find_unused(
    stacks: Mapping[int, tuple[int, int]], waiting: Mapping[int, Waiting]
) -> dict[int, Range]:
    """Return the unused part of the stacks of threads that wait, by the threads' ids."""
    unused = {}
    for thread, (start, end) in stacks.items():
        pointer = waiting[thread].stack_pointer if thread in waiting else 0
        if start <= pointer < end:
            unused[thread] = Range(start, max(start, (pointer - RED_ZONE) & ~(WORD_BYTES - 1)))
    return unused
