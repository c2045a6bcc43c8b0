"""`gdbleak trace`: the window, and the report of it."""

from __future__ import annotations

import argparse
import re
import resource

from gdbleak.capture.limits import Limits
from gdbleak.capture.probe import ProbeKind
from gdbleak.commands.allocator_arguments import add_selection_arguments, selection
from gdbleak.commands.arguments import (
    add_report_arguments,
    report_options,
)
from gdbleak.commands.output import Output, check_writable, is_same_file
from gdbleak.commands.process_argument import describe_target
from gdbleak.commands.processes_argument import add_processes_arguments, choose_processes
from gdbleak.commands.progress import ProgressLine
from gdbleak.commands.several import Outcome, conclude, trace_each
from gdbleak.commands.started import add_command_argument, trace_started
from gdbleak.commands.view_arguments import add_watching_arguments, duration_s, view
from gdbleak.commands.window_arguments import add_window_arguments
from gdbleak.errors import TraceFailedError, UndecidedError, UsageError, WriteError
from gdbleak.recording.end import EndedBy
from gdbleak.remote.trace import trace_remote
from gdbleak.report.endings import find_doubt
from gdbleak.report.model import Report
from gdbleak.text.units import format_bytes
from gdbleak.tracing.record import Watcher, record

_ADDRESS = re.compile(r"[\w.:\[\]-]+:\d+")

_LOCAL_ONLY = {
    "probe": ProbeKind.AUTO,
    "budget": Limits.budget_percent,
    "tail": Limits.tail_s,
    "max_pause": Limits.max_pause_ms,
    "interval": None,
    "live": False,
    "events": False,
    "no_references": False,
    "no_heap": False,
    "holders": False,
    "scan_rate": Limits.scan_rate,
    "scan_time": Limits.scan_s,
}
"""Options that only work for a process of this machine, and their defaults."""

_FAILURES = (EndedBy.DEBUGGER_DIED, EndedBy.DEBUGGER_SILENT, EndedBy.CHILD_TRAPPED)


