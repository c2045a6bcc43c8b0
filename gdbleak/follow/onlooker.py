"""A process that looks on while a window is open, seen from the process that has the window."""

from __future__ import annotations

import json
import os
import pickle
import selectors
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gdbleak.errors import WriteError
from gdbleak.follow.child import start_child

POLL_S = 0.05
"""Who waits for it looks so often whether the wait was interrupted."""


class Onlooker:
    """A process that is told and tells by lines of JSON, and leaves its result in a file.

    A context, from before the window on. It ends when its standard input does: see `follow.line`.
    """

    def __init__(self, module: str, task: Mapping[str, Any], folder: Path) -> None:
        """Start it.

        Args:
            module: Of this package; its `main` is given the path of the pickled task.
            task: What to do; the path for its result is added as `result`.
            folder: A private folder that stays until it has ended.

        Raises:
            WriteError: there is no room in the folder.

        """
        try:
            scratch = Path(tempfile.mkdtemp(prefix=f"{module}-", dir=folder))
            self._result = scratch / "frames"
            pickled = scratch / "task.pickle"
            pickled.write_bytes(pickle.dumps({**task, "result": str(self._result)}))
            self._errors = scratch / "errors"
            with self._errors.open("wb") as errors:
                self._process = start_child(
                    f"gdbleak.follow.{module}", str(pickled), scratch, subprocess.PIPE, errors
                )
        except OSError as error:
            raise WriteError(f"cannot write in {folder}: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._rest = b""
        self.has_ended = False
        """Whether it will tell nothing more."""

    def __enter__(self) -> Onlooker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.wait()
        self._input.close()
        self._output.close()

    def kill(self) -> None:
        """End it: nobody wants to know any more."""
        self._process.kill()

    def tell(self, **values: Any) -> None:
        """Tell it something, if it still listens."""
        try:
            self._input.write(json.dumps(values).encode() + b"\n")
        except BrokenPipeError:
            self.has_ended = True

    def hear(self, timeout_s: float = 0) -> list[dict[str, Any]]:
        """Return what it has told since, or tells in time."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                return []
        data = os.read(self._output.fileno(), 1 << 16)
        self.has_ended = self.has_ended or not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [*map(json.loads, lines)]

    def read_result(self) -> bytes:
        """Return what it has left in its file; nothing if there was nothing to leave.

        Raises:
            OSError: the file cannot be read.

        """
        try:
            return self._result.read_bytes()
        except FileNotFoundError:
            return b""

    def why_ended(self, sentence: str) -> str:
        """Return a part of a sentence that says it has ended, and by which error, if it said so."""
        last = ""
        with suppress(OSError):
            *_, last = self._errors.read_text(errors="replace").splitlines() or [""]
        return f"{sentence}: {last}" if last else sentence
