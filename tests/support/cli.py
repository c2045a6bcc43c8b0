"""Run the command line as a process of its own, as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.processes import Lines

GDBLEAK = [sys.executable, "-m", "gdbleak"]


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> Any:
        """The JSON report on stdout."""
        assert self.exit_code in (0, 1), self.stderr
        return json.loads(self.stdout)


class Running:
    """A gdbleak that runs."""

    def __init__(self, command: list[str], watched: Path, **options: Any) -> None:
        self._watched = watched
        # A file, not a pipe: nobody reads it before the end.
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `finish`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            **options,
        )
        self.pid = self._process.pid
        self._lines = Lines(self._process.stderr)

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    def wait_for_window(self) -> None:
        """Return once the target runs with every breakpoint in."""
        while "tracing" not in self._lines.next():
            pass

    def send(self, number: signal.Signals) -> None:
        """Send a signal to gdbleak alone."""
        self._process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """Send what a terminal sends: SIGINT to gdbleak and to everything it has started."""
        os.killpg(self.pid, signal.SIGINT)

    def finish(self, deadline_s: float = 60) -> Result:
        """Return the result, once the command has ended; nothing may be left in its TMPDIR."""
        stderr = self._lines.rest(deadline_s)
        exit_code = self._process.wait(60)
        self._stdout.seek(0)
        stdout = self._stdout.read().decode()
        self.end()
        left = [str(path) for path in self._watched.rglob("*")]
        assert left == [], f"{left} left in TMPDIR; {stderr}"
        return Result(exit_code, stdout, stderr)

    def end(self) -> None:
        """End it, if a test has failed to."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()  # gdb then sees the end of its input, and lets the target go
                self._process.wait()
            sys.stderr.write(f"gdbleak said: {self._lines.rest()}")  # pytest shows it
        assert self._process.stderr
        self._process.stderr.close()
        self._stdout.close()


_OF_A_BUSY_HOST = "the process stood still", "the process ran at"


def lasting_notes(report: dict[str, Any]) -> list[str]:
    """Return the notes of a report, but for the one that a busy host may add to any."""
    return [note for note in report["notes"] if not note.startswith(_OF_A_BUSY_HOST)]


class Cli:
    """The gdbleak command with a TMPDIR that is watched."""

    def __init__(self, watched: Path) -> None:
        self.tmpdir = watched
        self._started: list[Running] = []

    def start(
        self, *arguments: object, wrapper: tuple[object, ...] = (), env: Any = None, **options: Any
    ) -> Running:
        """Start `gdbleak ARGUMENTS`, as arguments of the `wrapper` if there is one."""
        command = [str(word) for word in (*wrapper, *GDBLEAK, *arguments)]
        environment = {**os.environ, "TMPDIR": str(self.tmpdir), **(env or {})}
        running = Running(command, self.tmpdir, env=environment, **options)
        self._started.append(running)
        return running

    def run(self, *arguments: object, **options: Any) -> Result:
        """Run `gdbleak ARGUMENTS` to its end."""
        return self.start(*arguments, **options).finish()

    def record(self, pid: int, path: Path, work: Callable[[], object], *options: object) -> Result:
        """Trace a process while something is done with it, and save the recording."""
        trace = self.start_trace(pid, "--save", path, *options)
        work()
        trace.send(signal.SIGINT)
        return trace.finish()

    def start_trace(self, pid: int, *options: object, **how: Any) -> Running:
        """Start a trace that lasts until the test ends it, and wait until its window is open.

        Unless the options say otherwise it records everything, whatever that costs.
        """
        running = self.start(
            *("trace", pid, "--older", 0, "--format", "json", "--duration", 600),
            *("--budget", 100, *options),
            **how,
        )
        running.wait_for_window()
        return running

    def close(self) -> None:
        """End what still runs."""
        for running in self._started:
            running.end()
