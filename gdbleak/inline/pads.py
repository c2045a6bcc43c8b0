"""Where a function may return to that exceptions leave: behind a call that never returns. Pure.

An exception that leaves a function goes on in the frame to which the function would return, by the
unwind tables of the module in which that address is. Code of ours has no such tables. So the
recorder makes a frame as that of another function: one that ends in the call of a function which
never returns, such as `__stack_chk_fail`. By the tables, a frame that goes on behind that call is
of a constant size, and has saved no register. Behind the call, functions are filled up with bytes
that nobody runs: the *pad*. There goes a jump to the recorder.

All addresses are link-time ones, but for those of a `Pad`.
"""

from __future__ import annotations

from collections.abc import Iterator

from capstone import x86

from gdbleak.architectures.x86_64_frames import RIP, RSP
from gdbleak.architectures.x86_64_moving import JUMP_BYTES
from gdbleak.effort import Effort
from gdbleak.elf.file import PAGE_SIZE
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError, InlineRefusedError
from gdbleak.inline.code import ModuleCode
from gdbleak.inline.model import Pad
from gdbleak.readable import Readable
from gdbleak.recording.modules import Module
from gdbleak.unwinding.cfi import UnwindTable
from gdbleak.unwinding.cfi_program import FunctionEntry
from gdbleak.unwinding.code_map import CodeMap
from gdbleak.unwinding.frame_rows import RegisterOffset, Row, Rule, RuleKind

FRAMES = range(32, 128 + 1, 16)
"""How large the frame may be: the recorder keeps three words in it. A stack is aligned by 16."""

_MAX_FUNCTION_BYTES = 4096
_MOST = 8
"""How many are looked at closely in one module."""
_CALLS = ((5, b"\xe8"), (6, b"\xff\x15"))
"""Sizes of calls of what they name, and what they begin with."""
_FILLING = (x86.X86_INS_NOP, x86.X86_INS_INT3)


def find_pads(module: Module, image: ElfImage, memory: Readable) -> list[Pad]:
    """Return some pads of a module, those of small frames first.

    Args:
        module: Where it is mapped.
        image: Its file.
        memory: The memory of the process, in which a pad holds what the file says.

    """
    image.charge(Effort())
    if image.eh_frame_hdr is None:  # by which the tables of a module are found
        return []
    try:
        return [
            pad
            for pad in _Search(image).find(module)
            if memory.read(pad.address, JUMP_BYTES) == pad.original
        ]
    except (ElfError, InlineRefusedError):  # it cannot be looked through
        return []


def fits(row: Row) -> bool:
    """Return whether the tables tell of a frame that the recorder can make."""
    others = {
        register: rule for register, rule in row.rules.items() if rule.kind is not RuleKind.SAME
    }
    return (
        isinstance(row.cfa, RegisterOffset)
        and row.cfa.register == RSP
        and row.cfa.offset in FRAMES
        and row.return_address == RIP
        and others == {RIP: Rule(RuleKind.OFFSET, -8)}
        and not row.is_signal_frame
    )


class _Search:
    """The search in one file."""

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._map = CodeMap(image)

    def find(self, module: Module) -> list[Pad]:
        found = sorted(self._iter_frames(), key=lambda each: each[1])[:_MOST]
        if not found:
            return []
        code = ModuleCode(self._image)
        places = {
            place: range(function.start, function.start + function.size)
            for function, _ in found
            for place in range(_end_of(function), _end_of(function) + JUMP_BYTES)
        }
        used = {target for _, target in code.find_branches(places)}
        return [
            Pad(end + module.bias, code.read(end, JUMP_BYTES), frame_bytes, module.path)
            for function, frame_bytes in found
            for end in (_end_of(function),)
            if used.isdisjoint(range(end, end + JUMP_BYTES)) and self._is_unused(code, function)
        ]

    def _iter_frames(self) -> Iterator[tuple[FunctionEntry, int]]:
        """Yield functions that end in a call, and the sizes of their frames there."""
        for function in UnwindTable(self._image).iter_functions():
            end = _end_of(function)
            is_small = 0 < function.size <= _MAX_FUNCTION_BYTES and not function.common.has_handlers
            if is_small and end % PAGE_SIZE <= PAGE_SIZE - JUMP_BYTES and self._ends_in_call(end):
                row = function.find_row(end - 1)
                if fits(row):
                    assert isinstance(row.cfa, RegisterOffset)
                    yield function, row.cfa.offset

    def _ends_in_call(self, end: int) -> bool:
        return any(self._image.read_code(end - size, len(head)) == head for size, head in _CALLS)

    def _is_unused(self, code: ModuleCode, function: FunctionEntry) -> bool:
        """Return whether a function ends in a call that never returns, and nothing but filling."""
        end = _end_of(function)
        extent = range(function.start, end)
        if code.walk.find_known_extent(function.start) != extent:
            return False
        at, last = function.start, None
        while at < end:
            last = code.decoder.decode(at)
            if last is None:
                return False
            at += last.size
        if at != end or last is None or not self._map.call_never_returns(last, code.decoder):
            return False
        return _is_filling(code, end)


def _end_of(function: FunctionEntry) -> int:
    return function.start + function.size


def _is_filling(code: ModuleCode, start: int) -> bool:
    """Return whether the bytes from an address on, as many as a jump has, belong to nobody."""
    at, end = start, start + JUMP_BYTES
    while at < end:
        if code.read(at, 1) == b"\0":
            at += 1
            continue
        instruction = code.decoder.disassemble(at)
        if instruction is None or instruction.id not in _FILLING:
            return False
        at += instruction.size
    return all(code.walk.find_known_extent(place) is None for place in range(start, end))
