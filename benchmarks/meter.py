"""A tool at work: since when it traces, what processor time and memory it takes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import psutil

LOOK_S = 0.001
"""The visits of the inline probe take little longer."""
WEIGH_S = 0.1
END_S = 15.0


class Tool:
    """A running tool and its children; use it in a `with` statement, which ends them."""

    def __init__(self, command: Sequence[str | Path], pid: int, folder: Path) -> None:
        """Start a tool on a process."""
        self._status = Path(f"/proc/{pid}/status")
        self.traced: list[float] = []
        """When the target was seen to be traced, on the clock of `time.monotonic`."""
        self.cpu: list[tuple[float, float]] = []
        """(when, seconds of processor time so far)"""
        self.sizes: list[tuple[float, int]] = []
        """(when, bytes of resident memory)"""
        self._ended = Event()
        with (folder / "tool.log").open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._watcher = Thread(target=self._watch)
        self._watcher.start()

    def __enter__(self) -> Tool:
        """Return the tool."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it and its children; gently, for GDB has breakpoints in the target."""
        tree = self._tree()
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END_S)
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        self._ended.set()
        self._watcher.join()

    @property
    def seen(self) -> tuple[float, float] | None:
        """When the target was first and last seen to be traced, if ever."""
        return (self.traced[0], self.traced[-1]) if self.traced else None

    @property
    def peak_bytes(self) -> int:
        """The most resident memory."""
        return max((size for _, size in self.sizes), default=0)

    def is_tracing(self) -> bool:
        """Return whether the target has a tracer."""
        with suppress(OSError):
            return "TracerPid:\t0\n" not in self._status.read_text()
        return False

    def _tree(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            tool = psutil.Process(self.process.pid)
            return [tool, *tool.children(recursive=True)]
        return []

    def _watch(self) -> None:
        weighed = 0.0
        while not self._ended.wait(LOOK_S):
            now = time.monotonic()
            if self.is_tracing():
                self.traced.append(now)
            if now - weighed > WEIGH_S:
                weighed = now
                self._weigh(now)

    def _weigh(self, now: float) -> None:
        memory = seconds = 0.0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory += process.memory_info().rss
                times = process.cpu_times()
                seconds += times.user + times.system
        self.cpu.append((now, seconds))
        self.sizes.append((now, int(memory)))
