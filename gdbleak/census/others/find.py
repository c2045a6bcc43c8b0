"""Allocators other than glibc's: which ones a process has, their memory, and what is in it.

Nothing is stopped. Where an allocator's own structures could be read, and their data proved that
they are what they seem, its blocks are counted from them. Otherwise only its mappings are told, and
how the allocator itself can be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from gdbleak.analysis.images import with_zeros
from gdbleak.census.others.jemalloc import read_jemalloc
from gdbleak.census.others.mimalloc import read_mimalloc
from gdbleak.census.others.musl import read_musl
from gdbleak.census.others.surroundings import Surroundings
from gdbleak.census.others.tcmalloc import read_tcmalloc
from gdbleak.census.others.told import Told
from gdbleak.effort import Effort, EffortError
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import AllocatorError, ElfError, TargetError
from gdbleak.memory.pieces import Range
from gdbleak.plan.allocator_names import name_allocator
from gdbleak.plan.allocators import find_allocators as find_defined
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.report.heap import AllocatorUse, Amount
from gdbleak.target.examined import Examined
from gdbleak.target.link_map import read_order_of
from gdbleak.target.modules import VDSO

STEPS, SECONDS = 20_000_000, 10.0
"""How much reading the structures of one allocator may take."""

Parser = Callable[[Examined, list[Range], Effort], "Told | None"]


class _Kind(NamedTuple):
    """An allocator that is known by name."""

    vma: str
    """How the names of its mappings begin, in kernels and versions that name them."""
    ask: str
    """How it is asked from inside, as the end of a sentence."""
    parser: Parser | None = None
    uses_break: bool = False
    """Whether it asks for memory at the break, like glibc's malloc, which `[heap]` is."""


_KINDS = {
    "jemalloc": _Kind(
        "[anon:jemalloc",
        "call malloc_stats_print(0, 0, 0) in it, or start it with MALLOC_CONF=stats_print:true",
        read_jemalloc,
    ),
    "tcmalloc": _Kind(
        "[anon:tcmalloc",
        "call MallocExtension::instance()->GetStats() in it, or start it with MALLOCSTATS=1",
        read_tcmalloc,
        uses_break=True,
    ),
    "mimalloc": _Kind(
        "[anon:mimalloc",
        "call mi_stats_print(0) in it, or start it with MIMALLOC_SHOW_STATS=1",
        read_mimalloc,
    ),
    "musl": _Kind(
        "[anon:musl",
        "trace it, since musl keeps no statistics: `gdbleak trace PID`",
        read_musl,
        uses_break=True,
    ),
    "AddressSanitizer": _Kind(
        "[anon:low shadow", "start the program with ASAN_OPTIONS=print_stats=1:atexit=1"
    ),
}
"""By the beginning of what `name_allocator` returns. Sources: the manuals of these allocators."""

_NAMES = ((re.compile(r"lib(clang_rt\.)?asan[.-]"), "AddressSanitizer"),)
"""What files are called that `name_allocator` does not know."""
_WRAPPERS = re.compile(r"libc_malloc_debug\.so|libheaptrack|libmemusage\.so")
"""Files that define `malloc` and hand calls on: `find_hooks` tells of them."""
_UNKNOWN = _Kind("[anon:", "see its manual, or trace it: `gdbleak trace PID`")


class OtherAllocators(NamedTuple):
    """The allocators of a process but for glibc's."""

    uses: tuple[AllocatorUse, ...] = ()
    """The one that the calls of `malloc` are bound to first, unless that is glibc's."""
    ranges: tuple[tuple[int, int, str], ...] = ()
    """Where their memory is: from, up to, and the name of the allocator. In order of address."""
    serves: str | None = None
    """The name of the one that the calls of `malloc` are bound to; None where none was found."""

    @property
    def replaces_glibc(self) -> bool:
        """Whether another allocator than glibc's serves the program."""
        return self.serves is not None and not self.serves.startswith("glibc")


class _Candidate(NamedTuple):
    name: str
    module: Module


def find_allocators(process: Examined, images: ImageCache) -> OtherAllocators:
    """Return the allocators of a process but for glibc's, and what is in their memory.

    Nothing is raised for a process that has ended, or that has something else where these
    structures should be: what could be told is returned.

    Args:
        process: A process that runs, or a core file.
        images: Keeps its ELF files.

    """
    with suppress(TargetError, PermissionError):  # it has ended, or has become another user's
        return _find(process, with_zeros(process.read_modules(), images), images)
    return OtherAllocators()


