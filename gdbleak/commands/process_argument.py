"""The argument that says which process a command is about: a PID, or a name."""

from __future__ import annotations

import argparse
import sys

from tabulate import tabulate

from gdbleak.bounds import Bounds
from gdbleak.commands.arguments import within
from gdbleak.errors import NoSuchProcessError
from gdbleak.target.processes import Candidate, describe_process, find_processes
from gdbleak.text.lines import cut, printable
from gdbleak.text.units import format_bytes, format_seconds

_COMMAND_WIDTH = 45


def add_process_argument(parser: argparse.ArgumentParser, what: str, **options: str) -> None:
    """Add the argument; `what` is said of the process."""
    parser.add_argument(
        "process",
        metavar="PID",
        type=_pid_or_name,
        help=f"the process to {what}, or its name if that is unique",
        **options,  # type: ignore[arg-type]
    )


def choose_process(process: int | str, command: str) -> int:
    """Return the PID of a process that was named; of several, all are listed.

    Args:
        process: Its PID or name.
        command: To type for one of several.

    Raises:
        NoSuchProcessError: none has the name, or several have.

    """
    if isinstance(process, int):
        return process
    pids = find_processes(process)
    if not pids:
        raise NoSuchProcessError(
            f"no process is called {process}", "list processes with `ps -eo pid,comm`"
        )
    if len(pids) == 1:
        return pids[0]
    candidates = [candidate for candidate in map(describe_process, pids) if candidate]
    sys.stderr.write(_table(candidates))
    raise NoSuchProcessError(
        f"{len(candidates)} processes are called {process}",
        f"give the PID of one of them, such as `gdbleak {command} {pids[0]}`",
    )


def _pid_or_name(text: str) -> int | str:
    if text.lstrip("-").isdecimal():
        return within(Bounds(1), int)(text)
    if not text.strip():
        raise argparse.ArgumentTypeError("a process has a PID or a name")
    return text


def _table(candidates: list[Candidate]) -> str:
    rows = [
        [pid, format_seconds(age_s), format_bytes(rss), printable(cut(command, _COMMAND_WIDTH))]
        for pid, age_s, rss, command in candidates
    ]
    align = ("right", "right", "right", "left")
    headers = ["PID", "Age", "Resident", "Command"]
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True) + "\n"
