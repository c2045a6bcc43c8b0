"""What an injection computes without a process."""

from __future__ import annotations

import json
import subprocess

import pytest

from gdbleak.errors import DebuggerFailedError, ProcessUnusableError
from gdbleak.injection import removal
from gdbleak.injection.implant import Implant
from gdbleak.injection.places import choose_place
from gdbleak.injection.remains import At, find_ring, read_remains
from gdbleak.injection.removal import Remover
from gdbleak.injection.steps import code_ranges
from gdbleak.injection.thread_facts import find_thread_facts
from gdbleak.injection.visits import ThreadState
from gdbleak.inline.model import Cave, Image, Jump
from gdbleak.inline.ring import DONE, MAPPED, PAGE_BYTES, Ring
from gdbleak.target.life import start_of_living
from gdbleak.target.proc import parse_mapping

MB = 1 << 20
NO_PROGRAM = (0, 0)
RING = Ring(0x10000000, 12)
IMPLANT = Implant(
    Image(
        address=0x5010,
        code=bytes(range(64)),
        sites=(),
        jumps=(
            Jump(0x4800, b"\x90" * 5, b"\xe9\4\3\2\0", (), is_pad=True),
            Jump(0x4000, b"\x41\x54\x55\x53\x48\x89", b"\xe9\1\2\3\0\x89", ((0x4002, 0x5022),)),
        ),
        map_ring=0x5020,
        unmap_ring=0x5030,
        resume=0x5010 + 16,
    ),
    Cave(0x5008, bytes(100), "/lib/libc.so.6"),
    RING,
)


class FakeMemory:
    """Memory of which some places are told."""

    def __init__(self, places):
        self.places = places

    def read(self, address, size):
        for start, data in self.places.items():
            if start <= address < start + len(data):
                return data[address - start :][:size]
        return b""


def mapping(start, end, permissions="rw-p", path=""):
    return parse_mapping(f"{start:x}-{end:x} {permissions} 0 00:00 0 {path}")


def test_an_implant_survives_its_journal():
    again = Implant.from_json(json.loads(json.dumps(IMPLANT.to_json())))
    assert again == IMPLANT


def test_the_original_is_what_stands_where_the_image_goes():
    cave = Cave(0x5008, bytes(range(100)), "")
    assert Implant(IMPLANT.image, cave, RING).original == bytes(range(8, 72))


@pytest.mark.parametrize(
    ("change", "is_image"),
    [
        (lambda code: code, True),
        (lambda code: code[:16] + b"\xff" * 16 + code[32:], True),  # the words of a hijack
        (lambda code: code[:40] + bytes(24), True),  # half of it
        (lambda code: b"\x99" + code[1:], False),
        (lambda code: code[:-1], False),
    ],
)
def test_the_image_is_known_by_its_bytes(change, is_image):
    assert IMPLANT.is_image(change(IMPLANT.image.code)) is is_image


def test_what_something_may_return_to():
    assert code_ranges(IMPLANT.image) == [(0x5010, 0x5050), (0x4800, 0x4805)]


def remains_with(*written):
    """Return what is left where some jumps and the image are written."""
    image = IMPLANT.image
    places = {jump.address: jump.original for jump in image.jumps}
    places[image.address] = image.code + IMPLANT.cave.original
    for jump in written:
        places[jump.address] = jump.code
    return read_remains(PID, IMPLANT, FakeMemory(places))


def test_a_pad_is_kept_apart():
    pad, entry = IMPLANT.image.jumps
    both, one = remains_with(pad, entry), remains_with(pad)
    assert ([jump for jump, _ in both.jumps], [jump for jump, _ in both.pads]) == ([entry], [pad])
    assert (one.jumps, one.pads) == ((), ((pad, pad.code),))
    assert not one.is_nothing


class Recorder:
    """A visitor that keeps what it is told to do, and fails."""

    def __init__(self):
        self.visits, self.patience = [], []

    def visit(self, _pid, steps, patience=1):
        self.visits.append(steps)
        self.patience.append(patience)
        raise DebuggerFailedError("it has died")


def test_a_pad_goes_when_nothing_returns_to_it(monkeypatch):
    """After the jumps of the entries, and before the image to which it leads."""
    pad, entry = IMPLANT.image.jumps
    remains, visitor = remains_with(pad, entry), Recorder()
    monkeypatch.setattr(removal, "read_remains", lambda *_: remains)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        removed = Remover(IMPLANT, visitor).remove(
            process.pid, start_of_living(process.pid), NO_PROGRAM
        )
        process.kill()
    steps = visitor.visits[0]
    assert [(step["do"], step.get("address")) for step in steps] == [
        ("contents", None),
        ("expect", entry.address),
        ("expect", pad.address),
        ("expect", IMPLANT.image.address),
        ("write", entry.address),
        ("absent", None),
        ("unmapped", None),
        ("write", pad.address),
        ("write", IMPLANT.image.address),
    ]
    assert steps[5]["pcs"] == steps[5]["words"] == code_ranges(IMPLANT.image)
    assert visitor.patience == [1, 2, 4]  # each time the one before has failed
    assert [*removed.left] == [
        f"process {process.pid} still holds 1 jumps, the recorder, which is off: it has died"
    ]


