"""What is said of seccomp filters is what the kernel does."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import random
import signal
import struct

import pytest
from support import seccomp_profiles

from gdbleak.injection.filters import calls_to_map, calls_to_unmap, choose_able
from gdbleak.injection.implant import Implant
from gdbleak.injection.seccomp import INSTRUCTION, MAX_INSTRUCTIONS, Call, passes
from gdbleak.injection.visits import ToldFilters
from gdbleak.inline.model import Cave, Image
from gdbleak.inline.recorder import read_code, read_labels
from gdbleak.inline.ring import Ring

ALLOW, LOG, ERRNO, KILL = 0x7FFF0000, 0x7FFC0000, 0x00050000, 0x80000000
TRAP, TRACE, USER_NOTIF = 0x00030000, 0x7FF00000, 0x7FC00000
LD, LD_IMM, LD_LEN, LD_MEM, ST, STX = 0x20, 0x00, 0x80, 0x60, 0x02, 0x03
LDX_IMM, LDX_LEN, LDX_MEM, TAX, TXA, NEG = 0x01, 0x81, 0x61, 0x07, 0x87, 0x84
JA, JEQ, JGT, JGE, JSET, RET, RET_A = 0x05, 0x15, 0x25, 0x35, 0x45, 0x06, 0x16
ALU, X = (0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0xA4), 0x08
NR, ARCH, POINTER, ARGUMENTS = 0, 4, 8, 16

MADVISE = 28
"""A call that changes nothing here, whatever its arguments are."""
VALUES = (1, 2, 3, 2**64 - 1, 5, 6 << 32)
CALL = Call(MADVISE, VALUES, 0x7F1234567890)

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 4, 38, 22, 2


def program(*instructions):
    """Return a program of (code, number) or (code, number, then, otherwise)."""
    return b"".join(
        INSTRUCTION.pack(code, *(jumps or (0, 0)), number % 2**32)
        for code, number, *jumps in instructions
    )


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        *((each | data, True) for each in (ALLOW, LOG) for data in (0, 0xFFFF)),
        *((each, False) for each in (ERRNO, KILL, TRAP, TRACE, USER_NOTIF, 0, 0xFFFFFFFF)),
    ],
)
def test_results(result, expected):
    assert passes(program((RET, result)), CALL) is expected


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        *((NR, MADVISE), (ARCH, 0xC000003E), (POINTER, 0x34567890), (POINTER + 4, 0x7F12)),
        *((ARGUMENTS, 1), (ARGUMENTS + 4, 0), (ARGUMENTS + 24, 2**32 - 1)),
        *((ARGUMENTS + 28, 2**32 - 1), (ARGUMENTS + 40, 0), (ARGUMENTS + 44, 6)),
    ],
)
def test_words(offset, value):
    equal = program((LD, offset), (JEQ, value, 0, 1), (RET, ALLOW), (RET, KILL))
    assert passes(equal, CALL)


GOOD = (RET, ALLOW)


@pytest.mark.parametrize(
    "code",
    [
        [],
        [(LD, NR)],  # no end
        [(JA, 1), GOOD],
        [(JA, 2**32 - 1), GOOD],  # backwards
        [(JEQ, 0, 1, 1), GOOD],
        [(JEQ | 0x40, 0, 0, 0), GOOD],  # an unknown condition
        [(LD, 64), GOOD],
        [(LD, 2), GOOD],
        [(0x28, 0), GOOD],  # half a word
        [(0x40, 0), GOOD],  # with an index
        [(0x21, 0), GOOD],
        [(0xB1, 0), GOOD],
        [(LD_MEM, 0), GOOD],  # nothing was stored there
        [(LD_MEM, 16), GOOD],
        [(ST, 16), GOOD],
        [(0x0A, 0), GOOD],
        [(0x94, 3), GOOD],  # no modulo in filters
        [(0x34, 0), GOOD],  # divided by 0
        [(0x3C, 0), GOOD],
        [(0x64, 32), GOOD],  # shifted out
        [(0x8C, 0), GOOD],
        [(0x0E, ALLOW)],
        [(0xFFFF, 0), GOOD],
        [(0x4007, 0), GOOD],
    ],
)
def test_what_no_kernel_accepts_proves_nothing(code):
    assert not passes(program(*code), CALL)


@pytest.mark.parametrize("data", [b"\0", bytes(8 * MAX_INSTRUCTIONS) + program(GOOD)])
def test_bytes_that_are_no_program(data):
    assert not passes(data, CALL)


def test_any_bytes_are_answered():
    dice = random.Random("bytes")
    for _ in range(20_000):
        assert passes(dice.randbytes(8 * dice.randrange(12)), CALL) in (True, False)


def test_arguments_that_are_not_known():
    call = Call(11, (None, 4096), 0)
    for argument, known in ((0, False), (1, True), (2, False), (5, False)):
        code = program((LD, ARGUMENTS + 8 * argument), (RET, ALLOW))
        assert passes(code, call) is known
    assert passes(program((LD, NR), (RET, ALLOW)), call)


class Kernel:
    """What the kernel does with calls of a child that has put filters on itself."""

    def __init__(self):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._call = self._libc.syscall
        self._call.restype = ctypes.c_long
        place = ctypes.cast(self._call, ctypes.c_void_p).value or 0
        self.pointer = place + ctypes.string_at(place, 64).index(b"\x0f\x05") + 2
        """The address behind the instruction by which they are made."""

    def lets_pass(self, programs, call):
        """Whether a call gets to the kernel, which finds its arguments to be wrong."""
        child = os.fork()
        if child == 0:
            os._exit(self._try(programs, call))
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGSYS
            return False
        assert os.WEXITSTATUS(status) in (PASSED, STOPPED)
        return os.WEXITSTATUS(status) == PASSED

    def _try(self, programs, call):
        arguments = [ctypes.c_uint64(each or 0) for each in call.arguments]
        arguments += [ctypes.c_uint64(0)] * (6 - len(arguments))
        kept = [ctypes.create_string_buffer(each, len(each)) for each in programs]
        self._libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # to be killed takes long with a core dump
        self._libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        for each in kept:
            filter_of = struct.pack("@HxxxxxxQ", len(each) // 8, ctypes.addressof(each))
            if self._libc.prctl(PR_SET_SECCOMP, FILTER, filter_of) != 0:
                return NOT_A_FILTER
        ctypes.set_errno(0)
        result = self._call(ctypes.c_long(call.number), *arguments)
        return PASSED if result >= 0 or ctypes.get_errno() in WRONG else STOPPED


PASSED, STOPPED, NOT_A_FILTER = 10, 11, 12
WRONG = errno.EINVAL, errno.ENOMEM
"""What the kernel says of the arguments here."""


@pytest.fixture(scope="module")
def kernel():
    """Return what the kernel does; it has to be one that this machine's filters are about."""
    if platform.machine() != "x86_64":
        pytest.skip("the filters of other processors see other numbers of system calls")
    return Kernel()


