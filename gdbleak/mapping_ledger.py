"""Whose mapping each address is: mmap and its like in, the fate of every mapping out. Pure.

Unlike a block, a mapping can be given back in part, from the middle even, or replaced: what is
left of it stays outstanding. Sizes are whole pages, as in /proc/PID/maps; those of brk are bytes.
Sources: mmap(2), mremap(2), brk(2).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from gdbleak.blocks import FILE_MAPPING, MAPPING, Block

PAGE_BYTES = 4096
MAP_ANONYMOUS = 0x20


class _Piece(NamedTuple):
    """A range of addresses that is, or is left of, one mapping."""

    start: int
    end: int
    block: Block


class MappingLedger:
    """The books of the mappings that were made in one window."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        """Every mapping made in the window, in order of birth."""
        self._pieces: list[_Piece] = []
        self._starts: list[int] = []
        self._break: int | None = None

    def map(
        self, start: int, length: int, flags: int, time_ns: int, thread: int, stack: int
    ) -> None:
        """Record a new mapping; it replaces what was mapped there (MAP_FIXED)."""
        kind = MAPPING if flags & MAP_ANONYMOUS else FILE_MAPPING
        self._add(start, start + _whole_pages(length), kind, time_ns, thread, stack)

    def unmap(self, start: int, length: int, time_ns: int) -> None:
        """Record that a range was given back, whosever it was."""
        self._cut(start, start + _whole_pages(length), time_ns)

    def remap(
        self,
        old: int,
        old_length: int,
        new: int,
        new_length: int,
        time_ns: int,
        thread: int,
        stack: int,
    ) -> None:
        """Record that a mapping was moved or resized.

        One from before the window stays one: only what it has grown by is new. With an old length
        of 0 its pages are mapped a second time.
        """
        old_length, new_length = _whole_pages(old_length), _whole_pages(new_length)
        owner = self._find(old)
        if owner is None or not old_length:
            kept = old_length
            if new_length > kept:
                kind = owner.kind if owner else MAPPING
                self._add(new + kept, new + new_length, kind, time_ns, thread, stack)
            return
        # The mapping must not end while it is between two places.
        owner.size += new_length
        self._cut(old, old + old_length, time_ns)
        self._cut(new, new + new_length, time_ns)
        self._insert(_Piece(new, new + new_length, owner))
        owner.allocated_bytes += max(new_length - old_length, 0)
        owner.reallocations += 1

    def move_break(
        self, before: int, increment: int, time_ns: int, thread: int, stack: int
    ) -> None:
        """Record a call of sbrk that returned `before`."""
        self._break = before + increment
        if increment > 0:
            self._add(before, self._break, MAPPING, time_ns, thread, stack)
        else:
            self._cut(self._break, before, time_ns)

    def set_break(self, address: int, time_ns: int, thread: int, stack: int) -> None:
        """Record a call of brk; where the break was before is known from the call before."""
        before = address if self._break is None else self._break
        self.move_break(before, address - before, time_ns, thread, stack)

    def _add(self, start: int, end: int, kind: str, time_ns: int, thread: int, stack: int) -> None:
        self._cut(start, end, time_ns)
        size = end - start
        block = Block(start, size, size, time_ns, None, thread, stack, 0, kind)
        self.blocks.append(block)
        self._insert(_Piece(start, end, block))

    def _find(self, address: int) -> Block | None:
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._pieces[index].end:
            return self._pieces[index].block
        return None

    def _insert(self, piece: _Piece) -> None:
        index = bisect_right(self._starts, piece.start)
        self._pieces.insert(index, piece)
        self._starts.insert(index, piece.start)

    def _cut(self, start: int, end: int, time_ns: int) -> None:
        """Take a range away from all that it is a part of."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_right(self._starts, end - 1)
        left: list[_Piece] = []
        for piece in self._pieces[first:last]:
            inner_start, inner_end = max(piece.start, start), min(piece.end, end)
            if inner_start >= inner_end:
                left.append(piece)
                continue
            piece.block.size -= inner_end - inner_start
            if not piece.block.size:
                piece.block.freed_ns = time_ns
            if piece.start < start:
                left.append(piece._replace(end=start))
            if end < piece.end:
                left.append(piece._replace(start=end))
        self._pieces[first:last] = left
        self._starts[first:last] = [piece.start for piece in left]


def _whole_pages(length: int) -> int:
    return -(-length // PAGE_BYTES) * PAGE_BYTES
