"""The memory of a process as a core file holds it, and what stands in other files."""

from __future__ import annotations

import errno
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.elf.core_file import Part
from gdbleak.errors import ElfError
from gdbleak.host.files import FileBytes
from gdbleak.memory.pieces import PAGE_BYTES, PIECE_BYTES
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.core_mappings import MappingTable

_MOST_COUNTED = 8 << 30
"""So many bytes are looked at for pages of zeros; that takes some seconds."""
_SAMPLES = 16
_BLOCK_BYTES = 512
"""Of st_blocks: stat(2)."""


class HeldMemory:
    """The memory that the core file holds itself."""

    def __init__(self, data: FileBytes, parts: Sequence[Part]) -> None:
        self._data = data
        found = os.fstat(data.descriptor)
        self._is_dense = found.st_blocks * _BLOCK_BYTES >= found.st_size
        """Whether pages of zeros were written too, as older versions of GDB do."""
        self._left_to_count = _MOST_COUNTED
        self._parts = [part for part in parts if part.held]
        self._starts = [part.start for part in self._parts]
        self._cut = [part for part in parts if part.cut]
        self._cut_starts = [part.start for part in self._cut]

    def _find(self, address: int) -> Part | None:
        index = bisect_right(self._starts, address) - 1
        part = self._parts[index] if index >= 0 else None
        return part if part and address < part.start + part.held else None

    def holds(self, address: int) -> bool:
        """Return whether the file holds the byte at an address."""
        return self._find(address) is not None

    def is_cut(self, address: int) -> bool:
        """Return whether the byte at an address is in a segment whose end was cut off."""
        index = bisect_right(self._cut_starts, address) - 1
        return index >= 0 and address < self._cut[index].end

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer where a segment ends."""
        part = self._find(address)
        if part is None:
            return b""
        skip = address - part.start
        try:
            return self._data.read(part.offset + skip, min(size, part.held - skip))
        except OSError:  # a disk that fails
            return b""

    def find_data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the runs of pages of a range that the file holds, without its holes."""
        index = max(bisect_right(self._starts, start) - 1, 0)
        for part in self._parts[index : bisect_left(self._starts, end)]:
            first, last = max(start, part.start), min(end, part.start + part.held)
            if first < last:
                yield from self._skip_holes(first, last, part.offset - part.start)

    def count_filled(self, start: int, end: int) -> int:
        """Return how many bytes of a range the file holds, without pages that nobody has touched.

        A file without holes has these as zeros; then pages of zeros do not count.
        """
        filled = 0
        for first, last in self.find_data(start, end):
            if not self._is_dense or self._left_to_count < last - first:
                filled += last - first
                continue
            self._left_to_count -= last - first
            for at in range(first, last, PIECE_BYTES):
                data = self.read(at, min(PIECE_BYTES, last - at))
                words = np.frombuffer(
                    data.ljust(-(-len(data) // PAGE_BYTES) * PAGE_BYTES, b"\0"), "Q"
                )
                filled += PAGE_BYTES * int(words.reshape(-1, PAGE_BYTES // 8).any(axis=1).sum())
        return filled

    def seems_empty(self, start: int, end: int) -> bool:
        """Return whether a range consists of zeros, as far as samples tell."""
        step = max((end - start) // _SAMPLES & -PAGE_BYTES, PAGE_BYTES)
        return not any(self.read(at, PAGE_BYTES).strip(b"\0") for at in range(start, end, step))

    def _skip_holes(self, start: int, end: int, ahead: int) -> Iterator[tuple[int, int]]:
        """Yield the pages of a range that are not in holes.

        Args:
            start: The first address.
            end: The one behind the last.
            ahead: By how much offsets in the file are larger than addresses.

        """
        begin = at = start
        while at < end:
            try:
                data = os.lseek(self._data.descriptor, at + ahead, os.SEEK_DATA) - ahead
                hole = os.lseek(self._data.descriptor, data + ahead, os.SEEK_HOLE) - ahead
            except OSError as error:
                if error.errno == errno.ENXIO:  # there is no more data
                    return
                data, hole = at, end  # this file system knows no holes
            # Blocks of the file need not be pages.
            data = max(data & -PAGE_BYTES, begin)
            at = begin = min(-(-hole // PAGE_BYTES) * PAGE_BYTES, end)
            if data < at:
                yield data, at


class LeftOutMemory:
    """What the core leaves out, and a file of a module has: the process has not written it.

    The kernel leaves out private mappings of files that were never written to, whether that is
    allowed or not.
    """

    def __init__(self, mappings: MappingTable, modules: ModuleMap, images: ImageCache) -> None:
        """Prepare.

        Args:
            mappings: Of the process.
            modules: With their files.
            images: Keeps these.

        """
        self._images = images
        self._modules = modules
        self._mappings = mappings

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer where the file or the mapping ends."""
        line = self._mappings.find(address)
        if line is None or not line.inode:
            return b""
        module = self._modules.find(address)
        if module is None or module.file is None or module.path != line.path:
            return b""
        skip = address - line.start
        size = min(size, line.end - address)
        try:
            image = self._images.open(module.file, Effort())
            return os.pread(image.descriptor, size, line.offset + skip)
        except (ElfError, OSError, OverflowError):
            return b""
