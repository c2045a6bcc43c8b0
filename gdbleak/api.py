"""What a program that imports gdbleak calls; the commands call the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from gdbleak.analysis.options import ReportOptions
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.probe import ProbeKind
from gdbleak.debugger.program import find_gdb
from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.follow.relay import Pickles
from gdbleak.plan.selection import Selection
from gdbleak.recording.rate import Rate
from gdbleak.recording.reader import Recording
from gdbleak.report.model import Report
from gdbleak.target.modules import find_again
from gdbleak.tracing.record import Watcher, record
from gdbleak.tracing.reporting import make_report

__all__ = ["Limits", "Progress", "Rate", "ReportOptions", "load", "trace"]


def trace(
    pid: int,
    duration_s: float = Limits.duration_s,
    *,
    probe: str = ProbeKind.AUTO,
    mappings: bool = False,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    options: ReportOptions = ReportOptions(),  # noqa: B008 - frozen
    save: str | os.PathLike[str] | None = None,
    on_rate: Callable[[Rate], None] = Watcher.on_rate,
    on_progress: Callable[[Progress], None] = Watcher.on_progress,
    on_report: Callable[[Report], None] | None = None,
    interval_s: float = 5.0,
    **limits: Any,
) -> Report:
    """Record what a process allocates and frees for a while, and report what stays.

    The process is attached to with GDB, slowed down, detached from, and looked at again. Ctrl-C
    ends the window early, with a report.

    Args:
        pid: The process.
        duration_s: Length of the window in seconds.
        probe: How: "breakpoint", "inline" or "auto"; see docs/inline.md.
        mappings: Also record what the program maps itself.
        selection: Which allocators to record.
        options: What the report is about.
        save: Where to keep the recording; it is thrown away otherwise.
        on_rate: Called before the window with how often the process allocates.
        on_progress: Called about ten times a second during the window; must be quick.
        on_report: Called at each interval of the window with a report of it so far, in a thread of
            its own; what it raises ends the window, and is raised when the process was released.
        interval_s: How often that is.
        limits: The other fields of `gdbleak.capture.limits.Limits`, by name.

    Raises:
        UsageError: a number is out of its range.
        TargetError: the process cannot be traced.
        DebuggerError: GDB is missing or failed.
        FileError: the recording cannot be written.
        KeyboardInterrupt: Ctrl-C came before the window was open.

    """
    view = Pickles(interval_s) if on_report else None
    return record(
        pid,
        ProbeKind(probe),
        Limits(duration_s, **limits),
        replace(selection, mappings=mappings or selection.mappings),
        options,
        save,
        Watcher(on_rate, on_progress=on_progress, view=view, on_report=on_report),
    )


def load(
    path: str | os.PathLike[str],
    *,
    options: ReportOptions = ReportOptions(),  # noqa: B008 - frozen
    sysroot: str | os.PathLike[str] | None = None,
) -> Report:
    """Make the report of a saved recording.

    The program and libraries are looked for at their old paths; what has changed since, by its
    build-id, is not used.

    Args:
        path: The recording.
        options: What the report is about.
        sysroot: A folder with copies of the program and libraries, at their paths.

    Raises:
        RecordingError: the file is no recording.
        DebuggerError: GDB, which reads the symbols, is missing.

    """
    root = os.path.abspath(sysroot) if sysroot else ""  # noqa: PTH100 - a prefix of paths
    with Recording(os.fspath(path)) as recording, ImageCache() as images:
        root = root.rstrip("/")
        find_file = partial(find_again, sysroot=root, effort=Effort(), images=images)
        return make_report(recording, find_file, options, find_gdb(), images=images)
