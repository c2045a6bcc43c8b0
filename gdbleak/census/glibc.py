"""One census of the heap of glibc's malloc: each chunk of each arena, counted by size and state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from struct import unpack

import numpy as np

from gdbleak.census.touched import Touched
from gdbleak.effort import Effort, EffortError
from gdbleak.heap.arenas import Arena, find_arenas, find_top, iter_first_blocks
from gdbleak.heap.chunk import FLAGS, SIZE
from gdbleak.heap.chunks import Piece, iter_chunks
from gdbleak.heap.idle import Idle, find_cached, find_fast, find_unsorted
from gdbleak.heap.layouts import cache_layout
from gdbleak.heap.lists import chunk_bytes
from gdbleak.heap.mmapped import LargeBlock, find_large
from gdbleak.heap.parameters import Parameters, find_parameters
from gdbleak.heap.parts import Part, find_detached, find_parts, is_contiguous
from gdbleak.heap.snapshot import PAGE_BYTES, Snapshot
from gdbleak.heap.sums import BySize, Resident, Tail
from gdbleak.heap.walk import Words
from gdbleak.memory.pieces import Range, subtract
from gdbleak.target.examined import Examined
from gdbleak.target.modules import VDSO
from gdbleak.target.proc import Mapping, find_data

_LIBC = re.compile(r"libc[.-]|libc_malloc_debug\.")
"""The second has a whole malloc of its own, which is used where MALLOC_CHECK_ or others ask for it.

