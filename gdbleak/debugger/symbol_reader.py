"""One run of the GDB that reads symbols: as which user, of which files, and for how long.

A file may lead GDB to others: by .gnu_debuglink, by .gnu_debugaltlink, by the names of split debug
information. They cannot be known beforehand. So where the process is another user's, GDB runs as
that user, who could open them anyway. It gets descriptors instead of paths, because another file
may have taken a path meanwhile. GDB is ended when it stands still, as at a FIFO, or works for too
long.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional

from gdbleak.debugger.program import SAFE_OPTIONS, GdbProgram, safe_environment, script_path
from gdbleak.errors import WriteError
from gdbleak.host.files import open_regular
from gdbleak.host.folders import private_folder
from gdbleak.host.leash import Leash
from gdbleak.recording.outside_values import read_json
from gdbleak.target.owners import Owner

STILL_S = 3.0
"""A GDB that has done nothing for so long waits for something that never comes."""
LOOK_S = 0.05

WORK_S, BYTES_A_S = 8.0, 4 << 20
"""Seconds of the processor for a run, and how many bytes of its files allow one more."""
MEMORY_BYTES, MEMORY_A_BYTE = 512 << 20, 8
"""How much memory GDB may hold, and how much more for each byte of its files."""

_SCRIPT = (
    "python import os; os.utime('answer.json', (0, 0));"
    " exec(compile(open('symbols.py').read(), 'symbols.py', 'exec'))"
)
"""It uses names in the current folder, because its user may not enter the folders around it. The
time of the answer tells that it has begun."""

_ANSWER_BYTES = 64 << 20
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TERM")
_FUNCTION = (str, type(None)), (str, type(None)), (int, type(None))
_VARIABLE = (str,), (int,), (str, type(None)), (int, type(None))
_TICKS_A_S = os.sysconf("SC_CLK_TCK")

VariableQuestion = tuple[Optional[int], Optional[str], Optional[str]]
"""Link-time address of a variable; its name, where it has none; its source file, if known."""


class FileQuestion(NamedTuple):
    """What is asked of one file."""

    path: str
    addresses: Sequence[int]
    """Link-time, in code."""
    variables: Sequence[VariableQuestion] = ()


Question = list[FileQuestion]
Answers = list[dict[str, Any]]
"""For each file, what `gdbscripts/gdbleak_symbols.py` writes."""
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class SymbolReader:
    """What one GDB is asked, and within which bounds it works."""

    gdb: GdbProgram
    question: Question
    timeout_s: float
    """When it is ended, whatever it does."""
    debug_files: Sequence[str]
    """Paths of what else it will read, as far as that is known."""
    start: Callable[[Callable[[], Process]], Process | None]
    """Calls the function that starts GDB, or returns None where nothing is to be started."""

    def run(self, owner: Owner | None) -> tuple[Answers, str]:
        """Run GDB once.

        Args:
            owner: The user that it runs as; None for ourselves.

        Returns:
            The answers that it gave, and why there are not more.

        """
        try:
            if owner is None:
                return self._run_as(owner)
            # A GDB that belongs to root often lies where other users may not enter. It is run again
            # with the right of root to read, and with no other right.
            for attempt in (owner, replace(owner, reads_all=True)):
                with suppress(PermissionError, subprocess.SubprocessError):
                    return self._run_as(attempt)
        except (OSError, WriteError) as error:  # no room for the folder, or GDB is gone
            return [], f"GDB could not be run: {error}"
        return [], (
            f"user {owner.user}, who may choose what they lead to, cannot run {self.gdb.path};"
            " install gdb where every user can"
        )

    def _run_as(self, owner: Owner | None) -> tuple[Answers, str]:
        """Run GDB as one user.

        Raises:
            PermissionError: that user cannot run it.
            SubprocessError: we cannot become that user.
            OSError, WriteError: no user could run it at the moment.

        """
        question = self.question
        with Leash() as leash, private_folder(leash) as folder, ExitStack() as stack:
            files = [_open(path, stack) for path, *_ in question]
            answer = _prepare(folder, question, files, owner, stack)
            made_ns = os.fstat(answer).st_mtime_ns
            process = self.start(partial(_start, self.gdb, folder, files, owner, leash))
            if process is None:
                return [], "cancelled"
            read: list[int | str] = [file for file in files if file is not None]
            sizes = sum(map(_room, [*read, *self.debug_files]))
            try:
                _limit_memory(process.pid, MEMORY_BYTES + MEMORY_A_BYTE * sizes)
                failure = _watch(process, self.timeout_s, WORK_S + sizes / BYTES_A_S)
            finally:
                leash.end(process)
            if owner and os.fstat(answer).st_mtime_ns == made_ns:
                raise PermissionError(f"user {owner.user} has not run a script in {self.gdb.path}")
            names = {f"/proc/self/fd/{file}": path for file, (path, *_) in zip(files, question)}
            return [*_iter_answers(answer, names)], failure


def _open(path: str, stack: ExitStack) -> int | None:
    """Return a descriptor of a file, whose place another file cannot take; None without it."""
    try:
        file = open_regular(path)
    except OSError:
        return None
    stack.callback(os.close, file)
    return file


def _prepare(
    folder: Path,
    question: Question,
    files: Sequence[int | None],
    owner: Owner | None,
    stack: ExitStack,
) -> int:
    """Write what GDB reads into its folder; return a descriptor of the file it will write."""
    request = [
        {
            "file": asked.path if file is None else f"/proc/self/fd/{file}",
            "addresses": asked.addresses,
            **({"variables": asked.variables} if asked.variables else {}),
        }
        for file, asked in zip(files, question)
    ]
    (folder / "request.json").write_text(json.dumps(request))
    shutil.copyfile(script_path("gdbleak_symbols.py"), folder / "symbols.py")
    answer = os.open(folder / "answer.json", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
    stack.callback(os.close, answer)
    if owner:  # that user may write to the file, and not put another in its place
        os.fchmod(answer, 0o600)
        os.fchown(answer, owner.user, owner.group)
        for name in ("request.json", "symbols.py"):
            (folder / name).chmod(0o644)
        folder.chmod(0o711)
    return answer


def _start(
    gdb: GdbProgram, folder: Path, files: Sequence[int | None], owner: Owner | None, leash: Leash
) -> Process:
    environment = safe_environment()
    if owner:
        kept = {name: environment[name] for name in _KEPT_VARIABLES if name in environment}
        environment = {**kept, "DEBUGINFOD_URLS": "", "LC_ALL": "C", "PYTHONNOUSERSITE": "1"}
    return leash.start(  # in a session of its own: Ctrl-C is ours to handle
        [gdb.path, *SAFE_OPTIONS, "-batch", "-ex", _SCRIPT],
        cwd=folder,
        env=environment,
        pass_fds=[file for file in files if file is not None],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        prepare=owner.become if owner else None,
    )


def _room(file: int | str) -> int:
    """Return how many bytes of a file are on the disk: it may be all holes."""
    try:
        found = os.stat(file)  # noqa: PTH116 - it may be a descriptor
    except OSError:
        return 0
    return min(found.st_blocks * 512, found.st_size) if stat.S_ISREG(found.st_mode) else 0


def _limit_memory(pid: int, size: int) -> None:
    """Bound the memory that a process may write to: since Linux 4.7 all of it counts."""
    try:
        resource.prlimit(pid, resource.RLIMIT_DATA, (size, size))
    except (OSError, ValueError):  # it has ended, or a lower limit holds already
        return


def _watch(process: Process, timeout_s: float, work_s: float) -> str:
    """Wait until GDB ends, or must be ended; return why there are not more answers."""
    began_s = changed_s = time.monotonic()
    before: tuple[str, ...] = ()
    while process.poll() is None:
        now_s = time.monotonic()
        try:
            process.wait(LOOK_S)
            continue
        except subprocess.TimeoutExpired:
            done, worked_s = _progress(process.pid)
        if done != before:
            before, changed_s = done, now_s
        if now_s - began_s > timeout_s:
            return f"GDB had not read them after {round(timeout_s, 1):g} s"
        if now_s - changed_s > STILL_S:
            return "GDB waited for something that did not come, such as data from a FIFO"
        if worked_s > work_s:
            return f"GDB had not read them after {work_s:.0f} s of work"
    status = process.returncode
    end = f"died of signal {-status}" if status < 0 else f"ended with status {status}"
    return f"GDB gave no answer and {end}"


def _progress(pid: int) -> tuple[tuple[str, ...], float]:
    """Return counts that grow with all that a process does, and for how long it has worked.

    GDB may be a script that has started the real one, so the counts of children are added.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        fields = stat[stat.rindex(")") + 2 :].split()
    except OSError:
        return (), 0.0
    try:
        read = Path(f"/proc/{pid}/io").read_text()
    except OSError:  # the kernel does not count it, or it is another user's
        read = ""
    worked_s = (int(fields[11]) + int(fields[12])) / _TICKS_A_S
    # A process that is ready to run waits only for a processor, and does not stand still.
    waited = str(time.monotonic()) if fields[0] == "R" else ""
    done = (*fields[7:13], read, waited)
    for child in children:
        child_done, child_worked_s = _progress(int(child))
        done, worked_s = done + child_done, worked_s + child_worked_s
    return done, worked_s


