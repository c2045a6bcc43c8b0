"""The registers of a caller, from those of the frame it called, a row and recorded memory."""

from __future__ import annotations

from collections.abc import Mapping

from gdbleak.architectures import WORD_BYTES
from gdbleak.errors import ElfError
from gdbleak.unwinding.dwarf_expressions import WORD_MASK, UnknownValueError, evaluate
from gdbleak.unwinding.frame_rows import Row, Rule, RuleKind


class StackMemory:
    """The slice of the stack that was recorded."""

    def __init__(self, content: bytes | memoryview, address: int) -> None:
        self._content = content
        self._address = address

    def read(self, address: int, size: int) -> int:
        """Return an unsigned integer of `size` bytes; UnknownValueError where none was recorded."""
        begin = address - self._address
        if not 0 <= begin <= len(self._content) - size:
            raise UnknownValueError(f"{address:#x} was not recorded")
        return int.from_bytes(self._content[begin : begin + size], "little")


def recover_caller(
    row: Row, registers: Mapping[int, int], memory: StackMemory, stack_pointer: int
) -> dict[int, int]:
    """Return the known registers of the caller, by number.

    Its next instruction and its stack pointer are always among them.

    Raises:
        UnknownValueError: one of these two is not known.
        ElfError: the row has a damaged expression.

    """
    if isinstance(row.cfa, bytes):
        cfa = evaluate(row.cfa, registers, memory.read)
    elif row.cfa.register in registers:
        cfa = (registers[row.cfa.register] + row.cfa.offset) & WORD_MASK
    else:
        raise UnknownValueError(f"register {row.cfa.register} is not known")
    caller = dict(registers)
    del caller[row.return_address]
    caller[stack_pointer] = cfa
    apply_rules(row.rules, cfa, registers, caller, memory)
    # A caller is farther up the same stack. What a signal interrupted may have run on another one.
    if row.return_address not in caller or stack_pointer not in caller:
        raise UnknownValueError("the caller is not known")
    if caller[stack_pointer] <= registers[stack_pointer] and not row.is_signal_frame:
        raise UnknownValueError("the caller's frame is not above")
    return caller


def apply_rules(
    rules: Mapping[int, Rule],
    cfa: int,
    registers: Mapping[int, int],
    caller: dict[int, int],
    memory: StackMemory,
) -> None:
    """Set the registers in `caller` as the rules say, and remove those that cannot be found."""
    for number, rule in rules.items():
        try:
            caller[number] = _find_value(rule, number, cfa, registers, memory)
        except (UnknownValueError, ElfError):
            caller.pop(number, None)


def _find_value(
    rule: Rule, number: int, cfa: int, registers: Mapping[int, int], memory: StackMemory
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
