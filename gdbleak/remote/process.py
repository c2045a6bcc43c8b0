"""A process on another machine, read through a gdbserver there: its files, and its /proc.

Source: GDB manual, "Connecting to a Remote Target" and "Host I/O Packets".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from gdbleak.architectures import X86_64
from gdbleak.debugger.interface import Debugger
from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import (
    AlreadyTracedError,
    AttachError,
    DebuggerFailedError,
    ElfError,
    NoSuchProcessError,
    ProcessUnusableError,
)
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.recording.probes import Probe
from gdbleak.target.proc import Mapping, memory_of, parse_mapping
from gdbleak.target.process import Target
from gdbleak.target.source import Source

CONNECT_TIMEOUT_S = 20.0
COMMAND_TIMEOUT_S = 30.0
FETCH_TIMEOUT_S = 600.0

_SETTINGS = (
    # Otherwise GDB halts every thread at each breakpoint, and cannot detach a running process.
    "maint set target-non-stop on",
    f"set tcp connect-timeout {CONNECT_TIMEOUT_S / 4:.0f}",
)


class RemoteProcess(Source):
    """A process that a gdbserver can see."""

    def __init__(self, debugger: Debugger, folder: Path, address: str, images: ImageCache) -> None:
        """Connect to a gdbserver.

        Args:
            debugger: A GDB without a process.
            folder: Its private folder.
            address: HOST:PORT.
            images: Keeps copies of its ELF files for those who read them later.

        Raises:
            AttachError: there is no gdbserver.

        """
        self._images = images
        self.modules: tuple[Module, ...] = ()
        """The modules that were read last."""
        self.address = address
        self._files = 0
        self.connect(debugger, folder)

    def connect(self, debugger: Debugger, folder: Path) -> None:
        """Connect to the gdbserver; again, should the GDB before have died.

        Args:
            debugger: A GDB without a process.
            folder: Its private folder.

        Raises:
            AttachError: there is no gdbserver.

        """
        self._debugger = debugger
        self._folder = folder
        for setting in _SETTINGS:
            debugger.execute_console(setting, COMMAND_TIMEOUT_S)
        try:
            debugger.execute_console(f"target extended-remote {self.address}", CONNECT_TIMEOUT_S)
        except DebuggerFailedError as error:
            raise AttachError(
                f"no gdbserver answers at {self.address}: {error}",
                "on the other machine: `gdbserver --multi HOST:PORT`; see docs/legacy-boxes.md",
            ) from error
        self.pid = self._held_pid()
        """Id of the process that gdbserver was attached to from the start, or 0."""

    def _held_pid(self) -> int:
        record, _ = self._debugger.execute("-list-thread-groups", COMMAND_TIMEOUT_S)
        groups: list[dict[str, Any]] = record["payload"]["groups"]
        return int(groups[0].get("pid", 0)) if groups else 0

    def choose(self, pid: int | None) -> None:
        """Decide which process to trace.

        Raises:
            AttachError: none was given, or gdbserver holds another one.

        """
        if pid is None and not self.pid:
            raise AttachError(
                f"the gdbserver at {self.address} is not attached to a process",
                f"gdbleak trace PID --remote {self.address}",
            )
        if pid is not None and self.pid not in (0, pid):
            raise AttachError(
                f"the gdbserver at {self.address} is attached to process {self.pid}, not {pid}",
                f"gdbleak trace --remote {self.address}",
            )
        self._is_held = bool(self.pid)
        self.pid = self.pid or pid or 0

    def attach(self) -> None:
        """Have gdbserver attach, unless it is; the process stands still from now on.

        Raises:
            AttachError: it cannot.

        """
        if self._is_held:
            return
        try:
            self._debugger.execute_console(f"attach {self.pid}", COMMAND_TIMEOUT_S)
        except DebuggerFailedError as error:
            raise AttachError(
                f"gdbserver could not attach to process {self.pid}: {error}",
                "start gdbserver as root, or as the owner of the process",
            ) from error

    def fetch(self, path: str) -> Path:
        """Copy a file from there.

        Raises:
            DebuggerFailedError: it cannot be read.

        """
        self._files += 1
        copy = self._folder / f"copy-{self._files}"
        quoted = json.dumps(path, ensure_ascii=False)
        self._debugger.execute_console(f"remote get {quoted} {copy.name}", FETCH_TIMEOUT_S)
        return copy

    def answers(self) -> bool:
        """Whether the connection stands."""
        try:
            self.fetch("/proc/version").unlink()
        except DebuggerFailedError:
            return False
        return True

    def read_text(self, name: str) -> str:
        """Return a file of /proc/PID; empty when the process has ended."""
        try:
            copy = self.fetch(f"/proc/{self.pid}/{name}")
        except DebuggerFailedError:
            return ""
        text = copy.read_text(errors="surrogateescape")
        copy.unlink()
        return text

    def status(self) -> dict[str, str]:
        """Return the fields of /proc/PID/status; none when it has ended."""
        fields = (line.partition(":") for line in self.read_text("status").splitlines())
        return {key: value.strip() for key, _, value in fields}

    def inspect(self) -> Target:
        """Describe the process.

        Raises:
            TargetError: it cannot be traced.

        """
        status = self.status()
        if not status:
            raise NoSuchProcessError(
                f"there is no process {self.pid} where the gdbserver at {self.address} runs",
                "list processes there with `ps -eo pid,comm`",
            )
        tracer = status.get("TracerPid", "0")
        if tracer != "0" and not self._is_held:
            raise AlreadyTracedError(
                f"process {self.pid} ({status['Name']}) is traced by process {tracer}",
                "detach that tracer first, from within",
            )
        mappings = self.read_mappings()
        command = self.read_text("cmdline").replace("\0", " ").strip()
        exe = next((mapping.path for mapping in mappings if mapping.inode), None)
        return Target(
            pid=self.pid,
            namespace_pid=None,
            command=command or status["Name"],
            exe=exe,
            started=None,
            threads=int(status["Threads"]),
            state=status["State"][:1],
        )

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes, or none where they cannot be read, as before the attach.

        GDB hides its own breakpoints in them.
        """
        command = f"-data-read-memory-bytes {address:#x} {size}"
        try:
            record, _ = self._debugger.execute(command, COMMAND_TIMEOUT_S)
        except DebuggerFailedError:
            return b""
        return bytes.fromhex(record["payload"]["memory"][0]["contents"])

    def read_mappings(self) -> list[Mapping]:
        """Return the mappings of the process."""
        return [parse_mapping(line) for line in self.read_text("maps").splitlines()]

    def resident_set(self) -> int | None:
        """Return the resident set in bytes, or None when the process has ended."""
        size = self.status().get("VmRSS")
        return int(size.split()[0]) << 10 if size else None

    def memory_status(self) -> dict[str, int]:
        """Return what kinds of memory the process holds, as `proc.memory_status` does."""
        return memory_of(self.status())

    def read_modules(self) -> ModuleMap:
        """Copy the program and libraries, and return where they are mapped.

        Raises:
            ProcessUnusableError: they are of another architecture.

        """
        self.modules = tuple(self._iter_modules())
        return ModuleMap(self.modules)

    def _iter_modules(self) -> Iterator[Module]:
        named = [mapping for mapping in self.read_mappings() if mapping.inode and mapping.path]
        for path, group in groupby(named, key=lambda mapping: mapping.path):
            lines = list(group)
            first, end = lines[0], lines[-1].end
            if not any(line.executable for line in lines):
                continue
            try:
                file = str(self.fetch(path))
                self._check_architecture(file)
                image = self._images.open(file, Effort())
            except (DebuggerFailedError, ElfError) as error:
                yield Module(path, first.start, end, first.start, None, None, str(error))
                continue
            bias = first.start - image.address_of(first.offset)
            yield Module(path, first.start, end, bias, image.build_id, file)

    def _check_architecture(self, file: str) -> None:
        """Look at the ELF header: byte 4 is the class, 18 and 19 the machine."""
        with Path(file).open("rb") as data:
            header = data.read(20)
        machine = X86_64.elf_machine_number.to_bytes(2, "little")
        if header[:4] == b"\x7fELF" and (header[4:5], header[18:20]) != (b"\x02", machine):
            raise ProcessUnusableError(
                f"process {self.pid} at {self.address} is not an x86-64 program",
                "gdbleak traces x86-64 programs only; see docs/limits.md",
            )

    def free(self, probes: Iterable[Probe]) -> None:
        """Let the process go after the GDB has died that set breakpoints in it.

        gdbserver keeps the process and the breakpoints, whatever becomes of a connection, and
        leaves them in at a detach.
        """
        for probe in probes:
            packet = f"maint packet z0,{probe.address:x},{len(X86_64.breakpoint)}"
            self._debugger.execute_console(packet, COMMAND_TIMEOUT_S)
        self._debugger.execute("-target-detach", COMMAND_TIMEOUT_S)
