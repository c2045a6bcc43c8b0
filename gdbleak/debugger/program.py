"""The GDB of this host: where it is, and with which options every GDB is started."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gdbleak.errors import DebuggerMissingError
from gdbleak.host.leash import Leash
from gdbleak.text.lines import cut

SAFE_OPTIONS: tuple[str, ...] = (
    "-nx",
    "-q",
    # Files of the target may bring scripts: OBJFILE-gdb.py, .debug_gdb_scripts, .gdbinit.
    *("-iex", "set auto-load off"),
    *("-iex", "set auto-load safe-path /dev/null"),
    # Since GDB 12; older ones print an error and go on, and `safe_environment` switches it off.
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
"""Options of every GDB: settings that must be made before a file is loaded."""

_PROBE = "python import json, sys; print(json.dumps([gdb.VERSION, '%d.%d' % sys.version_info[:2]]))"
_PROBE_TIMEOUT_S = 15
_PROBE_BYTES = 1 << 16
_QUOTED = 160
"""How many characters of what a broken GDB has printed are quoted."""
_INSTALL = (
    "install one with `apt-get install gdb`, `yum install gdb` or `pip install 'gdbleak[gdb]'`"
)
_NOISE = ("warning: ", "Undefined set ", "Undefined maint")
"""How lines begin that a GDB prints which lacks one of our settings."""
_TELLING = re.compile(r"(?i)error\b|cannot|not supported")
_POINT_IT = "set it to the path of a gdb with Python"
_POINT = _POINT_IT.replace(" it ", " GDBLEAK_GDB ")


@dataclass(frozen=True)
class GdbProgram:
    """A GDB that runs and has Python inside."""

    path: str
    version: str
    python: str
    """Version of the Python inside, for example "3.11"."""


def find_gdb() -> GdbProgram:
    """Return the GDB that `$GDBLEAK_GDB` names, else that on PATH, else that beside this Python.

    `pip` may have put one beside this Python, in a folder that is not on PATH.

    Raises:
        DebuggerMissingError: there is no GDB, it does not run, or it was built without Python.

    """
    wanted = os.environ.get("GDBLEAK_GDB")
    found = shutil.which(wanted) if wanted else next(_iter_programs(), None)
    if found is None:
        if wanted:
            raise _misnamed(wanted)
        raise DebuggerMissingError(
            "there is no gdb on this host's PATH or beside gdbleak's Python",
            f"{_INSTALL}, or {_POINT}",
        )
    path = str(Path(found).absolute())
    output, end = _run(path)
    for line in output.splitlines():
        try:
            version, python = json.loads(line)
        except (ValueError, TypeError):  # a line of another kind
            continue
        if isinstance(version, str) and isinstance(python, str):
            return GdbProgram(path, version, python)
    raise _failed(path, output, end)


def _misnamed(wanted: str) -> DebuggerMissingError:
    """Return an error that tells why GDBLEAK_GDB does not name a program."""
    path = Path(wanted)
    if path.is_dir():
        reason = "which is a folder"
    elif path.exists():
        reason = "which may not be run: it lacks the permission (`chmod +x`), or its disk does"
    elif os.sep in wanted:
        reason = "which does not exist"
    else:
        reason = "which is not on the PATH"
    other = next(_iter_programs(), None)
    return DebuggerMissingError(
        f"GDBLEAK_GDB names {wanted}, {reason}",
        f"unset GDBLEAK_GDB to use {other}, or {_POINT_IT}" if other else _POINT,
    )


def find_another(path: str) -> str | None:
    """Return the path of another gdb of this host, or None."""
    for other in _iter_programs():
        with suppress(OSError):  # one of the two has just been removed
            if not Path(other).samefile(path):
                return other
    return None


def _iter_programs() -> Iterator[str]:
    """Yield the paths of programs called gdb: those on PATH, then the one that pip installs."""
    for folder in (*os.get_exec_path(), sysconfig.get_path("scripts")):
        found = shutil.which("gdb", path=folder)
        if found:
            yield str(Path(found).absolute())


def _run(path: str) -> tuple[str, str]:
    """Ask a GDB for its version; return what it prints, and how it ended.

    Raises:
        DebuggerMissingError: it does not run.

    """
    with Leash() as leash:
        try:
            process = leash.start(
                [path, *SAFE_OPTIONS, "-batch", "-ex", _PROBE],
                env=safe_environment(),
                cwd="/",  # an old Python looks for its modules there first
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise DebuggerMissingError(
                f"{path} does not run: {_explain(path, error)}", _advise(path)
            ) from error
        try:
            deadline = time.monotonic() + _PROBE_TIMEOUT_S
            output, endless = _read(process, deadline)
            try:
                status = None if endless else process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                status = None
        finally:
            leash.end(process)
            assert process.stdout is not None
            process.stdout.close()
    if endless:
        return output, "prints words without end"
    if status is None:
        return output, f"does not answer within {_PROBE_TIMEOUT_S} s"
    if status < 0:
        return output, f"was killed by {signal.Signals(-status).name} at its start"
    return output, f"ended with exit status {status}, and printed nothing"


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[str, bool]:
    """Return what a process prints until a time, and whether that is too much."""
    assert process.stdout is not None
    output = b""
    while len(output) < _PROBE_BYTES:
        left_s = max(deadline - time.monotonic(), 0)
        if not select.select([process.stdout], [], [], left_s)[0]:
            break
        data = process.stdout.read(_PROBE_BYTES)
        if not data:
            break
        output += data
    return output.decode(errors="replace"), len(output) >= _PROBE_BYTES


def _failed(path: str, output: str, end: str) -> DebuggerMissingError:
    """Return an error that tells why a GDB did not print its version."""
    line = _quote(output.replace(f"{path}: ", ""))
    if not line or "exit status" not in end:
        return DebuggerMissingError(
            f"{path} {end}" + (f"; it printed: {line}" if line else ""), _advise(path)
        )
    if "shared librar" in line:
        return DebuggerMissingError(f"{path} does not run: {line}", _advise(path))
    if "ython" in line and "cripting" in line:
        return DebuggerMissingError(
            f"{path} has no Python inside: {line}",
            _advise(path, f"{_INSTALL} (gdb-minimal will not do)"),
        )
    return DebuggerMissingError(f"{path} does not work as a gdb with Python: {line}", _advise(path))


def _advise(path: str, install: str = _INSTALL) -> str:
    other = find_another(path)
    return f"set GDBLEAK_GDB={other}" if other else f"{install}, or {_POINT}"


def _quote(output: str) -> str:
    """Return the first line that tells a person something; of a traceback, the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(line.startswith("Traceback (") for line in lines):
        lines.reverse()
    lines = [line for line in lines if not line.startswith(_NOISE)] or lines
    telling = (line for line in lines if _TELLING.search(line))
    return cut(next(telling, lines[0] if lines else ""), _QUOTED)


def _explain(path: str, error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        with Path(path).open("rb") as file:
            is_program = file.read(4) == b"\x7fELF"
        return (
            f"it was built for another machine than {platform.machine()}"
            if is_program
            else ("it is neither a program nor a script that begins with #!")
        )
    if error.errno == errno.ENOENT:
        return "the interpreter or loader that it names is missing"
    return str(error.strerror)


def safe_environment() -> dict[str, str]:
    """Return the environment of every GDB: no debuginfod, English messages.

    In GDB 10 and 11, only a variable switches debuginfod off. Variables of Python are left out,
    because they are meant for another Python than the one inside GDB. So are packages in the home
    folder, which under sudo may be another user's.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    ours = {"DEBUGINFOD_URLS": "", "LC_ALL": "C"}
    return {**kept, **ours, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}


def script_path(name: str) -> str:
    """Return the absolute path of a script that runs inside GDB."""
    package = Path(__file__).absolute().parents[1]
    installed = package / "gdbscripts" / name
    # In a checkout the folder lies beside the package; the wheel has it inside.
    return str(installed if installed.exists() else package.parent / "gdbscripts" / name)
