"""Folders that nobody else can read, or put something of their own in the place of."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdbleak.errors import WriteError


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder for files that GDB reads, and remove it in the end.

    Raises:
        WriteError: everybody may rename what is in the folder around it.
        OSError: it cannot be made.

    """
    around = Path(tempfile.gettempdir())
    mode = around.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise WriteError(
            f"everybody may replace files in {around}",
            f"`chmod +t {around}`, or set TMPDIR to a folder of your own",
        )
    with tempfile.TemporaryDirectory(prefix="gdbleak-") as folder:
        yield Path(folder)
