"""An ELF file: its bytes by link-time address, its sections, and what it says of itself.

Layout: System V ABI, chapters 4 and 5, and its AMD64 supplement. Whoever made a file may have made
it so that reading it never ends: what reading takes is spent from an `Effort`.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from gdbleak.effort import Effort, EffortError
from gdbleak.elf.build_id import HEADER_SIZE, parse_build_id
from gdbleak.elf.dynamic import DynamicSection
from gdbleak.elf.headers import (
    MAX_SECTION_BYTES,
    PF_X,
    PT_GNU_EH_FRAME,
    PT_INTERP,
    PT_LOAD,
    SHT_NOBITS,
    DamageError,
    ElfHeaders,
)
from gdbleak.errors import ElfError
from gdbleak.host.files import FileBytes, iter_chunks, open_regular

PAGE_SIZE = 4096

_ET_EXEC = 2
_SEARCHED_BYTES = 128 << 20
_CHUNK_BYTES = 1 << 20
_FITTING_BYTES = 64 << 10
"""How long a match may be."""

_DAMAGE = (ArithmeticError, LookupError, ValueError, struct.error, zlib.error)


@contextmanager
def reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EffortError, *_DAMAGE) as error:
        raise explain(path, error) from error


def explain(path: str, error: Exception) -> ElfError:
    if isinstance(error, OSError):
        return ElfError(f"cannot read {path}: {error.strerror}")
    if isinstance(error, EffortError):
        return ElfError(f"{path} was not read to its end: {error}")
    return ElfError(f"cannot read {path} as an ELF file: {error}")


@dataclass(frozen=True)
class Segment:
    """A PT_LOAD segment; `address` is link-time."""

    address: int
    offset: int
    file_size: int
    executable: bool
    memory_size: int = 0
    """In bytes, like `file_size`; what is more of it is zeros."""


class Section(NamedTuple):
    """A section, decompressed; `address` is link-time, 0 when it is not mapped."""

    address: int = 0
    content: bytes = b""


class _Account:
    """What may be spent at the moment: each stage of a trace has an `Effort` of its own."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort

    def spend(self, steps: int = 1, held_bytes: int = 0) -> None:
        self.effort.spend(steps, held_bytes)


