"""What a program that imports gdbleak calls; the commands call the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from gdbleak.report.heap import HeapReport

__all__ = ["Limits", "Progress", "Rate", "ReportOptions", "examine", "load", "trace"]


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


def examine(
    process: int | str | os.PathLike[str],
    *,
    lost: bool = False,
    content: bool = False,
    exe: str | None = None,
    sysroot: str = "",
    on_progress: Callable[[int, float], None] = lambda _number, _share: None,
    **wish: Any,
) -> HeapReport:
    """Return what is in the heap of a process or a core file.

    The process is neither attached to nor stopped, unless `stop` is asked for.

    Args:
        process: The PID of a process, or the path of a core file.
        lost: Whether to look for blocks that nothing refers to.
        content: Whether to show the first bytes of lost blocks.
        exe: The program of a core file, if it is not where it was.
        sysroot: A folder with the other files of a core file, at their paths.
        on_progress: Called with the number of the census, from 0, and the share of it that is done.
        wish: The fields of `gdbleak.census.wish.HeapWish`, by name: `count`, `interval_s`, `stop`,
            `max_pause_ms`.

    Raises:
        UsageError: a number is out of its range.
        TargetError: the process cannot be read, or has ended.
        CoreError: the file is not a core file, or tells nothing.
        KeyboardInterrupt: Ctrl-C came before the first census was done.

    """
    from gdbleak.census.examine import Examination  # numpy takes long to load
    from gdbleak.census.wish import HeapWish, LostWish
    from gdbleak.target.core import Core
    from gdbleak.target.examined import ExaminedProcess

    wanted = HeapWish(lost=LostWish(content) if lost or content else None, **wish)
    with ImageCache() as images:
        if isinstance(process, int):
            with ExaminedProcess(process, images) as running:
                return Examination(running, images, wanted, on_progress).run()
        path = os.fspath(process)
        with Core(path, images, exe, sysroot) as core:
            return Examination(core, images, wanted, on_progress).run(path)
