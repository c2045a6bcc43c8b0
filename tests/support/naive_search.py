"""A search for references that shares nothing with gdbleak's: all aligned words are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from support.keeps import Block

PIECE = 1 << 24
KERNEL = ("[vvar]", "[vvar_vclock]", "[vsyscall]")
ADDRESS_BITS = (1 << 48) - 1


class References:
    """The words that refer to blocks: to a byte of theirs, or to the end of those that may so."""

    def __init__(self, pid: int, blocks: Sequence[Block]) -> None:
        self._blocks = sorted(blocks, key=lambda block: block.address)
        self._starts = np.array([block.address for block in self._blocks], np.uint64)
        self._ends = np.array([_last(block) for block in self._blocks], np.uint64)
        self.of: dict[Block, list[int]] = {block: [] for block in blocks}
        """The addresses of the words that refer to each, other than its own."""
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                start, end = (int(address, 16) for address in line.split()[0].split("-"))
                if line.split()[1][0] == "r" and not line.endswith(KERNEL):
                    for piece in range(start, end, PIECE):
                        memory.seek(piece)
                        self._search(piece, memory.read(min(PIECE, end - piece)))

    def _search(self, start: int, data: bytes) -> None:
        words = np.frombuffer(data, np.uint64) & np.uint64(ADDRESS_BITS)
        near = np.flatnonzero((words >= self._starts[0]) & (words <= self._ends.max()))
        numbers = np.searchsorted(self._starts, words[near], "right") - 1
        hits = words[near] <= self._ends[numbers]
        for place, number in zip(near[hits].tolist(), numbers[hits].tolist()):
            block, address = self._blocks[number], start + 8 * place
            if not block.address <= address < block.end:
                self.of[block].append(address)

    def reached(self) -> Collection[Block]:
        """Return the blocks that are reached from outside of all of them."""
        reached: dict[Block, None] = {}
        follow = [
            block
            for block, words in self.of.items()
            if any(self.holder(word) is None for word in words)
        ]
        referred: dict[Block | None, list[Block]] = {}
        for block, words in self.of.items():
            for word in words:
                referred.setdefault(self.holder(word), []).append(block)
        while follow:
            block = follow.pop()
            if block not in reached:
                reached[block] = None
                follow += referred.get(block, [])
        return reached

    def holders(self, block: Block) -> set[Block]:
        """Return the other blocks that refer to one."""
        return {holder for word in self.of[block] if (holder := self.holder(word))}

    def holder(self, word: int) -> Block | None:
        """Return the block that a word lies in."""
        number = int(np.searchsorted(self._starts, np.uint64(word), "right")) - 1
        block = self._blocks[number]
        return block if number >= 0 and word < block.end else None


def _last(block: Block) -> int:
    """Return the last address that refers to a block: its end where a pointer to that keeps it."""
    return block.end if block.kind == "end_pointer" else max(block.address, block.end - 1)
