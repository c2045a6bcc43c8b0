"""The memory of a heap, of which nothing is read that the process has not touched.

To read a page that was never touched, or was given back, makes the kernel map one of zeros there:
that costs the process page tables, and no one can tell any more that there was nothing.
"""

from __future__ import annotations

from gdbleak.memory.source import Searchable


class Touched:
    """The memory of a process that runs; what it has not touched reads as zeros."""

    def __init__(self, process: Searchable) -> None:
        self._process = process

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer where unmapped memory begins."""
        end = address + size
        runs = [
            (max(run.start, address), min(run.end, end))
            for run in self._process.find_pages(address, end)
        ]
        if not runs or runs == [(address, end)]:
            return self._process.read(address, size)
        data = bytearray(size)
        for start, behind in runs:
            found = self._process.read(start, behind - start)
            data[start - address : start - address + len(found)] = found
        return bytes(data)
