"""Files whose paths come from somebody else, such as a traced process: opened and read with care.

A path may lead to a FIFO, and opening that may wait for ever, or to a device, and opening that may
change it. A file may be cut short while it is read, and a process that has mapped it dies of
SIGBUS. So only regular files are opened, and none is mapped.

Source: open(2) for O_PATH, which opens nothing yet; proc(5) for /proc/self/fd.
"""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from typing import Protocol

_PLACE = os.O_PATH | os.O_NONBLOCK | os.O_CLOEXEC  # a kernel before 2.6.39 knows no O_PATH
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_BLOCK_BYTES = 16 << 10
_BLOCKS = 16
"""How many blocks of each file are kept."""


def open_regular(path: str, *, follow: bool = True) -> int:
    """Return a descriptor of the regular file at a path, to be read.

    Args:
        path: May come from anybody: nothing but a regular file is opened, without waiting.
        follow: Whether the last part of the path may be a link.

    Raises:
        OSError: the file does not exist, is not a regular one, or may not be read.

    """
    flags = _PLACE | (0 if follow else os.O_NOFOLLOW)
    try:
        place = os.open(path, flags)
    except OSError as error:
        if error.errno != errno.EMFILE or not _raise_limit():
            raise
        place = os.open(path, flags)
    try:
        _check_kind(path, place)
        file = os.open(f"/proc/self/fd/{place}", _READ)
    finally:
        os.close(place)
    return file


def _raise_limit() -> bool:
    """Raise the limit of open files as far as possible; return whether that changed it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return True


def _check_kind(path: str, place: int) -> None:
    mode = os.fstat(place).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file", path)


class Bytes(Protocol):
    """Bytes in a file or in memory."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from an offset on; fewer where they end."""


class HeldBytes:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from an offset on; fewer where they end."""
        return self._data[offset : offset + size] if offset >= 0 else b""


class FileBytes:
    """The bytes of a file, read when they are asked for.

    What is cut off meanwhile is missing; what is written meanwhile may be seen or not.
    """

    def __init__(self, file: int) -> None:
        """Take over a descriptor."""
        self._file = file
        self._size = os.fstat(file).st_size
        self._blocks: dict[int, bytes] = {}

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, once or again; what has not been read yet cannot be read any more."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    @property
    def descriptor(self) -> int:
        """Of the open file; -1 once it is closed."""
        return self._file

    def __len__(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from an offset on; fewer where they end.

        Raises:
            OSError: the kernel cannot read them.

        """
        size = min(size, self._size - offset)
        if offset < 0 or size <= 0:
            return b""
        number, begin = divmod(offset, _BLOCK_BYTES)
        if begin + size > _BLOCK_BYTES:
            return os.pread(self._file, size, offset)
        block = self._blocks.get(number)
        if block is None:
            if len(self._blocks) == _BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            block = os.pread(self._file, _BLOCK_BYTES, number * _BLOCK_BYTES)
            self._blocks[number] = block
        return block[begin : begin + size]


class PartOfBytes:
    """A part of other bytes."""

    def __init__(self, whole: Bytes, offset: int, size: int) -> None:
        self._whole = whole
        self._offset = offset
        self._size = max(min(size, len(whole) - offset), 0)

    def __len__(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from an offset on; fewer where they end."""
        size = min(size, self._size - offset)
        return self._whole.read(self._offset + offset, size) if offset >= 0 and size > 0 else b""


def iter_chunks(data: Bytes, chunk_bytes: int, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield bytes in large pieces, each with its offset and the beginning of the next one."""
    for offset in range(0, len(data), chunk_bytes):
        yield offset, data.read(offset, chunk_bytes + overlap)
