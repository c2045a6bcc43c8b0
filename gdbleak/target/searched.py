"""A running process whose whole memory is searched: read in large pieces, and never stopped."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.source import Pages, Waiting
from gdbleak.target.owners import Owner, owner_of_process
from gdbleak.target.proc import Mapping as Mapped
from gdbleak.target.proc import Memory, list_threads, read_mappings, read_switches
from gdbleak.target.remote_memory import RemoteMemory
from gdbleak.target.stacks import find_stacks
from gdbleak.target.threads import Thread, find_blocks_of_threads, read_threads

PAGE_BYTES = 4096
_ENTRY_BYTES = 8
_ENTRIES = 1 << 17
"""How many pages are asked for at once."""
_SHARED_MEMORY = ("/memfd:", "/dev/shm/", "/dev/zero", "/SYSV")
_MOST_WHOLE = 256 << 20
"""So much of a file is read though the process may not have touched it; and so much shared memory
where it cannot be told what of it holds something."""
_BACKED = np.uint64(3 << 62)
_OF_FILE = np.uint64(1 << 61)
"""Bits of an entry of /proc/PID/pagemap: present or swapped out; and a page that is a file's.
Source: "pagemap, from the userspace perspective" in the manual of Linux."""


class SearchedProcess:
    """The memory of a process, and where its threads wait. A context."""

    def __init__(self, pid: int) -> None:
        """Open it, for which the kernel asks for the same permission as for an attach.

        Args:
            pid: The process.

        """
        self.pid = pid
        self._memory = RemoteMemory(pid)
        self._shared: list[Mapped] = []
        """Memory that other processes may have written; not of large files."""
        self._file: Memory | None = None
        try:
            self._file = Memory(pid)
        except OSError:  # the process has ended; or only the system call is allowed
            self._file = None
        try:
            self._pagemap: int | None = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # then memory is read that was never touched too
            self._pagemap = None

    def __enter__(self) -> SearchedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()
        if self._file is not None:
            self._file.close()
        if self._pagemap is not None:
            os.close(self._pagemap)

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer where unmapped memory begins, none when it is gone.

        Raises:
            PermissionError: the process may not be looked at.

        """
        data = self._memory.read(address, size)
        if not data and self._file is not None:  # this way also what nobody may access
            data = self._file.read(address, size)
        return data

    def read_mappings(self) -> list[Mapped]:
        """Return what is mapped now; nothing when the process has ended."""
        mappings = read_mappings(self.pid)
        self._shared = [
            each
            for each in mappings
            if each.permissions[3] == "s"
            and (each.path.startswith(_SHARED_MEMORY) or each.end - each.start <= _MOST_WHOLE)
        ]
        return mappings

    def find_pages(self, start: int, end: int) -> list[Pages]:
        """Return the pages of a range that were ever touched; all of it where nobody can tell."""
        shared = next((each for each in self._shared if each.start <= start < each.end), None)
        if shared and (pages := self._find_data(shared, start, end)) is not None:
            return pages
        if self._pagemap is None:
            return [Pages(start, end, False)]
        found: list[Pages] = []
        last = -(-end // PAGE_BYTES)
        for first in range(start // PAGE_BYTES, last, _ENTRIES):
            count = min(_ENTRIES, last - first)
            with suppress(OSError):  # the process has ended
                data = os.pread(self._pagemap, count * _ENTRY_BYTES, first * _ENTRY_BYTES)
                found += _iter_runs(first, np.frombuffer(data, np.uint64))
        return found

    def _find_data(self, mapping: Mapped, start: int, end: int) -> list[Pages] | None:
        """Return the pages of shared memory that hold something; None if that cannot be told.

        The page tables of the process lack those that it has not touched since they were taken from
        it, when memory was scarce, say.
        """
        name = f"/proc/{self.pid}/map_files/{mapping.start:x}-{mapping.end:x}"
        ahead = mapping.offset - mapping.start
        found = []
        try:
            with Path(name).open("rb") as file:
                at = start
                while at < end:
                    first = os.lseek(file.fileno(), at + ahead, os.SEEK_DATA) - ahead
                    at = os.lseek(file.fileno(), first + ahead, os.SEEK_HOLE) - ahead
                    if first < end:
                        found.append(Pages(first, min(at, end), True))
        except PermissionError:  # only for root
            is_small = mapping.end - mapping.start <= _MOST_WHOLE
            return [Pages(start, end, True)] if is_small else None
        except OSError as error:
            if error.errno != errno.ENXIO:  # there is no more data
                return None
        return found

    def find_waiting(self) -> dict[int, Waiting]:
        """Return the threads that wait in a system call, by their ids."""
        found = {}
        for thread in list_threads(self.pid):
            with suppress(OSError, ValueError, IndexError):  # it has ended, or runs
                switches = read_switches(self.pid, thread)
                text = Path(f"/proc/{self.pid}/task/{thread}/syscall").read_text()
                found[thread] = Waiting(int(text.split()[-2], 16), switches)
        return found

    def find_stacks(self, waiting: Mapping[int, Waiting]) -> dict[int, tuple[int, int]]:
        """Return from where to where the stacks of threads lie, as far as that is certain."""
        return find_stacks(self.pid, waiting, self.read_mappings(), self)

    def find_threads(self) -> list[Thread]:
        """Return the threads, with registers only of those that wait in a system call."""
        return read_threads(self.pid)

    def find_own_blocks(
        self, mappings: Sequence[Mapped], threads: Sequence[Thread]
    ) -> dict[int, int]:
        """Return by their ids where threads have their own block."""
        return find_blocks_of_threads(self, mappings, threads)

    def find_owner(self) -> Owner | None:
        """Return as whom to run programs that read its files; None for ourselves."""
        return owner_of_process(self.pid)


def _iter_runs(first: int, entries: NDArray[np.uint64]) -> Iterator[Pages]:
    """Yield the runs of pages that hold something, by their entries, from a page on."""
    kinds = np.where(entries & _BACKED, 1 + (entries & _OF_FILE > 0), 0)
    edges = np.flatnonzero(np.diff(kinds)) + 1
    for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(kinds)]):
        if start < end and kinds[start]:
            yield Pages(
                (first + start) * PAGE_BYTES, (first + end) * PAGE_BYTES, bool(kinds[start] == 2)
            )
