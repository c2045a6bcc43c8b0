"""The blocks of musl, from what its malloc keeps of every group of blocks. Pure.

Source: musl 1.2.1 to 1.2.6, src/malloc/mallocng/meta.h and glue.h ("mallocng"). It protects its
structures by a secret, which stands at the begin of its own data and of each page of descriptions
of groups: where both agree, that is mallocng. Of the older malloc ("oldmalloc", up to 1.2.0) only
the mappings are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.census.others.structures import Memory, Words
from gdbleak.census.others.told import Told, merge
from gdbleak.effort import Effort
from gdbleak.memory.pieces import Range
from gdbleak.memory.source import Searchable
from gdbleak.report.heap import Amount, SizeClass

_PAGE_BYTES = 4096
_UNIT = 16
_CLASSES = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127),
    *(146, 170, 204, 255, 292, 340, 409, 511, 584, 682, 818, 1023, 1169, 1364, 1637, 2047),
    *(2340, 2730, 3276, 4095, 4680, 5460, 6552, 8191),
)
"""Sizes of slots, header included, in units of 16 bytes. Source: malloc.c, `size_classes`."""
_WHOLE = 63
"""The class of a block with a mapping of its own."""
_SLOT_BYTES, _GROUP_BYTES = 4, 16
"""What a slot has for itself, and a group before its first slot."""
_AREA_HEADS = (56, 64)
"""Where the data of malloc refer to the first page of descriptions: with a fixed size of pages, and
without one."""
_META_WORDS, _FIRST_META, _MOST_METAS = 5, 24, 101
"""A description of a group, and where in a page the first is."""
_MOST_AREAS = 1 << 16
_RIGHT = 0.97
_STRIDES = _UNIT * np.array(_CLASSES, np.int64)


class _Groups(NamedTuple):
    """Groups of slots, by their descriptions."""

    addresses: Words
    """Of the descriptions."""
    rows: Words

    @property
    def places(self) -> Words:
        """Where the groups are."""
        return self.rows[:, 2]

    def bits(self, lowest: int, count: int) -> NDArray[np.int64]:
        """Return a field of the last word of each."""
        return (self.rows[:, 4] >> np.uint64(lowest) & np.uint64((1 << count) - 1)).astype(np.int64)

    @property
    def slots(self) -> NDArray[np.int64]:
        """How many slots each has."""
        return self.bits(0, 5) + 1

    @property
    def classes(self) -> NDArray[np.int64]:
        """The number of the size class of each."""
        return self.bits(6, 6)

    @property
    def are_nested(self) -> NDArray[np.bool_]:
        """Whether each is in a slot of another group; what never is given up is not."""
        nested: NDArray[np.bool_] = (self.bits(12, 52) == 0) & (self.bits(5, 1) == 1)
        return nested

    @property
    def strides(self) -> NDArray[np.int64]:
        """How long the slots of each are: a slot that is alone in a mapping has all of it."""
        pages = self.bits(12, 52)
        sizes = _STRIDES[np.minimum(self.classes, len(_CLASSES) - 1)]
        return np.where((self.slots == 1) & (pages > 0), pages * _PAGE_BYTES - _GROUP_BYTES, sizes)

    @property
    def free(self) -> NDArray[np.int64]:
        """How many slots of each nobody uses."""
        masks = self.rows[:, 3] | self.rows[:, 3] >> np.uint64(32)
        bits = masks[:, None] >> np.arange(32, dtype=np.uint64) & np.uint64(1)
        inside = np.arange(32) < self.slots[:, None]
        free: NDArray[np.int64] = (bits.astype(np.bool_) & inside).sum(axis=1)
        return free

    def are_right(self, memory: Memory) -> NDArray[np.bool_]:
        """Whether each group refers to its description, and that can be one."""
        known = (self.classes < len(_CLASSES)) | (self.classes == _WHOLE)
        whole = (self.classes != _WHOLE) | (self.slots == 1) & (self.bits(12, 52) > 0)
        back = memory.gather(self.places, 1)[:, 0]
        right: NDArray[np.bool_] = known & whole & (back == self.addresses)
        return right


def read_musl(process: Searchable, data: list[Range], effort: Effort) -> Told | None:
    """Return the blocks of mallocng; None if its structures are not what they are known to be.

    Args:
        process: What is read.
        data: Where the variables of musl are.
        effort: What reading may take.

    Raises:
        EffortError: it is used up.

    """
    memory = Memory(process, effort)
    for first, secret in _iter_contexts(memory, data):
        found = [*_iter_groups(memory, first, secret)]
        if found:
            groups = _Groups(*map(np.concatenate, zip(*found)))
            right = groups.are_right(memory)
            if np.count_nonzero(right) >= max(_RIGHT * len(right), 1):
                return _count(_Groups(groups.addresses[right], groups.rows[right]))
    return None


def _iter_contexts(memory: Memory, data: list[Range]) -> Iterator[tuple[int, int]]:
    """Yield where the first page of descriptions may be, and the secret."""
    for _, words in memory.iter_touched(data):
        for head in _AREA_HEADS:
            secrets, areas = words[: -head // 8], words[head // 8 :]
            good = np.flatnonzero((areas % _PAGE_BYTES == 0) & (areas > 0) & (secrets > 0))
            seen = memory.gather(areas[good], 1)[:, 0] == secrets[good]
            for at in good[seen].tolist():
                yield int(areas[at]), int(secrets[at])


def _iter_groups(memory: Memory, area: int, secret: int) -> Iterator[tuple[Words, Words]]:
    """Yield the addresses and the words of the descriptions in each page of them."""
    for _ in range(_MOST_AREAS):
        page = memory.words(area, _PAGE_BYTES // 8)
        if area % _PAGE_BYTES or int(page[0]) != secret:
            return
        number = min(int(page[2]) & 0xFFFFFFFF, _MOST_METAS)
        rows = page[_FIRST_META // 8 :][: number * _META_WORDS].reshape(-1, _META_WORDS)
        used = np.flatnonzero(rows[:, 2])
        first = np.uint64(area + _FIRST_META)
        yield first + used.astype(np.uint64) * np.uint64(8 * _META_WORDS), rows[used]
        area = int(page[1])


def _count(groups: _Groups) -> Told:
    """Return what groups hold.

    Slots that hold smaller groups are used by the allocator, not by the program.
    """
    counts: dict[int, list[int]] = {}
    used = groups.slots - groups.free
    for stride, in_use, free in zip(groups.strides.tolist(), used.tolist(), groups.free.tolist()):
        count = counts.setdefault(stride, [0, 0])
        count[0] += in_use
        count[1] += free
    nested = groups.are_nested
    sizes = groups.slots[nested] * groups.strides[nested] + _GROUP_BYTES
    for number in np.searchsorted(_STRIDES, sizes).tolist():
        if number < len(_STRIDES) and (outer := counts.get(int(_STRIDES[number]))):
            outer[0] = max(outer[0] - 1, 0)
    classes = [
        SizeClass(
            size - _SLOT_BYTES,
            size - _SLOT_BYTES,
            Amount(in_use, in_use * size),
            Amount(free, free * size),
        )
        for size, (in_use, free) in counts.items()
        if in_use or free
    ]
    starts = groups.places.astype(np.int64)
    ends = starts + _GROUP_BYTES + groups.slots * groups.strides
    return Told(
        tuple(sorted(classes, key=lambda each: (-each.in_use.bytes, each.low))),
        merge(zip(starts.tolist(), ends.tolist())),
        ("its blocks were counted by its own groups of slots",),
    )
