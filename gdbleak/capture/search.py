"""What a window asks of whatever looks, at its end, for what refers to the outstanding blocks.

`Search` is THE seam: `gdbleak.follow.searcher` has a process of its own do it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gdbleak.recording.end import References


@dataclass(frozen=True)
class Findings:
    """What a search has found."""

    references: References
    frames: bytes = b""
    """Of the recording: what is known of each block."""


class Search(Protocol):
    """A search, while the recording goes on: it must know what is freed meanwhile."""

    def begin(self, now_ns: int) -> None:
        """Begin to look at the blocks that the recording says are outstanding.

        Args:
            now_ns: On the clock of the recording.

        """

    def poll(self) -> float | None:
        """Return which share of the looks is done; None when there is nothing to wait for."""

    def give_up(self, reason: str) -> None:
        """End it: there will be no findings, for a reason that is a part of a sentence."""

    def conclude(self, registers: Mapping[int, Sequence[int]]) -> Findings:
        """Return what was found.

        Args:
            registers: What stood in the registers of each thread when the target was let go; if
                that is not known, they may be read now.

        """
