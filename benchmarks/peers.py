"""What is measured: gdbleak in each of its modes, and what else there is for the purpose."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdbleak.allocator_search import find_allocators, plan_probes
from gdbleak.modules import ModuleReader
from gdbleak.plan import Role
from gdbleak.proc import Memory, list_threads, read_mappings

HERE = Path(__file__).parent
LASTS_S = 600

Command = Callable[[int, Path], Sequence[str]]
"""Returns what to start, given the target's PID and the folder of the compiled programs."""


@dataclass(frozen=True)
class Peer:
    """A tool that is attached to a running process."""

    name: str
    command: Command
    end: signal.Signals = signal.SIGINT
    """What makes it detach and end."""
    needs: str = sys.executable
    """The program without which it cannot be measured."""

    @property
    def is_there(self) -> bool:
        """Whether that program is installed."""
        return shutil.which(self.needs) is not None


def _trace(*options: str) -> Command:
    words = (sys.executable, "-m", "gdbleak", "trace", "--duration", str(LASTS_S), *options)
    return lambda pid, _: (*words, "--format", "json", str(pid))


def _raw(kind: str) -> Command:
    def command(pid: int, folder: Path) -> Sequence[str]:
        thread = max(list_threads(pid))
        return str(folder / "raw_stop"), kind, str(thread), *map(hex, _two_stops(pid))

    return command


def _two_stops(pid: int) -> list[int]:
    """Return where malloc returns and where free begins."""
    with Memory(pid) as memory:
        reader = ModuleReader(pid, memory)
        try:
            plan = plan_probes(find_allocators(reader.read(read_mappings(pid))), memory)
        finally:
            reader.close()
    wanted = {("malloc", Role.RETURN), ("free", Role.ENTRY)}
    return [probe.address for probe in plan.probes if (probe.function, probe.role) in wanted]


def _naive(pid: int, _: Path) -> Sequence[str]:
    script = str(HERE / "naive_gdb.py")
    return (
        "gdb",
        "-nx",
        "-batch",
        "-iex",
        "set debuginfod enabled off",
        "-p",
        str(pid),
        "-x",
        script,
    )


def _heaptrack(pid: int, folder: Path) -> Sequence[str]:
    return "heaptrack", "-o", str(folder / "heaptrack"), "-p", str(pid)


EXACT = Peer("gdbleak --budget 100", _trace("--budget", "100"))
SIZES = Peer("gdbleak --budget 100 --usable-sizes", _trace("--budget", "100", "--usable-sizes"))
THIRD = Peer("gdbleak (--budget 30)", _trace())
TENTH = Peer("gdbleak --budget 10", _trace("--budget", "10"))
MODES = (EXACT, SIZES, THIRD, TENTH)

RAW = Peer("raw ptrace: int3 and a step", _raw("software"), signal.SIGTERM, "cc")
OTHERS = (
    RAW,
    Peer("raw ptrace: debug registers", _raw("hardware"), signal.SIGTERM, "cc"),
    Peer("obvious GDB script", _naive, needs="gdb"),
    Peer("heaptrack -p", _heaptrack, needs="heaptrack"),
)
