"""A look at the heap of a process or a core file, from the first census to the report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from gdbleak.census.describe import describe_arenas, describe_sizes, sum_in_use, sum_large
from gdbleak.census.glibc import Count
from gdbleak.census.kept import gather_blocks
from gdbleak.census.lost.find import find_lost
from gdbleak.census.others.find import OtherAllocators, find_allocators
from gdbleak.census.others.hooks import find_hooks
from gdbleak.census.series import Series
from gdbleak.census.space.find import growth, name_mappings
from gdbleak.census.take import NO_WORDS, take_census
from gdbleak.census.wish import HeapWish, LostWish
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import NoSuchProcessError
from gdbleak.heap.walk import Words
from gdbleak.report.heap import (
    NOT_SEARCHED,
    Amount,
    Arena,
    HeapReport,
    Lost,
    MappingKind,
    MappingUse,
    Taking,
)
from gdbleak.target.examined import Examined, ExaminedProcess
from gdbleak.target.memory_limit import find_limit
from gdbleak.text.units import format_bytes

_UNFOLLOWED = (
    "Some lists of free blocks could not be followed to their ends, since they change too fast or"
    " are corrupt: the blocks on them count as in use."
)
_NO_HEAP = f"{NOT_SEARCHED}: that needs a heap of glibc's malloc."
_NOT_TO_THE_END = "The search for lost blocks was interrupted."
_BYTES_A_BLOCK = 150
"""What a search takes at most for each block, by benchmarks/heap.py: 90 where most are held."""
_INTERRUPTED = "It was interrupted before the last census."
_ENDED = "The process ended before the last census."
_FEW_MISSING = 2
"""So many may be freed while they are looked for."""


class _TimeUpError(Exception):
    """The process may be held no longer."""


class _Taken(NamedTuple):
    heap: Count | None
    words: Dict[int, Words]
    """What stands in the variables of threads."""
    pause_ms: float | None = None
    lost: Lost | None = None


class Examination:
    """A look at one heap."""

    def __init__(
        self,
        process: Examined,
        images: ImageCache,
        wish: HeapWish,
        tell: Callable[[int, float], None] = lambda _number, _share: None,
    ) -> None:
        """Prepare it.

        Args:
            process: The process, or the core file.
            images: Keeps its ELF files.
            wish: How to look.
            tell: Called with the number of the census, from 0, and the share of it that is done;
                for the search for lost blocks with the number behind the last. It may raise.

        """
        self._process = process
        self._images = images
        self._wish = wish
        self._tell = tell
        self._deadline_s: float | None = None
        """Until when the process is held."""
        self._notes = [*process.notes]
        self._series = Series()
        self._others = OtherAllocators()
        self._series_of: dict[str, Series] = {}
        """Of the other allocators, by their names."""

    def run(self, core: str | None = None) -> HeapReport:
        """Return what is in the heap; Ctrl-C ends it after the census before.

        Args:
            core: The path of the core file.

        Raises:
            TargetError: the process cannot be read, or has ended before the first census.
            KeyboardInterrupt: Ctrl-C came before the first census was done.

        """
        began_s = time.monotonic()
        taken = self._take(began_s)
        first = mappings = self._name_mappings(taken)
        try:
            while len(self._series) < self._wish.count:
                next_s = began_s + len(self._series) * self._wish.interval_s
                time.sleep(max(next_s - time.monotonic(), 0))
                taken = self._take(began_s)
            if len(self._series) > 1:
                mappings = growth(first, self._name_mappings(taken))
        except KeyboardInterrupt:
            self._note(_INTERRUPTED)
        except NoSuchProcessError:
            self._note(_ENDED)
        self._notes += find_hooks(self._process, self._images)
        return self._report(core, taken, mappings, time.monotonic() - began_s)

    def _take(self, began_s: float) -> _Taken:
        """Take a census, and after the last one look for lost blocks."""
        now_s = time.monotonic() - began_s
        number = len(self._series)
        taken = self._count_held(number) if self._wish.stop else self._count(number)
        self._others = find_allocators(self._process, self._images)
        for use in self._others.uses:
            series = self._series_of.setdefault(use.name, Series())
            series.add(now_s, {each.low: each for each in use.sizes})
        self._series.add(now_s, describe_sizes(taken.heap) if taken.heap else {})
        return taken

    def _count_held(self, number: int) -> _Taken:
        """Take a census of a process that is held; where that takes too long, of one that runs."""
        if not isinstance(self._process, ExaminedProcess):
            return self._count(number)
        limit_s = self._wish.max_pause_ms / 1e3
        with self._process.hold(limit_s, self._wish.lost is not None) as held:
            self._deadline_s = time.monotonic() + limit_s
            try:
                taken = self._count(number, is_still=True)
            except _TimeUpError:
                taken = None
            finally:
                self._deadline_s = None
        if taken is None or held.was_let_go:
            self._note(
                f"The process was let go after {held.pause_ms:.0f} ms (--max-pause), before all was"
                " counted: it was counted again as it ran."
            )
            taken = self._count(number)
        return taken._replace(pause_ms=held.pause_ms)

    def _say_how_far(self, number: int, share: float) -> None:
        self._tell(number, share)
        if self._deadline_s is not None and time.monotonic() > self._deadline_s:
            raise _TimeUpError

    def _count(self, number: int, is_still: bool = False) -> _Taken:
        is_last = number + 1 == self._wish.count
        wish = self._wish.lost if is_last else None
        words, heap = take_census(
            self._process,
            self._images,
            lambda share: self._say_how_far(number, share),
            wish is not None,
            is_still,
        )
        lost = None
        try:
            lost = self._find_lost(wish, heap, is_still) if wish else None
        except KeyboardInterrupt:
            self._note(_NOT_TO_THE_END)
        return _Taken(heap, words, lost=lost)

    def _find_lost(self, wish: LostWish, heap: Count | None, is_still: bool) -> Lost | None:
        if heap is None:
            self._note(_NO_HEAP)
            return None
        if excuse := _find_excuse(wish, sum_in_use(heap).count):
            self._note(excuse)
            return None

        def count_again() -> tuple[Words, Words]:
            again = take_census(self._process, self._images, lambda _share: None, keeps=True)[1]
            if again is None:
                return NO_WORDS, NO_WORDS
            return gather_blocks(again)[:2]

        blocks = gather_blocks(heap)
        heap.kept = None  # of ten million blocks that is a third of a gigabyte
        return find_lost(
            self._process,
            *blocks,
            wish,
            self._images,
            None if is_still or self._process.is_core else count_again,
            is_still,
            lambda share: self._say_how_far(self._wish.count, share),
        )

    def _name_mappings(self, taken: _Taken) -> list[MappingUse]:
        large = taken.heap.large if taken.heap else []
        return name_mappings(
            self._process,
            self._describe_arenas(taken),
            [(each.start, each.end) for each in large],
            self._others.ranges,
        )

    def _describe_arenas(self, taken: _Taken) -> tuple[Arena, ...]:
        if taken.heap is None:
            return ()
        names = {thread.id: str(thread) for thread in self._process.read_threads()}
        words = {names.get(thread, str(thread)): each for thread, each in taken.words.items()}
        return describe_arenas(taken.heap, {name: each.tolist() for name, each in words.items()})

    def _note(self, note: str) -> None:
        if note not in self._notes:
            self._notes.append(note)

    def _report(
        self,
        core: str | None,
        taken: _Taken,
        mappings: Sequence[MappingUse],
        took_s: float,
    ) -> HeapReport:
        heap = taken.heap
        if heap and not heap.is_whole:
            self._note(_UNFOLLOWED)
        if heap and heap.unclear_from is not None:
            self._note(
                f"No blocks can be made out from {heap.unclear_from:#x} on. Where nothing changes"
                " meanwhile, as with --stop and in a core file, the heap is corrupt there."
            )
        if heap and heap.large_missing > _FEW_MISSING:
            self._note(
                f"{heap.large_missing:,} blocks with mappings of their own that malloc counts were"
                " not found: they were freed meanwhile, or a program has changed their headers."
            )
        resident = [each.resident_bytes for each in mappings]
        return HeapReport(
            self._process.pid,
            self._process.command,
            core,
            _say_when(self._process.written_s),
            self._describe_taking(taken, took_s),
            f"glibc, layout of {heap.layout}" if heap else None,
            sum(each or 0 for each in resident) if any(resident) else None,
            sum_in_use(heap) if heap else Amount(),
            sum_large(heap) if heap else Amount(),
            self._series.rank(),
            tuple(_with_resident(each, mappings) for each in self._describe_arenas(taken)),
            tuple(mappings),
            tuple(
                replace(each, sizes=self._series_of[each.name].rank()) for each in self._others.uses
            ),
            taken.lost,
            tuple(self._notes),
        )

    def _describe_taking(self, taken: _Taken, took_s: float) -> Taking:
        heap = taken.heap
        return Taking(
            took_s,
            taken.pause_ms,
            len(self._series),
            self._wish.interval_s if len(self._series) > 1 else 0.0,
            heap.read_bytes if heap else 0,
            Amount(*heap.unsettled) if heap else Amount(),
            heap.unclear_bytes if heap else 0,
        )


def _with_resident(arena: Arena, mappings: Sequence[MappingUse]) -> Arena:
    """Return an arena with as much resident memory as the kernel tells, or the core file."""
    parts = [
        each.resident_bytes
        for each in mappings
        if each.kind in (MappingKind.HEAP, MappingKind.ARENA)
        and any(start <= each.start < end for start, end in arena.heaps)
    ]
    if not parts or None in parts:
        return replace(arena, resident_bytes=None)
    resident = sum(each or 0 for each in parts)
    trimmable = min(arena.trimmable_bytes, resident)
    return replace(arena, resident_bytes=resident, trimmable_bytes=trimmable)


def _find_excuse(wish: LostWish, blocks: int) -> str | None:
    """Return why so many blocks are not searched for what refers to them; None if they are."""
    most = wish.max_memory
    if most is None:
        limit = find_limit(os.getpid())
        most = limit.left_bytes // 2 if limit else None
    needed = _BYTES_A_BLOCK * blocks
    if most is None or needed <= most:
        return None
    return (
        f"{NOT_SEARCHED}: for {blocks:,} blocks that may take"
        f" {format_bytes(needed)} of memory, and it may take {format_bytes(most)} (--max-memory)."
    )


def _say_when(written_s: float | None) -> str:
    now = datetime.now() if written_s is None else datetime.fromtimestamp(written_s)
    return now.astimezone().isoformat(timespec="seconds")
