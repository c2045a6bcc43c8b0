"""Appends frames to a recording."""

from __future__ import annotations

import os
from pathlib import Path

from gdbleak.errors import WriteError


class Appender:
    """Appends to a recording that was begun. A context: the file is open until its end.

    Others may append to it as well, between two calls of `append`.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            WriteError: it cannot be written.

        """
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise self._explain(error) from error

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    @property
    def position(self) -> int:
        """Where the next frame will begin."""
        return os.fstat(self._file).st_size

    def append(self, frames: bytes) -> None:
        """Append whole frames; all of them or, by an error, none.

        Raises:
            WriteError: they cannot be written.

        """
        before = self.position
        left = memoryview(frames)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            os.ftruncate(self._file, before)
            raise self._explain(error) from error

    def _explain(self, error: OSError) -> WriteError:
        return WriteError(f"cannot write the recording {self._path}: {error.strerror}")
