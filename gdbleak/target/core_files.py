"""Which files of this host are those that the process of a core file had mapped."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from gdbleak.effort import Effort
from gdbleak.elf.build_id import HEADER_SIZE, parse_build_id
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.core_notes import AT_EXECFN, MappedFile
from gdbleak.elf.file import PAGE_SIZE
from gdbleak.elf.image import ElfImage
from gdbleak.errors import CoreError, ElfError
from gdbleak.readable import Readable
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.link_map import iter_linked, read_program_headers
from gdbleak.target.modules import VDSO, make_vdso
from gdbleak.target.proc import Mapping, possible_names

_LONGEST_PATH = 4096
_NAMED = 3
"""So many files are named in a note."""
_MOST_FILES = 10_000
_COPY = "give --sysroot a folder with copies of that machine's files"


class CoreFiles:
    """Finds the files, and keeps what cannot be found by name again. To be closed."""

    def __init__(self, images: ImageCache, exe: str | None, sysroot: str) -> None:
        """Prepare.

        Args:
            images: Keeps the files for those who read them later.
            exe: The program, wherever the process had it; None to find it by its path.
            sysroot: A folder in which copies of the files lie at their paths; empty for this host.

        Raises:
            CoreError: one of them does not exist.

        """
        if sysroot and not Path(sysroot).is_dir():
            raise CoreError(f"--sysroot: there is no folder {sysroot}", _COPY)
        if exe is not None and not Path(exe).is_file():
            raise CoreError(f"--exe: there is no file {exe}", "give the path of the program")
        self._images = images
        self._exe = exe
        self._sysroot = sysroot.rstrip("/")
        self._effort = Effort()
        self._open_files: list[int] = []
        self.notes: list[str] = []

    def close(self) -> None:
        """Close what is kept; `Module.file` of the vDSO can then no longer be opened."""
        for file in self._open_files:
            os.close(file)
        self._open_files.clear()

    def may_run(self, file: MappedFile) -> bool:
        """Return whether a part of a file holds code, as far as the file can be read."""
        try:
            image = self._open(self._places(file.path, is_program=False)[0])
        except ElfError:
            return False
        end = file.offset + file.end - file.start
        return any(
            segment.offset < end and file.offset < segment.offset + segment.file_size
            for segment in image.segments
            if segment.executable
        )

    def rebuild(self, vector: dict[int, int], memory: Readable) -> list[MappedFile]:
        """Return what was mapped of which files where no note tells: as the dynamic linker has it.

        Args:
            vector: The auxiliary vector of the process.
            memory: Its memory.

        """
        path = _read_text(memory, vector.get(AT_EXECFN, 0)) or self._exe or "?"
        named = [(path, read_program_headers(vector, memory).bias, True)]
        for entry in iter_linked(read_program_headers(vector, memory).dynamic, memory):
            path = _read_text(memory, entry.name)
            if path.startswith("/"):
                named.append((path, entry.bias, False))
        found: dict[int, MappedFile] = {}
        for path, bias, is_program in named[:_MOST_FILES]:
            for file in self._lay_out(path, bias, is_program):
                found.setdefault(file.start, file)
        return [found[start] for start in sorted(found)]

    def _lay_out(self, path: str, bias: int, is_program: bool) -> Iterator[MappedFile]:
        try:
            image = self._open(self._places(path, is_program)[0])
        except ElfError:
            return
        for segment in image.segments:
            start = (bias + segment.address) & -PAGE_SIZE
            end = -(-(bias + segment.address + segment.file_size) // PAGE_SIZE) * PAGE_SIZE
            if start < end:
                yield MappedFile(start, end, segment.offset & -PAGE_SIZE, path)

    def make_modules(
        self, mappings: Sequence[Mapping], program: str | None, memory: Readable
    ) -> ModuleMap:
        """Return the program and libraries among mappings, with their files where these are here.

        Args:
            mappings: Of the process.
            program: The path of the program.
            memory: What the core file holds itself.

        Raises:
            CoreError: the program that was given is another one.

        """
        modules, unsure = [], []
        named = [mapping for mapping in mappings if mapping.inode]
        for path, group in groupby(named, key=lambda mapping: mapping.path):
            lines = [*group]
            if any(line.executable for line in lines):
                module, is_sure = self._make_module(lines, path == program, memory)
                modules.append(module)
                if not is_sure:
                    unsure.append(path)
        for mapping in mappings:
            if mapping.path == VDSO:
                modules.append(make_vdso(mapping, memory, self._images, self._keep))
        self._note(modules, unsure, program)
        return ModuleMap(modules)

    def _make_module(
        self, lines: Sequence[Mapping], is_program: bool, memory: Readable
    ) -> tuple[Module, bool]:
        """Return a module, and whether its file is known to be the one that was mapped."""
        first, end = lines[0], lines[-1].end
        header = memory.read(first.start, min(first.end - first.start, HEADER_SIZE))
        build_id = parse_build_id(
            header, lambda offset, size: memory.read(first.start + offset, size)
        )
        reason = ""
        for place in self._places(first.path, is_program):
            try:
                image = self._open(place)
            except ElfError as error:
                reason = reason or str(error)
                continue
            if header and not (
                image.build_id == build_id and image.header.startswith(header[: len(image.header)])
            ):
                reason = f"{place} is another file"
                if build_id:
                    reason += f"; wanted is the one with build-id {build_id}"
                continue
            if not header and first.deleted:
                reason = f"{place} was replaced or deleted"
                continue
            bias = first.start - image.address_of(first.offset)
            return Module(first.path, first.start, end, bias, build_id, place), bool(header)
        if is_program and self._exe is not None:
            raise CoreError(f"--exe: {reason}", f"give the program that ran there as {first.path}")
        return Module(first.path, first.start, end, first.start, build_id, None, reason), True

    def _places(self, path: str, is_program: bool) -> list[str]:
        """Return where a file may be."""
        if is_program and self._exe is not None:
            return [self._exe]
        if not self._sysroot:
            return [*possible_names(path)]
        return [f"{self._sysroot}/{name.lstrip('/')}" for name in possible_names(path)]

    def _open(self, path: str) -> ElfImage:
        """Return the image of a file.

        Raises:
            ElfError: it cannot be read.

        """
        return self._images.open(path, self._effort.share())

    def _keep(self, file: int) -> str:
        self._open_files.append(os.dup(file))
        return f"/proc/{os.getpid()}/fd/{self._open_files[-1]}"

    def _note(self, modules: Sequence[Module], unsure: Sequence[str], program: str | None) -> None:
        """Say which files are missing, or may be others."""
        if all(module.path == VDSO for module in modules):
            self.notes.append(
                "The core does not tell which files were mapped: the program and its libraries are"
                " unknown."
            )
        elif program is None and self._exe is not None:
            self.notes.append("The core does not tell where its program was: --exe is of no use.")
        missing = [module for module in modules if module.file is None and module.path != VDSO]
        if missing:
            names = _list([module.path for module in missing])
            what = _COPY
            if any(module.path == program for module in missing):
                what += ", and --exe the program"
            self.notes.append(f"Not the files that the process had mapped: {names}; {what}.")
        if unsure:
            self.notes.append(
                f"The core has no headers of {_list(unsure)}: it is not certain that the files here"
                " are the ones that were mapped."
            )


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _read_text(memory: Readable, address: int) -> str:
    data = memory.read(address, _LONGEST_PATH) if address else b""
    return data.partition(b"\0")[0].decode(errors="surrogateescape")
