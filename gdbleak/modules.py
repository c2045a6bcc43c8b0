"""The program and libraries in a target's address space, and where their files can be read."""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from gdbleak.elf import ElfImage, parse_build_id
from gdbleak.errors import ElfError
from gdbleak.proc import Mapping, Memory

_VDSO = "[vdso]"


@dataclass(frozen=True)
class Module:
    """A program or shared library as it was mapped."""

    path: str
    """As the target knows it (a path in its mount namespace), without "(deleted)"."""
    start: int
    """First run-time address of its mappings."""
    end: int
    """First run-time address behind them."""
    bias: int
    """Run-time address minus link-time address."""
    build_id: str | None
    file: str | None
    """Path at which this host can read the very file that was mapped, or None."""
    unreadable: str | None = None
    """Why `file` is None, as the end of a sentence."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def to_json(self) -> dict[str, Any]:
        """Return the module as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Module:
        """Rebuild a module from `to_json`'s values."""
        return cls(**values)


class ModuleMap:
    """Modules by run-time address."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self._modules = sorted(modules, key=lambda module: module.start)
        self._starts = [module.start for module in self._modules]

    def find(self, address: int) -> Module | None:
        """Return the module whose mappings span a run-time address, or None."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._modules[index].end:
            return self._modules[index]
        return None

    @property
    def end(self) -> int:
        """First address behind all of them."""
        return max((module.end for module in self._modules), default=0)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules)

    def merge(self, later: ModuleMap) -> ModuleMap:
        """Return these modules and those of `later` that lie where none of these does.

        Libraries that were loaded during the window are found so. Where another library took a
        module's place, neither can be told to be the right one: both are left out.
        """
        known = {(module.path, module.start): module for module in self}
        added = [module for module in later if (module.path, module.start) not in known]
        replaced = {
            (old.path, old.start)
            for old in self
            for new in added
            if old.start < new.end and new.start < old.end
        }
        clear = [
            new
            for new in added
            if not any(old.start < new.end and new.start < old.end for old in self)
        ]
        return ModuleMap([m for key, m in known.items() if key not in replaced] + clear)


class ModuleReader:
    """Finds the modules of one process, and keeps open the files that have no name any more."""

    def __init__(self, pid: int, memory: Memory) -> None:
        self._pid = pid
        self._memory = memory
        self._root = Path(f"/proc/{pid}/root")
        self._same_mounts = Path(f"/proc/{pid}/ns/mnt").samefile("/proc/self/ns/mnt")
        self._open_files: list[int] = []

    def read(self, mappings: list[Mapping]) -> ModuleMap:
        """Return the modules among `mappings`."""
        modules = []
        named = [mapping for mapping in mappings if mapping.inode and mapping.path]
        for _, group in groupby(named, key=lambda m: (m.path, m.device, m.inode)):
            lines = list(group)
            if any(line.executable for line in lines):
                modules.append(self._make_module(lines))
        modules += [self._make_vdso(mapping) for mapping in mappings if mapping.path == _VDSO]
        return ModuleMap(modules)

    def close(self) -> None:
        """Close the files; `Module.file` of a deleted file can then no longer be opened."""
        for file in self._open_files:
            os.close(file)
        self._open_files.clear()

    def _make_module(self, lines: list[Mapping]) -> Module:
        first = lines[0]
        header = self._memory.read(first.start, min(first.end - first.start, 4096))
        build_id = parse_build_id(
            header, lambda offset, size: self._memory.read(first.start + offset, size)
        )
        reason = "its file was replaced or deleted, and the kernel does not let us read the old one"
        for candidate in self._candidates(first):
            try:
                image = ElfImage(candidate)
            except ElfError as error:
                if not first.deleted:
                    reason = str(error)
                continue
            if image.build_id == build_id and image.header == header[: len(image.header)]:
                return Module(
                    path=first.path,
                    start=first.start,
                    end=lines[-1].end,
                    bias=first.start - image.address_of(first.offset),
                    build_id=build_id,
                    file=self._keep(candidate),
                )
        return Module(
            first.path, first.start, lines[-1].end, first.start, build_id, None, unreadable=reason
        )

    def _make_vdso(self, mapping: Mapping) -> Module:
        """Copy the code that the kernel itself maps into each process: a library without a file."""
        start, end = mapping.start, mapping.end
        try:
            with tempfile.TemporaryFile() as file:
                file.write(self._memory.read(start, end - start))
                file.flush()
                copy = self._keep(f"/proc/self/fd/{file.fileno()}")
            image = ElfImage(copy)
        except (OSError, ElfError) as error:
            return Module(_VDSO, start, end, start, None, None, unreadable=str(error))
        return Module(_VDSO, start, end, start - image.address_of(0), image.build_id, copy)

    def _candidates(self, mapping: Mapping) -> Iterator[str]:
        """Ways to the mapped file, the one with the most lasting name first."""
        if not mapping.deleted:
            yield self._lasting_path(mapping.path)
        yield f"/proc/{self._pid}/map_files/{mapping.start:x}-{mapping.end:x}"
        exe = Path(f"/proc/{self._pid}/exe")
        if str(exe.readlink()).removesuffix(" (deleted)") == mapping.path:
            yield str(exe)

    def _lasting_path(self, path: str) -> str:
        """A mapping's path for us.

        The kernel writes it from the top of the process's mount namespace, also after a chroot.
        """
        if self._same_mounts:
            return path
        top = str(self._root.readlink()).rstrip("/")
        return f"{self._root}{path[len(top) :] if path.startswith(f'{top}/') else path}"

    def _keep(self, candidate: str) -> str:
        """A name by which the file can be read after the process has ended."""
        if not candidate.startswith("/proc/"):
            return candidate
        self._open_files.append(os.open(candidate, os.O_RDONLY))
        return f"/proc/{os.getpid()}/fd/{self._open_files[-1]}"


def find_again(module: Module, sysroot: str = "") -> Module:
    """Return the module of a saved recording with the file it has on this host now, if any.

    Args:
        module: As it was recorded.
        sysroot: A folder in which copies of the files lie at their paths; empty for this host.

    """
    if module.path == _VDSO:
        return replace(module, file=None, unreadable="the kernel mapped it, and it has no file")
    file = sysroot + module.path
    try:
        same = module.build_id is not None and ElfImage(file).build_id == module.build_id
    except ElfError as error:
        same, reason = False, str(error)
    else:
        reason = "the file there now is another one"
    if same:
        return replace(module, file=file, unreadable=None)
    if sysroot:
        reason += f"; wanted is the one with build-id {module.build_id}"
    return replace(module, file=None, unreadable=reason)
