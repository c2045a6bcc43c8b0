"""The allocators that a process can call, and the plan of the probes for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gdbleak.architectures import X86_64, Architecture
from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.image import ElfImage
from gdbleak.errors import AllocatorError, ElfError, ForeignBreakpointError
from gdbleak.heap.chunk import SIZE_OFFSET
from gdbleak.plan.allocator_names import name_allocator
from gdbleak.plan.breakpoints import place_probes
from gdbleak.plan.selection import Selection
from gdbleak.readable import Readable
from gdbleak.recording.functions import (
    FAMILIES,
    INTERNAL_FUNCTIONS,
    MAPPING_FUNCTIONS,
    AllocatorFunction,
    prefixed,
)
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.recording.probes import Probe, Role

LOADER = re.compile(r"ld-linux.*\.so|ld-[0-9.]+\.so|ld64\.so|ld\.so")
"""File names of dynamic linkers of glibc."""
_LIBC = re.compile(r"libc[.-]")


@dataclass(frozen=True)
class Allocator:
    """The functions of one module that hand out and take back memory."""

    name: str
    """For example `glibc 2.36`; the name of the file for one that is not known."""
    module: Module
    image: ElfImage
    functions: tuple[AllocatorFunction, ...]
    """Those to look for in it."""

    @property
    def is_glibc(self) -> bool:
        """Whether its blocks have the chunk headers of glibc."""
        return self.name.startswith("glibc")


@dataclass(frozen=True)
class Entry:
    """Where a recorded function begins."""

    address: int
    """Run-time address."""
    function: AllocatorFunction


@dataclass(frozen=True)
class Plan:
    """Where to set breakpoints in a process."""

    allocators: tuple[Allocator, ...]
    """The first is the one that the calls of `malloc` are bound to."""
    probes: tuple[Probe, ...]
    notes: tuple[str, ...]
    """Sentences about what is not recorded."""

    @property
    def functions(self) -> tuple[AllocatorFunction, ...]:
        """The functions that have probes."""
        used = {probe.function for probe in self.probes}
        known = {function.name: function for function in INTERNAL_FUNCTIONS}
        for allocator in self.allocators:
            for function in allocator.functions:
                known.setdefault(function.name, function)
        return tuple(function for name, function in known.items() if name in used)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Where these functions begin, also those without a probe there."""
        entries: dict[int, Entry] = {}
        for number, allocator in enumerate(self.allocators):
            used = {probe.function for probe in self.probes if probe.allocator == number}
            symbols = allocator.image.find_functions(used)
            for function in allocator.functions:
                if function.name in used:
                    address = symbols[function.name].address + allocator.module.bias
                    entries.setdefault(address, Entry(address, function))
        return tuple(entries.values())


def find_allocators(
    modules: ModuleMap,
    search_order: Mapping[int, int] | None = None,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    images: ImageCache | None = None,
) -> tuple[Allocator, ...]:
    """Return the allocators of a process, the one that its calls are bound to first.

    The dynamic linker binds a program's calls to the first definition in the order program,
    preloaded libraries, needed libraries. Other allocators may be called too: by a library that was
    loaded with RTLD_DEEPBIND, through a prefix, by the first allocator itself. Calls are never
    bound to the malloc of the dynamic loader.

    Args:
        modules: The modules of the process.
        search_order: Places in the order, by the address of the dynamic section. Modules without a
            place follow by address, the C library last.
        selection: What to look for beside the known names, and where.
        images: Keeps the files; those of the allocators can be read until it is closed.

    Raises:
        AllocatorError: no module defines malloc, or a function that was asked for.

    """
    search = _Search(search_order or {}, selection, images or ImageCache())
    for module in modules:
        search.examine(module)
    return search.finish()


