"""Where glibc's malloc keeps its fields: a row for each layout there has been, of 64 bits. Pure.

Sources: `struct malloc_state` and `tcache_perthread_struct` in malloc/malloc.c, and `heap_info` in
malloc/arena.c, glibc 2.17 to 2.43. x86-64 and aarch64 have the same.

Rows are tried in turn against the data, never chosen by a version: distributions backport. The
2.17 of RHEL 7 has the arena of 2.23, the 2.28 of RHEL 8 has the tcache of 2.30.
"""

from __future__ import annotations

from dataclasses import dataclass

BINS = 127
FAST_BINS = 10

HEAP_BYTES = 64 << 20
"""What a heap of an arena other than the main one can grow to, and its alignment."""

HEAP_ARENA = 0x00
"""Where a heap says which arena it belongs to, from its start (`ar_ptr`)."""

HEAP_BEFORE = 0x08
"""Where a heap names the heap before it of the same arena, from its start (`prev`)."""

HEAP_SIZE = 0x10
"""Where a heap says how many bytes of it are used, from its start (`size`)."""

HEAP_MOST_USED = 0x18
"""Where a heap says how much of it was used at the most, from its start (`mprotect_size`)."""


@dataclass(frozen=True)
class ArenaLayout:
    """A `struct malloc_state`: offsets of its fields in bytes, under the names they have there."""

    versions: str
    """Releases of glibc itself that have it."""
    fast_bins: int | None
    """None where an arena has none."""
    top: int
    bins: int
    next: int
    system_mem: int
    size: int
    """Size of the whole struct."""


ARENAS = (
    ArenaLayout("2.27 to 2.42", 0x10, 0x60, 0x70, 0x870, 0x888, 0x898),
    ArenaLayout("2.17 to 2.22", 0x08, 0x58, 0x68, 0x868, 0x878, 0x888),
    ArenaLayout("2.23 to 2.26", 0x08, 0x58, 0x68, 0x868, 0x880, 0x890),
    ArenaLayout("2.43", None, 0x08, 0x18, 0x818, 0x830, 0x840),
)
"""In the order in which they are tried."""


@dataclass(frozen=True)
class CacheLayout:
    """A `struct tcache_perthread_struct`: numbers, one for each bin, and then pointers."""

    versions: str
    """Releases of glibc itself that have it."""
    chunk_bytes: int
    """Size of the chunk that it stands in, or 16 bytes less where those are too few for another
    chunk: by this it is recognised."""
    bins: int
    number_bytes: int
    """Size of each number."""
    counts_blocks: bool
    """Whether the numbers say how many blocks a bin holds; else how many more it has room for."""

    @property
    def entries(self) -> int:
        """Where the pointers to the first block of each bin begin, in bytes from its start."""
        return self.bins * self.number_bytes


CACHES = (
    CacheLayout("2.26 to 2.29", 0x250, 64, 1, counts_blocks=True),
    CacheLayout("2.30 to 2.41", 0x290, 64, 2, counts_blocks=True),
    CacheLayout("2.42 and 2.43", 0x300, 76, 2, counts_blocks=False),
)

SMALL_CACHE_BINS = 64
"""How many bins of a cache hold blocks of one size; each of those behind holds a range of sizes."""


def cache_layout(chunk_bytes: int) -> CacheLayout | None:
    """Return the layout of a cache in a chunk of this size; None where no cache has it."""
    return next((row for row in CACHES if chunk_bytes - row.chunk_bytes in (0, 16)), None)
