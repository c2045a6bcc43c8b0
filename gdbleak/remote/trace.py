"""Trace a process of another machine through a gdbserver there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gdbleak.analysis.options import ReportOptions
from gdbleak.architectures import X86_64
from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits, Progress
from gdbleak.capture.probe import Task
from gdbleak.capture.rehearsal import proved_agent
from gdbleak.capture.tail import Tail
from gdbleak.capture.window import Window
from gdbleak.debugger.interface import Debugger
from gdbleak.debugger.program import GdbProgram, find_gdb
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import UnprovedError
from gdbleak.host.folders import private_folder
from gdbleak.host.process_limits import check_processor_time, raised_limits
from gdbleak.plan.allocators import describe_sizes, find_allocators, plan_probes
from gdbleak.plan.selection import Selection
from gdbleak.recording.head import Head
from gdbleak.recording.rate import unknown
from gdbleak.recording.reader import Recording
from gdbleak.recording.writer import begin_recording
from gdbleak.remote.agent import RemoteAgent
from gdbleak.remote.backend import RemoteBackend
from gdbleak.remote.process import RemoteProcess
from gdbleak.report.model import Report
from gdbleak.target.process import isoformat
from gdbleak.tracing.reporting import make_report

_ANY_PAUSE_MS = 86_400_000
_NOTE = (
    "traced through a gdbserver: whether its code is as it was could not be read after the detach,"
    " only --duration and --max-events limit how long it is slowed, and libraries that it loaded in"
    " the window are not known"
)


@raised_limits()
def trace_remote(
    address: str,
    pid: int | None,
    limits: Limits,
    selection: Selection,
    options: ReportOptions,
    save: str | None,
    on_progress: Callable[[Progress], None],
) -> Report:
    """Record what a process of another machine allocates and frees, and report what stays.

    Args:
        address: HOST:PORT of the gdbserver.
        pid: The process there; None for the one that gdbserver was attached to when it started.
        limits: What ends the window; its budget, tail and longest pause are ignored.
        selection: Which allocators to record.
        options: What the report is about.
        save: Where to keep the recording; it is thrown away otherwise.
        on_progress: Called about ten times a second during the window.

    Raises:
        TargetError: the process cannot be traced.
        DebuggerError: GDB is missing or failed, or no gdbserver answers.
        FileError: the recording cannot be written.

    """
    check_processor_time(limits.duration_s)
    gdb = find_gdb()
    with private_folder() as folder, Interruption() as interruption, ImageCache() as images:
        _prove(gdb, folder / "proof")
        machine = X86_64.elf_machine_number
        with Debugger(gdb, None, folder, machine) as debugger:
            process = RemoteProcess(debugger, folder, address, images)
            process.choose(pid)
            target = process.inspect()
            modules = process.read_modules()
            allocators = find_allocators(modules, None, selection, images)
            plan = plan_probes(allocators, process, selection=selection)
            recording = Path(save) if save else folder / "recording"
            head = Head(
                started=isoformat(time.time()),
                target=target.describe(),
                allocators=tuple(allocator.name for allocator in plan.allocators),
                functions=plan.functions,
                probes=plan.probes,
                modules=tuple(modules),
                rate=unknown("it was traced through a gdbserver"),
                stack_bytes=limits.stack_bytes,
                duration_s=limits.duration_s,
                tail_s=0.0,
                notes=(*plan.notes, _NOTE),
                rss_before=process.resident_set(),
                memory=process.memory_status(),
                sizes=describe_sizes(allocators, selection),
            )
            with begin_recording(recording, head):
                task = Task(target.pid, recording, limits.stack_bytes, plan.probes)
                agent = RemoteAgent(debugger, folder, process)
                account = Tail(recording, plan.probes, plan.functions, limits.max_events)
                backend = RemoteBackend(gdb, process, agent, target.state, task, account)
                # What steers the breakpoints would have to write into the memory.
                # Nobody looks at its threads, so no pause is too long.
                limits = replace(
                    limits, budget_percent=100.0, tail_s=0.0, max_pause_ms=_ANY_PAUSE_MS
                )
                window = Window(target.pid, recording, limits, backend, None, on_progress)
                with window:
                    window.run(interruption)
                    window.conclude()
        with Recording(os.fspath(recording)) as finished:
            return make_report(finished, lambda module: module, options, gdb, images=images)


def _prove(gdb: GdbProgram, folder: Path) -> None:
    """Refuse a GDB that cannot be trusted, by what it does to a process of ours on this machine.

    Raises:
        UnprovedError: it failed, or it must halt a process before it detaches from it, which only a
            signal of ours to the process could do.

    """
    folder.mkdir()
    with proved_agent(gdb, folder) as agent:
        if agent.halts_first:
            raise UnprovedError(
                f"gdb {gdb.version} ({gdb.path}) leaves breakpoints in a process that it detaches"
                " from while it runs, and through a gdbserver that cannot be halted first",
                "set GDBLEAK_GDB to gdb 11 or later on this machine;"
                " `pip install 'gdbleak[gdb]'` brings one",
            )
