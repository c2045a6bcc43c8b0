"""The argument that says which process a command is about: a PID, or a name."""

from __future__ import annotations

import argparse
import sys

from gdbleak.bounds import Bounds
from gdbleak.commands.arguments import within
from gdbleak.errors import NoSuchProcessError
from gdbleak.renderers.columns import draw_table, numbers, words
from gdbleak.target.processes import Candidate, describe_process, find_processes
from gdbleak.text.lines import cut, printable
from gdbleak.text.units import format_bytes, format_seconds

_COMMAND_WIDTH = 45


def add_process_argument(
    parser: argparse.ArgumentParser,
    what: str,
    metavar: str = "PID",
    more: str = "",
    **options: str,
) -> None:
    """Add the argument.

    Args:
        parser: Parser of the command.
        what: What happens to the process.
        metavar: What the argument is called.
        more: What else may be given, as the end of a sentence.
        **options: See `ArgumentParser.add_argument`.

    """
    parser.add_argument(
        "process",
        metavar=metavar,
        type=pid_or_name,
        help=f"PID of the process to {what}, or its name if only one process has it{more}",
        **options,  # type: ignore[arg-type]
    )


def choose_process(process: int | str, command: str, more: str = "", or_else: str = "") -> int:
    """Return the PID of the process that was meant; if that is not sure, list what may be meant.

    Args:
        process: Its PID or name.
        command: The command to type for one of several.
        more: What to type behind the PID.
        or_else: What else to do where several have the name, as the end of a sentence.

    Raises:
        NoSuchProcessError: not exactly one process has the name.

    """
    if isinstance(process, int):
        return process
    found = find_processes(process)
    candidates = [*filter(None, map(describe_process, found.exactly or found.partly))]
    if not candidates:
        raise NoSuchProcessError(
            f"no process is called {process}", "list processes with `ps -eo pid,comm`"
        )
    if found.exactly and len(candidates) == 1:
        return candidates[0].pid
    sys.stderr.write(_table(candidates))
    example = f"`gdbleak {command} {candidates[0].pid}{more}`"
    if found.exactly:
        raise NoSuchProcessError(
            f"{len(candidates):,} processes are called {process}",
            f"give the PID of one of them, such as {example}" + or_else,
        )
    # Halting a process takes more than a part of its name, which others may have too.
    names = "the name of one contains" if len(candidates) == 1 else "longer names contain"
    raise NoSuchProcessError(
        f"no process is called {process}, but {names} it",
        f"give the PID or the whole name, such as {example}",
    )


def describe_target(pid: int) -> str:
    """Return how to speak of a process: by its PID and, if it can be read, its command."""
    candidate = describe_process(pid)
    if candidate is None:
        return f"process {pid}"
    return f"process {pid} ({printable(cut(candidate.command, _COMMAND_WIDTH))})"


def pid_or_name(text: str) -> int | str:
    """Return the PID or the name that a text is."""
    if text.lstrip("-").isdecimal():
        return within(Bounds(1), int)(text)
    if not text.strip():
        raise argparse.ArgumentTypeError("give the PID or the name of a process")
    return text


def _table(candidates: list[Candidate]) -> str:
    rows = [
        [
            str(pid),
            format_seconds(age_s),
            format_bytes(rss),
            printable(cut(command, _COMMAND_WIDTH)),
        ]
        for pid, age_s, rss, command in candidates
    ]
    columns = (*numbers("PID", "Age", "Resident"), *words("Command"))
    return draw_table(columns, rows, "simple") + "\n"
