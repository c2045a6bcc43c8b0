"""Processes that a target starts, as far as they are seen from outside.

Nobody traces a target that records itself, so nobody is told of its forks. But the kernel lists the
children of each thread: those that live, and those that have ended and were not waited for. What is
missed: a child that comes and goes between two looks at its thread, and the children of children.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from gdbleak.target.proc import list_children, list_threads

ROUND_S = 0.1
"""The least time between two looks at a thread; it is longer where there are many of them."""


class SeenChildren:
    """The children of a target that were seen since this was made."""

    def __init__(self, pid: int) -> None:
        """Take down which there are already."""
        self._pid = pid
        self._seen: set[int] = set()
        self._threads: list[int] = []
        self._next_round_s = 0.0
        self._older = frozenset(self._list())

    def __len__(self) -> int:
        return len(self._seen)

    def look(self) -> None:
        """Look at one thread, if it is time to.

        A list takes up to 0.1 ms to read. With hundreds of threads, those of all would keep who
        reads the ring too long.
        """
        if not self._threads:
            if time.monotonic() < self._next_round_s:
                return
            self._next_round_s = time.monotonic() + ROUND_S
            self._threads = list_threads(self._pid)
        if self._threads:
            self._take(list_children(self._pid, self._threads.pop()))

    def look_at_all(self) -> None:
        """Look at every thread."""
        self._take(self._list())

    def add(self, pids: Iterable[int]) -> None:
        """Count children that were found in another way, too."""
        self._seen.update(pids)

    def _take(self, children: set[int]) -> None:
        self._seen |= children - self._older

    def _list(self) -> set[int]:
        lists = (list_children(self._pid, thread) for thread in list_threads(self._pid))
        return {child for children in lists for child in children}
