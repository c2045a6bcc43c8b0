"""Call stacks from raw stack memory, by the call frame information of the mapped files.

What a call leaves on the stack and in the registers: System V ABI, AMD64 supplement, 3.2.
Nothing is guessed: where something needed is not known, the stack ends and is said to be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from gdbleak.cfi import RBP, REGISTER_NUMBERS, RIP, RSP, Row, Rule, RuleKind, UnwindTable
from gdbleak.dwarf_expressions import WORD_BYTES, WORD_MASK, UnknownValueError, evaluate
from gdbleak.elf import ElfImage
from gdbleak.errors import ElfError
from gdbleak.modules import Module, ModuleMap

_CALLEE_SAVED = frozenset(
    REGISTER_NUMBERS[name] for name in ("rbx", "rbp", "r12", "r13", "r14", "r15")
)
_WORD = Struct("<Q")


@dataclass(frozen=True)
class CallStack:
    """From where a function was called, and its caller, and so on."""

    addresses: tuple[int, ...]
    """Return addresses, innermost first."""
    truncated: bool
    """True when the stack goes on beyond what could be unwound."""


class Unwinder:
    """Turns raw stacks of one process into call stacks.

    Every kind of frame is handled by `_find_row` and `_find_caller`. Nearly all frames need so
    little of that (see `_Step`) that the second visit to a return address takes a short cut.
    """

    def __init__(
        self,
        modules: ModuleMap,
        open_image: Callable[[Module], ElfImage | None],
        max_frames: int,
    ) -> None:
        self._modules = modules
        self._open_image = open_image
        self._max_frames = max_frames
        self._tables: dict[Module, UnwindTable | None] = {}
        self._rows: dict[int, Row | None] = {}
        self._steps: dict[int, _Step | None] = {}

    def unwind(
        self, stack: bytes | memoryview, stack_pointer: int, registers: Mapping[str, int]
    ) -> CallStack:
        """Return the call stack of a thread that is about to execute a function's `ret`.

        Args:
            stack: memory from the stack pointer upwards, as much as was recorded.
            stack_pointer: where the return address is.
            registers: those that were recorded, by name.

        """
        addresses: list[int] = []
        try:
            self._walk(stack, stack_pointer, registers, addresses)
        except (UnknownValueError, ElfError):
            return CallStack(tuple(addresses), truncated=True)
        return CallStack(tuple(addresses), truncated=False)

    def _walk(
        self,
        stack: bytes | memoryview,
        stack_pointer: int,
        registers: Mapping[str, int],
        addresses: list[int],
    ) -> None:
        """Append return addresses until the stack ends; raise when it cannot be followed."""
        memory = _Memory(stack, stack_pointer)
        known = {REGISTER_NUMBERS[n]: v for n, v in registers.items() if n in REGISTER_NUMBERS}
        spills: list[tuple[int, Mapping[int, Rule]]] = []
        interrupted = False
        address = memory.read(stack_pointer, WORD_BYTES)
        # In this loop rsp and rbp are offsets into the slice; an unknown rbp is below it.
        rsp = WORD_BYTES
        rbp = known.get(RBP, 0) - stack_pointer
        size = len(stack)
        steps = self._steps
        read_word = _WORD.unpack_from
        while address:
            if len(addresses) == self._max_frames:
                raise UnknownValueError("more frames than wanted")
            addresses.append(address)
            step = None if interrupted else steps.get(address)
            if step is not None:
                from_rbp, cfa_offset, rbp_offset, saved = step
                base = rbp if from_rbp else rsp
                cfa = base + cfa_offset
                if rsp <= base and cfa <= size:
                    if saved:
                        spills.append((cfa, saved))
                    if rbp_offset:
                        rbp = read_word(stack, cfa + rbp_offset)[0] - stack_pointer
                    address = read_word(stack, cfa - WORD_BYTES)[0]
                    rsp = cfa
                    continue
            row = self._find_row(address, interrupted)
            if row.ends_stack:
                return
            if not interrupted:  # the call before left nothing else in place
                known = {n: value for n, value in known.items() if n in _CALLEE_SAVED}
            for cfa, saved in spills:
                _recover(saved, stack_pointer + cfa, known, known, memory)
            known[RSP], known[RIP] = stack_pointer + rsp, address
            known = _find_caller(row, known, memory)
            spills.clear()
            interrupted = row.is_signal_frame
            address = known[RIP]
            rsp = known[RSP] - stack_pointer
            rbp = known.get(RBP, 0) - stack_pointer

    def _find_row(self, address: int, interrupted: bool) -> Row:
        """Return the row for a frame that goes on at `address`.

        A call may be the last instruction of its function, so the row is that of the byte
        before the return address; where a signal interrupted, it is that of the address itself.
        The code a signal handler returns to was neither calling nor interrupted; the
        instruction that it begins with is the one to look up.
        """
        if interrupted:
            row = self._find_row_at(address)
        else:
            row = self._find_row_at(address - 1)
            if row is None or row.is_signal_frame:
                row = self._find_row_at(address)
                if row is not None and not row.is_signal_frame:
                    row = None
            elif address not in self._steps:
                self._steps[address] = _Step.from_row(row)
        if row is None:
            raise UnknownValueError(f"no call frame information for {address:#x}")
        return row

    def _find_row_at(self, pc: int) -> Row | None:
        if pc not in self._rows:
            self._rows[pc] = self._read_row(pc)
        return self._rows[pc]

    def _read_row(self, pc: int) -> Row | None:
        module = self._modules.find(pc)
        if module is None:
            return None
        try:
            if module not in self._tables:
                self._tables[module] = None  # should it not open
                image = self._open_image(module)
                self._tables[module] = UnwindTable(image) if image else None
            table = self._tables[module]
            return table.find_row(pc - module.bias) if table else None
        except ElfError:  # damaged: as good as nothing
            return None


class _Step(NamedTuple):
    """A row by which rsp and rbp alone lead to the caller."""

    from_rbp: bool
    """The CFA is relative to rbp, not rsp."""
    cfa_offset: int
    rbp_offset: int
    """Where the caller's rbp was saved, from the CFA; 0 when it is still in place."""
    saved: Mapping[int, Rule]
    """For all callee-saved registers, should a frame farther out need them."""

    @classmethod
    def from_row(cls, row: Row) -> _Step | None:
        """Return None for a row that takes more."""
        if isinstance(row.cfa, bytes) or row.cfa.register not in (RSP, RBP):
            return None
        saved = {n: rule for n, rule in row.rules.items() if rule.kind is not RuleKind.SAME}
        lowest = -row.cfa.offset
        if (
            row.is_signal_frame
            or saved.pop(RIP, None) != Rule(RuleKind.OFFSET, -WORD_BYTES)
            or any(rule.kind is not RuleKind.OFFSET for rule in saved.values())
            or not _CALLEE_SAVED.issuperset(saved)
        ):
            return None
        rbp_offset = saved[RBP].number if RBP in saved else 0
        # With both words between the base and the CFA, one look at the CFA finds them recorded.
        if not lowest <= -WORD_BYTES or (RBP in saved and not lowest <= rbp_offset <= -WORD_BYTES):
            return None
        return cls(row.cfa.register == RBP, row.cfa.offset, rbp_offset, saved)