class Trace:
    """Trace a process, and show which call stacks leak."""

    summary = "watch a process for a while and show which call stacks leak"
    description = (
        "Attach to a process with gdb, record every allocation and free for a while, detach, and "
        "show the call stacks whose blocks stay. Breakpoints halt the process for a moment at each "
        "allocation and each free; a process that is too busy for that gets a recorder of its own "
        "instead (--probe). Ctrl-C ends the window early, with a report. If gdb is killed with "
        "SIGKILL while there are breakpoints, the process may die with it: see docs/safety.md."
    )

    examples = """\
  gdbleak trace 4711                    watch process 4711 for ten seconds
  gdbleak trace httpd --all             its processes, one after the other
  gdbleak trace redis-server --duration 60 --save leak.gdbleak
  gdbleak -c './server 8080'       start it, and trace it from then on
  gdbleak trace 4711 --fail-on leak,growing -o leak.json
  gdbleak trace 4711 --remote 127.0.0.1:2345
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_processes_arguments(parser, "trace")
        add_command_argument(parser)
        parser.add_argument(
            "--remote",
            metavar="HOST:PORT",
            help="trace a process of another machine, through the gdbserver that listens there, by "
            "its PID; everything is recorded, whatever that costs: see docs/legacy-boxes.md",
        )
        add_window_arguments(parser)
        add_watching_arguments(parser)
        add_selection_arguments(parser)
        add_report_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        if options.words is not None:
            return trace_started(self.trace_one, options)
        if options.remote:
            return conclude(self.trace_one(options, Output(options), None))
        pids = choose_processes(options, "trace")
        if len(pids) > 1:
            return trace_each(self.trace_one, options, pids)
        return conclude(self.trace_one(options, Output(options), pids[0]))

    def trace_one(
        self, options: argparse.Namespace, output: Output, pid: int | None, place: str = ""
    ) -> Outcome:
        """Trace one process, and show its report.

        Args:
            options: Those of the command.
            output: Where the report goes.
            pid: The process; None for one that is remote.
            place: Which of several it is, in words.

        """
        _check(options)
        report = self._trace_remote(options) if pid is None else self._trace(options, pid, place)
        output.show(report)
        if report.window.ended_by is EndedBy.WRITE_FAILED:
            return Outcome(report, error=_explain_full())
        try:
            status = output.status(report)
        except UndecidedError as error:
            return Outcome(report, error=error)
        doubt = find_doubt(report)
        if doubt and (report.window.ended_by in _FAILURES or report.verification.ok is False):
            return Outcome(report, error=TraceFailedError(*doubt))
        return Outcome(report, status)

    def _trace_remote(self, options: argparse.Namespace) -> Report:
        for name, default in _LOCAL_ONLY.items():
            everything = name == "budget" and options.budget == 100
            if getattr(options, name) != default and not everything:
                raise UsageError(
                    f"--{name.replace('_', '-')} does not work with --remote",
                    "limit the window with --duration and --max-events",
                )
        if not _ADDRESS.fullmatch(options.remote):
            raise UsageError(
                f"--remote needs HOST:PORT: {options.remote}", "for example 127.0.0.1:2345"
            )
        named = [*options.process, *options.pids]
        if len(named) > 1:
            raise UsageError("--remote takes one process", "leave out the other PIDs")
        pid = named[0] if named else None
        if isinstance(pid, str) or options.all:
            raise UsageError(
                "--remote needs a PID, not a name", "find it there, for example with `pgrep NAME`"
            )
        limits = Limits(
            duration_s(options),
            max_events=options.max_events,
            max_memory=options.max_memory,
            stack_bytes=options.stack_bytes,
        )
        selected, about = selection(options), report_options(options)
        with ProgressLine(_describe_remote(pid, options.remote)) as line:
            return trace_remote(
                options.remote, pid, limits, selected, about, options.save, line.show
            )

    def _trace(self, options: argparse.Namespace, pid: int, place: str) -> Report:
        probe = options.probe
        if options.events:
            if probe is ProbeKind.INLINE:
                raise UsageError(
                    "--events needs breakpoints: inline, calls come too fast to be written out",
                    "watch with --interval or --live",
                )
            probe = ProbeKind.BREAKPOINT
        selected = selection(options)
        shown = view(options, pid)
        limits = Limits(
            duration_s(options),
            max_events=options.max_events,
            max_pause_ms=options.max_pause,
            max_memory=options.max_memory,
            stack_bytes=options.stack_bytes,
            budget_percent=options.budget,
            tail_s=options.tail,
            references=not options.no_references,
            holders=options.holders,
            heap=not options.no_heap,
            scan_rate=options.scan_rate,
            scan_s=options.scan_time,
        )
        with ProgressLine(describe_target(pid) + place, alone=shown is None) as line:
            watcher = Watcher(
                on_way=lambda rate, way: line.announce(
                    rate, selected.halts_once, options.budget, way.kind, way.chosen
                ),
                on_progress=line.show,
                view=shown,
            )
            return record(
                pid,
                probe,
                limits,
                selected,
                report_options(options),
                options.save,
                watcher,
            )


def _check(options: argparse.Namespace) -> None:
    """Check what contradicts itself in the options, before anything is attached to."""
    if options.save:
        check_writable(options.save)
        if options.output and is_same_file(options.save, options.output):
            raise UsageError("-o and --save name the same file", "choose two")
    if options.no_references and options.holders:
        raise UsageError("--holders needs references", "leave out --no-references")
    if options.no_references and "lost" in options.fail_on:
        raise UsageError("--fail-on lost needs references", "leave out --no-references")


def _describe_remote(pid: int | None, address: str) -> str:
    return f"process {pid} behind {address}" if pid else f"the process behind {address}"


def _explain_full() -> WriteError:
    """Return why a recording could not be written on: GDB wrote it, and did not tell its errno."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY:
        return WriteError("the recording could not be written on: its disk is full")
    return WriteError(
        f"the recording could not be written on: no file may be larger than {format_bytes(limit)},"
        " or its disk is full",
        "raise the limit with `ulimit -f unlimited`, or keep fewer bytes of stack",
    )
