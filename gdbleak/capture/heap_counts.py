"""What a window asks of whatever counts the blocks of the heap by size while it is open.

`HeapCounts` is THE seam: `gdbleak.follow.heap_counter` has a process of its own do it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gdbleak.recording.end import HeapCount


@dataclass(frozen=True)
class Counted:
    """What censuses of a heap have found."""

    heap: HeapCount
    frames: bytes = b""
    """Of the recording."""


class HeapCounts(Protocol):
    """Censuses of a heap, from the beginning of a window to its end."""

    def close(self, now_ns: int) -> None:
        """Take the last census: the window is over. Nothing, if that was said before.

        Args:
            now_ns: On the clock of the recording.

        """

    def conclude(self, is_interrupted: Callable[[], bool]) -> Counted:
        """Return what was counted, if the window was closed.

        Args:
            is_interrupted: Returns whether nobody wants to wait for the last census any more.

        """


class NoHeapCounts:
    """What stands in for censuses where there are none. A context."""

    def __init__(self, reason: str) -> None:
        """Note why, as a part of a sentence."""
        self._reason = reason

    def __enter__(self) -> NoHeapCounts:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self, now_ns: int) -> None:
        """Do nothing."""

    def conclude(self, _: Callable[[], bool]) -> Counted:
        """Return nothing but the reason."""
        return Counted(HeapCount(0, 0.0, self._reason))
