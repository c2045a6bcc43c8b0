"""Reads code of x86-64, and follows its paths: what each leaves in registers and on the stack."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Union

import capstone
from capstone import x86

Instructions = Mapping[int, Any]
Value = Union[str, int, None]
"""The register whose first value it is, a number, or None: something else."""

REGISTERS = ("rax", "rcx", "rdx", "rbx", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
"""All but the stack pointer."""
FLAGS = "rflags"
RETURN = 0

_SYSTEM_CALL_CHANGES = ("rax", "rcx", "r11", FLAGS)
_WHOLE = {
    **{f"r{n}{size}": f"r{n}" for n in range(8, 16) for size in "dwb"},
    **{f"e{n}": f"r{n}" for n in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "flags")},
    **{f"{n}l": f"r{n}x" for n in "abcd"},
}


class End(NamedTuple):
    """How a path ends."""

    target: int
    """`RETURN`, or the address of the word that is jumped through."""
    registers: dict[str, Value]
    stack: tuple[Value, ...]


class _State(NamedTuple):
    """What a path has done so far; the last word of the stack is on top."""

    address: int
    registers: tuple[tuple[str, Value], ...]
    stack: tuple[Value, ...]
    tested: bool | None
    """Whether the bits that were tested last were ones; None if that is not known."""


def disassemble(code: bytes, address: int) -> dict[int, Any]:
    """Return all instructions of some code, which has nothing else in it, by their addresses."""
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    found = {each.address: each for each in disassembler.disasm(code, address)}
    assert sum(each.size for each in found.values()) == len(code)
    return found


def name_of(instruction: Any, register: int) -> str:
    """Return the 64 bits that a register is a part of."""
    name: str = instruction.reg_name(register)
    return _WHOLE.get(name, name)


def is_branch(instruction: Any) -> bool:
    """Return whether an instruction is a jump or a call."""
    return bool({*instruction.groups} & {capstone.CS_GRP_JUMP, capstone.CS_GRP_CALL})


def walk(instructions: Instructions, start: int, system_calls: Collection[int]) -> list[End]:
    """Follow every path from an address to where it leaves the code, and return how they end.

    The routines at `system_calls` are the only ones that may be called.
    """
    begin = tuple((name, name) for name in (*REGISTERS, FLAGS))
    ends, seen = [], set()
    todo = [_State(start, begin, (), None)]
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        instruction = instructions[state.address]
        following = state.address + instruction.size
        if instruction.id == x86.X86_INS_RET:
            ends.append(End(RETURN, dict(state.registers), state.stack))
        elif is_branch(instruction) and instruction.operands[0].type == x86.X86_OP_MEM:
            word = following + instruction.operands[0].mem.disp
            ends.append(End(word, dict(state.registers), state.stack))
        else:
            after = _follow(instruction, state, system_calls)
            targets = _targets(instruction, following, state.tested)
            todo += [after._replace(address=target) for target in targets]
    return ends


def _targets(instruction: Any, following: int, tested: bool | None) -> list[int]:
    """Return where the code may go on."""
    if not instruction.group(capstone.CS_GRP_JUMP):
        return [following]
    [target] = (operand.imm for operand in instruction.operands)
    if instruction.id == x86.X86_INS_JMP:
        return [target]
    if instruction.id == x86.X86_INS_JNE and tested is not None:
        return [target if tested else following]
    return [target, following]


def _follow(instruction: Any, state: _State, system_calls: Collection[int]) -> _State:
    """Return registers and stack after an instruction; the address is still the old one."""
    values, stack, tested = dict(state.registers), [*state.stack], state.tested
    if instruction.id in (x86.X86_INS_PUSH, x86.X86_INS_PUSHFQ):
        stack.append(_pushed(instruction, values))
    elif instruction.id == x86.X86_INS_POP:
        values[instruction.reg_name(instruction.operands[0].reg)] = stack.pop()
    elif instruction.id == x86.X86_INS_POPFQ:
        values[FLAGS], tested = stack.pop(), None
    elif instruction.op_str.startswith("rsp, [rsp"):
        words = instruction.operands[1].mem.disp // 8
        stack = [*stack, *[None] * -words] if words < 0 else stack[:-words]
    elif instruction.id == x86.X86_INS_CALL:
        assert instruction.operands[0].imm in system_calls
        values.update(dict.fromkeys(_SYSTEM_CALL_CHANGES))
        tested = None
    else:
        written = {name_of(instruction, number) for number in instruction.regs_access()[1]}
        assert "rsp" not in written, instruction
        _assert_frame_is_kept(instruction)
        values.update(dict.fromkeys(written))
        tested = _test(instruction, stack) if FLAGS in written else tested
    return _State(state.address, tuple(values.items()), tuple(stack), tested)


def _pushed(instruction: Any, values: dict[str, Value]) -> Value:
    """Return what an instruction puts on the stack."""
    if instruction.id == x86.X86_INS_PUSHFQ:
        return values[FLAGS]
    [operand] = instruction.operands
    if operand.type == x86.X86_OP_REG:
        return values[instruction.reg_name(operand.reg)]
    number: int = operand.imm
    return number


def _test(instruction: Any, stack: list[Value]) -> bool | None:
    """Return whether bits of a word of the stack are ones, if an instruction asks for that."""
    if instruction.id != x86.X86_INS_TEST or not instruction.op_str.startswith("byte ptr [rsp"):
        return None
    place, bits = instruction.operands
    word = stack[-1 - place.mem.disp // 8]
    assert isinstance(word, int)
    return bool(word & bits.imm)


def _assert_frame_is_kept(instruction: Any) -> None:
    """Assert that an instruction writes no word of the stack but a return address that was left.

    And the word above its own return address, which it may clear.
    """
    if instruction.operands and instruction.operands[0].type == x86.X86_OP_MEM:
        place = instruction.operands[0]
        if place.mem.base == x86.X86_REG_RSP and place.access & capstone.CS_AC_WRITE:
            clears = instruction.operands[1].imm == 0
            assert place.mem.disp == -8 or (place.mem.disp == 8 and clears)
