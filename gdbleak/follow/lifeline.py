"""The pipe by which a window tells how far it is; the pipe ends when the window does."""

from __future__ import annotations

import json
import os
import selectors
from dataclasses import asdict

from gdbleak.capture.limits import Progress


def encode(progress: Progress) -> bytes:
    """Return the line that tells how far a window is; a pipe takes it whole or not at all."""
    return json.dumps(asdict(progress)).encode() + b"\n"


class Lifeline:
    """The end of the pipe that is read."""

    def __init__(self, file: int) -> None:
        self.latest: Progress | None = None
        """What was told last; None before the window was open."""
        self.ended = False
        self._file = file
        self._rest = b""

    def wait(self, timeout_s: float, other: int | None = None) -> bool:
        """Wait until something is told, and read it.

        Args:
            timeout_s: How long to wait.
            other: A file descriptor; the wait also ends when it can be read.

        Returns:
            Whether the other file can be read.

        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._file, selectors.EVENT_READ)
            if other is not None:
                selector.register(other, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(timeout_s)}
        if self._file in ready:
            self._read()
        return other in ready

    def _read(self) -> None:
        data = os.read(self._file, 1 << 16)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self.latest = Progress(**json.loads(lines[-1]))
