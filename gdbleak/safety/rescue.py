"""Repair of what a killed trace has left behind, from its journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gdbleak.elf.build_id import HEADER_SIZE, parse_build_id
from gdbleak.host.folders import remove_private_folder
from gdbleak.safety.journal import Journal
from gdbleak.safety.journals import controller_lives, iter_journals, journal_path
from gdbleak.safety.repair import iter_changes, repair
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.life import start_of_living
from gdbleak.target.proc import Memory, read_status


@dataclass(frozen=True)
class Rescue:
    """What was found of one process, and done about it."""

    text: str
    ok: bool = True
    """False when something is left that needs a person."""


TakeOut = Callable[[Journal, str], Rescue]
"""Repairs a process that a recorder was put into; gets its journal, and how to name it."""


def rescue(take_out: TakeOut, pid: int | None = None) -> list[Rescue]:
    """Repair the processes that journals name, or the one with a PID.

    Args:
        take_out: Takes a recorder out of a process, which takes a GDB.
        pid: Of the only process to look at, or None.

    Raises:
        WriteError: the folder of journals cannot be trusted.

    """
    found = [
        _settle(journal, take_out) if isinstance(journal, Journal) else _point_at(journal)
        for journal in iter_journals()
        if pid is None or journal_path(pid) == getattr(journal, "path", journal)
    ]
    if found:
        return found
    if pid is None:
        return [Rescue("no trace has left anything behind: there is no journal")]
    return [_look_at(pid)]


def _point_at(path: Path) -> Rescue:
    return Rescue(
        f"{path} is damaged and does not say what to repair: look at the process with"
        f" `gdbleak doctor {path.stem}`, then remove the file",
        ok=False,
    )


def _settle(journal: Journal, take_out: TakeOut) -> Rescue:
    """Repair a process; when nothing is left to repair, remove the folder of the killed trace."""
    rescue = _rescue(journal, take_out)
    folder = journal.plan.get("folder")  # earlier journals do not name it
    if not rescue.ok or not isinstance(folder, str) or controller_lives(journal):
        return rescue
    if not remove_private_folder(Path(folder)):
        return rescue
    return replace(rescue, text=f"{rescue.text}; removed {folder}, which the killed trace has left")


def _rescue(journal: Journal, take_out: TakeOut) -> Rescue:
    plan = journal.plan
    pid, name = plan["pid"], f"process {plan['pid']} ({plan['command']})"
    if "inline" in plan and not controller_lives(journal):
        return take_out(journal, name)  # there may be copies of it even when that has ended
    if plan["started"] is None or start_of_living(pid) != plan["started"]:
        journal.path.unlink()
        return Rescue(f"{name} has ended: nothing to repair")
    if controller_lives(journal) and not journal.closed:
        return Rescue(
            f"{name} is being traced by gdbleak, process {plan['controller']}: left alone"
        )
    tracer = int(read_status(pid)["TracerPid"])
    if tracer:
        return Rescue(
            f"{name} is traced by process {tracer}: end that first, then run this again", ok=False
        )
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    except OSError as error:
        return Rescue(f"{name} cannot be written to: {error.strerror}", ok=False)
    try:
        return _repair(memory, journal, name)
    finally:
        os.close(memory)


def _repair(memory: int, journal: Journal, name: str) -> Rescue:
    plan = journal.plan
    if not is_same_program(plan):
        journal.path.unlink()
        return Rescue(f"{name} runs another program by now: nothing to repair")
    found = sum(1 for _ in iter_changes(memory, plan))
    for module in plan["modules"] if found else ():
        if not is_same_module(plan["pid"], module):
            return Rescue(
                f"{name} has another file mapped where {module['path']} was: left alone", ok=False
            )
    repair(memory, journal, "rescue")
    done = journal.events[-1]
    said = [f"restored {done['restored']} of {found} places in its code"] if found else []
    said += (
        ["continued it: it was stopped, by the killed trace or by somebody else"]
        if done["continued"]
        else []
    )
    if not done["closed"]:
        return Rescue(f"{name}: {', '.join(said)}; the others could not be written", ok=False)
    journal.path.unlink()
    return Rescue(f"{name}: {', '.join(said) or 'it is as it was, nothing to repair'}")


def is_same_program(plan: dict[str, Any]) -> bool:
    """Whether the process has called no exec: that lays out its memory anew."""
    try:
        with Memory(plan["pid"]) as memory:
            now = read_scratch(plan["pid"], memory).to_json()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return False
    return all(now[key] == plan["scratch"][key] for key in ("address", "program"))


def is_same_module(pid: int, module: dict[str, Any]) -> bool:
    """Whether a file whose code the breakpoints are in is still mapped there."""
    with Memory(pid) as memory:
        header = memory.read(module["start"], HEADER_SIZE)
        build_id = parse_build_id(
            header, lambda offset, size: memory.read(module["start"] + offset, size)
        )
    return header[:4] == b"\x7fELF" and build_id == module["build_id"]


def _look_at(pid: int) -> Rescue:
    try:
        status = read_status(pid)
    except (FileNotFoundError, ProcessLookupError):
        return Rescue(f"there is no process {pid}, and no journal of it")
    state, tracer = status["State"], status["TracerPid"]
    return Rescue(
        f"no trace of process {pid} ({status['Name']}) has left anything behind:"
        f" there is no journal; it is in state {state}, traced by "
        + (f"process {tracer}" if tracer != "0" else "nobody")
    )
