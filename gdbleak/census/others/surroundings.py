"""Which memory of a process is whose, as far as that is needed to find an allocator's."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from gdbleak.census.others.told import merge
from gdbleak.heap.layouts import HEAP_BYTES
from gdbleak.memory.pieces import Range, subtract
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.examined import Examined
from gdbleak.target.proc import Mapping

_WORD = 8
_LARGEST_STACK = 1 << 30
_NAMES_OF_STACKS = ("[stack", "[anon:glibc: pthread stack", "[anon:stack_and_tls")
_NAMES_OF_GLIBC = ("[anon: glibc: malloc", "[anon:glibc: malloc")


class Surroundings:
    """The mappings of a process, without those of others than allocators."""

    def __init__(self, process: Examined, modules: ModuleMap) -> None:
        """Look at them once.

        Args:
            process: What is examined.
            modules: Its program and libraries, with their zeros.

        """
        self.process = process
        self._modules = modules
        self._mappings = process.read_mappings()

    @cached_property
    def _usage(self) -> dict[int, int]:
        return {start: usage.resident for start, usage in self.process.read_usage().items()}

    def data_of(self, module: Module) -> list[Range]:
        """Return where the variables of a module are: its writable memory, zeros included."""
        return [
            Range(max(each.start, module.start), min(each.end, module.end))
            for each in self._mappings
            if each.permissions.startswith("rw")
            and each.start < module.end
            and each.end > module.start
            and each.path in ("", module.path)
        ]

    @cached_property
    def _anonymous(self) -> list[Mapping]:
        """What an allocator may have mapped, or asked the kernel for at the break."""
        return [
            each
            for each in self._mappings
            if each.permissions.startswith("rw-p")
            and each.inode == 0
            and (each.path in ("", "[heap]") or each.path.startswith("[anon"))
            and not each.path.startswith(_NAMES_OF_STACKS)
        ]

    @cached_property
    def _stacks(self) -> list[Range]:
        """The stacks of threads: as their threads tell, or by the guard below them."""
        found = self.process.find_stacks(self.process.find_waiting()).values()
        guards = {each.end for each in self._mappings if each.permissions == "---p"}
        pointers = [each.stack_pointer for each in self.process.find_waiting().values()]
        guarded = [
            (each.start, each.end)
            for each in self._anonymous
            if each.start in guards
            and each.end - each.start <= _LARGEST_STACK
            and any(each.start <= pointer < each.end for pointer in pointers)
        ]
        told = [(start, end) for start, end in found]
        covered = merge(told)
        guarded = [
            each
            for each in guarded
            if not any(c.start < each[1] and each[0] < c.end for c in covered)
        ]
        return [*merge([*told, *guarded])]

    def find_named(self, prefix: str) -> tuple[Range, ...]:
        """Return the mappings whose names begin so; the kernel keeps names since 5.17."""
        return merge((m.start, m.end) for m in self._anonymous if m.path.startswith(prefix))

    def find_rest(self, with_break: bool) -> tuple[Range, ...]:
        """Return the anonymous memory that is not known to be another's.

        Args:
            with_break: Whether `[heap]` is part of it.

        """
        starts = {m.start for m in self._anonymous if m.start % HEAP_BYTES == 0}
        rest = [
            Range(each.start, each.end)
            for each in self._anonymous
            if not each.path.startswith(_NAMES_OF_GLIBC)
            and (each.path != "[heap]" or with_break)
            and not self._is_heap(each, starts)
        ]
        return tuple(self._without_others(rest))

    def spread(self, ranges: Iterable[Range]) -> tuple[Range, ...]:
        """Return the whole mappings that ranges are in, without what is another's in them."""
        whole, number = [], 0
        wanted = [*ranges]
        for mapping in self._anonymous:
            while number < len(wanted) and wanted[number].end <= mapping.start:
                number += 1
            if number < len(wanted) and wanted[number].start < mapping.end:
                whole.append(Range(mapping.start, mapping.end))
        return tuple(self._without_others(whole))

    def resident(self, places: Iterable[Range]) -> int | None:
        """Return how much of places is in memory, in bytes; None where nobody knows."""
        if not self._usage:
            return None
        total, ends = 0, {each.start: each.end for each in self._mappings}
        for place in places:
            if ends.get(place.start) == place.end:
                total += self._usage.get(place.start, 0)
            else:  # a part of a mapping: pages that were swapped out count too
                pages = self.process.find_pages(place.start, place.end)
                total += sum(run.end - run.start for run in pages)
        return total

    def _without_others(self, ranges: Iterable[Range]) -> list[Range]:
        modules = [Range(module.start, module.end) for module in self._modules]
        return subtract(ranges, sorted([*modules, *self._stacks]))

    def _is_heap(self, mapping: Mapping, starts: set[int]) -> bool:
        """Whether glibc's malloc has a mapping: a heap of an arena of its threads.

        Such a heap begins with the address of its arena, which is in a heap. Source: `heap_info` of
        malloc/arena.c.
        """
        if mapping.start % HEAP_BYTES:
            return False
        arena = int.from_bytes(self.process.read(mapping.start, _WORD), "little")
        return arena & -HEAP_BYTES in starts and 0 < arena % HEAP_BYTES < 256
