"""A trace, stage by stage: look at the process, choose the way, write the head, watch, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from gdbleak.analysis.options import ReportOptions
from gdbleak.capture.heap_counts import NoHeapCounts
from gdbleak.capture.interruption import Interruption, before_attach
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.looks import Looks, find_glibc
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.search import NoSearch
from gdbleak.capture.session import Session
from gdbleak.capture.ways import Way, by_breakpoints
from gdbleak.capture.window import Window
from gdbleak.debugger.program import find_gdb
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import (
    AttachError,
    GdbleakError,
    InjectionError,
    InlineRefusedError,
    OpenJournalError,
    UnprovedError,
)
from gdbleak.follow.follower import Follower
from gdbleak.follow.heap_counter import HeapCounter
from gdbleak.follow.searcher import Searcher
from gdbleak.follow.view import Subject, View
from gdbleak.host.crowding import measure_crowding
from gdbleak.host.folders import private_folder
from gdbleak.host.process_limits import check_processor_time, raised_limits
from gdbleak.plan.allocators import (
    Allocator,
    Plan,
    describe_sizes,
    find_allocators,
    plan_probes,
)
from gdbleak.plan.selection import Selection
from gdbleak.preflight.halting import check_halt
from gdbleak.preflight.pilot import measure_rate
from gdbleak.preflight.way import Demand, choose_way, refuse
from gdbleak.recording.head import Head
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.rate import Rate
from gdbleak.recording.reader import Recording
from gdbleak.recording.writer import begin_recording
from gdbleak.report.model import Report
from gdbleak.report.runtimes import describe_seen
from gdbleak.safety.journals import check_journal
from gdbleak.survey.runtime import find_runtime
from gdbleak.target.live import LiveProcess
from gdbleak.target.memory_limit import find_limit
from gdbleak.target.owners import Owner, owner_of_process
from gdbleak.target.proc import memory_status, resident_set
from gdbleak.target.process import inspect, isoformat
from gdbleak.tracing.reporting import INTERRUPTED, report_on_window

_CLIMB_S, _CLIMB_BYTES = 3.0, 64 << 20
"""What it may take to find out who holds blocks, unless the user wants to know at any price."""
_CENSUS_S = 5.0
"""How long it may take to count the blocks of the heap once."""
_NO_NUMPY = "the Python package numpy is missing"
_NOT_BEGUN = AttachError, InjectionError, UnprovedError


@dataclass(frozen=True)
class Watcher:
    """What is told of a window, before it and while it is open."""

    on_rate: Callable[[Rate], None] = lambda _: None
    on_way: Callable[[Rate, Way], None] = lambda *_: None
    """Called when it is known how the process will be recorded."""
    on_progress: Callable[[Progress], None] = lambda _: None
    view: View | None = None
    """Shows the window, in a process of its own."""
    on_report: Callable[[Report], None] | None = None
    """Called with each report that the view pickles."""


@dataclass(frozen=True)
class _Prepared:
    """What is known of a process before its window is opened."""

    modules: ModuleMap
    plan: Plan
    """Where breakpoints would be."""
    demand: Demand
    way: Way
    owner: Owner | None
    sizes: tuple[int, ...]
    """The smallest and the largest request whose blocks are recorded; empty for all."""


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
    """Record and report, as `gdbleak.trace` does, what bounds and watchers of one's own allow."""
    check_processor_time(limits.duration_s + limits.tail_s)
    with before_attach(pid):
        gdb = find_gdb()
        check_journal(pid)
        target = inspect(pid)
        check_halt(pid, target.threads, limits.max_pause_ms)
    with private_folder() as folder, ImageCache() as images, LiveProcess(pid, images) as source:
        session = Session(gdb, source, target, limits, folder)
        with before_attach(pid):
            prepared = _prepare(session, kind, selection, images, watcher.on_rate)
        recording = Path(save) if save else folder / "recording"
        try:
            return _watch(session, prepared, recording, options, images, watcher)
        except _NOT_BEGUN as error:
            if kind is not ProbeKind.AUTO or prepared.way.kind is not ProbeKind.INLINE:
                raise
            _check_is_unharmed(pid, error)
            way = refuse(error, by_breakpoints(session, prepared.plan), prepared.demand)
            prepared = replace(prepared, way=way)
            return _watch(session, prepared, recording, options, images, watcher)


def _prepare(
    session: Session,
    kind: ProbeKind,
    selection: Selection,
    images: ImageCache,
    on_rate: Callable[[Rate], None],
) -> _Prepared:
    """Look at the process, and choose how it is recorded."""
    source, pid = session.source, session.target.pid
    modules = source.read_modules()
    allocators = find_allocators(modules, source.read_search_order(), selection, images)
    plan = plan_probes(allocators, source, selection=selection)
    rate = measure_rate(pid, plan.entries)
    on_rate(rate)
    demand = Demand(rate, selection.halts_once, session.limits.budget_percent, measure_crowding())
    way = choose_way(
        kind,
        demand,
        lambda: _try_inline(session, allocators, modules, images, rate, selection),
        lambda: by_breakpoints(session, plan),
    )
    sizes = describe_sizes(allocators, selection)
    return _Prepared(modules, plan, demand, way, owner_of_process(pid), sizes)


def _check_is_unharmed(pid: int, error: GdbleakError) -> None:
    """Raise what has ended an attempt to record inline, if something was left in the process."""
    try:
        check_journal(pid)
    except OpenJournalError:
        raise error from None


