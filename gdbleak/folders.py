"""Folders that nobody else can read, or put something of their own in the place of."""

from __future__ import annotations

import os
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
        WriteError: there is no folder around it, or everybody may rename what is in that.
        OSError: it cannot be made.

    """
    # Not `gettempdir` alone: where TMPDIR is full, it would silently take another.
    around = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    try:
        mode = around.stat().st_mode
    except OSError as error:
        raise WriteError(f"cannot use TMPDIR, {around}: {error.strerror}") from error
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise WriteError(
            f"everybody may replace files in {around}",
            f"`chmod +t {around}`, or set TMPDIR to a folder of your own",
        )
    with tempfile.TemporaryDirectory(prefix="gdbleak-", dir=around) as folder:
        yield Path(folder)
