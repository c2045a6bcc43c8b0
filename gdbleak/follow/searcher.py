"""The search for what refers to blocks, seen from the process that has the window."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gdbleak.capture.search import Findings, why_given_up
from gdbleak.errors import WriteError
from gdbleak.follow.child import start_child
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
        try:
            scratch = Path(tempfile.mkdtemp(prefix="references-", dir=folder))
            self._result = scratch / "frames"
            pickled = scratch / "task.pickle"
            pickled.write_bytes(pickle.dumps({**task, "result": str(self._result)}))
            self._errors = scratch / "errors"
            with self._errors.open("wb") as errors:
                self._process = start_child(
                    "gdbleak.follow.references", str(pickled), scratch, subprocess.PIPE, errors
                )
        except OSError as error:
            raise WriteError(f"cannot write in {folder}: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._rest = b""
        self._patience_s = PATIENCE_S + task["climb_s"]
        self._share = 0.0
        self._has_looked = False
        self._found: References | None = None

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._input.close()
        self._output.close()

    def begin(self, now_ns: int) -> None:
        """Have it look at the blocks that the recording says are outstanding."""
        self._tell(begin=now_ns - time.monotonic_ns())

    def poll(self) -> float | None:
        """Return which share of the looks is done; None when there is nothing to wait for."""
        self._hear()
        return None if self._has_looked or self._found else self._share

    def give_up(self, reason: str) -> None:
        """End it, for a reason that is a part of a sentence."""
        if self._found is None:
            self._found = References(0, 0.0, 0, reason)
        self._process.kill()

    def conclude(
        self, registers: Mapping[int, Sequence[int]], is_interrupted: Callable[[], bool]
    ) -> Findings:
        """Return what was found."""
        if self._found is None:
            self._tell(registers={str(thread): [*each] for thread, each in registers.items()})
        deadline_s = time.monotonic() + self._patience_s
        while self._found is None:
            if time.monotonic() > deadline_s:
                self.give_up(f"it was not judged within {self._patience_s:g} s")
            elif is_interrupted():
                self.give_up(why_given_up(EndedBy.INTERRUPT))
            time.sleep(0.005)
            self._hear()
        try:
            frames = b"" if self._found.reason else self._result.read_bytes()
        except FileNotFoundError:  # there were no blocks
            frames = b""
        except OSError as error:
            reason = f"cannot read what was found: {error.strerror}"
            return Findings(replace(self._found, reason=reason))
        return Findings(self._found, frames)

    def _tell(self, **values: Any) -> None:
        try:
            self._input.write(json.dumps(values).encode() + b"\n")
        except BrokenPipeError:
            self._find_ended()

    def _hear(self) -> None:
        try:
            data = os.read(self._output.fileno(), 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._find_ended()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for values in map(json.loads, lines):
            self._share = values.get("share", self._share)
            self._has_looked = self._has_looked or "looked" in values
            if "references" in values:
                self._found = fill(References, values["references"])

    def _find_ended(self) -> None:
        """Give up: it has ended by itself, and has perhaps said why."""
        last = ""
        with suppress(OSError):
            *_, last = self._errors.read_text(errors="replace").splitlines() or [""]
        self.give_up(f"{_ENDED}: {last}" if last else _ENDED)
