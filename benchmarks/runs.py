"""One run: one peer on one target, and what was seen of both."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from meter import Tool
from peers import Job, Peer
from targets import Line, Program, Target, on, wait_until

SETTLE_S = 0.2
"""After the attach, and before the end of a window: neither counts as the steady state."""
READY_S = 30.0
END_S = 60.0
CPUS = sorted(os.sched_getaffinity(0))


class RunError(Exception):
    """A peer did not do its work; says what it printed last."""


@dataclass(frozen=True)
class Run:
    """What was seen."""

    steady: tuple[Line, ...]
    """Lines that the target wrote while the tool was at work."""
    attach_ms: float | None
    """Longest gap about the attach."""
    longest_ms: float
    """Longest gap from attach to detach."""
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
            return summarize(target.lines, (start, time.monotonic()), None)
        with Tool(
            [*place, *peer.command(Job(target.pid, seconds, folder))], target.pid, folder
        ) as tool:
            span = work(tool, peer, target, seconds, folder)
            return summarize(target.lines, span, tool)


def work(
    tool: Tool, peer: Peer, target: Target, seconds: float, folder: Path
) -> tuple[float, float]:
    """Let a tool do its work; return from when to when it was there."""

    def fail(what: str) -> RunError:
        said = (folder / "tool.log").read_text().strip().splitlines()
        return RunError(f"{peer.name}: {what}" + (f": {said[-1]}" if said else ""))

    wait_until(lambda: bool(tool.traced) or tool.process.poll() is not None, READY_S)
    if not tool.traced:
        raise fail("did not attach")
    if not peer.traces:  # it attaches only to inject
        if not wait_until(lambda: not tool.is_tracing(), READY_S):
            raise fail("did not detach")
        injected = time.monotonic()
        wait_until(lambda: not target.runs(), seconds + SETTLE_S)
        end = time.monotonic()
        os.killpg(tool.process.pid, signal.SIGINT)
        if not wait_until(lambda: tool.process.poll() is not None, END_S):
            raise fail("did not end")
        return injected, end
    if not wait_until(lambda: tool.process.poll() is not None, seconds + END_S):
        raise fail("did not end")
    if tool.process.returncode:
        raise fail(f"exit status {tool.process.returncode}")
    return tool.traced[0], tool.traced[-1]


def summarize(lines: list[Line], span: tuple[float, float], tool: Tool | None) -> Run:
    """Take from the lines what belongs to the time in which a tool was there."""
    begin, end = span
    attach = tool.traced[0] if tool else begin
    settled = begin + (SETTLE_S if tool else 0)
    steady = tuple(line for line in lines if line.begin >= settled and line.end <= end)
    if not steady:
        raise RunError("the target wrote no line meanwhile")
    present = [line for line in lines if line.end >= attach and line.begin <= end]
    early = [line.longest_gap_ms for line in present if line.begin <= attach]
    weighed = [(when, used) for when, used in tool.cpu if settled <= when <= end] if tool else []
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
