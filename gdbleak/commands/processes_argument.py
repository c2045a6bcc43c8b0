"""The arguments that say which processes a command is about, one after the other."""

from __future__ import annotations

import argparse

from gdbleak.commands.process_argument import choose_process, pid_or_name
from gdbleak.errors import UsageError
from gdbleak.target.processes import find_processes

_OR_ALL = ", or add --all for one after the other"


def add_processes_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the arguments of a command that takes several processes.

    Args:
        parser: Parser of the command.
        what: What happens to the processes.

    """
    parser.add_argument(
        "process",
        metavar="PID",
        type=pid_or_name,
        nargs="*",
        help=f"PID of the process to {what}, or its name if only one process has it; of several, "
        "one after the other",
    )
    parser.add_argument(
        "-p",
        "--pid",
        dest="pids",
        metavar="PID",
        type=pid_or_name,
        action="append",
        default=[],
        help="the same as PID alone; may be repeated",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"{what} all processes of a name, one after the other",
    )


def choose_processes(options: argparse.Namespace, command: str) -> list[int]:
    """Return the PIDs that were meant, each once, in the order in which they were given.

    Args:
        options: As `add_processes_arguments` declares them.
        command: The command to type for one of several.

    Raises:
        UsageError: none was given, or `--all` without a name.
        NoSuchProcessError: no process has a name, or several have, and not all are meant.

    """
    named = [*options.process, *options.pids]
    if not named:
        raise UsageError("no process was named", f"give its PID or name: `gdbleak {command} PID`")
    if options.all and not any(isinstance(each, str) for each in named):
        raise UsageError("--all is for a name that several processes have", "leave it out")
    pids: dict[int, None] = {}
    for each in named:
        several = find_processes(each).exactly if options.all and isinstance(each, str) else []
        pids.update(
            dict.fromkeys(sorted(several) or [choose_process(each, command, or_else=_OR_ALL)])
        )
    return [*pids]
