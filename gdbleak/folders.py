"""Folders that nobody else can read, or put something of their own in the place of."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gdbleak.errors import WriteError

_KEEPER = """
trap '' HUP INT TERM PIPE XCPU
echo
read -r done || rm -rf -- "$0"
"""
"""A shell that removes a folder when whoever uses it has died without having done so."""
_KEEPER_END_S = 5.0


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder for files that GDB reads, and remove it in the end, however that comes.

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
    except OSError as error:
        raise _explain(around, error) from error
    folder = Path(around, f"gdbleak-{secrets.token_hex(8)}").absolute()
    with _kept(folder):
        try:
            folder.mkdir(0o700)
        except OSError as error:
            raise _explain(around, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Have a folder that is about to be made removed if we are killed; we remove it otherwise."""
    try:
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,  # what is sent to our group is not for it
        )
    except OSError:  # there is no shell, or no room for it: the folder may outlive a SIGKILL
        yield
        return
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    with keeper.stdin, keeper.stdout:
        try:
            keeper.stdout.read(1)  # from now on it is deaf to what ends others
            yield
        finally:
            with suppress(OSError):  # it was killed
                keeper.stdin.write(b"done\n")
            with suppress(subprocess.TimeoutExpired):
                keeper.wait(_KEEPER_END_S)
            keeper.kill()
            keeper.wait()


def _explain(around: str | None, error: OSError) -> WriteError:
    where = around or "a folder for temporary files"
    return WriteError(f"cannot write in {where}: {error.strerror}")