class _Search:
    """The allocators that were found in the modules so far."""

    def __init__(self, order: Mapping[int, int], selection: Selection, images: ImageCache) -> None:
        self._order = order
        self._images = images
        self._custom = selection.functions
        wanted = tuple(map(prefixed, selection.prefixes))
        self._families = (*wanted, *FAMILIES)
        self._missing = {function.name for function in selection.functions}
        self._missing.update(family[0].name for family in wanted)
        self._mapping = MAPPING_FUNCTIONS if selection.mappings else ()
        self._objects = selection.objects
        self._missing_objects = set(selection.objects)
        self._found: list[tuple[tuple[bool, int, bool, int], Allocator]] = []
        self._unreadable: list[str] = []
        self._effort = Effort()

    def examine(self, module: Module) -> None:
        """Look for allocators in a module."""
        if self._objects:
            names = {module.path, module.name, module.shown_path, module.shown_name}
            named = names.intersection(self._objects)
            self._missing_objects -= named
            if not named:
                return
        if module.file is None:
            self._unreadable.append(f"{module.path}: {module.unreadable}")
        elif not LOADER.match(module.name):
            try:
                image = self._images.open(module.file, self._effort.share())
                self._look_into(module, image)
            except ElfError as error:
                self._unreadable.append(str(error))

    def _look_into(self, module: Module, image: ElfImage) -> None:
        names = ["mmap", *(family[0].name for family in self._families)]
        defined = image.find_functions({*names, *(function.name for function in self._custom)})
        custom = [function for function in self._custom if function.name in defined]
        known = [f for family in self._families if family[0].name in defined for f in family]
        mapping = self._mapping if "mmap" in defined else ()
        self._missing -= defined.keys()
        if not (custom or known or mapping):
            return
        dynamic = image.dynamic_address
        place = -1 if dynamic is None else dynamic + module.bias
        place = self._order.get(place, len(self._order))
        name = name_allocator(image, module.name) if known else module.name
        self._found.append(
            (
                (not known, place, bool(_LIBC.match(module.name)), module.start),
                Allocator(name, module, image, (*custom, *known, *mapping)),
            )
        )

    def finish(self) -> tuple[Allocator, ...]:
        """Return the allocators, in order.

        Raises:
            AllocatorError: there is none, or something that was asked for is missing.

        """
        for name in sorted(self._missing_objects):
            raise AllocatorError(
                f"the process has no program or library {name} mapped",
                "give a path or file name as in /proc/PID/maps",
            )
        for name in sorted(self._missing):
            raise AllocatorError(
                f"no module of the process defines the function {name}",
                "look for it with `nm FILE` or `nm -D FILE`; C++ names as they stand there",
            )
        if not self._found and self._unreadable:
            raise AllocatorError(
                f"no malloc found; these modules could not be read: {'; '.join(self._unreadable)}",
                "run as root, or restart the process",
            )
        if not self._found:
            raise AllocatorError(
                "no malloc found: the program is static and stripped, or does not use malloc",
                "install its debug symbols, or see docs/limits.md",
            )
        return tuple(allocator for _, allocator in sorted(self._found, key=lambda found: found[0]))


def plan_probes(
    allocators: Collection[Allocator],
    memory: Readable,
    architecture: Architecture = X86_64,
    selection: Selection = Selection(),  # noqa: B008 - frozen
) -> Plan:
    """Return the probes for allocators, once their code in memory is proved equal to their files.

    Of the selection, what counts here is how sizes are told, and which of them are recorded.

    Raises:
        AllocatorError: the first of them cannot be recorded.
        ForeignBreakpointError: code in memory differs from its file.

    """
    planned: list[Allocator] = []
    probes: list[Probe] = []
    notes: list[str] = []
    for allocator in allocators:
        try:
            part = place_probes(
                allocator.functions,
                allocator.module,
                allocator.image,
                architecture,
                allocator=len(planned),
                first_id=len(probes),
                size_offset=SIZE_OFFSET if allocator.is_glibc else None,
                usable_sizes=selection.halts_once,
                sizes=selection.sizes,
                frees_of_all=bool(selection.functions),
            )
        except (AllocatorError, ElfError) as error:
            if not planned:
                raise
            notes.append(f"{allocator.name} is not recorded: {error}")
            continue
        for probe in iter_changed(part, memory):
            raise ForeignBreakpointError(
                f"the code of {probe.function} in memory differs from {allocator.module.path}",
                "a debugger or tracer has left a breakpoint there; end it, or restart the process",
            )
        planned.append(allocator)
        probes += part
    return Plan(tuple(planned), tuple(probes), tuple(notes))


def describe_sizes(allocators: Sequence[Allocator], selection: Selection) -> tuple[int, ...]:
    """Return the smallest and the largest request whose blocks are recorded; nothing for all.

    Those of the first allocator, for others may tell sizes in another way.
    """
    if selection.sizes is None:
        return ()
    sizes = selection.sizes
    return sizes.served_by_glibc if allocators[0].is_glibc else sizes.requests


def iter_changed(probes: Iterable[Probe], memory: Readable) -> Iterator[Probe]:
    """Yield the probes at whose address memory differs from the ELF file."""
    for probe in probes:
        original = bytes.fromhex(probe.original)
        if memory.read(probe.address, len(original)) not in (original, b""):
            yield probe


def count_escapes(probes: Iterable[Probe]) -> int:
    """Return how many probes are at instructions that leave a function for an unknown place."""
    return sum(probe.role is Role.ESCAPE for probe in probes)
