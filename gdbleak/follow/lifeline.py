"""The pipe by which a window says where it stands; its end is the end of the window."""

from __future__ import annotations

import json
import os
import selectors
from dataclasses import asdict

from gdbleak.capture.limits import Progress


def encode(progress: Progress) -> bytes:
    """Return the line that says where a window stands; short enough for a pipe to take it whole."""
    return json.dumps(asdict(progress)).encode() + b"\n"


class Lifeline:
    """The reading end."""

    def __init__(self, file: int) -> None:
        self.latest: Progress | None = None
        """What was said last; None before the window was open."""
        self.ended = False
        self._file = file
        self._rest = b""

    def wait(self, timeout_s: float, other: int | None = None) -> bool:
        """Wait until something is said, and take it in.

        Args:
            timeout_s: For how long.
            other: Another file, to wait until that can be read.

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
