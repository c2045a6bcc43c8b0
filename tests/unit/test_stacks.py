"""Unwinding: real stacks of a program that knows its callers, and frames made up row by row."""

from __future__ import annotations

import struct
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.architectures import X86_64_FRAMES, FrameConvention
from gdbleak.architectures.x86_64_frames import RBP, REGISTER_NUMBERS, RIP, RSP
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.unwinding.cfi import UnwindTable
from gdbleak.unwinding.frame_rows import RegisterOffset, Row, Rule, RuleKind
from gdbleak.unwinding.known_stacks import CallStack
from gdbleak.unwinding.stacks import Unwinder

RBX = REGISTER_NUMBERS["rbx"]
RDI = REGISTER_NUMBERS["rdi"]
R12 = REGISTER_NUMBERS["r12"]


class Capture(NamedTuple):
    """What unwind_chain wrote down."""

    stack: bytes
    rsp: int
    rbp: int
    known: tuple[int, ...]
    modules: ModuleMap


@pytest.fixture(scope="module", params=["main", "thread"])
def capture(
    request: pytest.FixtureRequest, build_target: Callable[..., Path], tmp_path_factory
) -> Capture:
    flags = ["-fno-optimize-sibling-calls"]
    library = build_target("unwind_library.c", "-shared", "-fPIC", *flags, name="libunwind.so")
    program = build_target("unwind_chain.c", str(library), f"-Wl,-rpath,{library.parent}", *flags)
    output = tmp_path_factory.mktemp("stacks") / "stack"
    command = [program, output, *(["thread"] if request.param == "thread" else [])]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = defaultdict(list)
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        lines[key].append(value)
    return Capture(
        stack=output.read_bytes(),
        rsp=int(lines["rsp"][0], 16),
        rbp=int(lines["rbp"][0], 16),
        known=tuple(int(value, 16) for value in lines["known"]),
        modules=ModuleMap(modules_from(lines["map"])),
    )


def modules_from(lines: list[str]) -> list[Module]:
    """Return the modules among the lines of /proc/PID/maps; they are linked at 0."""
    ranges = defaultdict(list)
    for line in lines:
        bounds, *_, path = line.split()
        if path.startswith("/"):
            ranges[path] += [int(bound, 16) for bound in bounds.split("-")]
    return [
        Module(path, min(bounds), max(bounds), min(bounds), build_id=None, file=path)
        for path, bounds in ranges.items()
    ]


@cache
def open_image(module: Module) -> ElfImage:
    assert module.file is not None
    return ElfImage(module.file)


def unwind(unwinder: Unwinder, capture: Capture, size: int | None = None) -> CallStack:
    return unwinder.unwind(capture.stack[:size], capture.rsp, {"rbp": capture.rbp})


def test_finds_every_frame(capture: Capture) -> None:
    unwinder = Unwinder(capture.modules, open_image, 64)
    expected = CallStack(capture.known, truncated=False)
    assert len(capture.known) > 14
    assert unwind(unwinder, capture) == expected
    # The second time by the short cuts that the first has found.
    assert unwind(unwinder, capture) == expected
    assert unwinder.unwind(memoryview(capture.stack), capture.rsp, {"rbp": capture.rbp}) == expected


def test_the_chain_has_the_frames_it_is_meant_to_have(capture: Capture) -> None:
    """Compilers differ; a chain of easy frames would prove little."""
    rows = []
    for address in capture.known:
        module = capture.modules.find(address)
        assert module is not None
        rows.append(UnwindTable(open_image(module)).find_row(address - module.bias - 1))
    registers = {row.cfa.register for row in rows if row and isinstance(row.cfa, RegisterOffset)}
    assert registers >= {RSP, RBP, RBX}
    assert [row.is_signal_frame for row in rows if row].count(True) == 1
    assert [row.ends_stack for row in rows if row] == [False] * (len(rows) - 1) + [True]
    assert any(
        isinstance(row.cfa, bytes) for row in rows if row is not None and not row.is_signal_frame
    )


