"""What a report is to be about: its blocks, its rows, and their order. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.analysis.grouping import BY
from gdbleak.bounds import bounded, check_bounds
from gdbleak.errors import UsageError
from gdbleak.report.suppressions import Suppression

SORTS = ("verdict", "bytes", "count")
"""What rows can be sorted by."""


@dataclass(frozen=True)
class ReportOptions:
    """Which blocks a report is about, and in which order it lists their stacks."""

    min_size: int = bounded(0, 0)
    """Only blocks of at least so many bytes count."""
    max_size: int | None = bounded(None, 0)
    """Only blocks of at most so many bytes count; None for all."""
    older_ms: float = bounded(500.0, 0)
    """Only blocks at least this old at the end of the window count as outstanding."""
    sort: str = "verdict"
    """By `verdict`, and for equal ones by outstanding bytes; or by these `bytes`, or `count`."""
    max_frames: int = bounded(64, 1)
    """A call stack is cut after so many return addresses."""
    skip: tuple[str, ...] = ()
    """More functions that are not named as callers; `*` stands for anything."""
    skip_modules: tuple[str, ...] = ()
    """Programs and libraries whose functions are not, by file name or path; `*` as above."""
    by: str = "stack"
    """What makes a site, one of `gdbleak.analysis.grouping.BY`."""
    suppressions: tuple[Suppression, ...] = ()
    """Which sites are left out."""
    listed_blocks: int = bounded(0, 0)
    """How many outstanding blocks of each call stack are listed, the oldest first."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range, or they contradict each other.

        """
        check_bounds(self)
        if self.max_size is not None and self.max_size < self.min_size:
            raise UsageError(
                f"the largest size, {self.max_size}, is below the smallest, {self.min_size}",
                "swap them, or leave one out",
            )
        if self.by not in BY:
            raise UsageError(f"by={self.by!r} is not one of {', '.join(BY)}")
        if self.sort not in SORTS:
            raise UsageError(f"sort={self.sort!r} is not one of {', '.join(SORTS)}")
