"""The arguments that say how a process is recorded, and for how long."""

from __future__ import annotations

import argparse

from gdbleak.bounds import bounds_of
from gdbleak.capture.limits import Limits
from gdbleak.capture.probe import ProbeKind
from gdbleak.commands.arguments import file_name, within
from gdbleak.text.quantities import parse_bytes, parse_milliseconds, parse_percent, parse_seconds


def add_window_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a process is recorded, and for how long."""
    group = parser.add_argument_group("the window")
    group.add_argument(
        "--duration",
        type=within(bounds_of(Limits, "duration_s"), parse_seconds),
        metavar="S",
        help="length of the window in seconds, or as in 90s, 5m or 1h30m (default: "
        f"{Limits.duration_s:g})",
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
        type=within(bounds_of(Limits, "budget_percent"), parse_percent),
        default=Limits.budget_percent,
        metavar="PERCENT",
        help="slow the process for at most this share of the time (default: "
        f"{Limits.budget_percent:g}); above it, record inline, or where that is refused in "
        "short bursts and estimate; 100 records everything by breakpoints",
    )
    group.add_argument(
        "--tail",
        type=within(bounds_of(Limits, "tail_s"), parse_seconds),
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
        type=within(bounds_of(Limits, "max_pause_ms"), parse_milliseconds),
        default=Limits.max_pause_ms,
        metavar="MS",
        help="give up the attach, or end the window, when the process stands still for more "
        f"than MS milliseconds at once (default: {Limits.max_pause_ms:g}, at least "
        f"{bounds_of(Limits, 'max_pause_ms').low:g})",
    )
    group.add_argument(
        "--max-memory",
        type=within(bounds_of(Limits, "max_memory"), parse_bytes),
        default=Limits.max_memory,
        metavar="BYTES",
        help="end the window when gdbleak or its gdb hold more memory (default: "
        f"{Limits.max_memory >> 20}M)",
    )
    group.add_argument(
        "--stack-bytes",
        type=within(bounds_of(Limits, "stack_bytes"), parse_bytes),
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
        type=within(bounds_of(Limits, "scan_rate"), parse_bytes),
        default=Limits.scan_rate,
        metavar="BYTES",
        help=f"read at most so much memory a second for that (default: {Limits.scan_rate >> 30}G)",
    )
    group.add_argument(
        "--scan-time",
        type=within(bounds_of(Limits, "scan_s"), parse_seconds),
        default=Limits.scan_s,
        metavar="S",
        help="leave it out where it would take longer than S seconds; it reads all memory that "
        f"the process has touched three times (default: {Limits.scan_s:g})",
    )
    group.add_argument(
        "--no-heap",
        action="store_true",
        help="do not count, while the window is open, how many blocks of each size the heap of "
        "glibc's malloc holds: see docs/verdicts.md",
    )
    group.add_argument("--save", type=file_name, metavar="FILE", help="keep the recording in FILE")
