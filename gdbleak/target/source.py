"""Where the bytes of a process come from: the seam between what reads it and where it is.

`Source` is THE seam. A process of this machine implements it (`live.LiveProcess`), and one behind a
gdbserver (`gdbleak/remote/process.py`). What plans breakpoints or looks at a heap knows no process,
only a source, or as much of it as reads bytes: `Readable`.
"""

from __future__ import annotations

from typing import Protocol

from gdbleak.readable import Readable
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.proc import Mapping


class Source(Readable, Protocol):
    """A process, as far as it can be read: its memory, and what is mapped there."""

    def read_mappings(self) -> list[Mapping]:
        """Return what is mapped now; nothing when the process has ended."""

    def read_modules(self) -> ModuleMap:
        """Return the program and libraries that are mapped now.

        Raises:
            TargetError: the process has ended, or cannot be read any more.

        """
