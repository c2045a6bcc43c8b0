"""How long a target stands still: an estimate, because nobody but the kernel sees every halt."""

from __future__ import annotations

from gdbleak.proc import list_threads, read_state


class StopSampler:
    """Samples whether threads are in a tracing stop, one thread after the other."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._threads: list[int] = []
        self._samples = 0
        self._stopped = 0

    def sample(self) -> None:
        """Look at the next thread."""
        if not self._threads:
            self._threads = list_threads(self._pid)
        state = read_state(self._pid, self._threads.pop()) if self._threads else None
        if state is not None:
            self._samples += 1
            self._stopped += state == "t"

    @property
    def share(self) -> float:
        """Part of the samples, from 0 to 1, that found a thread stopped."""
        return self._stopped / self._samples if self._samples else 0.0
