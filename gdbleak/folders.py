"""Folders that nobody else can read, or put something of their own in the place of."""

from __future__ import annotations

import os
import shutil
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
        WriteError: it cannot be made, or everybody may rename what is in the folder around it.

    """
    # Not `gettempdir` alone: where TMPDIR is full, it would silently take another.
    around = os.environ.get("TMPDIR")
    try:
        around = around or tempfile.gettempdir()
        mode = Path(around).stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise WriteError(
                f"everybody may replace files in {around}",
                f"`chmod +t {around}`, or set TMPDIR to a folder of your own",
            )
        folder = Path(tempfile.mkdtemp(prefix="gdbleak-", dir=around))
    except OSError as error:
        where = around or "a folder for temporary files"
        raise WriteError(f"cannot write in {where}: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
