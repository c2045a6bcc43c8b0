"""What a window asks of whatever looks, at its end, for what refers to the outstanding blocks.

`Search` is THE seam: `gdbleak.follow.searcher` has a process of its own do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gdbleak.recording.end import EndedBy, References

_INTERRUPTED = "it was interrupted"
_ENDED = "the process ended meanwhile"
_REASONS = {
    EndedBy.INTERRUPT: _INTERRUPTED,
    EndedBy.TERMINATE: _INTERRUPTED,
    EndedBy.HANGUP: _INTERRUPTED,
    EndedBy.TARGET_EXIT: _ENDED,
    EndedBy.TARGET_KILLED: _ENDED,
    EndedBy.TARGET_EXEC: "the process started another program meanwhile",
}


def why_given_up(ended_by: EndedBy) -> str:
    """Return why a search is given up when a window ends so, as a part of a sentence."""
    return _REASONS.get(ended_by, f"the window ended first: {ended_by}")


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

    def conclude(
        self, registers: Mapping[int, Sequence[int]], is_interrupted: Callable[[], bool]
    ) -> Findings:
        """Return what was found.

        Args:
            registers: What stood in the registers of each thread when the target was let go; if
                that is not known, they may be read now.
            is_interrupted: Returns whether nobody wants to wait for it any more.

        """


class NoSearch:
    """What stands in for a search where there is none. A context."""

    def __init__(self, reason: str) -> None:
        """Note why, as a part of a sentence."""
        self._reason = reason

    def __enter__(self) -> NoSearch:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, now_ns: int) -> None:
        """Do nothing."""

    def poll(self) -> None:
        """Return None: there is nothing to wait for."""

    def give_up(self, reason: str) -> None:
        """Do nothing: there is a better reason."""

    def conclude(self, *_: object) -> Findings:
        """Return nothing but the reason."""
        return Findings(References(0, 0.0, 0, self._reason))
