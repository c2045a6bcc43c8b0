"""What the allocator of a target tells a search of its memory."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gdbleak.effort import EffortError
from gdbleak.heap.arenas import iter_first_blocks
from gdbleak.heap.chunk import BLOCK
from gdbleak.heap.extent import Chunks, Extent, walk
from gdbleak.heap.free_memory import find_free_memory
from gdbleak.heap.freed import Heap
from gdbleak.heap.snapshot import Snapshot
from gdbleak.ledger.blocks import Block
from gdbleak.memory.look import Ranges
from gdbleak.recording.references import LOST, LOST_WITH, UNKNOWN
from gdbleak.target.proc import find_data
from gdbleak.target.searched import SearchedProcess

_LOST = LOST, LOST_WITH
_MOST_CHECKED, _CHECK_S = 5000, 3.0
"""Of so many blocks it is looked for the chunks that they are in, and for so long."""
_SLACK_BYTES, _LARGE_BYTES, _LARGE_SLACK_BYTES = 64, 64 << 10, 16 << 10
"""How much larger a chunk may be than its block; more if the block is large: it may have pages of
its own."""


class KnownHeap:
    """What the allocator of a process tells of its memory: nothing, if it is not glibc's."""

    def __init__(self, process: SearchedProcess, libc: str | None) -> None:
        self._process = process
        self._is_glibc = libc is not None
        self._data = libc and find_data(process.read_mappings(), libc)
        self._heap = Heap(process, self._data) if self._data else None

    def find_free(self) -> Ranges:
        """Return what belongs to nobody."""
        return Ranges(find_free_memory(self._process, self._data) if self._data else [])

    def leave_out_freed(self, blocks: list[Block], has_gaps: bool) -> list[Block]:
        """Return the blocks that are not free although nobody was seen to free them."""
        if not has_gaps or self._heap is None:
            return blocks
        try:
            freed = self._heap.find_freed(block.address for block in blocks)
        except EffortError:  # then it is asked again at the end, of the few that are lost
            return blocks
        return [block for block in blocks if block.address not in freed]

    def forget_freed(self, blocks: Sequence[Block], states: NDArray[np.uint8]) -> None:
        """Say of lost blocks that nothing is known, unless each still has a chunk of its own.

        Of other allocators that cannot be told; their blocks are judged with more care.
        """
        if not self._is_glibc:
            return
        lost = np.flatnonzero(np.isin(states, _LOST)).tolist()
        sizes = {blocks[number].address: blocks[number].size for number in lost}
        freed = self._find_freed({*sizes})
        in_use = self._find_in_use({at: size for at, size in sizes.items() if at not in freed})
        for number in lost:
            if blocks[number].address not in in_use:
                states[number] = UNKNOWN

    def _find_in_use(self, sizes: Mapping[int, int]) -> set[int]:
        """Return at which addresses chunks in use begin that fit the sizes of blocks.

        What was freed unseen may lie within a block that was handed out since, or at its beginning.
        """
        mappings = self._process.read_mappings()
        starts = [mapping.start for mapping in mappings]

        def find_mapping(address: int) -> tuple[int, int]:
            mapping = mappings[max(bisect_right(starts, address) - 1, 0)]
            return mapping.start, mapping.end

        deadline_s = time.monotonic() + _CHECK_S
        left, in_use = dict(sizes), set()
        for first in self._find_first_blocks():
            last = first
            for count, found in enumerate(
                walk(self._process, first - BLOCK, find_mapping(first)[1])
            ):
                last = found.start
                if last in left and _fits(found, left[last]):
                    in_use.add(last)
                if not count % 1000 and time.monotonic() > deadline_s:
                    break
            left = {at: size for at, size in left.items() if not first <= at <= last}
        chunks = Chunks(self._process)  # of mappings of their own, and where nobody could walk
        for address, size in islice(sorted(left.items()), _MOST_CHECKED):
            if time.monotonic() > deadline_s:
                break
            found_at = chunks.find(address, find_mapping(address))
            if found_at and found_at.start == address and _fits(found_at, size):
                in_use.add(address)
        return in_use

    def _find_first_blocks(self) -> list[int]:
        if self._heap is None:
            return []
        try:
            return [*iter_first_blocks(Snapshot(self._process), self._heap.arenas)]
        except EffortError:
            return []

    def _find_freed(self, addresses: set[int]) -> set[int]:
        if self._heap is None:
            return addresses
        try:
            return self._heap.find_freed(addresses)
        except EffortError:
            return addresses


def _fits(found: Extent, size: int) -> bool:
    """Return whether a chunk in use may be that of a block of a size."""
    most = _SLACK_BYTES if size < _LARGE_BYTES else _LARGE_SLACK_BYTES
    return not found.is_free and 0 <= found.end - found.start - size <= most