def _try_inline(
    session: Session,
    allocators: tuple[Allocator, ...],
    modules: ModuleMap,
    images: ImageCache,
    rate: Rate,
    selection: Selection,
) -> Way:
    """Return the way to record inline, whose packages take time to load.

    Raises:
        InlineRefusedError: numpy is missing, as it may be where gdbleak runs from a folder.
        TargetError, ElfError: the process cannot be recorded so.

    """
    try:
        from gdbleak.capture.inline_way import inline
    except ModuleNotFoundError as error:
        raise InlineRefusedError(
            f"to record inside a process takes the Python package {error.name}, which is missing",
            f"`pip install {error.name}`, or use breakpoints: --probe breakpoint",
        ) from error
    return inline(session, allocators, modules, images, rate, selection)


def _make_head(session: Session, prepared: _Prepared) -> Head:
    limits, way, pid = session.limits, prepared.way, session.target.pid
    return Head(
        started=isoformat(time.time()),
        target=session.target.describe(),
        allocators=way.allocators,
        functions=way.functions,
        probes=way.probes,
        modules=tuple(prepared.modules),
        rate=prepared.demand.rate,
        stack_bytes=limits.stack_bytes,
        duration_s=limits.duration_s,
        tail_s=limits.tail_s,
        notes=(*filter(None, (*way.notes, _describe_runtime(pid))),),
        rss_before=resident_set(pid),
        memory=memory_status(pid),
        limit=find_limit(pid),
        sizes=prepared.sizes,
        chosen=way.chosen,
    )


def _describe_runtime(pid: int) -> str:
    """Return what is not seen of a process of its language; nothing for C, C++ and Rust."""
    runtime = find_runtime(pid)
    return describe_seen(runtime) if runtime else ""


def _watch(
    session: Session,
    prepared: _Prepared,
    recording: Path,
    options: ReportOptions,
    images: ImageCache,
    watcher: Watcher,
) -> Report:
    """Open the window, report on it when it is over, and prove that nothing was left."""
    way, owner, pid = prepared.way, prepared.owner, session.target.pid
    watcher.on_way(prepared.demand.rate, way)
    with begin_recording(recording, _make_head(session, prepared)):
        notebook = Notebook(recording)
        looks = Looks(pid, way.heap, notebook) if way.heap else None
        follower = _make_follower(session, prepared, recording, options, watcher)

        def tell(progress: Progress) -> None:
            watcher.on_progress(progress)
            if follower:
                follower.tell(progress)

        backend = way.make_backend(recording, notebook)
        search, heap = _make_search(session, prepared, recording), _make_counts(session, prepared)
        with (
            search,
            heap,
            Window(pid, recording, session.limits, backend, looks, tell, search, heap) as window,
        ):
            with (
                closing(notebook),
                follower or nullcontext(),
                Interruption() as interruption,
                before_attach(pid),  # later on Ctrl-C is only noted
            ):
                window.run(interruption)
            is_hurried = window.is_hurried or bool(follower and follower.is_cut_off)
            gdb = None if is_hurried else session.gdb
            with Recording(str(recording)) as finished:
                report = report_on_window(finished, images, options, gdb, owner)
            verification = window.conclude(waits=INTERRUPTED not in report.notes)
            return replace(report, verification=verification)


def _make_search(session: Session, prepared: _Prepared, recording: Path) -> Searcher | NoSearch:
    """Have a process look on that will search for references when the window is over."""
    limits, way = session.limits, prepared.way
    if not limits.references:
        return NoSearch("--no-references")
    if find_spec("numpy") is None:
        return NoSearch(_NO_NUMPY)
    task = {
        "pid": session.target.pid,
        "path": str(recording.absolute()),
        "position": recording.stat().st_size,
        "probes": way.probes,
        "functions": way.functions,
        "left_out": way.own_memory,
        "bytes_per_s": limits.scan_rate,
        "limit_s": limits.scan_s,
        "climb_s": limits.scan_s if limits.holders else _CLIMB_S,
        "climb_bytes": limits.max_memory if limits.holders else _CLIMB_BYTES,
        "libc": find_glibc(prepared.plan),
    }
    return Searcher(task, session.folder)


def _make_counts(session: Session, prepared: _Prepared) -> HeapCounter | NoHeapCounts:
    """Have a process count the blocks of the heap by size until the window is over."""
    limits = session.limits
    if not limits.heap:
        return NoHeapCounts("--no-heap")
    if find_spec("numpy") is None:
        return NoHeapCounts(_NO_NUMPY)
    if find_glibc(prepared.plan) is None:
        return NoHeapCounts("only the heap of glibc's malloc can be counted")
    task = {
        "pid": session.target.pid,
        "duration_s": limits.duration_s + limits.tail_s,
        "left_out": prepared.way.own_memory,
        "limit_s": _CENSUS_S,
    }
    return HeapCounter(task, session.folder)


def _make_follower(
    session: Session,
    prepared: _Prepared,
    recording: Path,
    options: ReportOptions,
    watcher: Watcher,
) -> Follower | None:
    if watcher.view is None:
        return None
    modules = tuple(prepared.modules)
    subject = Subject(str(recording.absolute()), modules, options, session.gdb, prepared.owner)
    return Follower(watcher.view, subject, session.folder, watcher.on_report)
