"""A window on a program of the corpus: how it is traced, and what it did meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any

import psutil
from support.corpus import Program
from support.processes import Target

USUAL_S = 5
"""For how long a program is watched before and after, for its usual throughput."""


@dataclass(frozen=True)
class Way:
    """How programs are traced."""

    checkout: Path
    """Where the gdbleak is that traces."""
    name: str
    options: Sequence[str]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start gdbleak."""
        command = [sys.executable, "-m", "gdbleak", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.checkout)}
        # The folder comes first in sys.path, before whatever is installed.
        return subprocess.Popen(
            command, cwd=self.checkout, env=environment, stdout=PIPE, stderr=PIPE
        )


@dataclass(frozen=True)
class Reading:
    """What the meter of a program says of a time."""

    per_s: float
    """Operations a second."""
    p99_ms: float
    """How late ticks were done; one in a hundred was later."""
    worst_ms: float
    cpu_us: float
    """For how long processors worked for each operation."""

    @classmethod
    def parse(cls, line: str) -> Reading:
        """Read what a program says when it is asked."""
        operations, took_us, p99_us, worst_us, cpu_us = map(int, line.split()[1:])
        return cls(
            operations * 1e6 / max(1, took_us),
            p99_us / 1000,
            worst_us / 1000,
            cpu_us / max(1, operations),
        )

    def mean(self, other: Reading) -> Reading:
        """Return what lies between this one and another."""
        pairs = zip(astuple(self), astuple(other))
        return Reading(*(sum(pair) / 2 for pair in pairs))


@dataclass(frozen=True)
class Window:
    """What came of a trace of a program."""

    report: dict[str, Any]
    usual: Reading | None = None
    """Of the seconds before and after; None when a recording was read that had been kept."""
    during: Reading | None = None
    worst_ms: float = 0
    """The latest tick, from the start of gdbleak until its report."""

    @property
    def kept(self) -> float | None:
        """The share of its throughput that the program kept in the window."""
        if not self.usual or not self.during or not self.usual.per_s:
            return None
        return self.during.per_s / self.usual.per_s

    @property
    def dearer(self) -> float | None:
        """By how much each operation cost more processor time in the window than usual."""
        if not self.usual or not self.during or not self.usual.cpu_us:
            return None
        return self.during.cpu_us / self.usual.cpu_us - 1


class TraceError(Exception):
    """There was no window; says why."""


@dataclass(frozen=True)
class Trial:
    """A program, and how it is traced."""

    program: Program
    binary: Path
    way: Way
    seconds: int
    keep: Path | None
    """Where its recording and its report are kept."""

    def _file(self, suffix: str) -> Path:
        assert self.keep
        return self.keep / f"{self.program.name}-{self.way.name}.{suffix}"

    def run(self) -> Window:
        """Trace the program.

        Raises:
            TraceError: there was no window.

        """
        target = Target([str(self.binary)], stderr=subprocess.DEVNULL)
        try:
            if target.lines.next() != "ready":
                raise TraceError("the program did not start")
            target.ask("m")
            time.sleep(USUAL_S)
            return self._trace(target)
        except (EOFError, BrokenPipeError) as error:
            raise TraceError("the program ended") from error
        finally:
            target.end()

    def _trace(self, target: Target) -> Window:
        before = _ask(target)
        options = [*self.way.options, "--duration", str(self.seconds), "--format", "json"]
        if self.keep:
            options += ["--save", str(self._file("gdbleak"))]
        pid = psutil.Process(target.pid).children()[0].pid if self.program.forks else target.pid
        with self.way.start("trace", *options, str(pid)) as running:
            _wait_for_window(running)
            attach = _ask(target)
            target.tell("")
            with suppress(subprocess.TimeoutExpired):  # as is usual: the report comes later
                running.wait(self.seconds)
            during = _ask(target)
            assert running.stdout
            text = running.stdout.read()
        after = _ask(target)
        worst_ms = max(reading.worst_ms for reading in (attach, during, after))
        time.sleep(USUAL_S)
        return Window(self._read(text), before.mean(_ask(target)), during, worst_ms)

    def repeat(self) -> Window:
        """Make the report anew from the recording that was kept.

        Raises:
            TraceError: there is none.

        """
        command = ("report", str(self._file("gdbleak")), "--format", "json")
        with self.way.start(*command) as running:
            text, said = running.communicate()
        if not text:
            raise TraceError(_one_line(said))
        return Window(json.loads(text))

    def _read(self, text: bytes) -> dict[str, Any]:
        if not text:
            raise TraceError("there was no report")
        if self.keep:
            self._file("json").write_bytes(text)
        report: dict[str, Any] = json.loads(text)
        return report


def _ask(target: Target) -> Reading:
    return Reading.parse(target.ask("m"))


def _wait_for_window(running: subprocess.Popen[bytes]) -> None:
    said = b""
    errors: IO[bytes] | None = running.stderr
    assert errors
    for line in errors:
        said += line
        if b": tracing " in line:
            return
    raise TraceError(_one_line(said))


def _one_line(said: bytes) -> str:
    return " ".join(said.decode().split())
