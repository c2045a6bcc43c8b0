"""The search for ways from roots to a block: backwards from the block, by what refers to what.

Pure. A way leads from a word outside all blocks, by references within blocks, to the block that was
asked for. The search goes level by level, so the shortest ways come first. In a tree whose nodes
know their parents it would visit most of the tree before it met the root: after some blocks it goes
forwards from the roots too, until it meets a block that it has come to backwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from gdbleak.memory.index import Index, Numbering
from gdbleak.memory.pieces import WORD_BYTES, Range, iter_pieces
from gdbleak.memory.table import Table
from gdbleak.memory.territory import ROOTS, Area, Territory

MOST_LEVELS = 12
"""How often the whole memory is read where there is no room for an index."""
_MOST_REFERRERS = 4096
"""How many words that refer to one block are followed."""
_PATIENCE, _WIDE = 20_000, 1000
"""After so many blocks without a root the search goes forwards too, if so many of them are equally
far from the block: those of a list are few, however long it is."""
_MOST_REACHED = 200_000
"""How many blocks are reached forwards."""
_MORE_BLOCKS = 5000
"""So many blocks are looked at after the first root, and only those that are at most twice as far
from the block as that is, or a few more."""
_MORE_LEVELS = 2
_MOST_READ = 1 << 16
_MOST_FOLLOWED = 64
"""How many bytes of a block, and how many references in it, are followed forwards."""
_ADDRESS_BITS = (1 << 48) - 1


class Block(NamedTuple):
    """A block, or what may be one: addresses."""

    start: int
    end: int
    is_known: bool = True
    """Whether these are its bounds. If not, the block begins perhaps before them, or after."""


class Step(NamedTuple):
    """A word that refers to the block before it on the way."""

    word: int
    block: Block | None
    """In which the word is; None for the root."""


class Way(NamedTuple):
    """How a block is held."""

    steps: tuple[Step, ...]
    """What refers to the block directly is the first, the root the last."""
    area: Area
    """In which the root is."""


class OverError(Exception):
    """The search has to end: time is up, or it has read the memory often enough."""


class MetError(Exception):
    """A search has met a block of which it is known already what holds it."""

    def __init__(self, start: int, blocks: Iterable[Block]) -> None:
        """Note where that block begins, and which blocks it holds on the way to the target."""
        super().__init__(start)
        self.start = start
        self.blocks = (*blocks,)


class Referrers(Protocol):
    """Knows which words refer to blocks."""

    def find(self, blocks: Sequence[Block]) -> Iterable[tuple[Block, list[int]]]:
        """Yield blocks with the words that refer to them."""

    def nearest(self, word: int) -> int | None:
        """Return the last address at or before a word that something refers to, if known."""


class Indexed:
    """Looks them up in an index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.nearest = index.nearest

    def find(self, blocks: Sequence[Block]) -> Iterator[tuple[Block, list[int]]]:
        """Yield blocks with the words that refer to them."""
        for block in blocks:
            yield block, self._index.find(block.start, block.end, _MOST_REFERRERS)


class Passes:
    """Reads the whole memory for each level."""

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        searched: Sequence[Range],
        pause: Callable[[int], None],
    ) -> None:
        """Prepare.

        Args:
            read: Reads the memory of the process.
            searched: What of it may hold references.
            pause: Called after each piece with its size in bytes; it may raise.

        """
        self._read = read
        self._searched = searched
        self._pause = pause
        self._left = MOST_LEVELS

    def nearest(self, word: int) -> int | None:  # noqa: ARG002 - nobody knows
        """Return None."""
        return None

    def find(self, blocks: Sequence[Block]) -> Iterator[tuple[Block, list[int]]]:
        """Yield blocks with the words that refer to them.

        Raises:
            OverError: it was done often enough.

        """
        if not self._left:
            raise OverError
        self._left -= 1
        ordered = sorted(blocks)
        # Those of unknown bounds may overlap.
        ends = [
            min(block.end, after.start) if after.start > block.start else block.end
            for block, after in zip(ordered, [*ordered[1:], Block(1 << 63, 0)])
        ]
        table = Table([(b.start, end - b.start) for b, end in zip(ordered, ends)])
        found: dict[int, list[int]] = {}
        for address, words in iter_pieces(self._read, self._searched):
            positions, numbers = table.find(words)
            values = words[positions] & np.uint64(_ADDRESS_BITS)
            inside = values < table.ends[numbers]
            for at, number in zip(positions[inside].tolist(), numbers[inside].tolist()):
                each = found.setdefault(number, [])
                if len(each) < _MOST_REFERRERS:
                    each.append(address + WORD_BYTES * at)
            self._pause(words.nbytes)
        for number, each in sorted(found.items()):
            yield ordered[number], each