def _iter_answers(answer: int, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what the script wrote, up to a line that it could not finish."""
    data = os.pread(answer, min(os.fstat(answer).st_size, _ANSWER_BYTES), 0)
    for line in data.splitlines():
        try:
            found = read_json(line)
        except ValueError:  # no prefix of an object is JSON
            return
        if not _is_answer(found):
            return
        for key in ("error", "problem"):
            for name, path in names.items():
                if found.get(key):
                    found[key] = found[key].replace(name, path)
        yield found


def _is_answer(found: Any) -> bool:
    """Return whether this is an answer: the user that GDB runs as may write anything."""
    if not isinstance(found, dict):
        return False
    if not all(isinstance(found.get(key, ""), (str, type(None))) for key in ("error", "problem")):
        return False
    return "error" in found or (
        isinstance(found.get("functions"), list)
        and all(map(_is_functions, found["functions"]))
        and isinstance(found.get("variables", []), list)
        and all(one is None or _fits(one, _VARIABLE) for one in found.get("variables", []))
    )


def _is_functions(found: Any) -> bool:
    return isinstance(found, list) and all(_fits(one, _FUNCTION) for one in found)


def _fits(found: Any, kinds: Sequence[tuple[type, ...]]) -> bool:
    return (
        isinstance(found, list)
        and len(found) == len(kinds)
        and all(isinstance(value, kind) for value, kind in zip(found, kinds))
    )
