"""The search for what refers to blocks, seen from the process that has the window."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gdbleak.capture.search import Findings, why_given_up
from gdbleak.follow.onlooker import POLL_S, Onlooker
from gdbleak.recording.end import EndedBy, References
from gdbleak.recording.outside_values import fill

PATIENCE_S = 10.0
"""How long it may take to judge what was seen, beside finding out who holds blocks."""
_ENDED = "the process that looks for references has ended"


class Searcher:
    """A search, in a process of its own; a context, from before the window on."""

    def __init__(self, task: Mapping[str, Any], folder: Path) -> None:
        """Start it.

        Args:
            task: The fields of `gdbleak.follow.references.Task`, but for the file of its result.
            folder: A private folder that stays until it has ended.

        Raises:
            WriteError: there is no room in the folder.

        """
        self._onlooker = Onlooker("references", task, folder)
        self._patience_s = PATIENCE_S + task["climb_s"]
        self._share = 0.0
        self._has_looked = False
        self._found: References | None = None

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *error: object) -> None:
        self._onlooker.__exit__(*error)

    def begin(self, now_ns: int) -> None:
        """Have it look at the blocks that the recording says are outstanding."""
        self._onlooker.tell(begin=now_ns - time.monotonic_ns())

    def poll(self) -> float | None:
        """Return which share of the looks is done; None when there is nothing to wait for."""
        self._hear()
        return None if self._has_looked or self._found else self._share

    def give_up(self, reason: str) -> None:
        """End it, for a reason that is a part of a sentence."""
        if self._found is None:
            self._found = References(0, 0.0, 0, reason)
        self._onlooker.kill()

    def conclude(
        self, registers: Mapping[int, Sequence[int]], is_interrupted: Callable[[], bool]
    ) -> Findings:
        """Return what was found."""
        if self._found is None:
            words = {str(thread): [*each] for thread, each in registers.items()}
            self._onlooker.tell(registers=words)
        deadline_s = time.monotonic() + self._patience_s
        while self._found is None:
            if time.monotonic() > deadline_s:
                self.give_up(f"it was not judged within {self._patience_s:g} s")
            elif is_interrupted():
                self.give_up(why_given_up(EndedBy.INTERRUPT))
            self._hear(POLL_S)
        try:
            frames = b"" if self._found.reason else self._onlooker.read_result()
        except OSError as error:
            reason = f"cannot read what was found: {error.strerror}"
            return Findings(replace(self._found, reason=reason))
        return Findings(self._found, frames)

    def _hear(self, timeout_s: float = 0) -> None:
        for values in self._onlooker.hear(timeout_s):
            self._share = values.get("share", self._share)
            self._has_looked = self._has_looked or "looked" in values
            if "references" in values:
                self._found = fill(References, values["references"])
        if self._onlooker.has_ended and self._found is None:
            self.give_up(self._onlooker.why_ended(_ENDED))