class Search:
    """One search, whose results come one by one.

    `blocks` are those that lead to the one that was asked for, by where they begin.
    """

    def __init__(
        self,
        territory: Territory,
        referrers: Referrers,
        find_block: Callable[[int, int | None], Block | None],
        check: Callable[[], None],
        known: Container[int] = (),
    ) -> None:
        """Prepare.

        Args:
            territory: Which words are roots.
            referrers: Which words refer to what.
            find_block: Returns the block that a word is in, given also the last address before it
                that something refers to; None for a free one.
            check: Called again and again; raises OverError when it is time to end.
            known: Where blocks begin at which the search ends, by MetError.

        """
        self._known = known
        self._territory = territory
        self._referrers = referrers
        self._find_block = find_block
        self._check = check
        self.blocks: dict[int, Block] = {}
        self._leads: dict[int, tuple[int, int]] = {}
        """For each of these but the first: which of them it holds, and by which word."""
        self.roots = 0
        """How many have been found."""
        self._frontier: list[Block] = []

    @property
    def goes_on(self) -> bool:
        """Whether there are blocks whose referrers are not known yet."""
        return bool(self._frontier)

    def backwards(self, target: Block) -> Iterator[Way]:
        """Yield the ways to a block, the shortest first; end early where it goes on for long.

        That is where thousands of blocks are equally far and there was no root: call `forwards`
        then, and `backwards_further` if that finds none either.

        Raises:
            OverError: as `check` does, and where the referrers do.

        """
        self.blocks[target.start] = target
        self._frontier = [target]
        yield from self.backwards_further(is_patient=False)

    def backwards_further(self, is_patient: bool = True) -> Iterator[Way]:
        """Go on, until the ways get too long to tell anything."""
        level = most_levels = most_blocks = 0
        while self._frontier:
            wide = len(self.blocks) > _PATIENCE and len(self._frontier) > _WIDE
            if wide and not self.roots and not is_patient:
                return
            level += 1
            if self.roots and not most_levels:
                most_levels = 2 * level + _MORE_LEVELS
                most_blocks = len(self.blocks) + _MORE_BLOCKS
            if most_levels and (level > most_levels or len(self.blocks) > most_blocks):
                return
            following: list[Block] = []
            for block, words in self._referrers.find(self._frontier):
                self._check()
                for word in words:
                    if block.start <= word < block.end:
                        continue
                    area = self._territory.find(word)
                    if area is None:
                        following += self._add(word, block)
                    elif area.kind in ROOTS:
                        self.roots += 1
                        yield Way((*self.steps_to(block), Step(word, None)), area)
            self._frontier = following

    def _add(self, word: int, held: Block) -> list[Block]:
        """Return the block that a word is in, if it is new."""
        near = self._referrers.nearest(word)
        known = None if near is None else self.blocks.get(near)
        if known and word < known.end:
            return []
        block = self._find_block(word, near)
        if block is None or block.start in self.blocks:
            return []
        if block.start in self._known:
            steps = self.steps_to(held)
            raise MetError(block.start, (step.block for step in steps if step.block))
        self.blocks[block.start] = block
        self._leads[block.start] = held.start, word
        return [block]

    def steps_to(self, block: Block) -> list[Step]:
        """Return the steps from the block that was asked for to another."""
        steps = []
        start = block.start
        while start in self._leads:
            held, word = self._leads[start]
            steps.append(Step(word, self.blocks[start]))
            start = held
        return steps[::-1]

    def forwards(
        self,
        read: Callable[[int, int], bytes],
        seeds: Iterable[int],
        blocks: Numbering,
        look_up: Callable[[int], Block | None],
    ) -> Iterator[Way]:
        """Yield ways from roots that meet what was found backwards, the shortest first.

        Args:
            read: Reads the memory of the process.
            seeds: Words in roots that refer to blocks.
            blocks: Numbers words in blocks.
            look_up: Returns the block that begins at an address; None if none seems to.

        Raises:
            OverError: as `check` does.

        """
        reached: dict[int, tuple[Block, Step | None, int]] = {}
        queue = deque((seed, 0) for seed in seeds)
        most = _MOST_REACHED
        while queue and len(reached) < most:
            self._check()
            word, holder = queue.popleft()
            value = int.from_bytes(read(word, WORD_BYTES), "little") & _ADDRESS_BITS
            block = None if value in reached else look_up(value)
            if block is None or block.start in reached:
                continue
            reached[block.start] = block, Step(word, reached[holder][0] if holder else None), holder
            if block.start in self.blocks:
                yield from self._join(block, reached)
                most = min(most, len(reached) + _MORE_BLOCKS)
                continue
            data = read(block.start, min(block.end - block.start, _MOST_READ))
            words = np.frombuffer(data, np.uint64, len(data) // WORD_BYTES)
            positions = blocks.find(words)[0][:_MOST_FOLLOWED]
            queue.extend((block.start + WORD_BYTES * at, block.start) for at in positions.tolist())

    def _join(
        self, block: Block, reached: dict[int, tuple[Block, Step | None, int]]
    ) -> Iterator[Way]:
        steps = self.steps_to(block)
        start = block.start
        while start:
            _, step, start = reached[start]
            if step:
                steps.append(step)
        area = self._territory.find(steps[-1].word)
        if area is not None:
            self.roots += 1
            yield Way(tuple(steps), area)
