"""What is around the heap of a process: dead stacks, and mappings that only a word can lead to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from gdbleak.analysis.images import with_zeros
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import NoSuchProcessError
from gdbleak.memory.pieces import Range, Words
from gdbleak.readable import Readable
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.examined import Examined
from gdbleak.target.proc import Mapping
from gdbleak.target.stacks import ThreadArea, find_areas, read_area

_MOST_SEARCHED = 1 << 30
"""In so much memory the areas of threads are looked for."""
_LARGEST = 1 << 36
"""A larger mapping is a reserve of something that knows where it is."""


class Around(NamedTuple):
    """What is around the heap."""

    pid: int
    modules: ModuleMap
    """With their zeros."""
    ended: list[ThreadArea]
    """Of threads that have ended, whose stacks are kept for others."""
    mappings: list[Range]
    """Private anonymous memory without a name that is no stack and no part of the heap."""

    @property
    def dead(self) -> list[Range]:
        """What threads that have ended have left on their stacks, in order of address."""
        return sorted(Range(*each) for area in self.ended for each in area.list_dead())

    def find_revived(self, memory: Readable) -> list[Range]:
        """Return what of that another thread uses by now, in order of address."""
        return sorted(
            Range(*each)
            for area in self.ended
            if not ((now := read_area(memory, area.address)) and now.is_over)
            for each in area.list_dead()
        )

    def raise_gone(self) -> NoReturn:
        """Say that the process has ended.

        Raises:
            NoSuchProcessError: always.

        """
        raise NoSuchProcessError(f"process {self.pid} has ended meanwhile")


def find_around(process: Examined, images: ImageCache, blocks: Words, left_out: Words) -> Around:
    """Return what is around a heap.

    Args:
        process: Whose heap it is.
        images: Keeps its ELF files.
        blocks: Addresses of blocks, in order.
        left_out: What belongs to nobody, in pairs of addresses, in order.

    Raises:
        TargetError: the process has ended, or cannot be read any more.

    """
    modules = with_zeros(process.read_modules(), images)
    anonymous = [
        each
        for each in process.read_mappings()
        if each.permissions == "rw-p"
        and not each.inode
        and (not each.path or each.path.startswith("[anon"))
        and not _has(blocks, each)
        and not _has(left_out[:, 0], each)
    ]
    areas = find_areas(process, _iter_touched(process, anonymous))
    inside = [area.address for area in areas]
    inside += [each.stack_pointer for each in process.find_waiting().values()]
    known = [(module.start, module.end) for module in modules]
    known += [(address, address + 1) for address in inside]
    plain = [
        Range(each.start, each.end)
        for each in anonymous
        if not each.path
        and each.end - each.start <= _LARGEST
        and not any(start < each.end and each.start < end for start, end in known)
    ]
    return Around(process.pid, modules, [area for area in areas if area.is_over], plain)


def _has(addresses: Words, mapping: Mapping) -> bool:
    bounds = np.array([mapping.start, mapping.end], np.uint64)
    first, last = np.searchsorted(addresses, bounds).tolist()
    return bool(first < last)


def _iter_touched(process: Examined, mappings: Sequence[Mapping]) -> Iterator[tuple[int, int]]:
    left = _MOST_SEARCHED
    for mapping in mappings:
        for run in process.find_pages(mapping.start, mapping.end):
            end = min(run.end, run.start + left)
            left -= end - run.start
            yield run.start, end
