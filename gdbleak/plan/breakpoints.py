"""Where to set breakpoints, computed before anything is attached.

Entries come from the symbol tables, ways out from the code: see `unwinding/code_walk.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count
from typing import NamedTuple

from gdbleak.architectures import Architecture
from gdbleak.elf.image import ElfImage
from gdbleak.errors import AllocatorError
from gdbleak.heap.chunk import HEAD_WORDS
from gdbleak.plan.own_calls import find_own_functions
from gdbleak.plan.sizes import Sizes
from gdbleak.recording.functions import MALLOC_FAMILY, OPERATORS, SIZED_FREES, AllocatorFunction
from gdbleak.recording.modules import Module
from gdbleak.recording.phases import phases_of
from gdbleak.recording.probes import Probe, Role
from gdbleak.unwinding.code_walk import CodeWalk, WaysOut

_RARE = ("pvalloc", "valloc", "memalign", "reallocarray", "aligned_alloc")
"""Functions that hardly any program calls, the rarest first; a prefix may stand before them."""


PASSING = OPERATORS + SIZED_FREES
"""Functions that need no probes where they do nothing but call a function that has some."""


class _Exit(NamedTuple):
    """What happens at an instruction by which functions are left."""

    function: AllocatorFunction
    """The first of them."""
    role: Role
    result: tuple[str, ...]
    """The register that holds the result, if one does."""


def place_probes(
    functions: Iterable[AllocatorFunction],
    module: Module,
    image: ElfImage,
    architecture: Architecture,
    allocator: int = 0,
    first_id: int = 0,
    size_offset: int | None = None,
    usable_sizes: bool = False,
    sizes: Sizes | None = None,
    frees_of_all: bool = False,
) -> tuple[Probe, ...]:
    """Return the probes of those of `functions` that a module defines.

    Args:
        functions: What to look for, the usual name of an alias first.
        module: Where the allocator is mapped.
        image: The module's ELF file.
        architecture: The target's.
        allocator: Number that the probes carry.
        first_id: Id of the first probe.
        size_offset: Where the size of a block stands, from the block; None where it is not known.
        usable_sizes: Leave out the probes that tell nothing but a size that is known without.
        sizes: Of which blocks hits are kept; None for all.
        frees_of_all: Keep frees of all blocks: the program may free some by a function of this
            module that another function has handed out.

    Raises:
        AllocatorError: which function is called will be known only when the program runs.
        ElfError: the file is damaged, or walks through it take too long.

    """
    entries = find_entries({function.name: function for function in functions}, module, image)
    walk = CodeWalk(image, architecture)
    entries = {
        address: function
        for address, function in entries.items()
        if function not in PASSING or not walk.passes_on(address, entries)
    }
    is_sized = size_offset is not None
    sized = {f for f in entries.values() if is_sized and _is_plain(f)}
    exits: dict[int, _Exit] = {}
    jumped_to: dict[bool, set[int]] = {True: set(), False: set()}
    for entry, function in entries.items():
        if function.allocates:
            ways = walk.find_ways_out(entry, entries)
            jumped_to[function in sized] |= ways.jumped_to
            for address, found in _iter_exits(function, ways, architecture):
                exits.setdefault(address, found)

    internal: dict[int, AllocatorFunction] = {}
    if is_sized:
        internal = find_own_functions(
            image, architecture, walk, entries, jumped_to[True], jumped_to[False]
        )
    for entry, function in internal.items():
        found = _Exit(function, Role.RETURN, (architecture.result_register,))
        for address in walk.find_own_exits(entry):
            exits.setdefault(address, found)

    kept = _Kept(sizes, is_sized, frees_of_all or not {*entries.values()} <= {*MALLOC_FAMILY})
    maker = _ProbeMaker(module, image, architecture, allocator, first_id, size_offset, sized, kept)
    return (
        *(
            maker.make_entry(address, function)
            for address, function in {**entries, **internal}.items()
            if not (usable_sizes and function in sized)
        ),
        *(maker.make_exit(address, found) for address, found in exits.items()),
    )


def find_entries(
    by_name: Mapping[str, AllocatorFunction], module: Module, image: ElfImage
) -> dict[int, AllocatorFunction]:
    """Return the functions that a file defines, by link-time address, each once.

    Raises:
        AllocatorError: which function is called will be known only when the program runs.
        ElfError: a symbol table is damaged.

    """
    entries: dict[int, AllocatorFunction] = {}
    defined = image.find_functions(by_name)
    for name, function in by_name.items():
        symbol = defined.get(name)
        if symbol is not None and symbol.address not in entries:
            if symbol.is_indirect:
                raise AllocatorError(
                    f"{name} of {module.path} is chosen among several when the program starts",
                    "see docs/limits.md for the allocators that can be traced",
                )
            entries[symbol.address] = function
    return entries


def _iter_exits(
    function: AllocatorFunction, ways: WaysOut, architecture: Architecture
) -> Iterator[tuple[int, _Exit]]:
    """Yield the link-time address of each way out of a function, and what it is."""
    for addresses, role, result in (
        (ways.returns, Role.RETURN, (architecture.result_register,)),
        (ways.returns_of_first_argument, Role.RETURN, architecture.argument_registers[:1]),
        (ways.escapes, Role.ESCAPE, ()),
    ):
        for address in sorted(addresses):
            yield address, _Exit(function, role, result)


class _Kept(NamedTuple):
    """Of which blocks hits are kept."""

    sizes: Sizes | None
    is_glibc: bool
    """Whether blocks are told by the sizes of their chunks."""
    frees_of_all: bool

    def at_entry(self, function: AllocatorFunction) -> tuple[int, ...] | None:
        """Return the sizes for the entry of a function.

        A resize is told by its end: what is recorded may become another size, or come from one.
        """
        if self.sizes is None or function.mapping or function.is_internal:
            return None
        if not function.allocates:
            return None if self.frees_of_all or not self.is_glibc else self.sizes.chunks
        return None if self._has_chunks(function) else self.sizes.requests

    def at_return(self, function: AllocatorFunction) -> tuple[int, ...] | None:
        """Return the sizes for the return of a function."""
        return self.sizes.chunks if self.sizes and self._has_chunks(function) else None

    def _has_chunks(self, function: AllocatorFunction) -> bool:
        return self.is_glibc and function in MALLOC_FAMILY


class _ProbeMaker:
    """Makes the probes of one module, with ids that count up."""

    def __init__(
        self,
        module: Module,
        image: ElfImage,
        architecture: Architecture,
        allocator: int,
        first_id: int,
        size_offset: int | None,
        sized: Collection[AllocatorFunction],
        kept: _Kept,
    ) -> None:
        """Take what the probes have in common; `sized` return blocks whose size can be read."""
        self._kept = kept
        self._module = module
        self._image = image
        self._architecture = architecture
        self._allocator = allocator
        self._ids = count(first_id)
        self._size_offset = size_offset
        self._sized = sized

    def make_entry(self, address: int, function: AllocatorFunction) -> Probe:
        """Return the probe where a function begins."""
        arguments = self._architecture.argument_registers
        registers = tuple(arguments[number] for number in function.arguments)
        out = None if function.result is None else arguments[function.result]
        takes_block = function in MALLOC_FAMILY and function.pointer == 0
        offset = self._size_offset if takes_block else None
        kept = self._kept.at_entry(function)
        return self._make(address, function, Role.ENTRY, registers, out, offset, kept)

    def make_exit(self, address: int, found: _Exit) -> Probe:
        """Return the probe where functions are left."""
        function, role, result = found
        is_return = role is Role.RETURN
        unwinding = self._architecture.unwind_registers if is_return else ()
        kept = self._kept.at_return(function) if is_return else None
        is_told = function in self._sized or (kept and function.result is None)
        offset = self._size_offset if is_return and is_told else None
        return self._make(address, function, role, (*result, *unwinding), None, offset, kept)

    def _make(
        self,
        address: int,
        function: AllocatorFunction,
        role: Role,
        registers: tuple[str, ...],
        out: str | None,
        offset: int | None,
        kept: tuple[int, ...] | None,
    ) -> Probe:
        architecture = self._architecture
        is_marked = role is Role.RETURN and function in self._sized
        return Probe(
            id=next(self._ids),
            address=address + self._module.bias,
            function=function.name,
            role=role,
            registers=(architecture.stack_pointer, *registers),
            out_register=out,
            original=self._image.read(address, len(architecture.breakpoint)).hex(),
            allocator=self._allocator,
            size_offset=offset,
            size_words=HEAD_WORDS if offset is not None and is_marked else 1,
            phases=phases_of(function, role is Role.ENTRY and function in self._sized),
            kept_sizes=kept,
        )


def find_sentinel(probes: Iterable[Probe]) -> Probe | None:
    """Return a probe whose breakpoint can stay in all the time, because it is hardly ever hit.

    None if each probe belongs to a function that may be called often.
    """
    entries = [probe for probe in probes if probe.role is Role.ENTRY]
    for name in _RARE:
        for probe in entries:
            if probe.function.endswith(name) and not probe.function.endswith("posix_memalign"):
                return probe
    return None


def _is_plain(function: AllocatorFunction) -> bool:
    """Return whether a function returns a block, and takes nothing but its size."""
    others = (function.pointer, function.result, function.mapping)
    return function.allocates and others == (None, None, None)
