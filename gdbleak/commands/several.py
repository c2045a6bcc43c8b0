"""Several processes, traced one after the other: at no time is more than one attached to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gdbleak.commands.output import FOUND, Output, choose_output, number_path, write_out
from gdbleak.commands.refusal import refuse
from gdbleak.errors import (
    AttachError,
    GdbleakError,
    NoSuchProcessError,
    TargetError,
    TraceFailedError,
    UndecidedError,
    UsageError,
)
from gdbleak.recording.end import EndedBy
from gdbleak.renderers.several import as_text
from gdbleak.report.model import Report
from gdbleak.report.several import Traced
from gdbleak.target.life import start_of_living
from gdbleak.tracing.reporting import INTERRUPTED

_TEXT, _DOCUMENTS = ("table", "plain", "markdown"), ("json",)
"""Formats of which several reports may stand behind each other in one output."""
_BY_USER = (EndedBy.INTERRUPT, EndedBy.TERMINATE, EndedBy.HANGUP)
_OF_ONE = (TargetError, AttachError, UndecidedError)
"""Errors that say nothing about the other processes."""


@dataclass(frozen=True)
class Outcome:
    """What came of one trace, whose report was shown if there is one."""

    report: Report | None
    status: int = 0
    """Exit status, unless there is an error."""
    error: GdbleakError | None = None
    """What went wrong, maybe in spite of the report."""

    @property
    def exit_status(self) -> int:
        """What the command returns for it."""
        return self.error.exit_code if self.error else self.status


class Tracer(Protocol):
    """Traces one process, and shows its report."""

    def __call__(
        self, options: argparse.Namespace, output: Output, pid: int | None, place: str = ""
    ) -> Outcome:
        """Return what came of it; `place` says in words which of several processes it is."""
        ...


def conclude(outcome: Outcome) -> int:
    """Return the exit status of the only trace; raise what went wrong."""
    if outcome.error:
        raise outcome.error
    return outcome.status


def trace_each(trace: Tracer, options: argparse.Namespace, pids: Sequence[int]) -> int:
    """Trace processes one after the other; return the worst of their exit statuses.

    Ctrl-C ends the window of one, and the others are left alone. So they are when a process was
    not left as it was found, or gdb died: what has harmed one would harm the next.

    Raises:
        GdbleakError: none of them could be traced for a reason that holds for all.
        KeyboardInterrupt: Ctrl-C came before there was anything to report.

    """
    medium = choose_output(options.format, options.output)
    _check(options, medium.form)
    turns = [
        (pid, start_of_living(pid), own, Output(own))
        for pid in pids
        for own in [_number(options, pid)]
    ]
    done: list[Traced] = []
    outcomes: list[Outcome] = []
    for number, (pid, started, own, output) in enumerate(turns, start=1):
        try:
            if started is None or start_of_living(pid) != started:  # another may have its PID
                raise NoSuchProcessError(f"process {pid} has ended", "trace those that live now")
            outcome = trace(own, output, pid, f" [{number} of {len(turns)}]")
        except KeyboardInterrupt:
            if not done:
                raise
            break
        except GdbleakError as error:
            if not done and not isinstance(error, _OF_ONE):
                raise
            outcome = Outcome(None, error=error)
        if outcome.error:
            refuse(outcome.error)
        outcomes.append(outcome)
        done.append(Traced(pid, outcome.report, str(outcome.error or "")))
        if outcome.report:
            _end_report(own, pid, medium.form)
        if _is_over(outcome):
            break
    text = ""
    if any(outcome.report for outcome in outcomes):
        text = as_text(done, len(turns), options.top, choose_output().width)
    if medium.form in _DOCUMENTS and not options.output:
        sys.stderr.write(text)
    else:
        write_out(text)
    return max(outcomes, key=_badness).exit_status


def _badness(outcome: Outcome) -> int:
    """Return a number that is the higher the worse it is.

    A verdict that was asked for is worse than a report that decides nothing, and a process that
    was not left as it was found is worse than any verdict.
    """
    if isinstance(outcome.error, TraceFailedError):
        return 4
    if outcome.exit_status == FOUND:
        return 3
    return 2 if isinstance(outcome.error, UndecidedError) else int(outcome.error is not None)


def _is_over(outcome: Outcome) -> bool:
    """Whether the processes that are left are not to be traced any more."""
    if outcome.error and not isinstance(outcome.error, _OF_ONE):
        return True
    report = outcome.report
    if report is None:
        return False
    return report.window.ended_by in _BY_USER or INTERRUPTED in report.notes


def _check(options: argparse.Namespace, form: str) -> None:
    if options.live:
        raise UsageError("--live shows one process", "name one, or use --interval S")
    if not options.output and form not in (*_TEXT, *_DOCUMENTS):
        raise UsageError(
            f"several reports do not go into one output as {form}",
            "add -o FILE: each goes to a file of its own, with its PID in the name",
        )


def _number(options: argparse.Namespace, pid: int) -> argparse.Namespace:
    """Return the options of one of the processes: its files have its PID in their names."""
    own = {**vars(options)}
    for name in ("output", "save"):
        if own[name]:
            own[name] = number_path(own[name], pid)
    return argparse.Namespace(**own)


def _end_report(options: argparse.Namespace, pid: int, form: str) -> None:
    """Leave a line free below a report, or say where it went."""
    if options.output:
        write_out(f"process {pid}: {options.output}\n")
    elif form in _TEXT:
        write_out("\n")
