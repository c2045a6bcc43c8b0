"""Threads that nobody can halt: they wait in the kernel for what does not come."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from support.processes import Target, states_of, wait_until

_LONG_S = 600
_SERVER = Path(__file__).parents[1] / "targets/stalled.py"


class Stuck:
    """A thread of `targets/vforks.c` that is made to wait until it is released."""

    def __init__(self, target: Target, folder: Path) -> None:
        """Prepare.

        Args:
            target: Runs that program.
            folder: An empty one, for a file system.

        """
        self._target = target
        self._folder = folder
        self._server: Target | None = None

    @property
    def server_pid(self) -> int | None:
        """Who serves the file system, if there is one."""
        return self._server.pid if self._server else None

    def begin(self, way: str) -> None:
        """Let a thread wait.

        Args:
            way: For a child of "vfork"; for a "child" in the same way, but one that has a memory
                of its own; or for the byte of a file in "FUSE".

        """
        if way != "FUSE":
            command = "vfork" if way == "vfork" else "wait"
            assert self._target.ask(f"{command} {_LONG_S}") == "started"
            wait_until(lambda: "D" in states_of(self._target.pid), "a thread waited for its child")
        else:
            self._server = start_file_system(self._folder)
            assert self._target.ask(f"read {self._folder}/file") == "started"
            assert self._server.lines.next() == "read"

    def release(self) -> None:
        """Let it go on, and return once it has ended."""
        self.close()
        tasks = Path(f"/proc/{self._target.pid}/task")
        wait_until(lambda: len([*tasks.iterdir()]) == 2, "the thread that had waited ended")

    def close(self) -> None:
        """End what it waits for."""
        for child in psutil.Process(self._target.pid).children():
            child.kill()
        if self._server:
            assert self._server.process.stdin
            self._server.process.stdin.close()
            self._server.wait()
            self._server.end()
            self._server = None


def start_file_system(folder: Path) -> Target:
    """Return who serves a file whose bytes never come; skip the test where nobody can."""
    server = Target([sys.executable, _SERVER, folder])
    if (said := server.lines.next()) != "ready":
        server.end()
        pytest.skip(f"this host lets nobody mount a FUSE file system: {said}")
    return server
