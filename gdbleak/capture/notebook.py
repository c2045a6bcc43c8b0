"""What the controller adds to a recording while the agent writes it."""

from __future__ import annotations

import os
from pathlib import Path

from gdbleak.errors import WriteError


class Notebook:
    """A recording that is added to, a frame at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, frame: bytes) -> None:
        """Append a whole frame.

        Raises:
            WriteError: the recording cannot be written on.

        """
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            # The agent appends too: in one piece, or what it writes would lie in between.
            if os.write(file, frame) != len(frame):
                raise WriteError("no space left for the recording")
        except OSError as error:
            raise WriteError(f"cannot write the recording: {error.strerror}") from error
        finally:
            os.close(file)