class _Memory:
    """The slice of the stack that was recorded."""

    def __init__(self, content: bytes | memoryview, address: int) -> None:
        self._content = content
        self._address = address

    def read(self, address: int, size: int) -> int:
        """Return an unsigned integer; UnknownValueError where it was not recorded."""
        begin = address - self._address
        if not 0 <= begin <= len(self._content) - size:
            raise UnknownValueError(f"{address:#x} was not recorded")
        return int.from_bytes(self._content[begin : begin + size], "little")


def _find_caller(row: Row, registers: Mapping[int, int], memory: _Memory) -> dict[int, int]:
    """Return what is known of the caller's registers, rsp and rip in any case."""
    if isinstance(row.cfa, bytes):
        cfa = evaluate(row.cfa, registers, memory.read)
    elif row.cfa.register in registers:
        cfa = (registers[row.cfa.register] + row.cfa.offset) & WORD_MASK
    else:
        raise UnknownValueError(f"register {row.cfa.register} is not known")
    caller = dict(registers)
    del caller[RIP]
    caller[RSP] = cfa
    _recover(row.rules, cfa, registers, caller, memory)
    if RIP not in caller or caller.get(RSP, 0) <= registers[RSP]:
        raise UnknownValueError("the caller is not known")
    return caller


def _recover(
    rules: Mapping[int, Rule],
    cfa: int,
    registers: Mapping[int, int],
    caller: dict[int, int],
    memory: _Memory,
) -> None:
    """Change `caller`, its registers, as the rules say; what cannot be found, it does not know."""
    for number, rule in rules.items():
        try:
            caller[number] = _find_value(rule, number, cfa, registers, memory)
        except (UnknownValueError, ElfError):
            caller.pop(number, None)


def _find_value(
    rule: Rule, number: int, cfa: int, registers: Mapping[int, int], memory: _Memory
) -> int:
    if rule.kind is RuleKind.OFFSET:
        return memory.read((cfa + rule.number) & WORD_MASK, WORD_BYTES)
    if rule.kind is RuleKind.VAL_OFFSET:
        return (cfa + rule.number) & WORD_MASK
    if rule.kind is RuleKind.EXPRESSION:
        address = evaluate(rule.expression, registers, memory.read, cfa)
        return memory.read(address, WORD_BYTES)
    if rule.kind is RuleKind.VAL_EXPRESSION:
        return evaluate(rule.expression, registers, memory.read, cfa)
    if rule.kind is RuleKind.UNDEFINED:
        raise UnknownValueError(f"register {number} is lost")
    source = number if rule.kind is RuleKind.SAME else rule.number
    if source not in registers:
        raise UnknownValueError(f"register {source} is not known")
    return registers[source]
