"""How to get from a frame to its caller's: one row of a table, wherever it comes from."""

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


# The canonical frame address: what the stack pointer is in the caller. Bytes are an expression.
Cfa = Union[RegisterOffset, bytes]


class Row(NamedTuple):
    """How to find the caller's registers from one instruction of a function."""

    cfa: Cfa
    rules: Mapping[int, Rule]
    """By register number. Without a rule, what the ABI has callees save is still in place."""
    is_signal_frame: bool
    """The caller did not call: a signal interrupted it."""

    return_address: int = RIP
    """Under which number `rules` has the caller's next instruction."""

    @property
    def ends_stack(self) -> bool:
        """True where the calls begin: in `_start`, at the start of a thread."""
        rule = self.rules.get(self.return_address)
        return rule is not None and rule.kind is RuleKind.UNDEFINED