def test_the_place_is_amid_the_largest_gap():
    program, heap = mapping(0x400000, 0x500000), mapping(0x1000000, 0x2000000, path="[heap]")
    library = mapping(0x7FFFF7000000, 0x7FFFF7F00000)
    stack = mapping(0x7FFFFFFDE000, 0x7FFFFFFFF000, path="[stack]")

    place = choose_place([program, heap, library, stack], 64 * MB)

    assert place - heap.end == pytest.approx(library.start - place, rel=0.01)
    assert place % (2 * MB) == 0


def test_no_place():
    full = [mapping(start, start + (1 << 40)) for start in range(0, 1 << 47, 1 << 41)]
    with pytest.raises(ProcessUnusableError, match="no gap"):
        choose_place(full, 1 << 37)


HEAD_DONE = bytes(MAPPED) + DONE.to_bytes(8, "little")
END = RING.address + RING.size


@pytest.mark.parametrize(
    ("there", "head", "found"),
    [
        ([], b"", At.NOTHING),
        ([mapping(END, END + 4096)], b"", At.NOTHING),
        ([mapping(RING.address, END)], HEAD_DONE, At.RING),
        ([mapping(RING.address, END)], bytes(PAGE_BYTES), At.RING),  # a child of fork
        ([mapping(RING.address, RING.address + 4096)], bytes(PAGE_BYTES), At.RING),
        ([mapping(RING.address, END + 4096)], HEAD_DONE, At.RING),  # joined with another one
        ([mapping(RING.address, END + 4096)], bytes(PAGE_BYTES), At.OTHERS),
        ([mapping(RING.address, END)], b"something else", At.OTHERS),
        ([mapping(RING.address, END, "r-xp")], HEAD_DONE, At.OTHERS),
        ([mapping(RING.address, END, path="/lib/x")], HEAD_DONE, At.OTHERS),
    ],
)
def test_whose_memory_is_where_the_ring_goes(there, head, found):
    memory = FakeMemory({RING.address: head.ljust(PAGE_BYTES, b"\0")})
    assert find_ring(there, RING, memory) is found


BLOCK_AT, ID_AT = 0x690, 0x2D0
STACK_BYTES = 0x800000
PID = 4_194_000
"""Above any that is in use, so that the kernel tells nothing of its threads."""


def area(thread, block, size):
    data = bytearray(0x900)
    data[ID_AT : ID_AT + 4] = thread.to_bytes(4, "little")
    data[BLOCK_AT : BLOCK_AT + 16] = block.to_bytes(8, "little") + size.to_bytes(8, "little")
    return bytes(data)


def facts_of(blocks, there):
    """Return the facts of threads whose stacks are at such addresses."""
    main = 0x7F0000001000
    places = {main: area(PID, 0, 0)}
    threads = [ThreadState(PID, 1, 0x7FFFFFFDF000, -1, main)]
    for number, block in enumerate(blocks, 1):
        pointer = block + STACK_BYTES - 0x1000
        places[pointer] = area(PID + number, block, STACK_BYTES)
        threads.append(ThreadState(PID + number, 1, pointer - 0x400, -1, pointer))
    stack = mapping(0x7FFFFFFDE000, 0x7FFFFFFFF000, path="[stack]")
    living = [each.id for each in threads]
    return find_thread_facts(PID, threads, [*there, stack], FakeMemory(places), lambda _: living)


def test_stacks_with_a_guard():
    blocks = [0x7F1000000000, 0x7F2000000000]
    there = [
        each
        for block in blocks
        for each in (
            mapping(block, block + 4096, "---p"),
            mapping(block + 4096, block + STACK_BYTES),
        )
    ]
    facts = facts_of(blocks, there)
    assert (facts.stack_block, facts.thread_id) == (BLOCK_AT, ID_AT)
    assert facts.main_stack == (0x7FFFFFFDE000, 0x7FFFFFFFF000)


def test_stacks_that_the_kernel_has_joined():
    blocks = [0x7F1000000000, 0x7F1000000000 + STACK_BYTES]
    there = [mapping(blocks[0], blocks[1] + STACK_BYTES)]
    assert facts_of(blocks, there).stack_block == BLOCK_AT


@pytest.mark.parametrize(
    "there",
    [
        [mapping(0x7F0FF0000000, 0x7F1000000000 + STACK_BYTES)],  # begins elsewhere
        [mapping(0x7F1000000000, 0x7F1000000000 + STACK_BYTES - 0x2000)],  # ends before the block
        [],
    ],
)
def test_what_does_not_fit_is_not_believed(there):
    assert facts_of([0x7F1000000000], there).stack_block == 0


def test_one_thread_proves_nothing():
    facts = facts_of([], [])
    assert (facts.stack_block, facts.thread_id) == (0, 0)
