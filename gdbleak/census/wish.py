"""What a search for lost blocks may take, and what it shall tell."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.bounds import bounded, check_bounds


@dataclass(frozen=True)
class LostWish:
    """How to search for lost blocks."""

    content: bool = False
    """Whether the first bytes of blocks are told: those may be other people's data."""
    time_s: float = bounded(120.0, 0.1, 86400)
    """How long all looks together may take."""
    scan_rate: int = bounded(1 << 30, 1 << 20)
    """How much may be read of a process that runs, in bytes each second."""
    trees: int = bounded(50, 1, 100_000)
    """How many rows of trees that look alike are told."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range.

        """
        check_bounds(self)
