"""What the controller adds to a recording while the agent writes it."""

from __future__ import annotations

import os
from pathlib import Path

from gdbleak.errors import WriteError


class Notebook:
    """A recording that is added to, a frame at a time; nothing is opened while it is."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def note(self, frame: bytes) -> None:
        """Append a whole frame.

        Raises:
            WriteError: the recording cannot be written on.

        """
        try:
            # The agent appends too: in one piece, or what it writes would lie in between.
            if os.write(self._file, frame) != len(frame):
                raise WriteError("no space left for the recording")
        except OSError as error:
            raise WriteError(f"cannot write the recording: {error.strerror}") from error

    def close(self) -> None:
        """Add nothing more."""
        os.close(self._file)
