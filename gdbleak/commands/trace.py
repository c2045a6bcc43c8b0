"""`gdbleak trace`: the window, and the report of it."""

from __future__ import annotations

import argparse
import re
import resource

from gdbleak.bounds import bounds_of
from gdbleak.capture.limits import Limits
from gdbleak.capture.probe import ProbeKind
from gdbleak.commands.allocator_arguments import add_selection_arguments, selection
from gdbleak.commands.arguments import (
    add_report_arguments,
    file_name,
    parse_size,
    report_options,
    within,
)
from gdbleak.commands.output import Output, check_writable, is_same_file
from gdbleak.commands.process_argument import add_process_argument, choose_process, describe_target
from gdbleak.commands.progress import ProgressLine
from gdbleak.commands.view_arguments import add_watching_arguments, duration_s, view
from gdbleak.errors import TraceFailedError, UsageError, WriteError
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
  gdbleak trace redis-server --duration 60 --save leak.gdbleak
  gdbleak trace 4711 --fail-on leak -o leak.json
  gdbleak trace 4711 --remote 127.0.0.1:2345
"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_process_argument(parser, "trace", nargs="?")
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
        output = Output(options)
        if options.save:
            check_writable(options.save)
            if options.output and is_same_file(options.save, options.output):
                raise UsageError("-o and --save name the same file", "choose two")
        if options.no_references and options.holders:
            raise UsageError("--holders needs references", "leave out --no-references")
        if options.no_references and "lost" in options.fail_on:
            raise UsageError("--fail-on lost needs references", "leave out --no-references")
        report = self._trace_remote(options) if options.remote else self._trace(options)
        output.show(report)
        if report.window.ended_by is EndedBy.WRITE_FAILED:
            raise _explain_full()
        status = output.status(report)
        doubt = find_doubt(report)
        if doubt and (report.window.ended_by in _FAILURES or report.verification.ok is False):
            raise TraceFailedError(*doubt)
        return status

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
        pid = options.process
        if isinstance(pid, str):
            raise UsageError(
                f"--remote needs a PID, not a name: {pid}",
                "find the PID there, for example with `pgrep NAME`",
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

    def _trace(self, options: argparse.Namespace) -> Report:
        if options.process is None:
            raise UsageError("no process was named", "give its PID, or --remote HOST:PORT")
        probe = options.probe
        if options.events:
            if probe is ProbeKind.INLINE:
                raise UsageError(
                    "--events needs breakpoints: inline, calls come too fast to be written out",
                    "watch with --interval or --live",
                )
            probe = ProbeKind.BREAKPOINT
        selected = selection(options)
        pid = choose_process(options.process, "trace")
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
            scan_rate=options.scan_rate,
            scan_s=options.scan_time,
        )
        with ProgressLine(describe_target(pid), alone=shown is None) as line:
            watcher = Watcher(
                on_way=lambda rate, way: line.announce(
                    rate, selected.halts_once, options.budget, way.kind, way.reason
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


def add_window_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a process is recorded, and for how long."""
    group = parser.add_argument_group("the window")
    group.add_argument(
        "--duration",
        type=within(bounds_of(Limits, "duration_s"), float),
        metavar="S",
        help=f"length of the window in seconds (default: {Limits.duration_s:g})",
    )
    group.add_argument(
        "--probe",
        type=ProbeKind,
        choices=[*ProbeKind],
        default=ProbeKind.AUTO,
        help="how the process is recorded: by gdb's breakpoints, which halt it at each call; "
        "inline, by a recorder that gdb writes into it for the window, which slows it by "
        "nanoseconds a call; auto (the default) takes inline where breakpoints would slow it "
        "beyond --budget, and inline can be proved to be safe: see docs/inline.md",
    )
    group.add_argument(
        "--budget",
        type=within(bounds_of(Limits, "budget_percent"), float),
        default=Limits.budget_percent,
        metavar="PERCENT",
        help="slow the process for at most this share of the time (default: "
        f"{Limits.budget_percent:g}); above it, record inline, or where that is refused in "
        "short bursts and estimate; 100 records everything by breakpoints",
    )
    group.add_argument(
        "--tail",
        type=within(bounds_of(Limits, "tail_s"), float),
        default=Limits.tail_s,
        metavar="S",
        help="after the window, watch for S more seconds which of its blocks are freed",
    )
    group.add_argument(
        "--max-events",
        type=within(bounds_of(Limits, "max_events"), int),
        metavar="N",
        help="end the window after N events: calls of the allocator, and their returns",
    )
    group.add_argument(
        "--max-pause",
        type=within(bounds_of(Limits, "max_pause_ms"), float),
        default=Limits.max_pause_ms,
        metavar="MS",
        help="give up the attach, or end the window, when the process stands still for more "
        f"than MS milliseconds at once (default: {Limits.max_pause_ms:g}, at least "
        f"{bounds_of(Limits, 'max_pause_ms').low:g})",
    )
    group.add_argument(
        "--max-memory",
        type=within(bounds_of(Limits, "max_memory"), parse_size),
        default=Limits.max_memory,
        metavar="BYTES",
        help="end the window when gdbleak or its gdb hold more memory (default: "
        f"{Limits.max_memory >> 20}M)",
    )
    group.add_argument(
        "--stack-bytes",
        type=within(bounds_of(Limits, "stack_bytes"), parse_size),
        default=Limits.stack_bytes,
        metavar="N",
        help="keep N bytes of raw stack of each allocation; deeper stacks need more "
        f"(default: {Limits.stack_bytes}, at most 1M)",
    )
    group.add_argument(
        "--no-references",
        action="store_true",
        help="do not look, at the end, for what in the memory of the process refers to the "
        "outstanding blocks; those that nothing refers to are lost: see docs/references.md",
    )
    group.add_argument(
        "--holders",
        action="store_true",
        help="find out which variables hold the blocks, however large the process is; it may "
        "take as much time as --scan-time and as much memory as --max-memory allow",
    )
    group.add_argument(
        "--scan-rate",
        type=within(bounds_of(Limits, "scan_rate"), parse_size),
        default=Limits.scan_rate,
        metavar="BYTES",
        help=f"read at most so much memory a second for that (default: {Limits.scan_rate >> 30}G)",
    )
    group.add_argument(
        "--scan-time",
        type=within(bounds_of(Limits, "scan_s"), float),
        default=Limits.scan_s,
        metavar="S",
        help="leave it out where it would take longer than S seconds; it reads all memory that "
        f"the process has touched three times (default: {Limits.scan_s:g})",
    )
    group.add_argument("--save", type=file_name, metavar="FILE", help="keep the recording in FILE")


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
