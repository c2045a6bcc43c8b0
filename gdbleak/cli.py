"""The command line: which commands there are, and how errors are shown."""

from __future__ import annotations

import argparse
import errno
import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Protocol

from gdbleak import __version__
from gdbleak.commands.first_word import find_command
from gdbleak.commands.refusal import refuse
from gdbleak.errors import MORE_FILES, FileError, GdbleakError, ResourceLimitError, UsageError
from gdbleak.host.process_limits import check_limits
from gdbleak.host.streams import NO_MORE_FILES, standard_output


class Command(Protocol):
    """A command: its texts for the help, its arguments, and what it does."""

    summary: str
    description: str
    examples: str
    """Command lines, one a line, each with what it does."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""


_COMMANDS = (
    *("trace", "report", "diff", "explain", "suspects", "why", "heap", "leaks", "hunt"),
    *("doctor", "rescue", "agent", "completion"),
)
"""Each is a class in a module of this name."""


def _load_command(name: str) -> Command:
    """Return a command; importing one takes long, so only when it is needed."""
    kind = getattr(import_module(f"gdbleak.commands.{name}"), name.capitalize())
    command: Command = kind(make_parser) if name == "completion" else kind()
    return command


_WITH_GDB = ("trace", "report", "doctor", "why", "hunt")
_HELP = {"-h", "--help"}

_EXAMPLES = """\
examples:
  gdbleak 4711                          watch process 4711 for ten seconds
  gdbleak trace 4711 --duration 60 --save leak.gdbleak
  gdbleak trace 4711 --live             a full screen, until q or Ctrl-C
  gdbleak report leak.gdbleak --sort count -o leak.md
  gdbleak diff before.gdbleak after.gdbleak
  gdbleak suspects                      which process leaks?
  gdbleak why 4711 0x55d0c8a3f2a0       who holds this block of it?
  gdbleak heap 4711                     what is in its heap?
  gdbleak leaks 4711                    what of it does nothing refer to?
  gdbleak hunt 4711                     which size grows, and who allocates it?
  gdbleak redis-server                  by its name, if only one process has it
  gdbleak httpd --all                   its processes, one after the other
  gdbleak -c './server 8080'            start it, and trace it from then on
  gdbleak doctor 4711                   what would stop a trace of it
  gdbleak explain leak?                 what does this word of a report mean?
  gdbleak rescue                        repair what a killed trace left behind
  gdbleak agent --standalone > gdbleak_record.py

"""

_EXIT_STATUS = """\
exit status:
  0  a report was made, a search has ended,
     or the doctor found nothing, or the rescue left nothing
  1  a report was made, but gdb died, or the process is not as it was found,
     or with --fail-on, its window did not end as asked and no verdict was met;
     or the doctor or the rescue found something that they cannot repair
  2  the command line makes no sense
  3  the process cannot be traced, or an address is in none of its blocks
  4  gdb is missing or failed
  5  a file cannot be read or written
  6  a report was made, and has a verdict that --fail-on names
  130  interrupted before there was anything to report
"""


class _Formatter(argparse.HelpFormatter):
    """Help texts with folded descriptions; examples stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports its errors as all others are reported."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message, f"run `{self.prog} --help`")


def _make_version_parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False)
    parser.add_argument("--version", action="version", version=f"gdbleak {__version__}")
    return parser


def make_parser(names: Sequence[str] = _COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of the whole command line, or of those that begin with some commands."""
    parser = _Parser(
        prog="gdbleak",
        description="Find the call stacks that leak memory in a running native Linux process.\n"
        "Needs gdb, and the right to trace the process.\n"
        "`gdbleak PID` and `gdbleak NAME` mean `gdbleak trace`.",
        epilog=_EXAMPLES + _EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_make_version_parser()],
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        command = _load_command(name)
        subparser = commands.add_parser(
            name,
            help=command.summary,
            description=command.description,
            epilog=f"examples:\n{command.examples}\n{_EXIT_STATUS}",
            formatter_class=_Formatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run, usage=subparser.format_usage)
    return parser


def _doubt(command: str, unknown: Sequence[str], usage: str) -> UsageError:
    """Return what is wrong with arguments that a command does not know."""
    option = unknown[0].partition("=")[0]
    near = get_close_matches(option, re.findall(r"--[a-z-]+", usage), n=1)
    return UsageError(
        f"`gdbleak {command}` does not know {' '.join(unknown)}",
        f"{near[0]} is one of its options" if near else f"run `gdbleak {command} --help`",
    )


def main(arguments: Sequence[str]) -> int:
    """Run a command line, without the program's name; return the exit status.

    Raises:
        KeyboardInterrupt: Ctrl-C came before there was anything to report.

    """
    try:
        with standard_output():
            if arguments[:1]:
                arguments = find_command(arguments, _COMMANDS)
            if arguments[:1] and arguments[0] in _WITH_GDB and not _HELP.intersection(arguments):
                check_limits()  # before the imports, which need memory
            _make_version_parser().parse_known_args(arguments[:1])  # it needs no command
            known = [name for name in arguments[:1] if name in _COMMANDS]
            options, unknown = make_parser(known or _COMMANDS).parse_known_args(arguments)
            if unknown:
                raise _doubt(options.command, unknown, options.usage())
            return int(options.run(options))
    except GdbleakError as error:
        return refuse(error)
    except MemoryError:
        return refuse(
            ResourceLimitError(
                "gdbleak may not use more memory than it does now",
                "raise its limits with `ulimit -v unlimited; ulimit -d unlimited`, or free some",
            )
        )
    except OSError as error:
        if error.errno not in NO_MORE_FILES:
            raise
        limit = "this process" if error.errno == errno.EMFILE else "this host"
        return refuse(
            FileError(f"{limit} has as many files open as it may: {error.strerror}", MORE_FILES)
        )
