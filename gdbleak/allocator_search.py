"""Which allocator a process really calls, and the probe plan for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gdbleak.allocators import MALLOC_FAMILY
from gdbleak.architecture import X86_64, Architecture
from gdbleak.elf import ElfImage
from gdbleak.errors import AllocatorError, ElfError, ForeignBreakpointError
from gdbleak.modules import Module, ModuleMap
from gdbleak.plan import Probe, make_plan
from gdbleak.proc import Memory

_LOADER = re.compile(r"ld-linux.*\.so|ld-[0-9.]+\.so|ld64\.so|ld\.so")
_LIBC = re.compile(r"libc[.-]")
_GLIBC_VERSION = re.compile(rb"GNU C Library [^\n]*? version ([0-9.]+[0-9])")


@dataclass(frozen=True)
class Allocator:
    """The module whose malloc a process calls."""

    name: str
    """For example `glibc 2.36`; the file's name for an allocator that is not glibc's."""
    module: Module
    image: ElfImage
    is_glibc: bool


def find_allocator(modules: ModuleMap) -> Allocator:
    """Return the allocator of a process.

    The dynamic linker binds a program's calls to the first definition in the order program,
    preloaded libraries, needed libraries. Whoever replaces malloc stands before the C library
    there; the loader's own malloc is never bound to.

    Raises:
        AllocatorError: no module exports malloc.

    """
    candidates: list[Allocator] = []
    unreadable: list[str] = []
    for module in modules:
        if module.file is None:
            unreadable.append(f"{module.path}: {module.unreadable}")
            continue
        try:
            image = ElfImage(module.file)
            found = not _LOADER.match(module.name) and image.find_function("malloc")
        except ElfError as error:
            unreadable.append(str(error))
            continue
        if found:
            version = image.search(_GLIBC_VERSION)
            name = f"glibc {version.decode()}" if version else module.name
            candidates.append(Allocator(name, module, image, is_glibc=version is not None))
    if not candidates and unreadable:
        raise AllocatorError(
            f"no malloc found; what could not be read is {'; '.join(unreadable)}",
            "run as root, or restart the process",
        )
    if not candidates:
        raise AllocatorError(
            "no dynamically linked malloc found: the program is static",
            "gdbleak records the malloc of a shared C library; see docs/limits.md",
        )
    return min(candidates, key=lambda found: bool(_LIBC.match(found.module.name)))


def plan_probes(
    allocator: Allocator, memory: Memory, architecture: Architecture = X86_64
) -> tuple[Probe, ...]:
    """Return the breakpoints for an allocator, after proving that its code is as in its file.

    Raises:
        AllocatorError: its returns cannot all be found.
        ForeignBreakpointError: its code in memory differs from the file.

    """
    plan = make_plan(MALLOC_FAMILY, allocator.module, allocator.image, architecture)
    for probe in iter_changed(plan, memory):
        raise ForeignBreakpointError(
            f"the code of {probe.function} in memory differs from {allocator.module.path}",
            "a debugger or tracer has left a breakpoint there; end it, or restart the process",
        )
    return plan


def iter_changed(probes: Iterable[Probe], memory: Memory) -> Iterator[Probe]:
    """Yield the probes at whose address the memory differs from the ELF file."""
    for probe in probes:
        original = bytes.fromhex(probe.original)
        if memory.read(probe.address, len(original)) not in (original, b""):
            yield probe
