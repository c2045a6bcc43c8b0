"""What glibc's malloc has set itself: how many blocks have mappings of their own, and more. Pure.

Source: `struct malloc_par` in malloc/malloc.c, glibc 2.17 to 2.43. It has no symbol in a stripped
library, but one of its fields says where in its mapping the main heap begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gdbleak.heap.snapshot import Snapshot

_MMAP_THRESHOLD = 0x10
_THRESHOLDS = range(1024, (64 << 20) + 1)


@dataclass(frozen=True)
class ParametersLayout:
    """A `struct malloc_par`: offsets of its fields, under the names they have there."""

    versions: str
    n_mmaps: int
    n_mmaps_max: int
    mmapped_mem: int
    sbrk_base: int


LAYOUTS = (
    ParametersLayout("2.35 to 2.42", 0x3C, 0x40, 0x50, 0x60),
    ParametersLayout("2.24 to 2.34", 0x28, 0x2C, 0x38, 0x48),
    ParametersLayout("2.17 to 2.23", 0x28, 0x2C, 0x38, 0x50),
    ParametersLayout("2.43", 0x44, 0x48, 0x58, 0x68),
)


@dataclass(frozen=True)
class Parameters:
    """What they say."""

    mmapped_count: int
    """Blocks that have mappings of their own."""
    mmapped_bytes: int
    mmap_threshold: int
    """Blocks of so many bytes get one, unless a bin has room for them."""
    heap_start: int
    """Where the main heap begins, and with it, or a few bytes behind, its first chunk."""


def find_parameters(
    memory: Snapshot, words: Sequence[int], start: int, heap: tuple[int, int]
) -> Parameters | None:
    """Return the parameters; None if they are not found, or contradict themselves.

    Args:
        memory: The memory of the process.
        words: The writable data of libc.
        start: The address of the first word.
        heap: From where to where the mapping lies in which the main heap begins.

    """
    places = [start + 8 * at for at, word in enumerate(words) if heap[0] <= word < heap[1]]
    for layout in LAYOUTS:
        for place in places:
            found = _read(memory, place - layout.sbrk_base, layout)
            if found:
                return found
    return None


def _read(memory: Snapshot, at: int, layout: ParametersLayout) -> Parameters | None:
    count = _half(memory, at + layout.n_mmaps)
    most = _half(memory, at + layout.n_mmaps_max)
    size = memory.word(at + layout.mmapped_mem)
    threshold = memory.word(at + _MMAP_THRESHOLD)
    makes_sense = (
        threshold in _THRESHOLDS
        and count <= most
        and 0 < most < 1 << 31
        and size % 4096 == 0
        and 4096 * count <= size < 1 << 47
        and (count > 0) == (size > 0)
    )
    heap_start = memory.word(at + layout.sbrk_base)
    return Parameters(count, size, threshold, heap_start) if makes_sense else None


def _half(memory: Snapshot, address: int) -> int:
    """Return the 32-bit number at an address."""
    return memory.word(address & -8) >> (address & 7) * 8 & 0xFFFFFFFF
