"""`gdbleak -c COMMAND`: a program that is started, and traced from then on."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from gdbleak.commands.output import Output
from gdbleak.commands.refusal import refuse
from gdbleak.commands.several import Outcome, Tracer
from gdbleak.errors import GdbleakError, NoSuchProcessError, UsageError
from gdbleak.host.program import Program
from gdbleak.target.proc import read_mappings

_TEXT = (None, "table", "plain", "markdown")


def add_command_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that starts a program."""
    parser.add_argument(
        "-c",
        "--command",
        dest="words",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="start a program and trace it: a command line in quotes, or everything that follows; "
        "the report goes to standard error, or to -o FILE, and gdbleak ends with the program",
    )


def trace_started(trace: Tracer, options: argparse.Namespace) -> int:
    """Start a program, trace it, wait for its end; return the exit status of the trace.

    Raises:
        UsageError: the program cannot be started, or the options contradict each other.
        KeyboardInterrupt: Ctrl-C came before there was anything to report.

    """
    words = _split(options)
    Output(options)  # what is wrong with it is said before anything is started
    if not options.output and options.format not in _TEXT:
        raise UsageError(
            f"-c leaves standard output to the program, and {options.format} is for programs too",
            "add -o FILE, which the report then goes to",
        )
    sys.stdout.flush()
    program = Program(words)
    os.dup2(2, 1)  # standard output is the program's alone
    try:
        outcome = _trace(trace, options, program)
        if outcome.error:
            refuse(outcome.error)
        if not program.has_ended:
            sys.stderr.write(f"gdbleak: process {program.pid} runs on; gdbleak ends with it\n")
    except KeyboardInterrupt:
        program.wait()  # it was for the program, too
        raise
    program.wait()
    return outcome.exit_status


def _trace(trace: Tracer, options: argparse.Namespace, program: Program) -> Outcome:
    try:
        program.wait_until_steady(lambda: [m.path for m in read_mappings(program.pid) if m.inode])
        return trace(options, Output(options), program.pid)
    except GdbleakError as error:
        if not program.has_ended:
            return Outcome(None, error=error)
        return Outcome(
            None,
            error=NoSuchProcessError(
                "the program ended before it could be traced",
                "trace one that runs for longer: the attach takes a second or two",
            ),
        )


def _split(options: argparse.Namespace) -> list[str]:
    """Return the words of the command line that is to be started."""
    if options.process or options.pids or options.all or options.remote:
        raise UsageError("-c starts a process, and another one was named", "choose one")
    if options.live:
        raise UsageError(
            "--live needs the terminal, which the program of -c may use", "add --interval S instead"
        )
    words: list[str] = options.words
    try:
        words = shlex.split(words[0]) if len(words) == 1 else words
    except ValueError as error:
        raise UsageError(f"-c {words[0]}: {error}", "close the quotes") from error
    if not words:
        raise UsageError("-c needs a command", "for example `gdbleak -c './server 8080'`")
    return words