def test_a_slice_cut_short_gives_the_beginning(capture: Capture) -> None:
    unwinder = Unwinder(capture.modules, open_image, 64)
    lengths = set()
    for size in range(len(capture.stack)):
        found = unwind(unwinder, capture, size)
        assert found.addresses == capture.known[: len(found.addresses)]
        assert found.truncated == (found.addresses != capture.known)
        lengths.add(len(found.addresses))
        if not found.truncated:
            break
    assert lengths == set(range(len(capture.known) + 1))


def test_short_cuts_change_nothing(capture: Capture) -> None:
    """Not even where the slice ends within a frame."""
    warm = Unwinder(capture.modules, open_image, 64)
    unwind(warm, capture)
    for size in range(0, 8192, 40):
        cold = Unwinder(capture.modules, open_image, 64)
        assert unwind(warm, capture, size) == unwind(cold, capture, size)


def test_needs_no_registers_that_are_saved_before_they_are_used(capture: Capture) -> None:
    """Here the signal frame has all of them."""
    unwinder = Unwinder(capture.modules, open_image, 64)
    found = unwinder.unwind(capture.stack, capture.rsp, {})
    assert found == CallStack(capture.known, truncated=False)


@pytest.mark.parametrize("max_frames", [0, 1, 5])
def test_no_more_frames_than_wanted(capture: Capture, max_frames: int) -> None:
    unwinder = Unwinder(capture.modules, open_image, max_frames)
    expected = CallStack(capture.known[:max_frames], truncated=True)
    assert [unwind(unwinder, capture), unwind(unwinder, capture)] == [expected, expected]


def test_as_many_frames_as_wanted_are_complete(capture: Capture) -> None:
    unwinder = Unwinder(capture.modules, open_image, len(capture.known))
    expected = CallStack(capture.known, truncated=False)
    assert [unwind(unwinder, capture), unwind(unwinder, capture)] == [expected, expected]


