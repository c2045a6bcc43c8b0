"""A recorder for a process of the tests, and what is found of it afterwards."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gdbleak.architectures import X86_64
from gdbleak.injection.implant import Implant
from gdbleak.injection.injection import Injection
from gdbleak.injection.places import choose_place
from gdbleak.injection.remains import read_remains
from gdbleak.injection.ring_control import Settings
from gdbleak.injection.steps import Step
from gdbleak.injection.visits import Outcome, Visitor
from gdbleak.inline.model import Cave, Hook, InlinePlan
from gdbleak.inline.payload import build_in_any
from gdbleak.inline.ring import Ring
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.target.proc import Mapping, Memory, read_mappings

FUNCTIONS = (
    AllocatorFunction("malloc", sizes=(0,)),
    AllocatorFunction("calloc", sizes=(0, 1)),
    AllocatorFunction("realloc", sizes=(1,), pointer=0),
    AllocatorFunction("free", pointer=0),
)
UNIT_BITS = 12
_JUMP_BYTES = 5
_PAGE = 4096


def find_libc(pid: int) -> list[Mapping]:
    """Return the mappings of a process's C library."""
    names = ("libc.so", "libc-2")
    return [each for each in read_mappings(pid) if Path(each.path).name.startswith(names)]


def plan_for(pid: int) -> InlinePlan:
    """Return a plan for a process with the C library of this one."""
    libc, own = find_libc(pid), find_libc(os.getpid())
    code = next(each for each in libc if each.executable)
    with Memory(pid) as memory:
        hooks = []
        for function in FUNCTIONS:
            here = ctypes.cast(getattr(ctypes.CDLL(None), function.name), ctypes.c_void_p).value
            assert here
            entry = libc[0].start + here - own[0].start
            decoder, size = X86_64.make_decoder(memory.read), 0
            while size < _JUMP_BYTES:
                instruction = decoder.decode(entry + size)
                assert instruction
                size += instruction.size
            hooks.append(Hook(function, 0, entry, entry, memory.read(entry, size)))
        length = len(memory.read(code.end - _PAGE, _PAGE).rstrip(b"\0"))
        start = code.end - _PAGE + length + 64
        cave = Cave(start, memory.read(start, code.end - start), code.path)
    entries = [hook.entry for hook in hooks]
    return InlinePlan(tuple(hooks), (cave,), (min(entries), max(entries)))


def implant_for(pid: int, unit_bits: int = UNIT_BITS) -> Implant:
    """Return what to put into such a process."""
    ring = Ring(0, unit_bits)
    ring = Ring(choose_place(read_mappings(pid), ring.size), unit_bits)
    cave, image = build_in_any(plan_for(pid), ring)
    return Implant(image, cave, ring)
