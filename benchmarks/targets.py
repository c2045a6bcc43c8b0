"""The programs that are traced: built, started on given processors, and read line by line."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

HERE = Path(__file__).parent
PROGRAMS = ("pairs", "service", "raw_stop", "storm", "roam")
START_S = 20.0


@dataclass(frozen=True)
class Line:
    """What a target prints of itself again and again."""

    end: float
    """Seconds of CLOCK_MONOTONIC, the clock of `time.monotonic`."""
    pairs: int
    seconds: float
    longest_gap_ms: float
    median_us: float | None = None
    """Latency of requests; only a service has one."""
    p99_us: float | None = None

    @classmethod
    def parse(cls, text: str) -> Line:
        """Read a line of a target.

        Raises:
            ValueError: it is none.

        """
        end, pairs, *others = text.split()
        return cls(float(end), int(pairs), *map(float, others))

    @property
    def begin(self) -> float:
        """When the target began to count for this line."""
        return self.end - self.seconds

    @property
    def pair_us(self) -> float:
        """Time that went by for each pair that any thread did."""
        return self.seconds / max(self.pairs, 1) * 1e6


@dataclass(frozen=True)
class Program:
    """A target to start."""

    title: str
    command: tuple[str, ...]
    """Name of one of PROGRAMS, and its arguments."""
    threads: int = 1
    pinned: bool = False
    """Whether the program and the tool share one processor."""
    hot: bool = True
    """Whether it does nothing but allocate, so that the time of a pair is its cost."""


TARGETS = (
    Program("One hot thread, on one processor with the tool", ("pairs",), pinned=True),
    Program("One hot thread, the tool wherever it likes", ("pairs",)),
    Program("16 hot threads", ("pairs", "16"), threads=16),
    Program("A service: 2,000 requests a second of 20 allocations", ("service",), hot=False),
)


def build(folder: Path) -> None:
    """Compile PROGRAMS into a folder."""
    for name in PROGRAMS:
        source = HERE / f"{name}.c"
        subprocess.run(["cc", "-O2", "-pthread", source, "-o", folder / name], check=True)


def on(cpus: Sequence[int]) -> list[str]:
    """Return how to begin a command so that it runs on these processors."""
    return ["taskset", "-c", ",".join(map(str, cpus))]


class Target:
    """A running target; use it in a `with` statement, which kills it."""

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        """Start it."""
        self.lines: list[Line] = []
        self._process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.pid = self._process.pid
        self._reader = Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Target:
        """Return the target."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for text in self._process.stdout:
            if text.endswith("\n"):  # the kill may have cut off the last one
                self.lines.append(Line.parse(text))

    def runs(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def wait_lines(self, count: int) -> None:
        """Wait until it has printed so many lines."""
        wait_until(lambda: len(self.lines) >= count or not self.runs(), START_S)


def wait_until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Wait for a condition; return whether it came true in time."""
    give_up = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.005)
    return True
