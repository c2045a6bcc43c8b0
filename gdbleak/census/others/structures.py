"""Words and records of a process's memory, many at once; and the trees that allocators keep. Pure.

jemalloc, tcmalloc and mimalloc find what they know of a page by its number: in a tree of arrays, by
some of its bits at each level. A stripped library does not tell where the root is; but each record
says of which pages it is, and that tells the root.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.census.others.told import merge
from gdbleak.effort import Effort
from gdbleak.memory.pieces import Range, Region, iter_pieces, touched
from gdbleak.memory.source import Searchable

Words = NDArray[np.uint64]

_GAP_BYTES, _RUN_BYTES = 4096, 1 << 20
"""Records so close are read together, as far as a read takes."""
_ADDRESSES = (1 << 16, 1 << 47)
_FEW_ENTRIES, _TRIED_ENTRIES, _TRIED_NODES = 8, 64, 4
"""How much of a node is looked at, to see whether it belongs to a tree."""
_MOST_ROOTS, _SURE_VOTES, _MOST_BRANCHES = 8, 3, 1 << 14
_PLAIN_STEPS = 1 << 10
"""Words that are looked at in one step."""


class Memory:
    """A process, as it is read here: every read is paid for."""

    def __init__(self, process: Searchable, effort: Effort) -> None:
        """Read a process.

        Args:
            process: What is read.
            effort: What it may take. Methods raise EffortError once that is used up.

        """
        self._process = process
        self.spend = effort.spend
        writable = [m for m in process.read_mappings() if m.permissions.startswith("rw")]
        ranges = merge((each.start, each.end) for each in writable)
        self._starts = np.array([each.start for each in ranges], np.uint64)
        self._ends = np.array([each.end for each in ranges] or [0], np.uint64)

    def can_hold(self, addresses: Words, size: int) -> NDArray[np.bool_]:
        """Return whether each address is one from which on so many bytes can be written."""
        number = np.searchsorted(self._starts, addresses, "right").astype(np.int64) - 1
        ends = self._ends[np.maximum(number, 0)]
        can: NDArray[np.bool_] = (number >= 0) & (addresses + np.uint64(size) <= ends)
        return can

    def word(self, address: int) -> int:
        """Return the word at an address; 0 where there is none."""
        self.spend(4)
        return int.from_bytes(self._process.read(address, 8), "little")

    def words(self, address: int, count: int) -> Words:
        """Return so many words from an address on; zeros where there are none."""
        self.spend(4 + count // _PLAIN_STEPS)
        data = self._process.read(address, 8 * count) if address > 0 else b""
        return np.frombuffer(data.ljust(8 * count, b"\0"), np.uint64, count)

    def iter_touched(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, Words]]:
        """Yield what was ever written of ranges: addresses, and the words from there on."""
        regions = [Region(start, end, False) for start, end in ranges]
        for run in touched(regions, self._process.find_pages):
            yield from iter_pieces(self._read_on_account, [run])

    def _read_on_account(self, address: int, size: int) -> bytes:
        self.spend(4 + size // 8 // _PLAIN_STEPS)
        return self._process.read(address, size)

    def iter_pointers(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[Words, Words]]:
        """Yield where in ranges something stands that may be an address, and what."""
        for address, words in self.iter_touched(ranges):
            at = np.flatnonzero((words >= _ADDRESSES[0]) & (words < _ADDRESSES[1]))
            yield np.uint64(address) + np.uint64(8) * at.astype(np.uint64), words[at]

    def gather(self, addresses: Words, count: int) -> Words:
        """Return so many words from each of some addresses on, a row for each.

        Addresses that are no multiples of 8, or cannot be ones, have rows of zeros.
        """
        rows = np.zeros((len(addresses), count), np.uint64)
        good = (addresses % 8 == 0) & (addresses >= _ADDRESSES[0]) & (addresses < _ADDRESSES[1])
        order = np.flatnonzero(good)
        order = order[np.argsort(addresses[order], kind="stable")]
        places = addresses[order].astype(np.int64)
        for first, last in _iter_runs(places):
            start = int(places[first])
            size = int(places[last - 1]) - start + 8 * count
            data = self._read_on_account(start, size)
            held = np.zeros(size // 8, np.uint64)
            held[: len(data) // 8] = np.frombuffer(data, np.uint64, len(data) // 8)
            at = (places[first:last] - start) // 8
            rows[order[first:last]] = held[at[:, None] + np.arange(count)]
        return rows


def _iter_runs(places: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield which sorted addresses are read together: the first, and the one behind the last."""
    far = np.flatnonzero(np.diff(places) > _GAP_BYTES) + 1
    for first, last in zip([0, *far.tolist()], [*far.tolist(), len(places)]):
        while first < last:
            behind = int(np.searchsorted(places[first:last], places[first] + _RUN_BYTES)) + first
            yield first, behind
            first = behind


