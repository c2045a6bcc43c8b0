"""The programs that are traced: each tells once a second what it got done."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Second(NamedTuple):
    """What a target says of one second."""

    done: float
    """Pairs of malloc and free, or requests, a second."""
    times_ms: tuple[float, ...]
    """The longest gap, or median, 99th percentile and longest of the times of requests."""


class Target:
    """A program that prints a line a second: things done, seconds, times in milliseconds."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def read(self) -> Second:
        """Return what it says of the second that ends next.

        Raises:
            RuntimeError: it has ended.

        """
        assert self._process.stdout
        fields = self._process.stdout.readline().split()
        if not fields:
            raise RuntimeError(f"the target ended with {self._process.wait()}")
        done, seconds, *times_ms = map(float, fields)
        return Second(done / seconds, tuple(times_ms))


def compile_all(folder: Path) -> None:
    """Build the programs of the benchmark into a folder."""
    for source in ("pairs", "service", "raw_stop"):
        command = ["cc", "-O2", "-g", "-pthread", HERE / f"{source}.c", "-o", folder / source]
        subprocess.run(command, check=True)


@contextmanager
def run(command: Sequence[object]) -> Iterator[Target]:
    """Run a target, and end it."""
    words = [str(word) for word in command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Target(process)
        finally:
            process.kill()
