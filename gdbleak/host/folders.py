"""Folders that other users can neither read nor replace."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from gdbleak.errors import NO_ROOM, WriteError
from gdbleak.host.leash import Leash

_NAME = re.compile(r"gdbleak-[0-9a-f]{16}")


@contextmanager
def private_folder(leash: Leash | None = None) -> Iterator[Path]:
    """Make a folder for files that GDB reads; remove it at the end, also when gdbleak is killed.

    Args:
        leash: Removes it when gdbleak is killed; by default one of its own.

    Raises:
        WriteError: it cannot be made, or everybody may rename what is in the folder around it.

    """
    # `gettempdir` alone would silently take another folder when that of TMPDIR is full.
    around = os.environ.get("TMPDIR")
    try:
        around = around or find_temporary_folder()
        mode = Path(around).stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise WriteError(
                f"other users may replace files in {around}",
                f"`chmod +t {around}`, or set TMPDIR to a folder of your own",
            )
    except OSError as error:
        raise _explain(around, error) from error
    folder = Path(around, f"gdbleak-{secrets.token_hex(8)}").absolute()
    with nullcontext(leash) if leash else Leash() as kept:
        kept.remove(folder)
        try:
            folder.mkdir(0o700)
        except OSError as error:
            raise _explain(around, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_private_folder(folder: Path) -> bool:
    """Remove a folder of `private_folder` whose gdbleak was killed; return whether that was done.

    Nothing is removed that is not a folder of ours by its name, its owner and its mode.

    Args:
        folder: Its path, as that gdbleak has written it down where nobody else may write.

    """
    try:
        found = folder.lstat()
    except OSError:  # its gdbleak, or what cleans up behind that, has removed it
        return False
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_own or stat.S_IMODE(found.st_mode) != 0o700:
        return False
    if not folder.is_absolute() or not _NAME.fullmatch(folder.name):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def find_temporary_folder() -> str:
    """Return the folder for temporary files; a Ctrl-C meanwhile waits.

    To try a folder, Python writes a file into it, which would stay if it were interrupted.
    """
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        return tempfile.gettempdir()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _explain(around: str | None, error: OSError) -> WriteError:
    where = around or "a folder for temporary files"
    other = "set TMPDIR to a folder that exists and that you may write in"
    return WriteError(
        f"cannot write in {where}: {error.strerror}", "" if error.errno in NO_ROOM else other
    )
