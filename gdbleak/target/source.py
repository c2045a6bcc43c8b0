"""Where the bytes of a process come from: the seam between what reads it and where it is.

`Source` is THE seam. A process of this machine implements it (`live.LiveProcess`), and one behind a
gdbserver (`gdbleak/remote/process.py`). What plans breakpoints or looks at a heap knows no process,
only a source, or as much of it as reads bytes: `Readable`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gdbleak.readable import Readable
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.proc import Mapping


class Pages(NamedTuple):
    """A run of pages that hold something."""

    start: int
    end: int
    is_of_file: bool
    """Whether they are a file's, or memory that is shared: others may have written them."""


class Waiting(NamedTuple):
    """A thread that waits in a system call."""

    stack_pointer: int
    switches: int
    """How often it has been switched to: it has not run since if that is still the same."""


class Source(Readable, Protocol):
    """A process, as far as it can be read: its memory, and what is mapped there."""

    def read_mappings(self) -> list[Mapping]:
        """Return what is mapped now; nothing when the process has ended."""

    def read_modules(self) -> ModuleMap:
        """Return the program and libraries that are mapped now.

        Raises:
            TargetError: the process has ended, or cannot be read any more.

        """


class Searchable(Readable, Protocol):
    """A process whose whole memory can be searched."""

    def read_mappings(self) -> list[Mapping]:
        """Return what is mapped now; nothing when the process has ended."""

    def find_pages(self, start: int, end: int) -> list[Pages]:
        """Return the pages of a range that were ever touched; all of it where nobody can tell."""

    def find_waiting(self) -> dict[int, Waiting]:
        """Return the threads that wait in a system call, by their ids."""
