"""By which name a process was started, where its program has several: links of one file.

What such a program does depends on the name, and so people know it by that. The kernel shows the
name of the file that all of them lead to. Source: getauxval(3), AT_EXECFN.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from posixpath import basename, dirname, join

from gdbleak.readable import Readable

_AT_EXECFN = 31
_PAIR = struct.Struct("<QQ")
_MAX_PATH = 4096
_COMMON = {f"{top}/{folder}" for top in ("", "/usr", "/usr/local") for folder in ("bin", "sbin")}
"""Folders in which only root makes links."""


def find_own_name(
    pid: int, memory: Readable, program: str, trusted: bool, locate: Callable[[str], str]
) -> str | None:
    """Return the path by which a program was started; None if it is that of its file.

    Args:
        pid: The process.
        memory: Its memory.
        program: Path of its file.
        trusted: Whether its user may choose which paths are looked at: to look can take for ever.
        locate: Returns by which path we find what the process knows by another.

    """
    started = _read_path(pid, memory)
    if basename(started) in ("", basename(program)):
        return None
    for path in _candidates(started, program, trusted):
        try:
            if os.path.samefile(locate(path), f"/proc/{pid}/exe"):  # noqa: PTH121 - paths as they are
                return path
        except OSError:  # a script, whose interpreter the program is; or it has ended
            continue
    return None


def _candidates(started: str, program: str, trusted: bool) -> Iterator[str]:
    folder = dirname(program)
    if trusted and started.startswith("/"):
        yield started
    if trusted or folder in _COMMON:
        yield join(folder, basename(started))


def _read_path(pid: int, memory: Readable) -> str:
    """Return what the process was started by, as the kernel has kept it at the end of its stack."""
    try:
        vector = dict(_PAIR.iter_unpack(Path(f"/proc/{pid}/auxv").read_bytes()))
        data = memory.read(vector.get(_AT_EXECFN, 0), _MAX_PATH)
    except (OSError, struct.error):  # it has ended
        return ""
    return os.fsdecode(data.partition(b"\0")[0])
