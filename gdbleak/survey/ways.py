"""`gdbleak why`: what holds a block of a process, told from its memory or a core file alone."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice

from gdbleak.debugger.program import GdbProgram
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import NoSuchProcessError
from gdbleak.memory.index import Numbering, TooLargeError, make_index
from gdbleak.memory.territory import ROOTS, Kind
from gdbleak.memory.ways import (
    Block,
    Indexed,
    MetError,
    OverError,
    Passes,
    Referrers,
    Search,
    Step,
    Way,
)
from gdbleak.readable import Readable
from gdbleak.report.ways import Answer
from gdbleak.survey.ground import Ground
from gdbleak.survey.holders import Naming
from gdbleak.survey.wish import Wish
from gdbleak.target.examined import Examined
from gdbleak.target.live import LiveProcess
from gdbleak.target.threads import Inhabited

_TIME_UP = "the time is up (--time)"
_ENOUGH = "enough roots were found (--top)"
_INTERRUPTED = "it was interrupted"
_TOO_DEEP = "the memory was read often enough (--max-memory makes room for an index)"
_PREFERRED = (Kind.MODULE, Kind.THREAD, Kind.SHARED, Kind.STACK)
"""What most likely tells who means to hold a block."""
_MOST_CHECKED = 1000
"""At either end of a way so many steps are looked at once more."""


def find_ways(
    process: Examined,
    images: ImageCache,
    address: int,
    wish: Wish,
    gdb: GdbProgram | None,
    on_begin: Callable[[], None] = lambda: None,
) -> Answer:
    """Return what holds a block; Ctrl-C ends it early, with what was found.

    A process that runs is neither attached to nor stopped.

    Args:
        process: The process, or a core file of one.
        images: Keeps its ELF files.
        address: Any address in the block.
        wish: How to search.
        gdb: What reads names and lines from the files; without it, names are as the linker has
            them.
        on_begin: Called when it is sure that there is something to search for.

    Raises:
        TargetError: the process cannot be read, or has ended.
        AddressError: the address is in no block that is in use.

    """
    ground = Ground(process, process.read_modules(), images, address, wish.size)
    target = ground.find_target()
    on_begin()
    hunt = _Hunt(ground, process, target, wish)
    hunt.run()
    if not process.read_mappings():
        raise NoSuchProcessError(f"process {process.pid} has ended meanwhile")
    hunt.ways.sort(key=lambda way: (ground.is_doubtful(way), len(way.steps)))
    naming = Naming(ground, images, gdb)
    named = naming.name(hunt.ways[: wish.ways])
    return Answer(
        process.pid,
        process.command,
        address,
        hunt.target.start,
        hunt.target.end - hunt.target.start,
        hunt.target.is_known,
        tuple(named),
        hunt.roots,
        max(hunt.met - 1, 0),
        hunt.scanned_bytes,
        time.monotonic() - hunt.began_s,
        hunt.ended,
        (*ground.notes, *naming.notes),
        process.is_core,
    )


def find_roots(memory: Inhabited, words: Sequence[int], wish: Wish) -> dict[int, tuple[int, int]]:
    """Return from which root each of some words is reached, as far as that is found out.

    Args:
        memory: The process.
        words: Their addresses, anywhere.
        wish: How to search.

    Returns:
        By the address of a word, that of a word in a variable, or else on a stack; and the thread
        whose variable or stack that is, or 0. Of a word that is a root, itself.

    Raises:
        TargetError: the process cannot be read, or has ended.

    """
    deadline_s = time.monotonic() + wish.time_s

    def check(_: int = 0) -> None:
        if time.monotonic() > deadline_s:
            raise OverError(_TIME_UP)

    found: dict[int, tuple[int, int]] = {}
    with ExitStack() as stack:
        images = stack.enter_context(ImageCache())
        process = stack.enter_context(LiveProcess(memory.pid, images))
        ground = Ground(memory, process.read_modules(), images, 0, None)
        others = []
        for word in words:
            area = ground.territory.find(word)
            if area is None:
                others.append(word)
            elif area.kind in ROOTS:
                found[word] = word, area.thread
        if not others:
            return found
        with suppress(OverError, TooLargeError, MemoryError):
            index = make_index(memory.read, *ground.split(), wish.max_memory, check)
            # What holds a block holds those on the way to it: of a tree most need not be visited.
            reached: dict[int, tuple[int, int]] = {}
            for word in others:
                block = ground.find_block(word, index.nearest(word))
                if block is None:
                    continue
                if block.start in reached:
                    found[word] = reached[block.start]
                    continue
                search = Search(ground.territory, Indexed(index), ground.find_block, check, reached)
                try:
                    ways = islice(search.backwards(block), wish.ways)
                    best = min(ways, key=lambda way: _PREFERRED.index(way.area.kind), default=None)
                except MetError as met:
                    found[word] = reached[met.start]
                    on_way = met.blocks
                else:
                    if best is None:
                        continue
                    found[word] = best.steps[-1].word, best.area.thread
                    on_way = (*(step.block for step in best.steps if step.block),)
                reached.update((each.start, found[word]) for each in (block, *on_way))
    return found


class _Hunt:
    """A search in a process, within its bounds."""

    def __init__(self, ground: Ground, memory: Readable, target: Block, wish: Wish) -> None:
        self._ground = ground
        self._memory = memory
        self.target = target
        """Its bounds may be found while it is searched for."""
        self._wish = wish
        self.began_s = time.monotonic()
        self.ways: list[Way] = []
        self.roots = 0
        self.met = 0
        self.scanned_bytes = 0
        self.ended: str | None = None
        self._free: dict[int, bool] = {}

    def run(self) -> None:
        """Search until all is found, enough is found, or the time is up."""
        try:
            self._search()
        except OverError as error:
            self.ended = str(error) or _TOO_DEEP
        except KeyboardInterrupt:
            self.ended = _INTERRUPTED

    def _search(self) -> None:
        roots, blocks = self._ground.split(self.target)
        referrers: Referrers
        seeds: Sequence[int] = ()
        try:
            index = make_index(
                self._memory.read, roots, blocks, self._wish.max_memory, self._count_bytes
            )
            self._check()
            referrers, seeds = Indexed(index), index.seeds.tolist()
            self.target = self._ground.widen(self.target, index.nearest(self._ground.address))
        except (TooLargeError, MemoryError):
            referrers = Passes(self._memory.read, sorted([*roots, *blocks]), self._count_bytes)
        search = Search(self._ground.territory, referrers, self._ground.find_block, self._check)
        try:
            plain = 0
            for way in self._iter_ways(search, seeds, Numbering(blocks)):
                if self._is_true(way):
                    self.ways.append(way)
                    plain += not self._ground.is_doubtful(way)
                if plain >= self._wish.ways:
                    self.ended = _ENOUGH
                    break
        finally:
            self.roots, self.met = search.roots, len(search.blocks)
            self.ways += self._of_registers(search)

    def _iter_ways(self, search: Search, seeds: Sequence[int], blocks: Numbering) -> Iterator[Way]:
        yield from search.backwards(self.target)
        if search.goes_on and not search.roots and seeds:
            look_up = self._ground.look_up
            yield from search.forwards(self._memory.read, seeds, blocks, look_up)
        if not search.roots:
            yield from search.backwards_further()

    def _count_bytes(self, size: int) -> None:
        self.scanned_bytes += size
        self._check()

    def _check(self) -> None:
        if time.monotonic() - self.began_s > self._wish.time_s:
            raise OverError(_TIME_UP)

    def _is_true(self, way: Way) -> bool:
        """Whether the words of a way still refer to its blocks, and none of these is free.

        Of a long way it is looked at both ends.
        """
        # A variable may refer to another block by now: to the one that was added last to a list.
        changes = way.area.kind in (Kind.MODULE, Kind.THREAD)
        steps = way.steps[:-1] if changes else way.steps
        pairs = [*zip((self.target, *(step.block for step in steps)), steps)]
        if len(pairs) > 2 * _MOST_CHECKED:
            pairs = pairs[:_MOST_CHECKED] + pairs[-_MOST_CHECKED:]
        for held, step in pairs:
            if held and not held.start <= self._ground.read_word(step.word) < held.end:
                return False
        known = {step.block.start for _, step in pairs if step.block and step.block.is_known}
        unsure = [start for start in known if start not in self._free]
        free = self._ground.find_free(unsure)
        self._free.update((start, start in free) for start in unsure)
        return not any(self._free.get(start) for start in known)

    def _of_registers(self, search: Search) -> list[Way]:
        """Return the ways from registers that are known to blocks that were met."""
        starts = sorted(search.blocks)
        found = []
        for area, value in self._ground.registers:
            at = bisect_right(starts, value) - 1
            block = search.blocks[starts[at]] if at >= 0 else None
            if block and value < block.end:
                self.roots += 1
                found.append(Way((*search.steps_to(block), Step(0, None)), area))
        return found
