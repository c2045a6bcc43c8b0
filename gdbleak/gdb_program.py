"""The GDB of this host: where it is, and how every GDB of ours is started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gdbleak.errors import DebuggerMissingError

SAFE_OPTIONS: tuple[str, ...] = (
    "-nx",
    "-q",
    # Files of the target may bring scripts along: OBJFILE-gdb.py, .debug_gdb_scripts, .gdbinit.
    *("-iex", "set auto-load off"),
    *("-iex", "set auto-load safe-path /dev/null"),
    # Since GDB 12; older ones print an error and go on, and `safe_environment` does it for them.
    *("-iex", "set debuginfod enabled off"),
    *("-iex", "set confirm off"),
    *("-iex", "set pagination off"),
    *("-iex", "set width 0"),
    *("-iex", "set height 0"),
    # Since GDB 8.3.
    *("-iex", "set style enabled off"),
    # The C locale of `safe_environment` would make it ASCII.
    *("-iex", "set host-charset UTF-8"),
)
"""Options of every GDB of ours: settings that must stand before a file is loaded."""

_PROBE = "python import json, sys; print(json.dumps([gdb.VERSION, '%d.%d' % sys.version_info[:2]]))"
_PROBE_TIMEOUT_S = 30
_INSTALL = "install it with `apt-get install gdb` or `yum install gdb`"
_POINT = "set GDBLEAK_GDB to the path of a gdb with Python"


@dataclass(frozen=True)
class GdbProgram:
    """A GDB that runs and has Python inside."""

    path: str
    version: str
    python: str
    """Version of the Python inside, for example "3.11"."""


def find_gdb() -> GdbProgram:
    """Return the GDB that `$GDBLEAK_GDB` names, else the `gdb` on PATH.

    Raises:
        DebuggerMissingError: there is none, it does not run, or it was built without Python.

    """
    wanted = os.environ.get("GDBLEAK_GDB")
    found = shutil.which(wanted or "gdb")
    if found is None:
        if wanted:
            raise DebuggerMissingError(f"GDBLEAK_GDB names {wanted}, which is no program", _POINT)
        raise DebuggerMissingError(
            "there is no gdb on this host's PATH", f"{_INSTALL}, or {_POINT}"
        )
    path = str(Path(found).absolute())
    try:
        result = subprocess.run(
            [path, *SAFE_OPTIONS, "-batch", "-ex", _PROBE],
            env=safe_environment(),
            cwd="/",  # an old Python looks for its modules there first
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise DebuggerMissingError(
            f"{path} does not answer within {_PROBE_TIMEOUT_S} s", f"{_INSTALL} again"
        ) from error
    except OSError as error:
        raise DebuggerMissingError(f"{path} does not run: {error}", f"{_INSTALL} again") from error
    try:
        version, python = json.loads(result.stdout)
    except ValueError:  # it printed something else, or nothing
        raise DebuggerMissingError(
            f"{path} has no working Python inside",
            f"{_INSTALL} (gdb-minimal will not do), or {_POINT}",
        ) from None
    return GdbProgram(path, version, python)


def safe_environment() -> dict[str, str]:
    """Return the environment every GDB of ours is started in: no debuginfod, English messages.

    GDB 10 and 11 know debuginfod, but only this variable switches it off. The variables of Python
    are meant for another Python than the one inside GDB, and packages in the home folder are not
    meant for GDB at all: that may be another user's, under sudo.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    ours = {"DEBUGINFOD_URLS": "", "LC_ALL": "C"}
    return {**kept, **ours, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}


def script_path(name: str) -> str:
    """Return the absolute path of a script that runs inside GDB."""
    package = Path(__file__).absolute().parent
    installed = package / "gdbscripts" / name
    # In a checkout the folder lies beside the package; the wheel has it inside.
    return str(installed if installed.exists() else package.parent / "gdbscripts" / name)
