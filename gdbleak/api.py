"""What a program that imports gdbleak calls; the commands call the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.passes import analyse
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.looks import Looks
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.ways import Way, by_breakpoints
from gdbleak.capture.window import Window
from gdbleak.debugger.program import GdbProgram, find_gdb
from gdbleak.debugger.symbols import Symbolizer, locate
from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import InlineRefusedError, TargetError
from gdbleak.follow.follower import Follower
from gdbleak.follow.relay import Pickles
from gdbleak.follow.view import Subject, View
from gdbleak.host.folders import private_folder
from gdbleak.host.process_limits import check_processor_time, raised_limits
from gdbleak.plan.allocators import find_allocators, plan_probes
from gdbleak.plan.selection import Selection
from gdbleak.preflight.halting import check_halt
from gdbleak.preflight.pilot import measure_rate
from gdbleak.preflight.way import wants_inline
from gdbleak.recording.head import Head
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.recording.rate import Rate
from gdbleak.recording.reader import Recording, reading
from gdbleak.recording.writer import begin_recording
from gdbleak.report.model import Frame, Report
from gdbleak.safety.journals import check_journal
from gdbleak.target.live import LiveProcess
from gdbleak.target.memory_limit import find_limit
from gdbleak.target.modules import find_again
from gdbleak.target.owners import Owner, owner_of_process
from gdbleak.target.proc import memory_status, resident_set
from gdbleak.target.process import inspect, isoformat

_BEYOND_BUDGET = "recorded inline, because breakpoints would slow the process beyond --budget"
_INTERRUPTED = "interrupted: function names were not read"

__all__ = ["Limits", "Progress", "Rate", "ReportOptions", "load", "trace"]


@dataclass(frozen=True)
class Watcher:
    """What is told of a window, before it and while it is open."""

    on_rate: Callable[[Rate], None] = lambda _: None
    on_progress: Callable[[Progress], None] = lambda _: None
    view: View | None = None
    """Shows the window, in a process of its own."""
    on_report: Callable[[Report], None] | None = None
    """Called with each report that the view pickles."""


def trace(
    pid: int,
    duration_s: float = Limits.duration_s,
    *,
    probe: str = ProbeKind.BREAKPOINT,
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
        Watcher(on_rate, on_progress, view, on_report),
    )


@raised_limits()
def record(
    pid: int,
    kind: ProbeKind,
    limits: Limits,
    selection: Selection,
    options: ReportOptions,
    save: str | os.PathLike[str] | None,
    watcher: Watcher,
) -> Report:
    """Record and report, as `trace` does, what bounds and watchers of one's own allow."""
    check_processor_time(limits.duration_s + limits.tail_s)
    gdb = find_gdb()
    check_journal(pid)
    target = inspect(pid)
    check_halt(pid, target.threads, limits.max_pause_ms)
    with private_folder() as folder, ImageCache() as images, LiveProcess(pid, images) as source:
        modules = source.read_modules()
        allocators = find_allocators(modules, source.read_search_order(), selection, images)
        plan = plan_probes(allocators, source, usable_sizes=selection.usable_sizes)
        rate = measure_rate(pid, plan.entries)
        watcher.on_rate(rate)
        limited = (gdb, source, target, limits, folder)
        way = None
        notes: tuple[str, ...] = ()
        if wants_inline(kind, rate, selection.usable_sizes, limits.budget_percent):
            try:
                way = _load_inline()(*limited, allocators, modules, images, rate)
            except TargetError as error:
                if kind is ProbeKind.INLINE:
                    raise
                notes = (f"recorded by breakpoints, because inline was refused: {error}",)
        if way is None:
            way = by_breakpoints(*limited, plan, notes)
        elif kind is ProbeKind.AUTO:
            way = replace(way, notes=(*way.notes, _BEYOND_BUDGET))
        recording = Path(save) if save else folder / "recording"
        head = Head(
            started=isoformat(time.time()),
            target=target.describe(),
            allocators=way.allocators,
            functions=way.functions,
            probes=way.probes,
            modules=tuple(modules),
            rate=rate,
            stack_bytes=limits.stack_bytes,
            duration_s=limits.duration_s,
            tail_s=limits.tail_s,
            notes=way.notes,
            rss_before=resident_set(pid),
            memory=memory_status(pid),
            limit=find_limit(pid),
        )
        with begin_recording(recording, head):
            notebook = Notebook(recording)
            looks = Looks(pid, way.heap, notebook) if way.heap else None
            owner = owner_of_process(pid)
            subject = Subject(str(recording.absolute()), tuple(modules), options, gdb, owner)
            view = watcher.view
            follower = Follower(view, subject, folder, watcher.on_report) if view else None

            def tell(progress: Progress) -> None:
                watcher.on_progress(progress)
                if follower:
                    follower.tell(progress)

            backend = way.make_backend(recording, notebook)
            with Window(pid, recording, limits, backend, looks, tell) as window:
                with closing(notebook), follower or nullcontext(), Interruption() as interruption:
                    window.run(interruption)
                is_hurried = window.is_hurried or bool(follower and follower.is_cut_off)
                with Recording(str(recording)) as finished:
                    report = _report_on(
                        finished, images, options, None if is_hurried else gdb, owner
                    )
                verification = window.conclude(waits=_INTERRUPTED not in report.notes)
                return replace(report, verification=verification)


def _load_inline() -> Callable[..., Way]:
    """Return the way to record inline, whose packages take time to load.

    Raises:
        InlineRefusedError: numpy is missing, as it may be where gdbleak runs from a folder.

    """
    try:
        from gdbleak.capture.inline_way import inline
    except ModuleNotFoundError as error:
        raise InlineRefusedError(
            f"to record inside a process takes the Python package {error.name}, which is missing",
            f"`pip install {error.name}`, or use breakpoints: --probe breakpoint",
        ) from error
    return inline


def _report_on(
    recording: Recording,
    images: ImageCache,
    options: ReportOptions,
    gdb: GdbProgram | None,
    owner: Owner | None,
) -> Report:
    """Make the report of a window that is over; Ctrl-C makes it one without names.

    Raises:
        KeyboardInterrupt: it came once more.

    """
    try:
        return make_report(recording, lambda module: module, options, gdb, owner, True, images)
    except KeyboardInterrupt:
        return make_report(recording, lambda module: module, options, None, images=images)


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


def make_report(
    recording: Recording,
    find_file: Callable[[Module], Module],
    options: ReportOptions,
    gdb: GdbProgram | None,
    owner: Owner | None = None,
    interruptible: bool = False,
    images: ImageCache | None = None,
) -> Report:
    """Make a report; without a GDB, which takes the longest, it has no names.

    Nor has it any if it is interruptible, and Ctrl-C comes while they are read.
    """
    with reading(recording.path):
        before = ModuleMap(recording.head.modules)
        after = ModuleMap(recording.end.modules if recording.end else ())
        modules = ModuleMap(find_file(module) for module in before.merge(after))
    notes = recording.notes

    def resolve(addresses: Iterable[int]) -> dict[int, tuple[Frame, ...]]:
        if gdb:
            symbolizer = Symbolizer(gdb, modules, owner)
            try:
                return symbolizer.resolve(addresses)
            except KeyboardInterrupt:
                if not interruptible:
                    raise
            finally:
                notes.extend(symbolizer.notes)
        notes.append(_INTERRUPTED)
        return {address: (locate(address, modules),) for address in addresses}

    report = analyse(recording, modules, options, resolve, images)
    return replace(report, notes=(*report.notes, *notes))
