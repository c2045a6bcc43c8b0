"""Which allocators a process can call, and the probe plan for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from gdbleak.allocator_names import name_allocator
from gdbleak.allocators import FAMILIES, AllocatorFunction
from gdbleak.architectures import X86_64, Architecture
from gdbleak.elf import ElfImage
from gdbleak.errors import AllocatorError, ElfError, ForeignBreakpointError
from gdbleak.modules import Module, ModuleMap
from gdbleak.plan import Probe, Role, make_plan
from gdbleak.proc import Memory

_LOADER = re.compile(r"ld-linux.*\.so|ld-[0-9.]+\.so|ld64\.so|ld\.so")
_LIBC = re.compile(r"libc[.-]")


@dataclass(frozen=True)
class Allocator:
    """Functions of one module that hand out and take back memory."""

    name: str
    """For example `glibc 2.36`; the file's name when it does not tell what it is."""
    module: Module
    image: ElfImage
    functions: tuple[AllocatorFunction, ...]
    """What to look for in it."""


@dataclass(frozen=True)
class Plan:
    """Where to set breakpoints in a process."""

    allocators: tuple[Allocator, ...]
    """The one that its calls of `malloc` are bound to is the first."""
    probes: tuple[Probe, ...]
    notes: tuple[str, ...]
    """Sentences about what is not recorded."""

    @property
    def functions(self) -> tuple[AllocatorFunction, ...]:
        """What the functions of the probes mean."""
        used = {probe.function for probe in self.probes}
        known = {f.name: f for allocator in self.allocators for f in allocator.functions}
        return tuple(function for name, function in known.items() if name in used)


def find_allocators(
    modules: ModuleMap, search_order: Mapping[int, int] | None = None
) -> tuple[Allocator, ...]:
    """Return the allocators of a process, the one that its calls are bound to first.

    The dynamic linker binds a program's calls to the first definition in the order program,
    preloaded libraries, needed libraries. Others may be called too: by a library that was loaded
    with RTLD_DEEPBIND, through a prefix, by the first one itself. The loader's own malloc is never
    bound to.

    Args:
        modules: Of the process.
        search_order: Places by the address of the dynamic section; where it says nothing, the C
            library comes last, and the rest by address.

    Raises:
        AllocatorError: no module defines malloc.

    """
    found: list[tuple[tuple[int, bool, int], Allocator]] = []
    unreadable: list[str] = []
    for module in modules:
        if module.file is None:
            unreadable.append(f"{module.path}: {module.unreadable}")
        elif not _LOADER.match(module.name):
            try:
                allocator, place = _examine(module, search_order or {})
            except ElfError as error:
                unreadable.append(str(error))
                continue
            if allocator is not None:
                found.append((place, allocator))
    if not found and unreadable:
        raise AllocatorError(
            f"no malloc found; what could not be read is {'; '.join(unreadable)}",
            "run as root, or restart the process",
        )
    if not found:
        raise AllocatorError(
            "no malloc found: the program is static and stripped of its symbols, or has none",
            "see docs/limits.md for what can be traced",
        )
    return tuple(allocator for _, allocator in sorted(found, key=lambda entry: entry[0]))


def _examine(
    module: Module, search_order: Mapping[int, int]
) -> tuple[Allocator | None, tuple[int, bool, int]]:
    """Return the allocator in a module, and its place among others."""
    assert module.file is not None
    image = ElfImage(module.file)
    leaders = image.find_functions([family[0].name for family in FAMILIES])
    functions = tuple(
        function for family in FAMILIES if family[0].name in leaders for function in family
    )
    dynamic = image.dynamic_address
    place = search_order.get(-1 if dynamic is None else dynamic + module.bias, len(search_order))
    name = name_allocator(image, module.name) if functions else ""
    return (
        Allocator(name, module, image, functions) if functions else None,
        (place, bool(_LIBC.match(module.name)), module.start),
    )


def plan_probes(
    allocators: Collection[Allocator], memory: Memory, architecture: Architecture = X86_64
) -> Plan:
    """Return the breakpoints for allocators, after proving that their code is as in its files.

    Raises:
        AllocatorError: the first of them cannot be recorded.
        ForeignBreakpointError: code in memory differs from its file.

    """
    planned: list[Allocator] = []
    probes: list[Probe] = []
    notes: list[str] = []
    for allocator in allocators:
        try:
            part = make_plan(
                allocator.functions,
                allocator.module,
                allocator.image,
                architecture,
                allocator=len(planned),
                first_id=len(probes),
            )
        except AllocatorError as error:
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


def iter_changed(probes: Iterable[Probe], memory: Memory) -> Iterator[Probe]:
    """Yield the probes at whose address the memory differs from the ELF file."""
    for probe in probes:
        original = bytes.fromhex(probe.original)
        if memory.read(probe.address, len(original)) not in (original, b""):
            yield probe


def count_escapes(probes: Iterable[Probe]) -> int:
    """Return by how many instructions a function is left for somewhere unknown."""
    return sum(probe.role is Role.ESCAPE for probe in probes)
