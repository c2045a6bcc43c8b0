"""The argument and options of commands that look at a process, or at a core file of one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gdbleak.commands.process_argument import add_process_argument, choose_process
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import TargetError, UsageError
from gdbleak.target.process import check_readable
from gdbleak.target.processes import find_processes
from gdbleak.text.lines import cut, printable

if TYPE_CHECKING:
    from gdbleak.target.examined import Examined

_COMMAND_WIDTH = 45


def add_core_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which process or core file is meant, and where the files of a core are."""
    add_process_argument(parser, "look at", metavar="PID|CORE", more="; or the path of a core file")
    group = parser.add_argument_group("core files")
    group.add_argument(
        "--exe",
        metavar="PATH",
        help="the program that the core is of, if it is not where it was",
    )
    group.add_argument(
        "--sysroot",
        metavar="DIR",
        help="a folder with the files of the machine that the core comes from, at their paths",
    )


def names_core(process: int | str) -> bool:
    """Return whether the argument is meant as the path of a core file.

    A path is, and a name of a core file in this folder; a name of a process goes before any other
    file of that name.
    """
    from gdbleak.target.core import is_core_file

    if isinstance(process, int):
        return False
    if "/" in process or is_core_file(process):
        return True
    return Path(process).is_file() and not find_processes(process).exactly


def open_examined(
    options: argparse.Namespace, images: ImageCache, command: str, more: str = ""
) -> Examined:
    """Return the process or the core file that is meant, to be used as a context.

    Args:
        options: As `add_core_arguments` declares them.
        images: Keeps its ELF files, as long as the process is examined.
        command: The command to type again, if the argument was not clear.
        more: What to type behind the PID.

    Raises:
        CoreError: the file is not a core file, or tells nothing.
        TargetError: the process cannot be read; or numpy is missing, as it may be where gdbleak
            runs from a folder.
        UsageError: options for core files are given for a process.

    """
    try:
        from gdbleak.target.core import Core
        from gdbleak.target.examined import ExaminedProcess
    except ModuleNotFoundError as error:
        raise TargetError(
            f"to search memory takes the Python package {error.name}, which is missing",
            f"run `pip install {error.name}`",
        ) from error
    if names_core(options.process):
        return Core(options.process, images, options.exe, options.sysroot or "")
    if options.exe is not None or options.sysroot is not None:
        raise UsageError(
            "--exe and --sysroot are for core files, and a process was given",
            f"run `gdbleak {command} CORE{more}`, or leave them out",
        )
    pid = choose_process(options.process, command, more)
    check_readable(pid, lambda process: f"{command} {process}{more}")
    return ExaminedProcess(pid, images)


def describe_examined(process: Examined) -> str:
    """Return how to speak of a process or core file: with the command, cut."""
    what = "the core of process" if process.is_core else "process"
    return f"{what} {process.pid} ({printable(cut(process.command, _COMMAND_WIDTH))})"
