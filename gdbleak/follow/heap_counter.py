"""The censuses of the heap in a window, seen from the process that has the window."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gdbleak.capture.heap_counts import Counted
from gdbleak.follow.onlooker import POLL_S, Onlooker
from gdbleak.recording.end import HeapCount
from gdbleak.recording.outside_values import fill

PATIENCE_S = 12.0
"""For how long the last census is waited for: two may be taken, of as long as one may take."""
_ENDED = "the process that counts blocks has ended"
_NOT_CLOSED = "the window was given up"


class HeapCounter:
    """Censuses, in a process of its own; a context, from before the window on."""

    def __init__(self, task: Mapping[str, Any], folder: Path) -> None:
        """Start it.

        Args:
            task: The fields of `gdbleak.follow.heap_counts.Task`, but for the file of its result.
            folder: A private folder that stays until it has ended.

        Raises:
            WriteError: there is no room in the folder.

        """
        self._onlooker = Onlooker("heap_counts", task, folder)
        self._is_closed = False
        self._found: HeapCount | None = None

    def __enter__(self) -> HeapCounter:
        return self

    def __exit__(self, *error: object) -> None:
        self._onlooker.__exit__(*error)

    def close(self, now_ns: int) -> None:
        """Have it take the last census."""
        if not self._is_closed:
            self._is_closed = True
            self._onlooker.tell(close=now_ns - time.monotonic_ns())

    def conclude(self, is_interrupted: Callable[[], bool]) -> Counted:
        """Return what was counted."""
        if not self._is_closed:
            self._give_up(_NOT_CLOSED)
        deadline_s = time.monotonic() + PATIENCE_S
        while self._found is None:
            if time.monotonic() > deadline_s:
                self._give_up(f"the last census was not done within {PATIENCE_S:g} s")
            elif is_interrupted():
                self._give_up("it was interrupted")
            self._hear(POLL_S)
        try:
            frames = b"" if self._found.reason else self._onlooker.read_result()
        except OSError as error:
            return Counted(HeapCount(0, 0.0, f"cannot read them: {error.strerror}"))
        return Counted(self._found, frames)

    def _hear(self, timeout_s: float = 0) -> None:
        for values in self._onlooker.hear(timeout_s):
            if "heap" in values:
                self._found = fill(HeapCount, values["heap"])
        if self._onlooker.has_ended and self._found is None:
            self._give_up(self._onlooker.why_ended(_ENDED))

    def _give_up(self, reason: str) -> None:
        self._found = HeapCount(0, 0.0, reason)
        self._onlooker.kill()
