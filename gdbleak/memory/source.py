"""What a search asks of a process, wherever that runs: the seam between the two. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from gdbleak.readable import Readable


class Mapped(Protocol):
    """What is asked of a line of /proc/PID/maps."""

    @property
    def start(self) -> int:
        """Its first address."""

    @property
    def end(self) -> int:
        """The address behind it."""

    @property
    def permissions(self) -> str:
        """Such as `rw-p`."""

    @property
    def inode(self) -> int:
        """Of its file; 0 without one."""

    @property
    def path(self) -> str:
        """Of its file, or a name such as `[stack]`."""


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


class Searchable(Readable, Protocol):
    """A process whose whole memory can be searched."""

    def read_mappings(self) -> Sequence[Mapped]:
        """Return what is mapped now, in order of address; nothing when the process has ended."""

    def find_pages(self, start: int, end: int) -> list[Pages]:
        """Return the pages of a range that were ever touched; all of it where nobody can tell."""

    def find_waiting(self) -> dict[int, Waiting]:
        """Return the threads that wait in a system call, by their ids."""

    def find_stacks(self, waiting: Mapping[int, Waiting]) -> dict[int, tuple[int, int]]:
        """Return from where to where the stacks of threads lie, as far as that is certain."""
