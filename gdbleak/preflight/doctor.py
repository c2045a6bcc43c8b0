"""The checks of a host and a process before a trace, which do not touch the process."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from gdbleak.capture.interruption import Interruption
from gdbleak.capture.limits import Limits
from gdbleak.capture.rehearsal import proved_agent
from gdbleak.debugger.program import find_gdb
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import GdbleakError
from gdbleak.host.crowding import measure_crowding
from gdbleak.host.folders import private_folder
from gdbleak.host.leash import Leash
from gdbleak.host.process_limits import check_processor_time, raised_limits
from gdbleak.plan.allocators import count_escapes, find_allocators, plan_probes
from gdbleak.plan.selection import Selection
from gdbleak.preflight.cost import describe
from gdbleak.preflight.halting import check_halt, describe_halt
from gdbleak.preflight.latency import forecast_latency
from gdbleak.preflight.pilot import measure_rate
from gdbleak.report.runtimes import describe_seen
from gdbleak.safety.journal import Journal
from gdbleak.safety.journals import check_journal, controller_lives, iter_journals
from gdbleak.survey.runtime import find_runtime
from gdbleak.target.life import start_of_living
from gdbleak.target.live import LiveProcess
from gdbleak.target.process import YAMA, Target, has_cap_sys_ptrace, inspect

ROOM_BYTES = 256 << 20
"""What a recording of ten seconds takes at the most, about."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    text: str
    cure: str = ""
    stops: bool = False
    """True when no trace is possible like this."""

    @property
    def mark(self) -> str:
        """The word at the beginning of the line."""
        return "problem" if self.stops else "note" if self.cure else "ok"


@raised_limits()
def examine_host() -> list[Finding]:
    """Check this host."""
    findings = []
    machine = platform.machine()
    if machine == "x86_64":
        findings.append(Finding(f"{platform.system()} {platform.release()} on x86_64"))
    else:
        findings.append(Finding(f"this machine is {machine}", "trace on x86_64", stops=True))
    folder = _examine_folder()
    findings += [_examine_gdb(proves=not folder.stops), _examine_permission()]
    try:
        check_processor_time(Limits.duration_s)
    except GdbleakError as error:
        findings.append(_problem(error))
    return [*findings, folder, *_examine_journals()]


def _examine_journals() -> Iterator[Finding]:
    """Look for what killed traces have left."""
    try:
        for journal in iter_journals():
            if not isinstance(journal, Journal) or controller_lives(journal):
                continue
            pid = journal.plan["pid"]
            if journal.plan["started"] == start_of_living(pid):
                yield Finding(
                    f"a trace of process {pid} was killed, and may have left something in it",
                    f"gdbleak rescue {pid}",
                    stops=True,
                )
    except GdbleakError as error:
        yield _problem(error)


def _examine_folder() -> Finding:
    """Make the folder that a trace would make for its temporary files."""
    try:
        with private_folder() as folder:
            free = shutil.disk_usage(folder).free
    except GdbleakError as error:
        return _problem(error)
    if free < ROOM_BYTES:
        return Finding(
            f"only {free >> 20} MiB are free in {folder.parent}", "set TMPDIR to a larger folder"
        )
    return Finding(f"{free >> 20:,} MiB free in {folder.parent} for the recording")


def _examine_gdb(proves: bool) -> Finding:
    """Find a GDB, and have it prove itself on a process of ours if there is a folder for that."""
    try:
        gdb = find_gdb()
        found = f"gdb {gdb.version} with Python {gdb.python} ({gdb.path})"
        if not proves:
            return Finding(f"{found}, not tried: that needs a folder for temporary files")
        began = time.monotonic()
        with (
            Leash() as leash,
            Interruption(),
            private_folder(leash) as folder,
            proved_agent(gdb, folder, on_launch=leash.hold) as agent,
        ):
            took_s = time.monotonic() - began
    except GdbleakError as error:
        return _problem(error)
    return Finding(
        f"{found}, proved on a process of gdbleak's own in {took_s:.1f} s"
        + ("; it halts a process before it detaches" if agent.halts_first else "")
    )


def _examine_permission() -> Finding:
    scope = YAMA.read_text().strip() if YAMA.exists() else "0"
    if scope == "3":
        return Finding(
            "kernel.yama.ptrace_scope is 3: nobody may trace",
            "boot with a lower value; it cannot be lowered while running",
            stops=True,
        )
    if os.geteuid() == 0:
        return Finding("running as root")
    if scope in ("1", "2"):
        return Finding(
            f"not root, and kernel.yama.ptrace_scope is {scope}: only root may trace",
            "run gdbleak with sudo"
            + (", or start the program with `gdbleak -c COMMAND`" if scope == "1" else ""),
            stops=not has_cap_sys_ptrace(),
        )
    return Finding("not root: your own processes can be traced, others not")


def examine_process(pid: int, selection: Selection = Selection()) -> list[Finding]:  # noqa: B008
    """Check a process."""
    from gdbleak.preflight.inline import describe_plan  # loads capstone
    from gdbleak.preflight.way import Demand, explain

    try:
        target = inspect(pid)
        check_journal(pid)
        findings = [
            Finding(f"process {pid} may be traced: {target.command}, {target.threads} threads"),
            _examine_threads(target),
        ]
        with ImageCache() as images, LiveProcess(pid, images) as process:
            modules = process.read_modules()
            allocators = find_allocators(modules, process.read_search_order(), selection, images)
            plan = plan_probes(allocators, process, selection=selection)
            rate = measure_rate(pid, plan.entries)
            inline = describe_plan(allocators, process, modules, rate, images, selection)
    except GdbleakError as error:
        return [_problem(error)]
    for number, allocator in enumerate(plan.allocators):
        probes = [probe for probe in plan.probes if probe.allocator == number]
        escapes = count_escapes(probes)
        findings.append(
            Finding(
                f"{'its allocator is' if number == 0 else 'also watched:'} {allocator.name}"
                f" ({allocator.module.path}): {len(probes)} probes"
                + (f", {escapes} exits that cannot be recorded" if escapes else "")
            )
        )
    findings += [Finding(note) for note in plan.notes]
    runtime = find_runtime(pid)
    if runtime:
        findings.append(Finding(describe_seen(runtime)))
    findings.append(Finding(describe(rate, selection.halts_once)))
    findings.append(Finding(inline.text))
    demand = Demand(rate, selection.halts_once, Limits.budget_percent, measure_crowding())
    refusal = inline.refusal if demand.is_too_much else ""
    chosen = explain(demand, demand.is_too_much and not refusal, refusal=refusal)
    findings.append(Finding(f"a trace would take {chosen}"))
    findings.append(
        Finding(
            forecast_latency(
                chosen, rate, Limits.budget_percent, target.threads, selection.halts_once
            )
        )
    )
    for module in modules:
        if module.file is None:
            findings.append(
                Finding(
                    f"{module.path}: {module.unreadable}",
                    "run as root, or restart the process; without it, stacks end there",
                )
            )
    return findings


def _examine_threads(target: Target) -> Finding:
    text = describe_halt(target.threads)
    try:
        check_halt(target.pid, target.threads, Limits.max_pause_ms)
    except GdbleakError as error:
        return Finding(f"{text}, longer than --max-pause allows by default", error.help_text)
    return Finding(text)


def _problem(error: GdbleakError) -> Finding:
    return Finding(str(error), error.help_text, stops=True)
