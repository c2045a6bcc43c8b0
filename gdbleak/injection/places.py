"""Where the ring goes in the address space of a process. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gdbleak.errors import ProcessUnusableError
from gdbleak.target.proc import Mapping

_LOWEST, _HIGHEST = 1 << 16, 1 << 47
_ALIGNMENT = 1 << 21
"""That of large pages."""
_ROOM = 16
"""How many times as large as the ring a gap has to be."""


def choose_place(mappings: Iterable[Mapping], size: int) -> int:
    """Return an address at which nothing is mapped, nor will be soon.

    It is the middle of the largest gap: the heap and new mappings grow into it from its two ends.

    Args:
        mappings: What is mapped, in order of address.
        size: Of the ring, in bytes.

    Raises:
        ProcessUnusableError: there is no gap that is large enough.

    """
    gaps, end = [], _LOWEST
    for mapping in mappings:
        start = min(mapping.start, _HIGHEST)
        gaps.append((start - end, end))
        end = max(end, mapping.end)
    length, start = max(gaps, default=(0, 0))
    if length < _ROOM * size:
        raise ProcessUnusableError(
            f"its address space has no gap for a ring of {size >> 20} MB",
            "record with breakpoints: `--probe breakpoint`",
        )
    return (start + length // 2) & -_ALIGNMENT
