"""Begin a recording."""

from __future__ import annotations

import os
from pathlib import Path

from gdbleak.errors import WriteError
from gdbleak.recording.frames import MAGIC
from gdbleak.recording.head import Head


def begin_recording(path: Path, head: Head) -> None:
    """Write a recording that only its owner can read; an older one in its place goes.

    Raises:
        WriteError: it cannot be written there.

    """
    if path.exists() and not path.is_file():  # a device, say: it must not go
        raise WriteError(
            f"cannot write the recording {path}: it is not a regular file", "name another file"
        )
    try:
        path.unlink(missing_ok=True)
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(MAGIC + head.encode())
    except OSError as error:
        raise WriteError(f"cannot write the recording {path}: {error.strerror}") from error
