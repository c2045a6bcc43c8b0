"""What is compared: each way to watch the allocations of a process, by its command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from spans import RECORDING, Sign

from gdbleak.plan.allocators import find_allocators, plan_probes
from gdbleak.plan.selection import Selection
from gdbleak.recording.probes import Role
from gdbleak.target.link_map import read_search_order
from gdbleak.target.modules import ModuleReader
from gdbleak.target.proc import Memory, read_mappings

NAIVE = Path(__file__).with_name("naive_gdb.py")
MODES: tuple[tuple[str, ...], ...] = (
    ("--budget", "100"),
    ("--budget", "100", "--usable-sizes"),
    ("--budget", "30"),
    ("--budget", "10"),
    ("--probe", "inline"),
)
"""Options of `gdbleak trace`, a row of the table each."""


@dataclass(frozen=True)
class Job:
    """What a tool is told."""

    pid: int
    seconds: float
    folder: Path
    """Where the programs of `targets` are, and where a tool may leave files."""


@dataclass(frozen=True)
class Peer:
    """A row of the table."""

    name: str
    command: Callable[[Job], list[str]] | None = None
    """How to start it on a process; None: there is nothing to start."""
    program: str | None = None
    """What has to be installed."""
    wrapper: tuple[str, ...] = ()
    """How the target's own command begins, for a tool that must be there from the start."""
    sign: Sign = Sign.TRACED
    """What tells when it records."""
    threads: int = 1 << 16
    """How many threads it can follow."""
    serves: bool = True
    """Whether it is tried on redis too."""


def raw_stop(kind: str) -> Callable[[Job], list[str]]:
    """Return the command of the raw loop."""

    def command(job: Job) -> list[str]:
        places = [hex(address) for address in find_stops(job.pid)]
        return [str(job.folder / "raw_stop"), kind, str(job.pid), f"{job.seconds:.0f}", *places]

    return command


def find_stops(pid: int) -> list[int]:
    """Return where malloc returns and free begins in a process."""
    with Memory(pid) as memory:
        reader = ModuleReader(pid, memory)
        try:
            modules = reader.read(read_mappings(pid))
            found = find_allocators(modules, read_search_order(pid, memory), Selection())
            return [
                probe.address
                for probe in plan_probes(found, memory).probes
                if (probe.function, probe.role) in {("malloc", Role.RETURN), ("free", Role.ENTRY)}
            ]
        finally:
            reader.close()


def naive(job: Job) -> list[str]:
    """Return the command of the obvious GDB script."""
    begin = ["gdb", "-nx", "-batch", "-p", str(job.pid)]
    return [*begin, "-ex", f"python SECONDS = {job.seconds}", "-x", str(NAIVE)]


def heaptrack(job: Job) -> list[str]:
    """Return the command of heaptrack, which injects a library."""
    return ["heaptrack", "-o", str(job.folder / "heaptrack"), "-p", str(job.pid)]


def gdbleak(options: tuple[str, ...]) -> Callable[[Job], list[str]]:
    """Return the command of gdbleak with some options."""

    def command(job: Job) -> list[str]:
        begin = [sys.executable, "-m", "gdbleak", "trace", str(job.pid)]
        place = str(job.folder / RECORDING)
        # What is said last counts: breakpoints, unless the row is about the other probe.
        begin += ["--probe", "breakpoint", "--duration", str(job.seconds), "--save", place]
        return [*begin, *options]

    return command


RAW = "raw ptrace, int3 + step"
"""The row that says what one stop costs."""
UNTRACED = "untraced"
PEERS = (
    Peer(UNTRACED),
    Peer(RAW, raw_stop("int3"), threads=1, serves=False),
    Peer("raw ptrace, hardware", raw_stop("hardware"), threads=1, serves=False),
    Peer("obvious GDB script", naive, "gdb", serves=False),
    Peer("heaptrack, attached", heaptrack, "heaptrack", sign=Sign.INJECTED),
    Peer("valgrind, from the start", None, "valgrind", ("valgrind", "-q"), serves=False),
    *(
        Peer(" ".join(("gdbleak", *options)), gdbleak(options), "gdb", sign=Sign.RECORDING)
        for options in MODES
    ),
)


def missing(peer: Peer) -> bool:
    """Return whether a peer's program is not installed."""
    return peer.program is not None and which(peer.program) is None
