"""The line between a process that looks on and the window, seen from the former.

Both tell each other objects of JSON, one a line. Standard input ends when the window does not want
to know any more.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


class CancelledError(Exception):
    """Nobody wants to know any more."""


class Line:
    """What is heard from the window, and told to it."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[dict[str, Any]] = []

    def hear(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next object, if it comes in time.

        Raises:
            CancelledError: there will be no more.

        """
        with selectors.DefaultSelector() as selector:
            selector.register(sys.stdin, selectors.EVENT_READ)
            if not self._lines and selector.select(timeout_s):
                data = os.read(sys.stdin.fileno(), 1 << 20)
                if not data:
                    raise CancelledError
                *lines, self._rest = (self._rest + data).split(b"\n")
                self._lines += map(json.loads, lines)
        return self._lines.pop(0) if self._lines else None

    def tell(self, **values: Any) -> None:
        """Tell an object, by its values."""
        os.write(sys.stdout.fileno(), json.dumps(values).encode() + b"\n")


def write(path: str, frames: bytes) -> str | None:
    """Write frames into a file; return why that failed, if it did."""
    try:
        Path(path).write_bytes(frames)
    except OSError as error:
        return f"cannot write what was found: {error.strerror}"
    return None


quietly = suppress(FileNotFoundError, CancelledError, BrokenPipeError)
"""For what happens when the window is gone: its folder, and its ends of the pipes."""
