"""The agent as one file for recording by hand; it has the probes of allocators by build-id."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gdbleak.architectures import X86_64
from gdbleak.debugger.program import script_path
from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import AllocatorError, ElfError, FileError
from gdbleak.heap.chunk import SIZE_OFFSET
from gdbleak.plan.allocators import Allocator, find_allocators
from gdbleak.plan.breakpoints import place_probes
from gdbleak.recording.functions import INTERNAL_FUNCTIONS
from gdbleak.recording.head import VERSION
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.proc import read_mappings

_IMPORT = "from gdbleak_"


def make_standalone(sysroot: str | None) -> str:
    """Return the text of a script for GDB that needs no other file.

    Args:
        sysroot: Folder with copies of the target's files; None if the target uses the libraries of
            this host.

    Raises:
        FileError: the folder cannot be read.
        AllocatorError: no file there has an allocator whose breakpoints can be planned.

    """
    with ImageCache() as images:
        modules = ModuleMap(_iter_modules(sysroot, images))
        try:
            plans = [_describe(found) for found in find_allocators(modules, images=images)]
        except AllocatorError as error:
            raise AllocatorError(
                f"{sysroot or 'this host'}: {error}",
                "copy the files of the process there that /proc/PID/maps names, its C library too",
            ) from error
    constants = f"ALLOCATORS = json.loads({json.dumps(plans)!r})  # noqa: E501\n"
    constants += f"BREAKPOINT = {X86_64.breakpoint.hex()!r}\n"
    constants += f"VERSION = {VERSION}\n"
    parts = {
        "recorder": _read("gdbleak_recorder.py"),
        "box": _read("gdbleak_box.py"),
        "plans": constants,
    }
    return "".join(
        parts[line[len(_IMPORT) :].split()[0]] if line.startswith(_IMPORT) else line
        for line in _path("gdbleak_standalone.py").read_text().splitlines(keepends=True)
    )


def _path(name: str) -> Path:
    return Path(script_path(name))


def _read(name: str) -> str:
    """Return a script without its docstring and its imports of the other scripts."""
    text = _path(name).read_text().split('"""', 2)[2]
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_IMPORT)) + "\n\n"


def _iter_modules(sysroot: str | None, images: ImageCache) -> Iterator[Module]:
    """Yield each ELF file once, as if it were mapped at its link-time address."""
    seen: set[str] = set()
    for number, (path, file) in enumerate(_iter_files(sysroot)):
        try:
            build_id = images.open(file, Effort()).build_id
        except ElfError:  # a folder of copies may hold other files
            continue
        if build_id is not None and build_id not in seen:
            seen.add(build_id)
            yield Module(path, number, number + 1, 0, build_id, file)


def _iter_files(sysroot: str | None) -> Iterator[tuple[str, str]]:
    """Yield the path of each file on the target, and on this host."""
    if sysroot is None:
        paths = {m.path for m in read_mappings(os.getpid()) if m.executable and m.inode}
        yield from ((path, path) for path in sorted(paths))
        return
    if not Path(sysroot).is_dir():
        raise FileError(f"{sysroot} is not a folder", "give the folder that holds the copies")
    for file in sorted(Path(sysroot).rglob("*")):
        if file.is_file():
            yield f"/{file.relative_to(sysroot)}", str(file)


def _describe(allocator: Allocator) -> dict[str, Any]:
    probes = place_probes(
        allocator.functions,
        allocator.module,
        allocator.image,
        X86_64,
        size_offset=SIZE_OFFSET if allocator.is_glibc else None,
    )
    known = (*allocator.functions, *INTERNAL_FUNCTIONS)
    used = {probe.function for probe in probes}
    return {
        "name": allocator.name,
        "build_id": allocator.module.build_id,
        "functions": [f.to_json() for f in known if f.name in used],
        "probes": [probe.to_json() for probe in probes],
    }
