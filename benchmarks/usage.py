"""What a tool takes of the host, with all the processes that it starts."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import psutil

PERIOD_S = 0.05


class Usage:
    """Processor time and memory of a process and its descendants, looked at now and then."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._cpu_s: dict[int, float] = {}
        self._began_s = time.monotonic()
        self.memory = 0
        """The most bytes that were resident at once."""

    @property
    def cpu(self) -> float:
        """Seconds of processor time for each second."""
        return sum(self._cpu_s.values()) / (time.monotonic() - self._began_s)

    def __enter__(self) -> Usage:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(PERIOD_S):
            memory = 0
            for process in self._family():
                try:
                    times = process.cpu_times()
                    memory += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                self._cpu_s[process.pid] = times.user + times.system
            self.memory = max(self.memory, memory)

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
