"""Fast repeated reads of one word at each of many addresses of a running process."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Iterator

from gdbleak.heap.snapshot import PAGE_BYTES

WORD_BYTES = 8
GAP_PAGES = 4
"""Reading so many pages too many takes no longer than another range."""
RANGES = 1024
"""How many ranges the kernel reads in one call (IOV_MAX)."""

_libc = ctypes.CDLL(None, use_errno=True)


class Words:
    """The words at some addresses.

    Source: process_vm_readv(2), since Linux 3.2. It asks for the permission to attach to the
    process, and stops nobody.
    """

    def __init__(self, pid: int, addresses: Iterable[int]) -> None:
        """Prepare to read the words at these addresses, multiples of 8."""
        self._pid = pid
        self._prepare(sorted(addresses), GAP_PAGES)

    def _prepare(self, addresses: list[int], gap_pages: int) -> None:
        self._gap_pages = gap_pages
        self._places: list[int] = []
        remote: list[int] = []
        size = 0
        for members in _iter_runs(addresses, gap_pages):
            if len(remote) == 2 * RANGES:
                break
            start = members[0] & -PAGE_BYTES
            length = (members[-1] | PAGE_BYTES - 1) + 1 - start
            remote += (start, length)
            self._places += ((size + address - start) // WORD_BYTES for address in members)
            size += length
        self.addresses = addresses[: len(self._places)]
        self._buffer = ctypes.create_string_buffer(size)
        self._words = memoryview(self._buffer).cast("B").cast("Q")
        self._remote = struct.pack(f"@{len(remote)}N", *remote)
        self._ranges = len(remote) // 2
        self._local = struct.pack("@NN", ctypes.addressof(self._buffer), size)

    def read(self) -> dict[int, int]:
        """Return the words by their addresses.

        What is not mapped any more is missing, and what lies behind it until the next time.

        Raises:
            OSError: the kernel has no such call, or refuses it, or the process has ended.

        """
        if not self._ranges:
            return {}
        size: int = _libc.process_vm_readv(
            *(self._pid, self._local, ctypes.c_ulong(1)),
            *(self._remote, ctypes.c_ulong(self._ranges), ctypes.c_ulong(0)),
        )
        error = ctypes.get_errno()
        if size < 0 and error != errno.EFAULT:
            raise OSError(error, os.strerror(error))
        words, limit = self._words, max(size, 0) // WORD_BYTES
        pairs = zip(self.addresses, self._places)
        found = {address: words[place] for address, place in pairs if place < limit}
        if limit < len(words):
            self._leave_out(len(found))
        return found

    def _leave_out(self, index: int) -> None:
        """Leave out the page of an address; only where ranges are pages is that the one."""
        addresses = self.addresses
        if not self._gap_pages and index < len(addresses):
            page = addresses[index] // PAGE_BYTES
            addresses = [address for address in addresses if address // PAGE_BYTES != page]
        self._prepare(addresses, gap_pages=0)


def _iter_runs(addresses: list[int], gap_pages: int) -> Iterator[list[int]]:
    """Yield the addresses of one range after the other."""
    members: list[int] = []
    for address in addresses:
        if members and address // PAGE_BYTES - members[-1] // PAGE_BYTES > gap_pages:
            yield members
            members = []
        members.append(address)
    if members:
        yield members
