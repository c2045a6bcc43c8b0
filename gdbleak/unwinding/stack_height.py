"""Rows for code without call frame information, from what the code will do to the stack.

musl and most assembly lack such information. But after a call a function goes on until it returns.
So its code, followed from the return address on, tells how far the stack pointer is below its own
return address, and where the registers are that it restores for its caller. Two things are taken
for granted: a called function leaves the stack pointer as it was, and only the function itself
writes to where it saved a register.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gdbleak.architectures import WORD_BYTES
from gdbleak.architectures.decoder import Flow
from gdbleak.architectures.x86_64_effects import (
    Effects,
    EffectsDecoder,
    Loaded,
    Set,
    Sum,
    Value,
)
from gdbleak.architectures.x86_64_frames import CALLEE_SAVED, RBP, RIP, RSP
from gdbleak.unwinding.code_map import CodeMap
from gdbleak.unwinding.frame_rows import RegisterOffset, Row, Rule, RuleKind

_MAX_INSTRUCTIONS = 2000
"""How many one walk executes; the longest ways out of real functions have some hundred."""

_STATE_STEPS = 20

FRAME_POINTER_ROW = Row(
    RegisterOffset(RBP, 2 * WORD_BYTES),
    {RIP: Rule(RuleKind.OFFSET, -WORD_BYTES), RBP: Rule(RuleKind.OFFSET, -2 * WORD_BYTES)},
    False,
)
"""The row of a function that begins with `push %rbp; mov %rsp, %rbp`."""


class _State(NamedTuple):
    """What registers and memory hold, in terms of what they held where the walk began."""

    registers: Mapping[int, Value]
    memory: Mapping[Sum, Value]
    """Only the words that were written."""


class StackHeights:
    """Infers rows from the code of one ELF file, by link-time address."""

    def __init__(self, code: CodeMap) -> None:
        self._code = code
        self._decoder = EffectsDecoder(code.read)

    def find_rows(self, address: int, behind_call: bool) -> tuple[Row, ...]:
        """Return rows for a frame that goes on at `address`, the surest first.

        Each is a guess, and right only if it leads to a return address.

        Args:
            address: Where the frame goes on.
            behind_call: Whether a call stands before that.

        Raises:
            ElfError: the file is damaged.

        """
        walk = _Walk(self._code, self._decoder)
        rows = _make_rows(walk.follow(address, behind_call))
        return (*rows, FRAME_POINTER_ROW) if walk.has_frame_pointer else rows


class _Walk:
    """One pass over all ways that a function may take before it returns."""

    def __init__(self, code: CodeMap, decoder: EffectsDecoder) -> None:
        self.has_frame_pointer = False
        self._code = code
        self._decoder = decoder
        self._states: dict[int, _State] = {}
        self._steps_left = _MAX_INSTRUCTIONS

    def follow(self, address: int, behind_call: bool) -> list[_State]:
        """Return the state before each way out; nothing when that takes too many instructions."""
        ways_out = set()
        todo = [(address, _BEGINNING, behind_call)]
        while todo:
            place, state, idle = todo.pop()
            while (effects := self._enter(place, state, idle)) is not None:
                instruction = effects.instruction
                state = self._states[place]
                if self._steps_left == 0:
                    return []
                if instruction.flow is Flow.RETURN or (
                    # Through a slot it jumps to a function, which returns to the caller. Any
                    # other indirect jump may belong to a switch.
                    instruction.flow is Flow.INDIRECT_JUMP and instruction.slot is not None
                ):
                    ways_out.add(place)
                if instruction.flow in (Flow.JUMP, Flow.BRANCH) and instruction.target is not None:
                    todo.append((instruction.target, state, False))
                if instruction.flow not in _GOES_ON or self._code.call_never_returns(
                    instruction, self._decoder
                ):
                    break
                state = _execute(effects, state)
                idle = instruction.flow is Flow.CALL or (idle and not effects.operations)
                place += instruction.size
        return [self._states[place] for place in ways_out]

    def _enter(self, place: int, state: _State, idle: bool) -> Effects | None:
        """Return the next instruction; None where nothing new follows."""
        # Nothing was done since a call, and now a function begins: the call was to one that
        # never returns.
        if idle and self._code.is_function(place):
            return None
        effects = self._decoder.find_effects(place)
        if effects is None:
            return None
        if place in self._states:
            state = _join(self._states[place], state)
            if state == self._states[place]:
                return None
        self._states[place] = state
        self._steps_left -= 1
        self._code.spend(_STATE_STEPS + len(state.memory))
        if effects.uses_frame_pointer and state.registers[RBP] == Sum(RBP):
            self.has_frame_pointer = True
        return effects


_GOES_ON = (Flow.NEXT, Flow.CALL, Flow.BRANCH)
_BEGINNING = _State({number: Sum(number) for number in range(RIP)}, {})


def _execute(effects: Effects, state: _State) -> _State:
    if not effects.operations:
        return state
    registers, memory = dict(state.registers), dict(state.memory)
    for operation in effects.operations:
        value = _evaluate(operation.value, registers, memory)
        if isinstance(operation, Set):
            registers[operation.register] = value
            continue
        place = _evaluate(operation.address, registers, memory)
        if isinstance(place, Sum):
            end = place.offset + operation.size
            for offset in range(place.offset & -WORD_BYTES, end, WORD_BYTES):
                memory[place._replace(offset=offset)] = None
            if operation.size == WORD_BYTES and place in memory:
                memory[place] = value
    if effects.instruction.flow is Flow.CALL:
        _forget_below(registers[RSP], memory)
    return _State(registers, memory)


def _evaluate(value: Value, registers: Mapping[int, Value], memory: Mapping[Sum, Value]) -> Value:
    """Return a value in terms of where the walk began."""
    if value is None:
        return None
    base = registers[value.register]
    if isinstance(value, Sum) and value.offset == 0:
        return base
    if not isinstance(base, Sum):
        return None
    place = Sum(base.register, base.offset + value.offset)
    return memory.get(place, Loaded(*place)) if isinstance(value, Loaded) else place


def _forget_below(top: Value, memory: dict[Sum, Value]) -> None:
    """Forget what was written below the top of the stack: a called function may overwrite it."""
    if isinstance(top, Sum):
        for place in memory:
            if place.register == top.register and place.offset < top.offset:
                memory[place] = None


def _join(one: _State, other: _State) -> _State:
    """Return what holds for both ways to a place."""
    if one == other:
        return one
    registers = {n: v if other.registers[n] == v else None for n, v in one.registers.items()}
    memory: dict[Sum, Value] = {}
    for place in {**one.memory, **other.memory}:
        value = one.memory.get(place, Loaded(*place))
        memory[place] = value if other.memory.get(place, Loaded(*place)) == value else None
    return _State(registers, memory)


def _make_rows(returning: Iterable[_State]) -> tuple[Row, ...]:
    """Return the row on which the states at all ways out agree, if they do."""
    rows = [_make_row(state) for state in returning]
    if not rows:
        return ()
    first, *others = rows
    if first is None or any(row is None or row.cfa != first.cfa for row in others):
        return ()
    rules = dict(first.rules)
    for row in others:
        assert row is not None
        for number in {*rules, *row.rules}:
            if rules.get(number) != row.rules.get(number):
                rules[number] = Rule(RuleKind.UNDEFINED)
    return (first._replace(rules=rules),)


def _make_row(state: _State) -> Row | None:
    top = state.registers[RSP]
    # A return address that the code wrote itself does not lead to its caller.
    if not isinstance(top, Sum) or top in state.memory or (top.register == RSP and top.offset < 0):
        return None
    cfa = RegisterOffset(top.register, top.offset + WORD_BYTES)
    rules = {RIP: Rule(RuleKind.OFFSET, -WORD_BYTES)}
    for number in CALLEE_SAVED:
        value = state.registers[number]
        if isinstance(value, Loaded) and value.register == cfa.register:
            rules[number] = Rule(RuleKind.OFFSET, value.offset - cfa.offset)
        elif value != Sum(number):
            rules[number] = Rule(RuleKind.UNDEFINED)
    return Row(cfa, rules, False)