def _find(process: Examined, modules: ModuleMap, images: ImageCache) -> OtherAllocators:
    candidates = _find_candidates(process, modules, images)
    if not candidates:
        candidates = _guess(process, modules)
    others = [each for each in candidates if not each.name.startswith("glibc")]
    if not others:
        return OtherAllocators(serves=candidates[0].name if candidates else None)
    around = Surroundings(process, modules)
    uses, ranges = [], []
    for candidate in others:
        use, places = _examine(candidate, candidates, around, len(others))
        uses.append(use)
        ranges += [(start, end, use.name) for start, end in places]
    return OtherAllocators(tuple(uses), tuple(sorted(ranges)), candidates[0].name)


def _find_candidates(process: Examined, modules: ModuleMap, images: ImageCache) -> list[_Candidate]:
    """Return the allocators in the order in which calls are bound to them."""
    try:
        order = read_order_of(_find_dynamic(modules, images), process)
        defined = find_defined(modules, order, images=images)
    except (AllocatorError, ElfError):
        defined = ()
    found = [
        _Candidate(next((n for p, n in _NAMES if p.match(m.name)), each.name), m)
        for each in defined
        if not _WRAPPERS.match((m := each.module).name)
    ]
    program = next((each for each in modules if each.path != VDSO), None)
    if program is not None and all(each.module.path != program.path for each in found):
        if (name := _name_stripped(program, images)) is not None:
            found.insert(0 if not found else len(found), _Candidate(name, program))
    return found


def _guess(process: Examined, modules: ModuleMap) -> list[_Candidate]:
    """Return the allocator of a static program without symbols, if its data tell which it is."""
    program = next(iter(modules), None)
    around = Surroundings(process, modules)
    if program is None:
        return []
    for name in ("musl", "mimalloc", "tcmalloc"):
        candidate = _Candidate(name, program)
        if _parse(candidate, _KINDS[name], around)[0] is not None:
            return [candidate]
    return []


def _find_dynamic(modules: ModuleMap, images: ImageCache) -> int:
    for module in modules:
        with suppress(ElfError):
            image = images.open(module.file, Effort()) if module.file is not None else None
            if image is not None and image.is_program:
                dynamic = image.dynamic_address
                return 0 if dynamic is None else dynamic + module.bias
    return 0


def _name_stripped(program: Module, images: ImageCache) -> str | None:
    """Return the allocator in a program whose symbols do not name it, by its strings."""
    with suppress(ElfError):
        if program.file is not None:
            name = name_allocator(images.open(program.file, Effort()), "")
            return name if name.startswith(tuple(_KINDS)) else None
    return None


def _examine(
    candidate: _Candidate, candidates: list[_Candidate], around: Surroundings, others: int
) -> tuple[AllocatorUse, tuple[Range, ...]]:
    """Return what is known of one allocator, and where its memory is."""
    kind = next((k for name, k in _KINDS.items() if candidate.name.startswith(name)), _UNKNOWN)
    told, notes = _parse(candidate, kind, around)
    if told is not None:
        places = around.spread(told.ranges)
    else:
        places = around.find_named(kind.vma) if kind is not _UNKNOWN else ()
        if not places and candidate is candidates[0] and others == 1:
            places = around.find_rest(kind.uses_break)
            notes.append(
                "its mappings are told by exclusion: anonymous memory that can be written and"
                " belongs neither to a library, nor to a stack, nor to glibc's malloc"
            )
        elif not places:
            notes.append("which mappings are its own cannot be told")
    if candidate is not candidates[0]:
        notes.insert(0, f"calls of malloc go to {candidates[0].name}; this one is there as well")
    mapped = Amount(len(places), sum(place.end - place.start for place in places))
    return (
        AllocatorUse(
            candidate.name,
            candidate.module.path,
            mapped,
            around.resident(places) if places else None,
            None if told is None else told.in_use,
            () if told is None else told.sizes,
            tuple(notes),
        ),
        places,
    )


def _parse(
    candidate: _Candidate, kind: _Kind, around: Surroundings
) -> tuple[Told | None, list[str]]:
    told, why = None, "its structures were not recognised"
    if kind.parser is None:
        why = "nothing outside the process can tell them"
    else:
        data = around.data_of(candidate.module)
        with suppress(ArithmeticError, LookupError, ValueError):  # what is there is something else
            try:
                told = kind.parser(around.process, data, Effort(STEPS, seconds=SECONDS))
            except EffortError as error:
                why = str(error)
    if told is not None:
        return told, [*told.notes]
    return None, [f"its blocks were not counted: {why}; to learn its sizes, {kind.ask}"]