class Shape(NamedTuple):
    """How the number of a page leads through a tree."""

    page_bits: int
    """A page has two to the power of that many bytes."""
    levels: tuple[int, ...]
    """Bits of the number that each level takes, the root's first."""
    entry_words: int = 1
    """How long an entry of the last level is; its first word refers to the record."""
    flags: int = 0
    """Bits of that word that are no address."""

    @property
    def leaf_bytes(self) -> int:
        """The size of an array of the last level."""
        return 8 * self.entry_words << self.levels[-1]

    def records_of(self, words: Words) -> Words:
        """Return the addresses of records that entries refer to."""
        return words & np.uint64((1 << 48) - 1 & ~self.flags)


class Leaf(NamedTuple):
    """Entries of an array of the last level, but for empty ones."""

    pages: Words
    """The number of the page of each."""
    entries: Words
    records: Words
    """The addresses of the records."""


Starts = Callable[[Words], Words]
"""Returns of which page each of some records is the first's, by their addresses."""


class Tree:
    """Such a tree in a process."""

    def __init__(self, memory: Memory, root: int, shape: Shape) -> None:
        self._memory = memory
        self._root = root
        self.shape = shape

    def iter_leaves(self) -> Iterator[Leaf]:
        """Yield the arrays of the last level that have entries, in order of the pages."""
        yield from self._iter_below(self._root, 0, self.shape.levels)

    def _iter_below(self, node: int, prefix: int, levels: tuple[int, ...]) -> Iterator[Leaf]:
        if len(levels) == 1:
            yield from _read_leaf(self._memory, node, prefix, self.shape)
            return
        size = 8 << levels[0]
        for places, words in self._memory.iter_pointers([(node, node + size)]):
            for place, word in zip(places.tolist(), words.tolist()):
                self._memory.spend()
                index = (place - node) // 8
                yield from self._iter_below(word, prefix << levels[0] | index, levels[1:])


def _read_leaf(memory: Memory, node: int, prefix: int, shape: Shape) -> Iterator[Leaf]:
    for address, words in memory.iter_touched([(node, node + shape.leaf_bytes)]):
        skip = -((address - node) // 8) % shape.entry_words
        entries = words[skip :: shape.entry_words]
        first = ((address - node) // 8 + skip) // shape.entry_words
        index = np.flatnonzero(entries)
        if len(index):
            found = entries[index]
            pages = np.uint64((prefix << shape.levels[-1]) + first) + index.astype(np.uint64)
            yield Leaf(pages, found, shape.records_of(found))


def iter_trees(
    memory: Memory, data: Iterable[Range], shape: Shape, starts: Starts
) -> Iterator[Tree]:
    """Yield what may be the tree whose root is among the variables of a module, as it is found.

    A word of the root refers to a node; records below say of which pages they are; so many times
    eight bytes before the word is the root. Many words that agree about that are yielded at once.

    Args:
        memory: The process.
        data: Where the variables are.
        shape: Of the tree.
        starts: Reads of which pages records are.

    """
    votes: Counter[int] = Counter()
    yielded: set[int] = set()
    below = shape.page_bits + sum(shape.levels[1:])
    for place, word in _find_branches(memory, [*data], shape):
        memory.spend(20)
        for page in _pages_below(memory, word, shape.levels[1:], shape, starts):
            votes[place - 8 * ((page << shape.page_bits) >> below)] += 1
        for root, count in votes.most_common(1):
            if count >= _SURE_VOTES and root not in yielded:
                yielded.add(root)
                yield Tree(memory, root, shape)
    for root, _ in votes.most_common(_MOST_ROOTS):
        if root not in yielded:
            yield Tree(memory, root, shape)


def _find_branches(memory: Memory, data: list[Range], shape: Shape) -> list[tuple[int, int]]:
    """Return where variables refer to what may be a node below the root, and to what.

    A root is mostly empty: words that stand alone in their page come first.
    """
    size = 8 << shape.levels[1] if len(shape.levels) > 2 else shape.leaf_bytes
    found = []
    for places, words in memory.iter_pointers(data):
        good = (words % 8 == 0) & memory.can_hold(words, size)
        for start, end in data:  # nodes are made when they are needed
            good &= (words < start) | (words >= end)
        found.append((places[good], words[good]))
    if not found:
        return []
    places, words = (np.concatenate(each) for each in zip(*found))
    _, which, near = np.unique(places >> np.uint64(12), return_inverse=True, return_counts=True)
    order = np.argsort(near[which], kind="stable")[:_MOST_BRANCHES]
    return [*zip(places[order].tolist(), words[order].tolist())]


def _pages_below(
    memory: Memory, node: int, levels: tuple[int, ...], shape: Shape, starts: Starts
) -> list[int]:
    """Return pages whose records, below a node, are where the tree has to have them."""
    if len(levels) > 1:
        size = 8 << levels[0]
        for _, words in memory.iter_pointers([(node, node + size)]):
            for word in words[:_TRIED_NODES].tolist():
                if pages := _pages_below(memory, word, levels[1:], shape, starts):
                    return pages
        return []
    leaf = next(_read_leaf(memory, node, 0, shape), None)
    if leaf is None:
        return []
    found: list[int] = []
    mask = np.uint64((1 << levels[0]) - 1)
    for few in (_FEW_ENTRIES, _TRIED_ENTRIES):
        told = starts(leaf.records[:few])
        found = told[(told & mask == leaf.pages[:few]) & (told > 0)].tolist()
        if not found:
            break
    return found