Source: malloc/malloc-debug.c, glibc since 2.34.
"""
_DATA_LIMIT = 1 << 20
_ADDRESSES = range(1 << 16, 1 << 47, 16)


@dataclass
class ArenaCount:
    """What one arena holds."""

    arena: Arena
    parts: list[Part] = field(default_factory=list)
    used: BySize = field(default_factory=BySize)
    """Chunks in use."""
    binned: BySize = field(default_factory=BySize)
    """Chunks that are free, and say so."""
    fast: BySize = field(default_factory=BySize)
    cached: BySize = field(default_factory=BySize)
    unsorted: BySize = field(default_factory=BySize)
    """Those of `binned` that are in the unsorted bin."""
    top_bytes: int = 0
    system_bytes: int = 0
    trimmable_bytes: int = 0
    pin: tuple[int, int, int] | None = None
    """See `Tail.find_pin`."""


@dataclass
class Kept:
    """The blocks in use, and what belongs to nobody; kept only where something is looked for."""

    blocks: list[Words] = field(default_factory=list)
    """Addresses of chunks in use."""
    sizes: list[Words] = field(default_factory=list)
    free: list[Words] = field(default_factory=list)
    """Addresses of free chunks."""
    free_sizes: list[Words] = field(default_factory=list)


@dataclass
class Count:
    """One census."""

    layout: str
    """Releases of glibc that keep the heap in this way."""
    arenas: list[ArenaCount]
    large: list[LargeBlock]
    caches: set[int]
    """Blocks that are the caches of threads."""
    is_whole: bool
    """Whether all lists of free blocks were followed to their ends."""
    unsettled: tuple[int, int]
    """Chunks that changed again and again, and their bytes."""
    unclear_bytes: int
    unclear_from: int | None
    """Where memory of the heap begins in which no chunks can be made out; None without any."""
    read_bytes: int
    large_missing: int
    """How many blocks with mappings of their own the allocator counts that were not found."""
    kept: Kept | None


class Census:
    """Counts what is in the heap of a process, once."""

    def __init__(
        self,
        process: Examined,
        mappings: Sequence[Mapping],
        thread_words: frozenset[int],
        keeps: bool = False,
        is_still: bool = False,
        tell: Callable[[float], None] = lambda _share: None,
    ) -> None:
        """Prepare it.

        Args:
            process: The process.
            mappings: What is mapped there.
            thread_words: What stands in the variables of threads, among which are the addresses of
                their caches; empty where nobody knows.
            keeps: Whether to keep the addresses of all blocks.
            is_still: Whether nothing changes.
            tell: Called with the share of the heap that is counted; it may raise.

        """
        self._process = process
        self._mappings = mappings
        self._thread_words = thread_words
        self._is_still = is_still or process.is_core
        self._tell = tell
        self._kept = Kept() if keeps else None
        self._unsettled = [0, 0]
        self._unclear = self._read = 0
        self._unclear_from: int | None = None
        self._fast = self._cached = Idle(np.zeros(0, np.uint64), True)
        self._read_heap = process.read if process.is_core else Touched(process).read

    def take(self) -> Count | None:
        """Return what is there; None where glibc's malloc has no heap.

        Raises:
            TargetError: the process has ended, or cannot be read.

        """
        memory = self._snapshot()
        found = self._find_arenas(memory)
        if found is None:
            return None
        arenas, words, start = found
        counts = [ArenaCount(arena) for arena in arenas]
        heap = next(((m.start, m.end) for m in self._mappings if m.path == "[heap]"), None)
        known = self._find_parameters(words, start, heap)
        for part in self._find_parts(memory, arenas, heap, known.heap_start if known else 0):
            counts[part.arena].parts.append(part)
        self._fast = find_fast(self._process, [(count.arena, count.parts) for count in counts])
        self._cached, caches = find_cached(self._process, self._find_caches(memory, arenas))
        self._walk(counts)
        for count in counts:
            self._finish(count)
        large, missing = self._find_large(known, counts)
        return Count(
            arenas[0].layout.versions,
            counts,
            large,
            caches,
            self._fast.is_whole and self._cached.is_whole,
            (self._unsettled[0], self._unsettled[1]),
            self._unclear,
            self._unclear_from,
            self._read,
            missing,
            self._kept,
        )

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._process, Effort())

    def _find_arenas(self, memory: Snapshot) -> tuple[list[Arena], tuple[int, ...], int] | None:
        """Return the arenas, and the data in which the main one is, with its address.

        Where two libraries have arenas, those that have more memory are returned.
        """
        best, most = None, 0
        for data in self._iter_data():
            read = self._process.read(data[0], min(data[1] - data[0], _DATA_LIMIT))
            words = unpack(f"<{len(read) // 8}Q", read[: len(read) & -8])
            arenas = find_arenas(memory, words, data[0])
            size = sum(memory.word(arena.system_mem) for arena in arenas)
            if size > most:
                best, most = (arenas, words, data[0]), size
        return best

    def _iter_data(self) -> Iterator[tuple[int, int]]:
        """Yield where the writable data of C libraries is; of a static program, its own."""
        modules = [each for each in self._process.read_modules() if each.path != VDSO]
        libraries = [each for each in modules if _LIBC.match(each.name)]
        for module in libraries or modules[:1]:
            data = find_data(self._mappings, module.path)
            if data:
                yield data

    def _find_parameters(
        self, words: Sequence[int], start: int, heap: tuple[int, int] | None
    ) -> Parameters | None:
        if heap:
            with suppress(EffortError):
                return find_parameters(self._snapshot(), words, start, heap)
        return None

    def _find_parts(
        self,
        memory: Snapshot,
        arenas: Sequence[Arena],
        heap: tuple[int, int] | None,
        heap_start: int,
    ) -> list[Part]:
        parts = find_parts(memory, arenas, heap, heap_start)
        top = memory.word(arenas[0].top)
        if not is_contiguous(memory, arenas[0]) or not any(
            part.start <= top < part.end for part in parts
        ):
            own = self._own_mappings(parts)
            large = find_large(self._process.read, self._pages_of(own))
            own = subtract(own, [Range(each.start, each.end) for each in large])
            parts += find_detached(self._process.read, own)
        return parts

    def _own_mappings(self, parts: Sequence[Part]) -> list[Range]:
        """Return anonymous memory that belongs to no arena.

        The kernel makes one mapping of memory of an arena and what it puts beside that.
        """
        own = (
            Range(mapping.start, mapping.end)
            for mapping in self._mappings
            if mapping.permissions.startswith("rw")
            and mapping.permissions[3] == "p"
            and not mapping.inode
            and (not mapping.path.startswith("[") or mapping.path.startswith("[anon:"))
        )
        return subtract(own, sorted(Range(part.start, part.end) for part in parts))

    def _pages_of(self, ranges: Sequence[Range]) -> list[tuple[int, int, int]]:
        """Return the pages that hold something, and the ends of their ranges."""
        return [
            (run.start, run.end, own.end)
            for own in ranges
            for run in self._process.find_pages(*own)
        ]

    def _walk(self, counts: Sequence[ArenaCount]) -> None:
        whole = sum(part.top - part.first for count in counts for part in count.parts) or 1
        done = 0
        for count in counts:
            top = self._snapshot().word(count.arena.top)
            for part in count.parts:
                tail = Tail()
                for piece in iter_chunks(self._read_heap, part, self._is_still):
                    free = self._add(count, piece, top)
                    count.trimmable_bytes += self._resident_within(free)
                    tail.add(free)
                    if len(piece.chunks):
                        self._tell((done + int(piece.chunks[-1]) - part.first) / whole)
                done += part.top - part.first
                if part.top < part.end:
                    count.pin = tail.find_pin()
        self._read += done

    def _add(self, count: ArenaCount, piece: Piece, top: int) -> Piece:
        """Count a piece; return it with what lies in fast bins as free."""
        fast = piece.used & self._fast.have(piece.chunks)
        cached = piece.used & self._cached.have(piece.chunks)
        used = piece.used & ~fast & ~cached & (piece.chunks != np.uint64(top))
        for state, which in (
            (count.used, used),
            (count.binned, ~piece.used),
            (count.fast, fast),
            (count.cached, cached & ~fast),
        ):
            state.add(piece.sizes[which])
        self._unsettled[0] += int(piece.unsettled.sum())
        self._unsettled[1] += int(piece.sizes[piece.unsettled].sum())
        self._unclear += piece.unclear_bytes
        if piece.unclear_bytes and self._unclear_from is None and len(piece.chunks):
            self._unclear_from = int(piece.chunks[-1] + piece.sizes[-1])
        if self._kept:
            self._kept.blocks.append(piece.chunks[used])
            self._kept.sizes.append(piece.sizes[used])
            self._kept.free.append(piece.chunks[~used])
            self._kept.free_sizes.append(piece.sizes[~used])
        return piece._replace(used=piece.used & ~fast)

    def _resident_within(self, piece: Piece) -> int:
        """Return how much of the free chunks is in memory, and malloc_trim(3) would give back.

        That puts neighbours together first, those in fast bins too.
        """
        free = ~piece.used
        edges = np.flatnonzero(np.diff(np.concatenate([[False], free, [False]]).astype(np.int8)))
        first, last = edges[::2], edges[1::2] - 1
        chunks = piece.chunks[first]
        sizes = piece.chunks[last] + piece.sizes[last] - chunks
        large = sizes >= np.uint64(PAGE_BYTES)
        if not large.any():
            return 0
        chunks, sizes = chunks[large], sizes[large]
        return self._find_resident(int(chunks[0]), int(chunks[-1] + sizes[-1])).within(
            chunks, sizes
        )

    def _find_resident(self, start: int, end: int) -> Resident:
        """Return which pages of a range are in memory."""
        start &= -PAGE_BYTES
        runs = [(run.start, run.end) for run in self._process.find_pages(start, end)]
        return Resident(start, end, runs)

    def _find_caches(self, memory: Snapshot, arenas: Sequence[Arena]) -> list[int]:
        """Return what may be the caches of threads; where no thread tells, the first blocks."""
        known = self._thread_words or iter_first_blocks(memory, list(arenas))
        chunks = (word for word in known if word in _ADDRESSES)
        return [word for word in chunks if cache_layout(chunk_bytes(memory, word))]

    def _finish(self, count: ArenaCount) -> None:
        memory = self._snapshot()
        count.unsorted.add(find_unsorted(self._process, count.arena))
        count.system_bytes = memory.word(count.arena.system_mem)
        found = find_top(memory, count.arena)
        count.top_bytes = memory.word(found[0] + SIZE) & ~FLAGS if found else 0
        for part in count.parts:
            if part.arena == 0 and part.top < part.end:
                top = np.array([part.top], np.uint64), np.array([part.end - part.top], np.uint64)
                count.trimmable_bytes += self._find_resident(part.top, part.end).within(*top)

    def _find_large(
        self, known: Parameters | None, counts: Sequence[ArenaCount]
    ) -> tuple[list[LargeBlock], int]:
        parts = [part for count in counts for part in count.parts]
        pages = self._pages_of(self._own_mappings(parts))
        if known is None:
            return find_large(self._process.read, pages), 0
        count, total = known.mmapped_count, known.mmapped_bytes
        found = find_large(
            self._process.read,
            pages,
            lambda number, size: number >= count and size >= total,
        )
        return found, max(count - len(found), 0)