class ElfFile:
    """An ELF file, read lazily and addressed by link-time address."""

    def __init__(self, path: str, effort: Effort | None = None, file: int | None = None) -> None:
        """Open the file at `path`.

        Args:
            path: The file; only a regular one is opened.
            effort: What reading it may take; by default it has an `Effort` of its own.
            file: Its descriptor, taken over, where it is open already.

        Raises:
            ElfError: it cannot be opened, is not a 64-bit ELF file, or is damaged.

        """
        self.path = path
        self._account = _Account(effort or Effort())
        with reading(path):
            self._bytes = FileBytes(open_regular(path) if file is None else file)
            self._headers = ElfHeaders(self._bytes, self._account.spend)
            self._dynamic = DynamicSection(self._headers, self._bytes, self._account.spend)
            self.segments = tuple(
                Segment(s.address, s.offset, s.file_size, bool(s.flags & PF_X), s.memory_size)
                for s in self._headers.segments
                if s.kind == PT_LOAD
            )
            self._code = tuple(segment for segment in self.segments if segment.executable)
            self.eh_frame_hdr = next(
                (
                    (s.address, s.memory_size)
                    for s in self._headers.segments
                    if s.kind == PT_GNU_EH_FRAME
                ),
                None,
            )
            """Link-time address and size of `.eh_frame_hdr`, or None."""

    def spend(self, steps: int = 1, held_bytes: int = 0) -> None:
        """Count work that the file causes, in steps of about a microsecond.

        Raises:
            ElfError: it is more than may be spent.

        """
        try:
            self._account.spend(steps, held_bytes)
        except EffortError as error:
            raise explain(self.path, error) from error

    def charge(self, effort: Effort) -> None:
        """Count work on another effort from now on."""
        self._account.effort = effort

    def close(self) -> None:
        """Close the file; what has not been read yet cannot be read any more."""
        self._bytes.close()

    @property
    def descriptor(self) -> int:
        """The descriptor of the open file; -1 once it is closed."""
        return self._bytes.descriptor

    @cached_property
    def header(self) -> bytes:
        """The beginning of the file: ELF header and, as a rule, program headers and notes."""
        return self._read_bytes(0, HEADER_SIZE)

    @cached_property
    def build_id(self) -> str | None:
        """The GNU build-id in hexadecimal, or None."""
        return parse_build_id(self.header, self._read_bytes)

    def address_of(self, offset: int) -> int:
        """Return the link-time address at which a page of the file is mapped; 0 if it is not."""
        for segment in self.segments:
            begin = segment.offset & -PAGE_SIZE
            if begin <= offset < segment.offset + segment.file_size:
                return (segment.address & -PAGE_SIZE) + offset - begin
        return 0

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes of the file at a link-time address.

        The result is shorter where the segment's file contents end, and empty outside all
        segments.

        Raises:
            ElfError: the file cannot be read, or there are too many bytes.

        """
        return self._read_from(self.segments, address, size)

    def read_code(self, address: int, size: int) -> bytes:
        """Do what `read` does, but return nothing outside executable segments."""
        return self._read_from(self._code, address, size)

    def read_behind(self, segment: Segment) -> bytes:
        """Return what is mapped with a segment behind its end: the rest of its last page.

        It is what the file has there, whatever that is, and zeros behind the end of the file.

        Raises:
            ElfError: the file cannot be read.

        """
        size = -(segment.address + segment.file_size) % PAGE_SIZE
        return self._read_bytes(segment.offset + segment.file_size, size).ljust(size, b"\0")

    def _read_from(self, segments: Iterable[Segment], address: int, size: int) -> bytes:
        for segment in segments:
            skip = address - segment.address
            if 0 <= skip < segment.file_size:
                return self._read_bytes(segment.offset + skip, min(size, segment.file_size - skip))
        return b""

    def _read_bytes(self, offset: int, size: int) -> bytes:
        try:
            if size > _CHUNK_BYTES:
                size = min(size, len(self._bytes) - offset)
                if size > MAX_SECTION_BYTES:
                    raise DamageError(f"{size:,} bytes are too many to be read")
                self._account.spend(max(size, 0) >> 10)
            return self._bytes.read(offset, size)
        except (OSError, EffortError, DamageError) as error:
            raise explain(self.path, error) from error

    def find_section(self, name: str) -> Section:
        """Return a section, decompressed; an empty one when the file lacks it.

        Raises:
            ElfError: the section is damaged.

        """
        with reading(self.path):
            section = self._headers.find_section(name)
            if section is None or section.kind == SHT_NOBITS:
                return Section()
            return Section(section.address, self._headers.hold(section))

    def has_section(self, name: str) -> bool:
        """Return whether the file has a section of that name with something in it.

        Raises:
            ElfError: the file is damaged.

        """
        with reading(self.path):
            section = self._headers.find_section(name)
            return section is not None and section.kind != SHT_NOBITS and section.size > 0

    def search(self, pattern: re.Pattern[bytes]) -> bytes | None:
        """Return the first group of the first match of `pattern` in the file.

        Longer matches than 64 KiB are not found, and only the first 128 MiB are searched.

        Raises:
            ElfError: the file cannot be read.

        """
        with reading(self.path):
            for offset, chunk in iter_chunks(self._bytes, _CHUNK_BYTES, _FITTING_BYTES):
                if offset >= _SEARCHED_BYTES:
                    break
                self._account.spend(_CHUNK_BYTES >> 10)
                match = pattern.search(chunk)
                if match:
                    return match.group(1)
        return None

    @property
    def soname(self) -> str | None:
        """What a shared library calls itself, such as `libc.so.6`; None for other files."""
        with reading(self.path):
            return self._dynamic.soname

    @cached_property
    def machine(self) -> int:
        """The architecture, `e_machine`."""
        return int.from_bytes(self.header[18:20], "little")

    @property
    def is_program(self) -> bool:
        """Whether it is no library: it has a fixed place, or a dynamic linker and no DT_SONAME."""
        kinds = {segment.kind for segment in self._headers.segments}
        return self.header[16] == _ET_EXEC or (PT_INTERP in kinds and self.soname is None)

    @property
    def dynamic_address(self) -> int | None:
        """Link-time address of the dynamic section (PT_DYNAMIC); None for a static program."""
        return self._dynamic.address
