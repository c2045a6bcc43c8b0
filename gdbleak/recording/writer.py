"""Begin a recording."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdbleak.errors import WriteError
from gdbleak.recording.frames import MAGIC
from gdbleak.recording.head import Head


@contextmanager
def begin_recording(path: Path, head: Head) -> Iterator[None]:
    """Write a recording that only its owner can read; an older file in its place goes.

    A context. If it ends by an error before anything was recorded, the older file is put back.

    Raises:
        WriteError: it cannot be written there.

    """
    older = _set_aside(path)
    frame = MAGIC + head.encode()
    try:
        _write(path, frame)
        yield
    except BaseException:
        if older and _size(path) <= len(frame):
            older.replace(path)
        raise
    finally:
        if older:
            older.unlink(missing_ok=True)


def _set_aside(path: Path) -> Path | None:
    """Rename a file, or a link, that is to be replaced; return what it is called now."""
    if not (path.is_file() or path.is_symlink()):
        return None
    older = path.with_name(f".{path.name}.{os.getpid()}.older")
    try:
        return path.replace(older)
    except OSError as error:
        raise _explain(path, error) from error


def _write(path: Path, frame: bytes) -> None:
    if path.exists() and not path.is_file():  # a device, say: it must not go
        raise WriteError(
            f"cannot write the recording {path}: it is not a regular file", "name another file"
        )
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(frame)
    except OSError as error:
        raise _explain(path, error) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _explain(path: Path, error: OSError) -> WriteError:
    return WriteError(f"cannot write the recording {path}: {error.strerror}")
