"""Standard input, output and error: open, and written to without losing anything silently."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from gdbleak.errors import WriteError

NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
"""The error numbers that say that no more files may be opened."""


def fill_standard_streams() -> None:
    """Open those that were closed when we were started: other files would take their numbers."""
    while os.open(os.devnull, os.O_RDWR) <= 2:
        pass
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - for good


@contextmanager
def standard_output() -> Iterator[None]:
    """Flush standard output at the end, and say so if that fails.

    Raises:
        WriteError: it could not be written.

    """
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may not speak UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        # The error is about a file, not about the output.
        if error.filename is not None or error.errno in NO_MORE_FILES:
            raise
        discard_output()
        if error.errno != errno.EPIPE:  # a reader that has gone has seen enough
            raise WriteError(f"cannot write the output: {error.strerror}") from error
        sys.exit(0)


def discard_output() -> None:
    """Let what is still to be written go nowhere: Python would try it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
