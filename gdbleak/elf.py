"""Reading of ELF files: what the unwinder and the probe plan need of them, by link-time address.

Layout: System V ABI, chapters 4 and 5, and its AMD64 supplement. pyelftools reads the headers
and symbol tables; bytes are taken straight from a memory map of the file.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

from elftools.common.exceptions import ELFError as PyElfError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.hash import GNUHashTable
from elftools.elf.sections import Symbol
from elftools.elf.segments import NoteSegment

from gdbleak.errors import ElfError


@dataclass(frozen=True)
class Segment:
    """A PT_LOAD segment; `address` is link-time."""

    address: int
    offset: int
    file_size: int
    memory_size: int
    executable: bool


@dataclass(frozen=True)
class FunctionSymbol:
    """A function of the dynamic symbol table; `address` is link-time, `size` in bytes."""

    name: str
    address: int
    size: int


class ElfImage:
    """An ELF file, read lazily and addressed by link-time address."""

    def __init__(self, path: str) -> None:
        """Open the file at `path`.

        Raises:
            ElfError: it cannot be opened, or is no ELF file.

        """
        self.path = path
        try:
            with Path(path).open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._elf = ELFFile(cast(BinaryIO, self._bytes))
        except (OSError, ValueError, PyElfError) as error:
            raise ElfError(f"cannot read {path} as an ELF file: {error}") from error

    @property
    def is_64_bit(self) -> bool:
        """True for ELFCLASS64."""
        return bool(self._elf.elfclass == 64)

    @property
    def machine(self) -> str:
        """`e_machine` by its name, for example `EM_X86_64`."""
        return str(self._elf["e_machine"])

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The PT_LOAD segments, in file order."""
        return tuple(
            Segment(
                address=header["p_vaddr"],
                offset=header["p_offset"],
                file_size=header["p_filesz"],
                memory_size=header["p_memsz"],
                executable=bool(header["p_flags"] & 1),
            )
            for header in self._elf.iter_segments(type="PT_LOAD")
        )

    @cached_property
    def build_id(self) -> str | None:
        """The GNU build-id in hexadecimal, or None."""
        for segment in self._elf.iter_segments(type="PT_NOTE"):
            assert isinstance(segment, NoteSegment)
            for note in segment.iter_notes():
                if note["n_type"] == "NT_GNU_BUILD_ID" and note["n_name"] == "GNU":
                    return str(note["n_desc"])
        return None

    @cached_property
    def eh_frame_hdr(self) -> tuple[int, int] | None:
        """Link-time address and size of `.eh_frame_hdr` (PT_GNU_EH_FRAME), or None."""
        for segment in self._elf.iter_segments(type="PT_GNU_EH_FRAME"):
            return segment["p_vaddr"], segment["p_memsz"]
        return None

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes of the file at a link-time address.

        The result is shorter where the segment's file contents end, and empty outside all
        segments.
        """
        for segment in self.segments:
            skip = address - segment.address
            if 0 <= skip < segment.file_size:
                begin = segment.offset + skip
                return self._bytes[begin : begin + min(size, segment.file_size - skip)]
        return b""

    def find_function(self, name: str) -> FunctionSymbol | None:
        """Return the function that the module's dynamic symbol table defines as `name`, or None."""
        symbol = self._find_symbol(name)
        if (
            symbol is None
            or symbol["st_shndx"] == "SHN_UNDEF"
            or symbol["st_info"]["type"] not in ("STT_FUNC", "STT_GNU_IFUNC")
        ):
            return None
        return FunctionSymbol(name, symbol["st_value"], symbol["st_size"])

    def _find_symbol(self, name: str) -> Symbol | None:
        if self._hash_table:
            return self._hash_table.get_symbol(name)
        if self._dynamic:
            return next((s for s in self._dynamic.iter_symbols() if s.name == name), None)
        return None

    @cached_property
    def _hash_table(self) -> GNUHashTable | None:
        """The table the dynamic linker itself looks symbols up in; very old files lack it."""
        if self._dynamic:
            _, offset = self._dynamic.get_table_offset("DT_GNU_HASH")
            if offset is not None:
                return GNUHashTable(self._elf, offset, self._dynamic)
        return None

    @cached_property
    def _dynamic(self) -> DynamicSegment | None:
        for segment in self._elf.iter_segments(type="PT_DYNAMIC"):
            assert isinstance(segment, DynamicSegment)
            return segment
        return None
