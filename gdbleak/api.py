"""What a program that imports gdbleak calls; the commands call the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.passes import analyse
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.looks import Looks, find_heap
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.window import Window
from gdbleak.debugger.program import GdbProgram, find_gdb
from gdbleak.debugger.symbols import Symbolizer, locate
from gdbleak.effort import Effort
from gdbleak.errors import WriteError
from gdbleak.follow.follower import Follower
from gdbleak.follow.relay import Pickles
from gdbleak.follow.view import Subject, View
from gdbleak.host.folders import private_folder
from gdbleak.host.process_limits import check_processor_time, raised_limits
from gdbleak.plan.allocators import find_allocators, plan_probes
from gdbleak.plan.selection import Selection
from gdbleak.preflight.halting import check_halt
from gdbleak.preflight.pilot import measure_rate
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.recording.reader import HEAD, MAGIC, VERSION, Recording, encode_json, reading
from gdbleak.report.model import Frame, Report
from gdbleak.safety.journals import check_journal
from gdbleak.target.link_map import read_search_order
from gdbleak.target.memory_limit import find_limit
from gdbleak.target.modules import ModuleReader, find_again, looking_at
from gdbleak.target.owners import Owner, owner_of_process
from gdbleak.target.proc import Memory, memory_status, read_mappings, resident_set
from gdbleak.target.process import inspect, isoformat
from gdbleak.verdicts.rates import Rate

_INTERRUPTED = "interrupted: function names were not read"

__all__ = ["Limits", "Progress", "Rate", "ReportOptions", "load", "trace"]


@raised_limits()
def trace(
    pid: int,
    duration_s: float = 10.0,
    *,
    budget_percent: float = 30.0,
    tail_s: float = 0.0,
    max_events: int | None = None,
    max_pause_ms: float = 500.0,
    max_memory: int = 512 << 20,
    stack_bytes: int = 4096,
    mappings: bool = False,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    options: ReportOptions = ReportOptions(),  # noqa: B008 - frozen
    save: str | os.PathLike[str] | None = None,
    on_rate: Callable[[Rate], None] = lambda _: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_report: Callable[[Report], None] | None = None,
    interval_s: float = 5.0,
    view: View | None = None,
) -> Report:
    """Record what a process allocates and frees for a while, and report what stays.

    The process is attached to with GDB, slowed down, detached from, and looked at again. Ctrl-C
    ends the window early, with a report.

    Args:
        pid: The process.
        duration_s: Length of the window in seconds.
        budget_percent: For which share of the time the process may be slowed; above it, blocks are
            recorded in bursts, and counts are estimates. With 100 everything is recorded.
        tail_s: For how long after the window it is recorded what becomes of its blocks.
        max_events: End the window after so many calls and returns.
        max_pause_ms: Do not attach when that is estimated to halt the process for longer, and end
            the window when it stood still for longer at once.
        max_memory: End the window when gdbleak or its GDB hold more bytes.
        stack_bytes: How much raw stack to keep of each allocation.
        mappings: Also record what the program maps itself.
        selection: Which allocators to record.
        options: What the report is about.
        save: Where to keep the recording; it is thrown away otherwise.
        on_rate: Called before the window with how often the process allocates.
        on_progress: Called about ten times a second during the window.
        on_report: Called at each interval of the window with a report of it so far, in a thread of
            its own; what it raises ends the window, and is raised when the process was released.
        interval_s: How often that is.
        view: Shows the window while it is open, in place of `on_report`.

    Raises:
        UsageError: a number is out of its range.
        TargetError: the process cannot be traced.
        DebuggerError: GDB is missing or failed.
        FileError: the recording cannot be written.
        KeyboardInterrupt: Ctrl-C came before the window was open.

    """
    selection = replace(selection, mappings=mappings or selection.mappings)
    limits = Limits(
        duration_s, max_events, max_pause_ms, max_memory, stack_bytes, budget_percent, tail_s
    )
    check_processor_time(duration_s + tail_s)
    gdb = find_gdb()
    check_journal(pid)
    target = inspect(pid)
    check_halt(pid, target.threads, max_pause_ms)
    with private_folder() as folder, _open_memory(pid) as memory:
        reader = ModuleReader(pid, memory)
        try:
            with looking_at(pid):
                modules = reader.read(read_mappings(pid))
            order = read_search_order(pid, memory)
            allocators = find_allocators(modules, order, selection)
            plan = plan_probes(allocators, memory, usable_sizes=selection.usable_sizes)
            rate = measure_rate(pid, plan.entries)
            on_rate(rate)
            limit = find_limit(pid)
            recording = Path(save) if save else folder / "recording"
            write_head(
                recording,
                {
                    "version": VERSION,
                    "started": isoformat(time.time()),
                    "target": target.to_json(),
                    "allocators": [allocator.name for allocator in plan.allocators],
                    "functions": [function.to_json() for function in plan.functions],
                    "notes": plan.notes,
                    "rss_before": resident_set(pid),
                    "memory": memory_status(pid),
                    "limit": limit and asdict(limit),
                    "stack_bytes": stack_bytes,
                    "duration_s": duration_s,
                    "tail_s": tail_s,
                    "rate": asdict(rate),
                    "modules": [module.to_json() for module in modules],
                    "probes": [probe.to_json() for probe in plan.probes],
                },
            )
            heap = find_heap(pid, plan, memory)
            notebook = Notebook(recording)
            looks = Looks(pid, heap, notebook) if heap else None
            owner = owner_of_process(pid)
            subject = Subject(str(recording.absolute()), tuple(modules), options, gdb, owner)
            if on_report:
                view = Pickles(interval_s)
            follower = Follower(view, subject, folder, on_report) if view else None

            def tell(progress: Progress) -> None:
                on_progress(progress)
                if follower:
                    follower.tell(progress)

            window = Window(target, plan, memory, folder, recording, limits, looks, notebook, tell)
            with window:
                with closing(notebook), follower or nullcontext():
                    window.run(gdb, reader.read_again)
                finished = Recording(str(recording))
                is_hurried = window.is_hurried or bool(follower and follower.is_cut_off)
                report = _report_on(finished, options, None if is_hurried else gdb, owner)
                verification = window.conclude(waits=_INTERRUPTED not in report.notes)
                return replace(report, verification=verification)
        finally:
            reader.close()


def _report_on(
    recording: Recording, options: ReportOptions, gdb: GdbProgram | None, owner: Owner | None
) -> Report:
    """Make the report of a window that is over; Ctrl-C makes it one without names.

    Raises:
        KeyboardInterrupt: it came once more.

    """
    try:
        return make_report(recording, lambda module: module, options, gdb, owner, True)
    except KeyboardInterrupt:
        return make_report(recording, lambda module: module, options, None)


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
    find_file = partial(find_again, sysroot=root.rstrip("/"), effort=Effort())
    return make_report(Recording(os.fspath(path)), find_file, options, find_gdb())


def _open_memory(pid: int) -> Memory:
    """Return the memory of a process.

    Raises:
        TargetError: it has ended, or hidden itself.

    """
    with looking_at(pid):
        return Memory(pid)


def make_report(
    recording: Recording,
    find_file: Callable[[Module], Module],
    options: ReportOptions,
    gdb: GdbProgram | None,
    owner: Owner | None = None,
    interruptible: bool = False,
) -> Report:
    """Make a report; without a GDB, which takes the longest, it has no names.

    Nor has it any if it is interruptible, and Ctrl-C comes while they are read.
    """
    with reading(recording.path):
        before, after = ModuleMap(recording.modules_before), ModuleMap(recording.modules_after)
        modules = ModuleMap(find_file(module) for module in before.merge(after))
    notes: list[str] = []

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

    report = analyse(recording, modules, options, resolve)
    return replace(report, notes=(*report.notes, *notes))


def write_head(path: Path, values: dict[str, Any]) -> None:
    """Begin a recording that only its owner can read; an older one in its place goes."""
    if path.exists() and not path.is_file():  # a device, say: it must not go
        raise WriteError(f"cannot write the recording {path}: it is no file", "name another file")
    try:
        path.unlink(missing_ok=True)
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(MAGIC + encode_json(HEAD, values))
    except OSError as error:
        raise WriteError(f"cannot write the recording {path}: {error.strerror}") from error
