"""Whose mapping each address is: mmap and its like in, the fate of every mapping out. Pure.

Unlike a block, a mapping can be given back in part, from the middle even, or replaced: what is
left of it stays outstanding. Sizes are whole pages, as in /proc/PID/maps; those of brk are bytes.
Sources: mmap(2), mremap(2), brk(2).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from gdbleak.ledger.blocks import FILE_MAPPING, MAPPING, Block
from gdbleak.ledger.calls import Call
from gdbleak.recording.functions import MappingCall

PAGE_BYTES = 4096
MAP_ANONYMOUS = 0x20
FAILED = (1 << 64) - 1
"""What a call returns that has failed."""


class _Piece(NamedTuple):
    """A range of addresses that is, or is left of, one mapping."""

    start: int
    end: int
    block: Block


class MappingLedger:
    """The books of the mappings that were made in one window."""

    def __init__(
        self,
        retire: Callable[[Block], None],
        resize: Callable[[Block, int, int], None],
        admit: Callable[[Block], None],
    ) -> None:
        """Begin the books; `retire`, `resize` and `admit` are as for `Ledger`.

        A mapping is retired when all of it has gone.
        """
        self.admits = True
        """Whether new mappings are recorded."""
        self._retire = retire
        self._resize = resize
        self._admit = admit
        self._pieces: list[_Piece] = []
        self._starts: list[int] = []
        self._break: int | None = None

    @property
    def survivors(self) -> list[Block]:
        """The mappings of the window of which something is left."""
        return [*{id(piece.block): piece.block for piece in self._pieces}.values()]

    def find(self, address: int) -> Block | None:
        """Return the mapping of which an address is a part; None if it is of none."""
        piece = self._find(address)
        return piece and piece.block

    def leave(self, call: Call, result: int, time_ns: int, thread: int, stack: int) -> None:
        """Record the return of a call that maps."""
        # Of brk, this is an int: the upper half of the register says nothing.
        if result in (FAILED, FAILED & 0xFFFFFFFF):
            return
        mapping = call.function.mapping
        if mapping is MappingCall.MAP:
            self.map(result, call.size, call.flags, time_ns, thread, stack)
        elif mapping is MappingCall.REMAP:
            self.remap(call.pointer, call.length, result, call.size, time_ns, thread, stack)
        elif mapping is MappingCall.SET_BREAK:
            self.set_break(call.size, time_ns, thread, stack)
        else:
            increment = call.size - (1 << 64 if call.size >> 63 else 0)
            self.move_break(result, increment, time_ns, thread, stack)

    def map(
        self, start: int, length: int, flags: int, time_ns: int, thread: int, stack: int
    ) -> None:
        """Record a new mapping; it replaces what was mapped there (MAP_FIXED)."""
        kind = MAPPING if flags & MAP_ANONYMOUS else FILE_MAPPING
        self._add(start, start + _whole_pages(length), kind, time_ns, thread, stack)

    def unmap(self, start: int, length: int, time_ns: int) -> None:
        """Record that a range was given back, whosever it was.

        The kernel refuses one that does not begin with a page.
        """
        if start % PAGE_BYTES == 0:
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
        """Record that a range was moved or resized; each part of it stays whose it was.

        What it has grown by belongs to the mapping that its end was a part of; behind one from
        before the window it is a new one. With an old length of 0 the pages of a shared mapping
        are mapped a second time.
        """
        old_end = old + _whole_pages(old_length)
        new_end = new + _whole_pages(new_length)
        if not old_length:
            shared = self._find(old)
            kind = shared.block.kind if shared else MAPPING
            self._add(new, new_end, kind, time_ns, thread, stack)
            return
        last = self._find(old_end - 1)
        moved = self._take(old, old_end)
        self._cut(new, new_end, time_ns)
        for piece in moved:
            start, end = piece.start - old + new, piece.end - old + new
            self._shrink(piece.block, end - max(min(end, new_end), start), time_ns)
            if start < new_end:
                self._insert(_Piece(start, min(end, new_end), piece.block))
        grown = new_end - new - (old_end - old)
        if grown > 0 and last:
            last.block.size += grown
            last.block.allocated_bytes += grown
            self._resize(last.block, grown, time_ns)
            self._insert(_Piece(new_end - grown, new_end, last.block))
        elif grown > 0:
            self._add(new_end - grown, new_end, MAPPING, time_ns, thread, stack)

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
        if not self.admits:
            return
        size = end - start
        block = Block(
            start, size, size, size, time_ns, None, thread, stack, 0, kind, False, False, 0, 0
        )
        self._admit(block)
        self._insert(_Piece(start, end, block))

    def _find(self, address: int) -> _Piece | None:
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._pieces[index].end:
            return self._pieces[index]
        return None

    def _insert(self, piece: _Piece) -> None:
        index = bisect_right(self._starts, piece.start)
        self._pieces.insert(index, piece)
        self._starts.insert(index, piece.start)

    def _cut(self, start: int, end: int, time_ns: int) -> None:
        """End a range of addresses, whatever it is a part of."""
        for piece in self._take(start, end):
            self._shrink(piece.block, piece.end - piece.start, time_ns)

    def _shrink(self, block: Block, by: int, time_ns: int) -> None:
        block.size -= by
        self._resize(block, -by, time_ns)
        if not block.size:
            block.freed_ns = time_ns
            self._retire(block)

    def _take(self, start: int, end: int) -> list[_Piece]:
        """Take a range of addresses out of the books; return the pieces that lie in it."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_right(self._starts, end - 1)
        left: list[_Piece] = []
        taken: list[_Piece] = []
        for piece in self._pieces[first:last]:
            before = piece._replace(end=min(piece.end, start))
            inner = piece._replace(start=max(piece.start, start), end=min(piece.end, end))
            after = piece._replace(start=max(piece.start, end))
            left += (part for part in (before, after) if part.start < part.end)
            if inner.start < inner.end:
                taken.append(inner)
        self._pieces[first:last] = left
        self._starts[first:last] = [piece.start for piece in left]
        return taken


def _whole_pages(length: int) -> int:
    return -(-length // PAGE_BYTES) * PAGE_BYTES
