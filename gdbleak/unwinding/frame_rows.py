"""Rows, which tell how to get from a frame to its caller's: the terms of all sources of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple, Union

from gdbleak.architectures.x86_64_frames import RIP


class RuleKind(Enum):
    """Where the caller's value of a register is."""

    SAME = auto()  # still in the register
    UNDEFINED = auto()  # lost; for the return address: there is no caller
    OFFSET = auto()  # in memory at CFA + number
    VAL_OFFSET = auto()  # it is CFA + number
    REGISTER = auto()  # in the register of that number
    EXPRESSION = auto()  # in memory where the expression says
    VAL_EXPRESSION = auto()  # it is what the expression says


class Rule(NamedTuple):
    """How to find the caller's value of one register."""

    kind: RuleKind
    number: int = 0
    expression: bytes = b""


class RegisterOffset(NamedTuple):
    """A canonical frame address that is a register plus an offset."""

    register: int
    offset: int


Cfa = Union[RegisterOffset, bytes]
"""The canonical frame address, the stack pointer of the caller; bytes are an expression."""


class Row(NamedTuple):
    """How to find the caller's registers from one instruction of a function."""

    cfa: Cfa
    rules: Mapping[int, Rule]
    """By register number. A callee-saved register without a rule still has the caller's value."""
    is_signal_frame: bool
    """Whether the caller did not call, but was interrupted by a signal."""

    return_address: int = RIP
    """The register number under which `rules` has the caller's next instruction."""

    @property
    def ends_stack(self) -> bool:
        """Whether the calls begin here: in `_start`, or where a thread starts."""
        rule = self.rules.get(self.return_address)
        return rule is not None and rule.kind is RuleKind.UNDEFINED