def test_known_stack_is_not_walked_again(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are looked up first, then it is seen what the walk goes by, twice from one place."""
    unwinder = Unwinder(capture.modules, open_image, 1)
    found = [unwind(unwinder, capture) for _ in range(3)]
    monkeypatch.setattr(Unwinder, "_walk", None)
    assert [unwind(unwinder, capture)] * 3 == found


@given(st.data())
def test_known_stacks_are_told_from_others(capture: Capture, data: st.DataObject) -> None:
    known = st.sampled_from(capture.known)
    near = st.integers(-64, 4096).map(lambda offset: (capture.rsp + offset) % 2**64)
    size = 8 * data.draw(st.integers(1, 256))
    max_frames = data.draw(st.integers(1, 32))
    warm = Unwinder(capture.modules, open_image, max_frames)
    for _ in range(3):
        unwind(warm, capture, size)
    stack = bytearray(capture.stack[:size])
    for _ in range(data.draw(st.integers(0, 2))):
        word = data.draw(known | near | st.integers(0, 2**64 - 1))
        struct.pack_into("<Q", stack, 8 * data.draw(st.integers(0, size // 8 - 1)), word)
    slice_of_it = bytes(stack)
    registers = {"rbp": data.draw(st.just(capture.rbp) | near)}
    cold = Unwinder(capture.modules, open_image, max_frames)
    expected = cold.unwind(slice_of_it, capture.rsp, registers)
    assert [warm.unwind(slice_of_it, capture.rsp, registers) for _ in range(3)] == [expected] * 3


@given(st.data())
def test_random_stacks_end(capture: Capture, data: st.DataObject) -> None:
    known = st.sampled_from(capture.known)
    near = st.integers(-64, 4096).map(lambda offset: (capture.rsp + offset) % 2**64)
    words = data.draw(st.lists(known | near | st.integers(0, 2**64 - 1), max_size=64))
    stack = struct.pack(f"<{len(words)}Q", *words) + data.draw(st.binary(max_size=9))
    warm = Unwinder(capture.modules, open_image, 32)
    unwind(warm, capture)
    registers = {"rbp": data.draw(near)}
    found = warm.unwind(stack, capture.rsp, registers)
    assert len(found.addresses) <= 32
    assert found == Unwinder(capture.modules, open_image, 32).unwind(stack, capture.rsp, registers)


# Frames made up: each return address is BASE + n, the row for it is rows[n].

BASE = 0x10000
STACK = 0x7000
RETURN = {RIP: Rule(RuleKind.OFFSET, -8)}
PLAIN = Row(RegisterOffset(RSP, 16), RETURN, False)
END = Row(RegisterOffset(RSP, 8), {RIP: Rule(RuleKind.UNDEFINED)}, False)
SIGNAL = Row(RegisterOffset(RSP, 24), RETURN, True)


class Source:
    """A file that is a mapping of rows by link-time address; others are inferred by its code."""

    def __init__(self, rows: Mapping[int, Row], convention: FrameConvention) -> None:
        assert convention is X86_64_FRAMES
        self.heights = self.table = self
        self._rows = rows

    def find_rows(self, address: int, behind_call: bool) -> tuple[Row, ...]:
        """Infer rows: they stand under the negative address."""
        rows = self._rows.get(-address, ())
        assert isinstance(rows, tuple)
        return () if isinstance(rows, Row) or not behind_call else rows

    def find_extent(self, address: int) -> range | None:
        """Each row is of a function of its own, of one byte."""
        return range(address, address + 1) if address in self._rows else None

    def ends_in_call(self, address: int) -> bool:
        """Find a call before A, B, C, and so on."""
        return address % 16 == 0

    def find_row(self, address: int) -> Row | None:
        """Look the row up; a negative return-address column stands for damage."""
        if address not in self._rows:
            return None
        row = self._rows[address]
        if -1 in row.rules:
            raise ElfError("damaged")
        return row


Unwind = Callable[..., CallStack]


@pytest.fixture
def unwind_rows(monkeypatch: pytest.MonkeyPatch) -> Unwind:
    """Return a function that unwinds words by rows, twice, and takes the same twice."""
    monkeypatch.setattr("gdbleak.unwinding.sources._Source", Source)
    module = Module("program", BASE, BASE + 0x100, BASE, None, None)

    def unwind(rows: Mapping[int, Row], *words: int, **registers: int) -> CallStack:
        unwinder = Unwinder(ModuleMap([module]), lambda _: rows, 10)  # type: ignore[arg-type,return-value]
        stack = struct.pack(f"<{len(words)}Q", *words)
        found = unwinder.unwind(stack, STACK, registers)
        assert unwinder.unwind(stack, STACK, registers) == found
        return found

    return unwind


def called(*rows: Row) -> dict[int, Row]:
    """Return rows for the calls before return addresses BASE + 0x10, BASE + 0x20, …"""
    return {0x10 * number - 1: row for number, row in enumerate(rows, 1)}


A, B, C = BASE + 0x10, BASE + 0x20, BASE + 0x30
OUTSIDE = 0x999


def saving(**slots: int) -> Row:
    """Return a frame of 32 bytes that saves registers at offsets from the CFA."""
    rules = {REGISTER_NUMBERS[n]: Rule(RuleKind.OFFSET, offset) for n, offset in slots.items()}
    return Row(RegisterOffset(RSP, 32), {**RETURN, **rules}, False)


def relative_to(register: int, offset: int = 16, **rules: Rule) -> Row:
    changes = {REGISTER_NUMBERS[name]: rule for name, rule in rules.items()}
    return Row(RegisterOffset(register, offset), {**RETURN, **changes}, False)


@pytest.mark.parametrize(
    ("rows", "words", "registers", "addresses", "truncated"),
    [
        pytest.param([], [], {}, [], True, id="nothing recorded"),
        pytest.param([], [0], {}, [], False, id="no caller"),
        pytest.param([], [OUTSIDE], {}, [OUTSIDE], True, id="in no module"),
        pytest.param([], [A], {}, [A], True, id="in no function"),
        pytest.param([END], [A], {}, [A], False, id="the first ends it"),
        pytest.param([PLAIN], [A, 1, 0], {}, [A], False, id="return address 0"),
        pytest.param([PLAIN], [A, 1], {}, [A], True, id="return address not recorded"),
        pytest.param([PLAIN, END], [A, 1, B], {}, [A, B], False, id="a call"),
        pytest.param(
            [Row(b"", {-1: Rule(RuleKind.SAME)}, False)], [A, 1, B], {}, [A], True, id="damaged"
        ),
        pytest.param([PLAIN], [A] + [1, A] * 20, {}, [A] * 10, True, id="more frames than wanted"),
        pytest.param([relative_to(RSP, 0)], [A, A, A], {}, [A], True, id="CFA stays"),
        pytest.param([relative_to(RSP, -8)], [A, A, A], {}, [A], True, id="CFA falls"),
        pytest.param(
            [relative_to(RBP), END], [A, 1, B], {"rbp": STACK + 8}, [A, B], False, id="rbp"
        ),
        pytest.param([relative_to(RBP), END], [A, 1, B], {}, [A], True, id="rbp unknown"),
        pytest.param(
            [relative_to(RBP)], [A, 1, B], {"rbp": STACK - 16}, [A], True, id="rbp below the stack"
        ),
        pytest.param(
            [relative_to(RBP)], [A, 1, B], {"rbp": 2**64 - 16}, [A], True, id="rbp too high"
        ),
        pytest.param(
            [relative_to(RBP, 16, rbp=Rule(RuleKind.OFFSET, -16)), relative_to(RBP), END],
            [A, STACK + 32, B, 1, 1, C],
            {"rbp": STACK + 8},
            [A, B, C],
            False,
            id="rbp saved and used",
        ),
        pytest.param(
            [saving(rbx=-16, rbp=-24), relative_to(RBX), END],
            [A, 1, 2, STACK + 48, B, 3, 4, C],
            {"rbp": 5},
            [A, B, C],
            False,
            id="rbx saved farther in",
        ),
        pytest.param(
            [saving(rbx=-16), PLAIN, relative_to(RBX), END],
            [A, 1, 2, STACK + 64, B, 1, C, 3, BASE + 0x40],
            {},
            [A, B, C],
            True,
            id="rbx leads out of the slice",
        ),
        pytest.param(
            [saving(rbx=-16), saving(rbx=-24), relative_to(RBX), END],
            [A, 1, 2, STACK + 8, B, 1, STACK + 72, 2, C, 3, BASE + 0x40],
            {"rbx": 1},
            [A, B, C, BASE + 0x40],
            False,
            id="the save farther out counts",
        ),
        pytest.param(
            [saving(rbx=-48), relative_to(RBX), END],
            [A, 1, 2, 3, B, 3, C],
            {"rbx": STACK + 40},
            [A, B],
            True,
            id="rbx saved where nothing was recorded",
        ),
        pytest.param(
            [relative_to(RBX), END], [A, 1, B], {"rbx": STACK + 8}, [A, B], False, id="rbx recorded"
        ),
        pytest.param(
            [
                relative_to(RSP, 16, rbx=Rule(RuleKind.REGISTER, R12)),
                relative_to(RBX),
                END,
            ],
            [A, 1, B, 2, C],
            {"r12": STACK + 24},
            [A, B, C],
            False,
            id="rbx in another register",
        ),
        pytest.param(
            [relative_to(RSP, 16, rbx=Rule(RuleKind.UNDEFINED)), relative_to(RBX)],
            [A, 1, B, 2, C],
            {"rbx": STACK + 24},
            [A, B],
            True,
            id="rbx lost",
        ),
        pytest.param(
            [relative_to(RSP, 16, rbx=Rule(RuleKind.VAL_OFFSET, 0)), relative_to(RBX), END],
            [A, 1, B, C],
            {},
            [A, B],
            True,
            id="rbx is the CFA",
        ),
        pytest.param(
            [PLAIN, relative_to(RDI)],
            [A, 1, B, 2, C],
            {"rdi": STACK + 24},
            [A, B],
            True,
            id="rdi is not the caller's",
        ),
        pytest.param(
            [relative_to(RSP, 16, rsp=Rule(RuleKind.VAL_OFFSET, 8)), PLAIN, END],
            [A, 1, B, 2, 3, C],
            {},
            [A, B, C],
            False,
            id="rsp above the CFA",
        ),
        pytest.param(
            [relative_to(RSP, 16, rsp=Rule(RuleKind.VAL_OFFSET, -16))],
            [A, 1, A, 2, 3, C],
            {},
            [A],
            True,
            id="rsp below the CFA",
        ),
        pytest.param(
            [relative_to(RSP, 16, rip=Rule(RuleKind.REGISTER, RDI))],
            [A, 1, B],
            {},
            [A],
            True,
            id="return address in an unknown register",
        ),
        pytest.param(
            [Row(RegisterOffset(RSP, 16), {}, False)], [A, 1, B], {}, [A], True, id="no rule"
        ),
        pytest.param([Row(b"\xff", RETURN, False)], [A, 1, B], {}, [A], True, id="bad expression"),
        pytest.param(
            [Row(b"\x77", RETURN, False)], [A, 1, B], {}, [A], True, id="damaged expression"
        ),
        pytest.param(
            [Row(b"\x77\x10", {RIP: Rule(RuleKind.EXPRESSION, 0, b"\x23\x08")}, False), END],
            [A, 1, 2, 3, B],
            {},
            [A, B],
            False,
            id="expressions",
        ),
        pytest.param(
            [
                relative_to(RSP, 16, rbx=Rule(RuleKind.VAL_EXPRESSION, 0, b"\x23\x08")),
                relative_to(RBX),
                END,
            ],
            [A, 1, B, 2, 3, C],
            {},
            [A, B, C],
            False,
            id="rbx by an expression",
        ),
        pytest.param(
            [relative_to(RSP, 16, rbx=Rule(RuleKind.EXPRESSION, 0, b"\xff")), END],
            [A, 1, B],
            {},
            [A, B],
            False,
            id="a bad expression that nobody needs",
        ),
    ],
)
def test_made_up_frames(
    unwind_rows: Unwind,
    rows: list[Row],
    words: list[int],
    registers: dict[str, int],
    addresses: list[int],
    truncated: bool,
) -> None:
    expected = CallStack(tuple(addresses), truncated)
    assert unwind_rows(called(*rows), *words, **registers) == expected


@pytest.mark.parametrize(
    "rows",
    [
        {0xF: SIGNAL, 0x10: SIGNAL, 0x20: END},
        {0x10: SIGNAL, 0x1F: PLAIN, 0x20: END},  # without glibc's nop before it
        {0xF: Row(RegisterOffset(RSP, 8), RETURN, True), 0x10: SIGNAL, 0x20: END},
    ],
)
def test_signal_frames_are_looked_up_exactly(unwind_rows: Unwind, rows: dict[int, Row]) -> None:
    assert unwind_rows(rows, A, 1, 2, B) == CallStack((A, B), truncated=False)


@pytest.mark.parametrize("rows", [{0xF: SIGNAL}, {0xF: SIGNAL, 0x10: PLAIN}, {0x10: PLAIN}])
def test_no_row_of_a_neighbour_is_taken(unwind_rows: Unwind, rows: dict[int, Row]) -> None:
    assert unwind_rows(rows, A, 1, 2, B) == CallStack((A,), truncated=True)


def test_a_frame_may_be_interrupted_and_called(unwind_rows: Unwind) -> None:
    """Its address has a row of its own for each."""
    rows = {0xF: SIGNAL, 0x10: SIGNAL, 0x20: PLAIN, 0x1F: relative_to(RSP, 24), 0x2F: END}
    stack = [A, 1, 2, B, 3, B, 1, 2, C]
    assert unwind_rows(rows, *stack) == CallStack((A, B, B, C), truncated=False)


def test_an_interrupted_frame_has_all_its_registers(unwind_rows: Unwind) -> None:
    """Between two of its instructions, rdi is as good as any."""
    saved = Row(RegisterOffset(RSP, 32), {**RETURN, RDI: Rule(RuleKind.OFFSET, -16)}, True)
    rows = {0xF: saved, 0x10: saved, 0x20: relative_to(RDI), 0x2F: END}
    stack = [A, 1, 2, STACK + 48, B, 1, 2, C]
    assert unwind_rows(rows, *stack) == CallStack((A, B, C), truncated=False)


TO_B = relative_to(RSP, 16)
TO_NOWHERE = relative_to(RSP, 8)
BY_RBP = relative_to(RBP, 16, rbp=Rule(RuleKind.OFFSET, -16))


@pytest.mark.parametrize(
    ("inferred", "words", "rbp", "addresses", "truncated"),
    [
        pytest.param([], [A, 1, B], 0, [A], True, id="nothing"),
        pytest.param([TO_B], [A, 1, B], 0, [A, B], False, id="a call"),
        pytest.param([TO_B], [A, 1, B + 1], 0, [A], True, id="no return address"),
        pytest.param([TO_B], [A, 1, 0], 0, [A], True, id="0 is none either"),
        pytest.param([TO_B], [A, 1], 0, [A], True, id="not recorded"),
        pytest.param([TO_NOWHERE, TO_B], [A, 1, B], 0, [A, B], False, id="the second is right"),
        pytest.param(
            [TO_NOWHERE, BY_RBP], [A, 1, 0, B], STACK + 16, [A, B], False, id="frame pointer"
        ),
        pytest.param([BY_RBP], [A, 1, 0, B], 0, [A], True, id="no frame pointer"),
        pytest.param([BY_RBP], [A, B], STACK, [A], True, id="frame pointer below"),
        pytest.param([BY_RBP], [A, 1, B], STACK + 4096, [A], True, id="frame pointer too high"),
    ],
)
def test_inferred_rows_must_lead_to_a_return_address(
    unwind_rows: Unwind,
    inferred: list[Row],
    words: list[int],
    rbp: int,
    addresses: list[int],
    truncated: bool,
) -> None:
    rows = {-0x10: tuple(inferred), 0x1F: END}
    assert unwind_rows(rows, *words, rbp=rbp) == CallStack(tuple(addresses), truncated)


def test_an_inferred_row_may_be_right_only_sometimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the short cut must not be taken."""
    monkeypatch.setattr("gdbleak.unwinding.sources._Source", Source)
    module = Module("program", BASE, BASE + 0x100, BASE, None, None)
    rows = {-0x10: (TO_B,), 0x1F: END}
    unwinder = Unwinder(ModuleMap([module]), lambda _: rows, 10)  # type: ignore[arg-type,return-value]
    for word, expected in ((B, (A, B)), (B + 1, (A,)), (B, (A, B))):
        found = unwinder.unwind(struct.pack("<3Q", A, 1, word), STACK, {})
        assert found.addresses == expected


def test_a_signal_handler_is_returned_to_without_a_call(unwind_rows: Unwind) -> None:
    rows = {-0x10: (TO_B,), 0x21: SIGNAL, 0x30: END}
    stack = [A, 1, B + 1, 2, 3, C]
    assert unwind_rows(rows, *stack) == CallStack((A, B + 1, C), truncated=False)


def test_a_stack_that_begins_by_hand(unwind_rows: Unwind) -> None:
    """What makecontext does: nothing has called the function that is returned to."""
    rows = {0xF: PLAIN, 0x21: PLAIN}
    assert unwind_rows(rows, A, 1, B + 1) == CallStack((A, B + 1), truncated=False)
    rows = {-0x10: (TO_B,), 0x21: PLAIN}  # type: ignore[dict-item]
    assert unwind_rows(rows, A, 1, B + 1) == CallStack((A, B + 1), truncated=False)


@pytest.mark.parametrize("rsp", [STACK - 4096, STACK - 8, STACK + 4096, 2**64 - 8])
def test_a_signal_came_on_another_stack(unwind_rows: Unwind, rsp: int) -> None:
    """That was not recorded: nothing is known behind the interrupted instruction."""
    signal = relative_to(RSP, 24, rsp=Rule(RuleKind.OFFSET, -16))._replace(is_signal_frame=True)
    rows = {0x10: signal, 0x20: PLAIN, 0x1F: PLAIN, 0x2F: END}
    stack = [A, 1, rsp, B, 1, C]
    assert unwind_rows(rows, *stack) == CallStack((A, B), truncated=True)


@pytest.mark.parametrize("failure", [None, ElfError("unreadable")])
def test_a_file_that_cannot_be_read(failure: ElfError | None) -> None:
    opened = []

    def open_image(module: Module) -> ElfImage | None:
        opened.append(module.path)
        if failure:
            raise failure
        return None

    module = Module("program", BASE, BASE + 0x100, BASE, None, None)
    unwinder = Unwinder(ModuleMap([module]), open_image, 10)
    for address in (A, B, A):
        found = unwinder.unwind(struct.pack("<2Q", address, 1), STACK, {})
        assert found == CallStack((address,), truncated=True)
    assert opened == ["program"]
