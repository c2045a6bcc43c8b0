"""One run: one peer on one target, and what was seen of both."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from meter import Tool
from peers import Job, Peer
from spans import RECORDING, Sign, Span, read_window
from targets import Line, Program, Target, on, wait_until

SETTLE_S = 0.2
"""After a window was opened: that does not count as the steady state."""
READY_S = 30.0
END_S = 60.0
LINE_S = 2.0
"""A target writes a line more often than that."""
CPUS = sorted(os.sched_getaffinity(0))


class RunError(Exception):
    """A peer did not do its work; says what it printed last."""


@dataclass(frozen=True)
class Run:
    """What was seen."""

    steady: tuple[Line, ...]
    """Lines that the target wrote while the tool recorded."""
    attach_ms: float | None
    """Longest gap from when the tool arrived until it recorded."""
    longest_ms: float
    """Longest gap from when the tool arrived until it left."""
    cpu: float | None
    """Seconds of processor time of the tool, for each second."""
    peak_bytes: int | None


def measure(peer: Peer, program: Program, seconds: float, folder: Path) -> Run:
    """Run a peer on a target.

    Raises:
        RunError: the peer failed.

    """
    place = on(CPUS[:1] if program.pinned else CPUS)
    name, *arguments = program.command
    command = [*place, *peer.wrapper, str(folder / name), *arguments]
    with Target(command, folder) as target:
        target.wait_lines(3)
        if peer.command is None:
            start = time.monotonic()
            wait_until(lambda: not target.runs(), seconds)
            end = time.monotonic()
            return summarize(target.lines, Span(start, start, end, end), None)
        (folder / RECORDING).unlink(missing_ok=True)
        with Tool(
            [*place, *peer.command(Job(target.pid, seconds, folder))], target.pid, folder
        ) as tool:
            span = work(tool, peer, target, seconds, folder)
            wait_until(lambda: target.lines[-1].begin > span.departure, LINE_S)
            return summarize(target.lines, span, tool)


def work(tool: Tool, peer: Peer, target: Target, seconds: float, folder: Path) -> Span:
    """Let a tool do its work; return when it was there."""

    def fail(what: str) -> RunError:
        said = (folder / "tool.log").read_text().strip().splitlines()
        return RunError(f"{peer.name}: {what}" + (f": {said[-1]}" if said else ""))

    def has_ended() -> bool:
        return tool.process.poll() is not None

    if peer.sign is Sign.INJECTED:
        wait_until(lambda: bool(tool.traced) or has_ended(), READY_S)
        if not tool.traced:
            raise fail("did not attach")
        if not wait_until(lambda: not tool.is_tracing(), READY_S):
            raise fail("did not detach")
        injected = time.monotonic()
        wait_until(lambda: not target.runs(), seconds + SETTLE_S)
        end = time.monotonic()
        os.killpg(tool.process.pid, signal.SIGINT)
        if not wait_until(has_ended, END_S):
            raise fail("did not end")
        return Span(tool.traced[0], injected, end, end)
    if not wait_until(has_ended, READY_S + seconds + END_S):
        raise fail("did not end")
    if tool.process.returncode:
        raise fail(f"exit status {tool.process.returncode}")
    window = read_window(folder) if peer.sign is Sign.RECORDING else tool.seen
    if window is None:
        raise fail("did not record")
    begin, end = window
    first, last = tool.seen or window  # visits may be too short to be seen
    return Span(min(first, begin), begin, end, max(last, end))


def summarize(lines: list[Line], span: Span, tool: Tool | None) -> Run:
    """Take from the lines what belongs to the time in which a tool was there."""
    settled = span.begin + (SETTLE_S if tool else 0)
    steady = tuple(line for line in lines if line.begin >= settled and line.end <= span.end)
    if not steady:
        raise RunError("the target wrote no line meanwhile")
    present = [line for line in lines if line.end >= span.arrival and line.begin <= span.departure]
    early = [line.longest_gap_ms for line in present if line.begin <= span.begin]
    weighed = [(at, used) for at, used in tool.cpu if settled <= at <= span.end] if tool else []
    cpu = None
    if len(weighed) > 1:
        (first, before), (last, after) = weighed[0], weighed[-1]
        cpu = (after - before) / (last - first)
    return Run(
        steady,
        max(early) if tool and early else None,
        max(line.longest_gap_ms for line in present),
        cpu,
        tool.peak_bytes if tool else None,
    )
