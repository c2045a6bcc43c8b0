"""Where to set breakpoints, computed before anything is attached.

Entries come from the symbol tables, ways out from the code: see `code_walk`.
"""

from __future__ import annotations

from collections.abc import Iterable

from gdbleak.architectures import Architecture
from gdbleak.elf.image import ElfImage
from gdbleak.errors import AllocatorError
from gdbleak.heap.chunk import HEAD_WORDS
from gdbleak.plan.own_calls import find_own_functions
from gdbleak.recording.functions import MALLOC_FAMILY, OPERATORS, SIZED_FREES, AllocatorFunction
from gdbleak.recording.modules import Module
from gdbleak.recording.phases import phases_of
from gdbleak.recording.probes import Probe, Role
from gdbleak.unwinding.code_walk import CodeWalk

_RARE = ("pvalloc", "valloc", "memalign", "reallocarray", "aligned_alloc")
"""Functions that hardly any program calls, the rarest first; a prefix may stand before them."""


_PASSING = OPERATORS + SIZED_FREES
"""What has no probes where it does nothing but call what has."""


def place_probes(
    functions: Iterable[AllocatorFunction],
    module: Module,
    image: ElfImage,
    architecture: Architecture,
    allocator: int = 0,
    first_id: int = 0,
    size_offset: int | None = None,
    usable_sizes: bool = False,
) -> tuple[Probe, ...]:
    """Return the probes of those of `functions` that a module defines.

    Args:
        functions: What to look for, the usual name of an alias first.
        module: Where the allocator is mapped.
        image: The module's ELF file.
        architecture: Of the target.
        allocator: Number to give to the probes.
        first_id: Id of the first probe.
        size_offset: Where the size of a block stands, from the block; None where it is not known.
        usable_sizes: Leave out the probes that tell nothing but a size that is known without.

    Raises:
        AllocatorError: what is called is not known before the program runs.

    """
    by_name = {function.name: function for function in functions}
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
    walk = CodeWalk(image, architecture)
    entries = {
        address: function
        for address, function in entries.items()
        if function not in _PASSING or not walk.passes_on(address, entries)
    }
    arguments = architecture.argument_registers
    sized = {f.name for f in entries.values() if size_offset is not None and _is_plain(f)}
    exits: dict[int, tuple[str, Role, tuple[str, ...]]] = {}
    plain: set[int] = set()
    others: set[int] = set()
    for entry, function in entries.items():
        if not function.allocates:
            continue
        ways = walk.find_ways_out(entry, entries)
        (plain if function.name in sized else others).update(ways.jumped_to)
        for addresses, role, result in (
            (ways.returns, Role.RETURN, (architecture.result_register,)),
            (ways.returns_of_first_argument, Role.RETURN, arguments[:1]),
            (ways.escapes, Role.ESCAPE, ()),
        ):
            for address in sorted(addresses):
                exits.setdefault(address, (function.name, role, result))

    internal: dict[int, AllocatorFunction] = {}
    if size_offset is not None:
        internal = find_own_functions(image, architecture, walk, entries, plain, others)
    for entry, function in internal.items():
        by_name[function.name] = function
        for address in walk.find_own_exits(entry):
            found = (function.name, Role.RETURN, (architecture.result_register,))
            exits.setdefault(address, found)

    probes: list[Probe] = []

    def add(
        address: int,
        function: AllocatorFunction,
        role: Role,
        registers: tuple[str, ...],
        out: str | None = None,
        offset: int | None = None,
    ) -> None:
        probes.append(
            Probe(
                id=first_id + len(probes),
                address=address + module.bias,
                function=function.name,
                role=role,
                registers=(architecture.stack_pointer, *registers),
                out_register=out,
                original=image.read(address, len(architecture.breakpoint)).hex(),
                allocator=allocator,
                size_offset=offset,
                size_words=HEAD_WORDS if offset is not None and role is Role.RETURN else 1,
                phases=phases_of(function, role is Role.ENTRY and function.name in sized),
            )
        )

    for address, function in {**entries, **internal}.items():
        if usable_sizes and function.name in sized:
            continue
        registers = tuple(arguments[number] for number in function.arguments)
        out = None if function.result is None else arguments[function.result]
        takes_block = function in MALLOC_FAMILY and function.pointer == 0
        known = size_offset if takes_block else None
        add(address, function, Role.ENTRY, registers, out, known)
    for address, (name, role, result) in exits.items():
        unwinding = architecture.unwind_registers if role is Role.RETURN else ()
        known = size_offset if role is Role.RETURN and name in sized else None
        add(address, by_name[name], role, (*result, *unwinding), offset=known)
    return tuple(probes)


def find_sentinel(probes: Iterable[Probe]) -> Probe | None:
    """Return a probe whose breakpoint costs nothing when it is in all the time.

    None if each of them belongs to a function that may be called often.
    """
    entries = [probe for probe in probes if probe.role is Role.ENTRY]
    for name in _RARE:
        for probe in entries:
            if probe.function.endswith(name) and not probe.function.endswith("posix_memalign"):
                return probe
    return None


def _is_plain(function: AllocatorFunction) -> bool:
    """Whether a function returns a block, and takes nothing but its size."""
    others = (function.pointer, function.result, function.mapping)
    return function.allocates and others == (None, None, None)
