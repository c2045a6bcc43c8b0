"""What a look at a whole heap asks of a process, wherever that is: the seam, and a live process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from gdbleak.elf.cache import ImageCache
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.held import HeldProcess
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import list_threads
from gdbleak.target.process import read_command
from gdbleak.target.registers import read_registers
from gdbleak.target.searched import SearchedProcess
from gdbleak.target.threads import Inhabited
from gdbleak.target.usage import Usage, read_usage


class ThreadName(NamedTuple):
    """A thread that a person is told of."""

    id: int
    name: str

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.name else str(self.id)


class Examined(Inhabited, Protocol):
    """A process that runs, or that a core file shows. A context."""

    command: str
    """Its command line."""
    is_core: bool
    """Whether nothing can change any more."""
    written_s: float | None
    """When a core file was written, as POSIX time; None for a process that runs."""
    notes: list[str]
    """What a core file lacks, in sentences."""

    def __enter__(self) -> Examined: ...

    def __exit__(self, *error: object) -> None: ...

    def read_modules(self) -> ModuleMap:
        """Return the program and libraries that are mapped.

        Raises:
            TargetError: the process has ended, or cannot be read any more.

        """

    def read_usage(self) -> dict[int, Usage]:
        """Return what each mapping takes of memory, by its start; nothing where nobody knows."""

    def read_threads(self) -> list[ThreadName]:
        """Return the threads, the first one of the process first."""

    def read_registers(self) -> dict[int, list[int]]:
        """Return what stands in the registers of threads, by their ids."""


class ExaminedProcess(SearchedProcess):
    """A process of this machine. It is not stopped; `read_registers` halts threads for a moment."""

    is_core = False
    written_s: float | None = None

    def __init__(self, pid: int, images: ImageCache) -> None:
        """Open it.

        Args:
            pid: The process.
            images: Keeps its ELF files.

        Raises:
            TargetError: it has ended, or may not be looked at.

        """
        self._files = ExitStack()
        self._held_registers: dict[int, list[int]] | None = None
        self.notes: list[str] = []
        self._live = self._files.enter_context(LiveProcess(pid, images))
        try:
            self.command = read_command(pid)
            super().__init__(pid)
        except BaseException:
            self._files.close()
            raise

    def __enter__(self) -> ExaminedProcess:
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._files.close()

    def read_modules(self) -> ModuleMap:
        """Return the program and libraries that are mapped now.

        Raises:
            TargetError: the process has ended, or cannot be read any more.

        """
        return self._live.read_modules()

    def read_usage(self) -> dict[int, Usage]:
        """Return what each mapping takes of memory, by its start."""
        return read_usage(self.pid)

    def read_threads(self) -> list[ThreadName]:
        """Return the threads, the first one of the process first."""
        threads = []
        for thread in sorted(list_threads(self.pid), key=lambda each: (each != self.pid, each)):
            with suppress(OSError):  # it has ended
                name = Path(f"/proc/{self.pid}/task/{thread}/comm").read_text(errors="replace")
                threads.append(ThreadName(thread, name.rstrip("\n")))
        return threads

    @contextmanager
    def hold(self, limit_s: float, wants_registers: bool = True) -> Iterator[HeldProcess]:
        """Hold the process: none of its threads runs meanwhile.

        Args:
            limit_s: How long; then it is let go, whatever we do.
            wants_registers: Whether registers will be asked for.

        Raises:
            TargetError: it cannot be held.

        """
        with HeldProcess(self.pid, limit_s, wants_registers) as held:
            self._held_registers = held.registers
            try:
                yield held
            finally:
                self._held_registers = None

    def read_registers(self) -> dict[int, list[int]]:
        """Return what stands in the registers of threads, by their ids."""
        if self._held_registers is not None:
            return self._held_registers
        return read_registers(self.pid)