def generate(dice, words):
    """Return a program that any kernel accepts, and that lets every other call pass."""

    def guess():
        return dice.choice((*words, dice.choice(words) & 0xFFF, dice.getrandbits(32), 0, 1))

    body: list[tuple[int, ...]] = [
        (LD, 4 * dice.randrange(16)),
        (ST, 0),
        (STX, 1),
        (LDX_IMM, guess()),
        (STX, 2),
    ]
    length = dice.randrange(3, 40)
    for left in range(length, 0, -1):
        kind = dice.randrange(10)
        slot = dice.randrange(3)
        if kind < 3:
            body.append((LD, 4 * dice.randrange(16)))
        elif kind < 6:
            test = dice.choice((JEQ, JEQ, JGT, JGE, JSET)) | dice.choice((0, 0, X))
            body.append((test, guess(), dice.randrange(left), dice.randrange(left)))
        elif kind < 8:
            operation = dice.choice(ALU)
            number = dice.randrange(1, 32)
            # Before one with X, what X is: no division by 0, no shift of all there is.
            body.append((LDX_IMM, number))
            body.append((operation | dice.choice((0, X)), number))
        elif kind == 8:
            others = (LD_MEM, slot), (LDX_MEM, slot), (ST, slot), (STX, slot), (TAX, 0), (TXA, 0)
            body.append(dice.choice((*others, (NEG, 0), (LD_LEN, 0), (LDX_LEN, 0), (LD_IMM, 5))))
        else:
            body.append(dice.choice(((JA, dice.randrange(left)), (RET, ALLOW), (RET_A, 0))))
    ends = [ALLOW, ERRNO | 77, ALLOW, LOG, ERRNO | 78, TRACE]
    body += [(RET, dice.choice(ends)) for _ in range(length)]
    return program((LD, NR), (JEQ, MADVISE, 1, 0), (RET, ALLOW), *body)


def test_the_kernel_does_what_was_said(kernel):
    dice = random.Random("filters")
    call = CALL._replace(instruction_pointer=kernel.pointer)
    words = [MADVISE, 0xC000003E, kernel.pointer & 0xFFFFFFFF, kernel.pointer >> 32]
    words += [word for each in VALUES for word in (each & 0xFFFFFFFF, each >> 32)]
    counts = {True: 0, False: 0}
    for number in range(250):
        programs = [generate(dice, words) for _ in range(1 + number % 3)]
        said = all(passes(each, call) for each in programs)
        assert kernel.lets_pass(programs, call) is said, [each.hex() for each in programs]
        counts[said] += 1
    assert min(counts.values()) > 30, counts


RING = Ring(0x2A0000000000, 12)
ROUTINES = 0x7F0000001000
LABELS = read_labels()
IMPLANT = Implant(
    Image(
        address=ROUTINES,
        code=read_code(),
        sites=(),
        jumps=(),
        map_ring=ROUTINES + LABELS["map_ring"],
        unmap_ring=ROUTINES + LABELS["unmap_ring"],
        resume=ROUTINES + LABELS["resume"],
    ),
    Cave(ROUTINES, bytes(4096), "/lib/libc.so.6"),
    RING,
)


def test_the_recorder_makes_three_calls_from_one_place():
    calls = calls_to_map(IMPLANT)
    assert [call.number for call in calls] == [9, 28, 11]
    assert {call.instruction_pointer for call in calls} == {ROUTINES + LABELS["system_call"] + 2}
    assert calls_to_unmap(IMPLANT) == [calls[2]._replace(arguments=(RING.address, RING.size))]


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize(
    ("profile", "forbidden"),
    [("container", []), ("service", []), ("sandbox", ["mmap", "madvise"])],
)
def test_profiles(kernel, profile, forbidden, tree):
    made = getattr(seccomp_profiles, profile)(tree)
    filters = made if isinstance(made, tuple) else (made,)
    able, why = choose_able(ToldFilters({1: (), 2: filters}, None), calls_to_map(IMPLANT))

    assert [*able] == ([1] if forbidden else [1, 2])
    assert all(name in why for name in forbidden)
    names = {9: "mmap", 28: "madvise", 11: "munmap"}
    for call in calls_to_map(IMPLANT):
        said = all(passes(each, call) for each in filters)
        assert said is (names[call.number] not in forbidden)
        assert kernel.lets_pass(filters, call) is said


def test_filters_that_could_not_be_read():
    able, why = choose_able(ToldFilters({}, "Permission denied"), calls_to_map(IMPLANT))
    assert (able, "cannot be read: Permission denied" in why) == ({}, True)
