"""Recordings made by hand, frame by frame."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from gdbleak.recording.frames import END, FRAME, HEAD, HIT, MAGIC, PHASE, encode_json
from gdbleak.recording.functions import MALLOC_FAMILY
from gdbleak.recording.head import VERSION
from gdbleak.recording.modules import Module
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role

PROGRAM = Module("/srv/program", 0x10000, 0x20000, 0x10000, "aa", None, "its file was deleted")
MALLOC, MALLOC_RET, FREE = range(3)
PROBES = (
    Probe(MALLOC, 0x1000, "malloc", Role.ENTRY, ("rsp", "rdi"), None, "55"),
    Probe(MALLOC_RET, 0x1010, "malloc", Role.RETURN, ("rsp", "rax", "rbp"), None, "c3"),
    Probe(
        *(FREE, 0x2000, "free", Role.ENTRY, ("rsp", "rdi"), None, "55"),
        phases=(Phase.ALL, Phase.FEWER, Phase.FREES),
    ),
)
SP = 0x7000


def head(**values: Any) -> bytes:
    """Return a HEAD frame; `values` take the place of the usual ones."""
    usual = {
        "version": VERSION,
        "started": "2024-05-01T09:00:00+02:00",
        "target": {
            "pid": 4242,
            "command": "program",
            "exe": "/srv/program",
            "started": "2024-05-01T08:00:00+02:00",
            "threads": 2,
        },
        "allocators": ["glibc 2.36"],
        "functions": [function.to_json() for function in MALLOC_FAMILY],
        "notes": [],
        "rss_before": 1_000_000,
        "stack_bytes": 4096,
        "modules": [PROGRAM.to_json()],
        "probes": [probe.to_json() for probe in PROBES],
        "duration_s": 10.0,
        "tail_s": 0.0,
        "rate": {"allocations_per_s": 0.0, "frees_per_s": 0.0, "at_least": False, "reason": "no"},
    }
    return encode_json(HEAD, {**usual, **values})


def opened(time_ns: int) -> bytes:
    """Return an PHASE frame."""
    return FRAME.pack(PHASE, 0, 0, 8) + struct.pack("<Q", time_ns)


def turn(time_ns: int, phase: Phase) -> bytes:
    """Return the PHASE frame of other breakpoints."""
    return FRAME.pack(PHASE, 0, phase, 8) + struct.pack("<Q", time_ns)


def hit(probe: int, time_ns: int, *values: int, thread: int = 1, stack: bytes = b"") -> bytes:
    """Return a HIT frame; `values` are registers, and at a return the stored value."""
    payload = struct.pack(f"<{2 + len(values)}Q", time_ns, thread, *values) + stack
    return FRAME.pack(HIT, 0, probe, len(payload)) + payload


def end(**values: Any) -> bytes:
    """Return an END frame; `values` take the place of the usual ones."""
    usual = {
        "ended_by": "duration",
        "end_ns": 10_000_000_000,
        "rss_after": 1_500_000,
        "lost_events": 0,
        "stops": 3,
        "stopped_s": 0.25,
        "longest_pause_ms": 8.5,
        "modules": [PROGRAM.to_json()],
        "verification": {
            "tracer_pid": 0,
            "state_before": "S",
            "state_after": "S",
            "text_intact": True,
            "ok": True,
        },
    }
    return encode_json(END, {**usual, **values})


def malloc(time_ns: int, address: int, size: int, caller: int, thread: int = 1) -> bytes:
    """Return the frames of a call of malloc, whose caller is a return address."""
    stack = struct.pack("<Q", caller)
    return hit(MALLOC, time_ns, SP, size, thread=thread) + hit(
        MALLOC_RET, time_ns, SP, address, 0, 0, thread=thread, stack=stack
    )


def free(time_ns: int, address: int) -> bytes:
    """Return the frame of a call of free."""
    return hit(FREE, time_ns, SP, address)


def write(path: Path, *frames: bytes) -> str:
    """Write a recording; return its path as text."""
    path.write_bytes(MAGIC + b"".join(frames))
    return str(path)
