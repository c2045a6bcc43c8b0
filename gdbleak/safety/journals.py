"""The journals: where they are kept, and how that of a trace is written and checked.

A journal stands on disk before the first breakpoint goes in, and goes when the target was proved
to be as it was found. One that stays tells `gdbleak rescue` what to repair.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gdbleak.architectures import X86_64
from gdbleak.errors import OpenJournalError, WriteError
from gdbleak.recording.modules import Module
from gdbleak.recording.probes import Probe
from gdbleak.safety.journal import Journal
from gdbleak.safety.scratch import Scratch
from gdbleak.target.life import start_of_living
from gdbleak.target.process import Target


def journal_folder() -> Path:
    """Return the private folder of journals; make it if it does not exist.

    `$GDBLEAK_STATE` if set; else a folder that a reboot empties, like the processes themselves.

    Raises:
        WriteError: it cannot be made, or somebody else could write to it.

    """
    path = _choose_folder()
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise WriteError(f"cannot make the folder {path}: {error.strerror}", _CURE) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise WriteError(f"{path} is not a folder that only its owner may use", _CURE)
    return path


def _choose_folder() -> Path:
    if "GDBLEAK_STATE" in os.environ:
        return Path(os.environ["GDBLEAK_STATE"])
    if os.geteuid() == 0:
        return Path("/run/gdbleak")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime, "gdbleak") if runtime else Path(f"/tmp/gdbleak-of-{os.geteuid()}")


def iter_journals() -> Iterator[Journal | Path]:
    """Yield the journals there are; of a damaged one only its path.

    Raises:
        WriteError: somebody else could write into their folder.

    """
    if not _choose_folder().exists():
        return
    for path in sorted(journal_folder().glob("*.journal")):
        try:
            yield Journal(path)
        except FileNotFoundError:  # its trace has just ended
            continue
        except (OSError, ValueError):
            yield path


def open_journal(
    target: Target,
    modules: Iterable[Module],
    probes: tuple[Probe, ...],
    scratch: Scratch,
    folder: Path | None = None,
) -> Journal:
    """Write the journal of a trace that is about to set breakpoints.

    Args:
        target: The process.
        modules: Those that are written into.
        probes: Where the breakpoints go.
        scratch: Tells which program it runs, and where GDB writes beside them.
        folder: The private folder of the trace, for whoever cleans up behind it.

    Raises:
        OpenJournalError: an earlier trace of this process has left one, or one is under way.
        WriteError: it cannot be written.

    """
    return _write(_describe(target, modules, probes, scratch, folder))


def open_inline_journal(
    target: Target,
    modules: Iterable[Module],
    implant: dict[str, Any],
    scratch: Scratch,
    folder: Path | None = None,
) -> Journal:
    """Write the journal of a trace that is about to put a recorder into a process.

    Args:
        target: The process.
        modules: Those that are written into.
        implant: What is put in, as `Implant.to_json` tells it.
        scratch: Tells which program it runs.
        folder: As for `open_journal`.

    Raises:
        OpenJournalError: an earlier trace of this process has left one, or one is under way.
        WriteError: it cannot be written.

    """
    return _write({**_describe(target, modules, (), scratch, folder), "inline": implant})


def _describe(
    target: Target,
    modules: Iterable[Module],
    probes: tuple[Probe, ...],
    scratch: Scratch,
    folder: Path | None,
) -> dict[str, Any]:
    """Return the plan that a journal begins with."""
    return {
        "version": 1,
        "pid": target.pid,
        "started": start_of_living(target.pid),
        "command": target.command,
        "state": target.state,
        "controller": os.getpid(),
        "controller_started": start_of_living(os.getpid()),
        "breakpoint": X86_64.breakpoint.hex(),
        "modules": [
            {"path": module.path, "start": module.start, "build_id": module.build_id}
            for module in modules
        ],
        "probes": [
            {"address": probe.address, "original": probe.original, "function": probe.function}
            for probe in probes
        ],
        "scratch": scratch.to_json(),
        "folder": str(folder) if folder else None,
    }


def _write(plan: dict[str, Any]) -> Journal:
    """Write a new journal."""
    pid = plan["pid"]
    check_journal(pid)
    path = journal_path(pid)
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        with open(draft, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(json.dumps(plan) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # all of it at once, and never over another
    except FileExistsError as error:
        raise _occupied(pid, "another trace of it has just begun") from error
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}", _CURE) from error
    finally:
        with suppress(OSError):  # perhaps it could not even be made
            draft.unlink()
    return Journal(path)


def controller_lives(journal: Journal) -> bool:
    """Whether the gdbleak that wrote the journal is still running."""
    started = journal.plan["controller_started"]
    return started is not None and start_of_living(journal.plan["controller"]) == started


def has_journal(pid: int) -> bool:
    """Whether a trace of a process is under way, or has left something in it."""
    try:
        journal = Journal(journal_path(pid))
    except (OSError, ValueError):
        return False
    return not journal.closed and journal.plan["started"] == start_of_living(pid)


def check_journal(pid: int) -> None:
    """Remove a journal that has nothing to say about a process any more.

    Raises:
        OpenJournalError: an earlier trace of this process has left one, or one is under way.

    """
    path = journal_path(pid)
    try:
        journal = Journal(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise _occupied(pid, f"there is a damaged journal, {path}") from error
    if journal.plan["started"] == start_of_living(pid) and not journal.closed:
        if controller_lives(journal):
            raise OpenJournalError(
                f"gdbleak is already tracing process {pid} (process {journal.plan['controller']})",
                "wait for it to end, or press Ctrl-C there",
            )
        has_left = any(event.get("left") for event in journal.events)
        what = "has left something in it" if has_left else "of it was killed"
        raise _occupied(pid, f"an earlier trace {what}")
    path.unlink()


def journal_path(pid: int) -> Path:
    """Return where the journal of a process stands, if there is one."""
    return journal_folder() / f"{pid}.journal"


def _occupied(pid: int, why: str) -> OpenJournalError:
    return OpenJournalError(
        f"process {pid} may hold breakpoints or a recorder: {why}", f"run `gdbleak rescue {pid}`"
    )


_CURE = "set GDBLEAK_STATE to a folder of your own, mode 0700"
