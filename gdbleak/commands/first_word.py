"""What a command line means that does not begin with a command: a trace."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

from gdbleak.errors import UsageError

_OWN_OPTIONS = {"-h", "--help", "--version"}
"""Options of no command."""
_ALIKE = 0.6
"""From 0 to 1: words that are less alike than this are not taken for a slip."""


def find_command(arguments: Sequence[str], commands: Collection[str]) -> Sequence[str]:
    """Return a command line with its command in front: `trace`, if it begins with none.

    That is so before an option, a PID, and the name of a process. A command goes before a process
    of its name.

    Args:
        arguments: The command line, without the program's name; not empty.
        commands: The names of the commands.

    Raises:
        UsageError: it begins with a word that is neither a command nor the name of a process.

    """
    first = arguments[0]
    if first.startswith("-") or first.isdecimal():
        # argparse takes the beginning of a long option for the whole.
        is_own = len(first) > 2 and any(option.startswith(first) for option in _OWN_OPTIONS)
        return arguments if is_own or first in _OWN_OPTIONS else ["trace", *arguments]
    if first in commands:
        return arguments
    _check_is_process(first, get_close_matches(first, commands, cutoff=_ALIKE))
    return ["trace", *arguments]


def _check_is_process(word: str, near: Sequence[str]) -> None:
    from gdbleak.target.processes import find_processes  # takes time to load

    found = find_processes(word)
    # A part of a name is a reason to list the processes, unless a command was meant.
    if found.exactly or (found.partly and not near):
        return
    message = f"{word!r} is neither a command nor the name of a process"
    if near:
        raise UsageError(message, " or ".join(f"`gdbleak {command}`" for command in near))
    if Path(word).is_file():
        raise UsageError(message, f"for a recording, `gdbleak report {word}`")
    raise UsageError(message, "list commands with `gdbleak --help`, processes with `ps -eo comm`")
