"""Which sizes of blocks are recorded, where not all of them are. Pure.

>>> parse_sizes("30").requests, parse_sizes("30").served_by_glibc
((15, 30), (25, 40))
>>> parse_sizes("1k-2k").requests
(1024, 2048)
"""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.errors import UsageError
from gdbleak.heap.chunk import LARGEST_CHUNK, SMALLEST_CHUNK, chunk_size
from gdbleak.text.quantities import SIZE_UNITS, parse_bytes

_CLASS_BYTES = 16
"""From one size of glibc's chunks to the next."""
_SMALLEST_USABLE = 24
"""What may be used of glibc's smallest chunk, in bytes: it serves all smaller requests too."""


@dataclass(frozen=True)
class Sizes:
    """From how many bytes to how many the recorded blocks have, both included.

    Blocks of glibc are chosen by the sizes of their chunks, which tell them when they are freed,
    too. Those of other allocators are chosen by what was requested.
    """

    least: int
    most: int
    is_class: bool = False
    """Whether it is one size class: with glibc, that which serves the largest of the sizes."""

    @property
    def requests(self) -> tuple[int, int]:
        """The smallest and the largest request that counts."""
        return self.least, self.most

    @property
    def chunks(self) -> tuple[int, int]:
        """The smallest and the largest size of glibc's chunks that counts."""
        most = chunk_size(self.most)
        return most if self.is_class else chunk_size(self.least), most

    @property
    def served_by_glibc(self) -> tuple[int, int]:
        """The smallest and the largest request that glibc serves with such chunks."""
        least, most = self.chunks
        first = 0 if least == SMALLEST_CHUNK else least - _CLASS_BYTES - 7
        return first, most - 8


def parse_sizes(text: str) -> Sizes:
    """Parse `SIZE`, which means a size class of glibc, or `LOW-HIGH`, in bytes.

    Raises:
        UsageError: the text cannot be parsed; the message quotes it.

    """
    low, dash, high = text.partition("-")
    try:
        most = parse_bytes(high if dash else low)
        least = parse_bytes(low) if dash else _first_of_class(most)
    except ValueError:
        raise UsageError(
            f"{text!r} is no size: give bytes, or a number with {SIZE_UNITS}",
            "write --size 24, or a range such as --size 1k-4k",
        ) from None
    if least > most:
        raise UsageError(f"{text!r} ends before it begins", f"write --size {high}-{low}")
    if most >= LARGEST_CHUNK // 2:
        raise UsageError(f"{text!r} is larger than any block", "write --size 24, for example")
    return Sizes(least, most, is_class=not dash)


def _first_of_class(size: int) -> int:
    return 0 if size <= _SMALLEST_USABLE else size - _CLASS_BYTES + 1
