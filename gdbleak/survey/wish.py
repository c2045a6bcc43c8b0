"""What a search for ways to a block may take, and what it shall bring."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.bounds import bounded, check_bounds


@dataclass(frozen=True)
class Wish:
    """How to search."""

    time_s: float = bounded(20.0, 0.1, 86400)
    max_memory: int = bounded(1 << 30, 1 << 20)
    """Bytes that an index of all references may take."""
    size: int | None = bounded(None, 1, 1 << 40)
    """Of the block, in bytes from the address on; None to find its bounds."""
    ways: int = bounded(10, 1)
    """How many to find."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range.

        """
        check_bounds(self)
