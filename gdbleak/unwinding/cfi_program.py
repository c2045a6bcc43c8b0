"""The entries of call frame information, and the machine that runs their instructions.

Formats: DWARF 5, section 6.4, and for `.eh_frame` Linux Standard Base Core, "Exception Frames".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gdbleak.architectures import AARCH64_FRAMES, WORD_BYTES, X86_64_FRAMES
from gdbleak.errors import ElfError
from gdbleak.unwinding.dwarf_expressions import WORD_MASK, Cursor
from gdbleak.unwinding.frame_rows import Cfa, RegisterOffset, Row, Rule, RuleKind

_RETURN_ADDRESSES = (X86_64_FRAMES.return_address, AARCH64_FRAMES.return_address)

# Sizes of the DW_EH_PE formats that have a fixed one; from 8 on they are signed.
_POINTER_BYTES = {0x00: WORD_BYTES, 0x02: 2, 0x03: 4, 0x04: 8, 0x0A: 2, 0x0B: 4, 0x0C: 8}


class CommonEntry(NamedTuple):
    """What many functions share: a common information entry (CIE)."""

    code_alignment: int
    data_alignment: int
    encoding: int
    has_augmentation: bool
    is_signal_frame: bool
    return_address: int
    cfa: Cfa = b""
    rules: Mapping[int, Rule] = {}
    has_handlers: bool = False
    """Whether exceptions may run code of the functions that share it."""


class FunctionEntry(NamedTuple):
    """A frame description entry (FDE)."""

    common: CommonEntry
    start: int
    size: int
    instructions: Cursor

    def find_row(self, address: int) -> Row:
        """Return the row for a link-time address of the function.

        Raises:
            ElfError: the instructions are damaged.

        """
        program = Program(self.common, self.start)
        program.run(self.instructions, address)
        common = self.common
        return Row(program.cfa, program.rules, common.is_signal_frame, common.return_address)


def read_common(cursor: Cursor) -> CommonEntry:
    """Read a CIE from behind its id.

    Raises:
        ElfError: it is damaged, or of a kind that does not occur on these processors.

    """
    version = cursor.integer(1)
    augmentation = cursor.string()
    if version == 4 and cursor.take(2) != bytes([WORD_BYTES, 0]):  # sizes of address and segment
        raise ElfError("call frame information of another processor")
    code_alignment = cursor.uleb128()
    data_alignment = cursor.sleb128()
    return_address = cursor.integer(1) if version == 1 else cursor.uleb128()
    has_augmentation = augmentation[:1] == b"z"
    if (
        version not in (1, 3, 4)
        or return_address not in _RETURN_ADDRESSES
        or not (has_augmentation or augmentation in (b"", b"S"))
    ):
        raise ElfError("call frame information of an unknown kind")
    encoding = 0
    if has_augmentation:
        instructions = cursor.uleb128() + cursor.position
        encoding = _read_augmentation(cursor, augmentation[1:].decode("latin-1"))
        cursor.jump(instructions - cursor.position)
    common = CommonEntry(
        code_alignment,
        data_alignment,
        encoding,
        has_augmentation,
        b"S" in augmentation,
        return_address,
    )
    program = Program(common, 0)
    program.run(cursor, 0)
    has_handlers = any(letter in augmentation for letter in (b"P", b"L", b"eh"))
    return common._replace(cfa=program.cfa, rules=program.rules, has_handlers=has_handlers)


def read_function(cursor: Cursor, common: CommonEntry) -> FunctionEntry:
    """Read an FDE from behind the field that tells its CIE.

    Raises:
        ElfError: it is damaged.

    """
    start = read_pointer(cursor, common.encoding)
    size = read_pointer(cursor, common.encoding & 0x0F)
    if common.has_augmentation:
        cursor.block()
    return FunctionEntry(common, start, size, cursor)


def _read_augmentation(cursor: Cursor, letters: str) -> int:
    """Return the encoding of addresses in the entries of functions."""
    encoding = 0
    for letter in letters:
        if letter == "R":
            encoding = cursor.integer(1)
        elif letter == "P":  # the personality routine, for exceptions
            read_pointer(cursor, cursor.integer(1) & 0x7F)  # without the bit for "a pointer to it"
        elif letter == "L":  # the encoding of data for exceptions
            cursor.take(1)
        elif letter not in "SB":
            raise ElfError(f"call frame information with an unknown augmentation {letter!r}")
    return encoding


def read_pointer(cursor: Cursor, encoding: int) -> int:
    """Return an address or a size in one of the DW_EH_PE encodings."""
    form, relation = encoding & 0x0F, encoding & 0xF0
    if relation == 0x50:  # aligned
        cursor.take(-cursor.address % WORD_BYTES)
    base = cursor.address
    if form == 0x01:
        value = cursor.uleb128()
    elif form == 0x09:
        value = cursor.sleb128()
    elif form in _POINTER_BYTES:
        value = cursor.integer(_POINTER_BYTES[form], signed=form >= 0x08)
    else:
        raise ElfError(f"call frame information with an unknown encoding {encoding:#x}")
    if relation == 0x10:  # relative to where it stands
        return (base + value) & WORD_MASK
    if relation not in (0x00, 0x50):
        raise ElfError(f"call frame information with an unknown encoding {encoding:#x}")
    return value


class Program:
    """The state of the machine that the instructions of CIE and FDE are written for.

    A mapping of rules is never changed, only replaced. So a state is remembered by keeping it.
    """

    def __init__(self, common: CommonEntry, location: int) -> None:
        self.cfa = common.cfa
        self.rules = common.rules
        self._common = common
        self._location = location
        self._remembered: list[tuple[Cfa, Mapping[int, Rule]]] = []

    def run(self, cursor: Cursor, address: int) -> None:
        """Execute the instructions up to those for locations behind `address`."""
        while self._location <= address and not cursor.is_at_end:
            code = cursor.integer(1)
            if code in (0x02, 0x03, 0x04):  # advance_loc1, 2, 4
                self._advance(cursor.integer(1 << (code - 0x02)))
            elif code & 0xC0 == 0x40:  # advance_loc
                self._advance(code & 0x3F)
            elif code == 0x01:  # set_loc
                self._location = read_pointer(cursor, self._common.encoding)
            elif code == 0x0A:  # remember_state
                self._remembered.append((self.cfa, self.rules))
            elif code == 0x0B:  # restore_state
                if not self._remembered:
                    raise ElfError("call frame information restores what it did not remember")
                self.cfa, self.rules = self._remembered.pop()
            elif code == 0x2E:  # GNU_args_size, of the arguments pushed for a call
                cursor.uleb128()
            elif 0x0C <= code <= 0x0F or code in (0x12, 0x13):
                self.cfa = self._read_cfa(cursor, code)
            # AARCH64_negate_ra_state only says whether the return address is signed.
            elif code not in (0x00, 0x2D):  # nop
                self._set_rule(cursor, code)

    def _advance(self, delta: int) -> None:
        self._location += delta * self._common.code_alignment

    def _read_cfa(self, cursor: Cursor, code: int) -> Cfa:
        if code == 0x0C:  # def_cfa
            return RegisterOffset(cursor.uleb128(), cursor.uleb128())
        if code == 0x12:  # def_cfa_sf
            return RegisterOffset(cursor.uleb128(), self._factored(cursor.sleb128()))
        if code == 0x0F:  # def_cfa_expression
            return cursor.block()
        if isinstance(self.cfa, bytes):
            raise ElfError("call frame information changes a part of an expression")
        if code == 0x0D:  # def_cfa_register
            return self.cfa._replace(register=cursor.uleb128())
        if code == 0x0E:  # def_cfa_offset
            return self.cfa._replace(offset=cursor.uleb128())
        return self.cfa._replace(offset=self._factored(cursor.sleb128()))  # def_cfa_offset_sf

    def _set_rule(self, cursor: Cursor, code: int) -> None:
        if code & 0xC0:  # offset, restore: the register is in the low bits
            code, register = code & 0xC0, code & 0x3F
        else:
            register = cursor.uleb128()
        if code in (0xC0, 0x06):  # restore, restore_extended
            rule = self._common.rules.get(register)
        else:
            rule = self._read_rule(cursor, code)
        # The registers above it, of floating point and the like, are not needed to find a frame.
        if register <= self._common.return_address:
            self.rules = {number: r for number, r in self.rules.items() if number != register}
            if rule is not None:
                self.rules[register] = rule

    def _read_rule(self, cursor: Cursor, code: int) -> Rule:
        if code in (0x80, 0x05):  # offset, offset_extended
            return Rule(RuleKind.OFFSET, self._factored(cursor.uleb128()))
        if code == 0x11:  # offset_extended_sf
            return Rule(RuleKind.OFFSET, self._factored(cursor.sleb128()))
        if code == 0x2F:  # GNU_negative_offset_extended
            return Rule(RuleKind.OFFSET, -self._factored(cursor.uleb128()))
        if code == 0x14:  # val_offset
            return Rule(RuleKind.VAL_OFFSET, self._factored(cursor.uleb128()))
        if code == 0x15:  # val_offset_sf
            return Rule(RuleKind.VAL_OFFSET, self._factored(cursor.sleb128()))
        if code == 0x07:  # undefined
            return Rule(RuleKind.UNDEFINED)
        if code == 0x08:  # same_value
            return Rule(RuleKind.SAME)
        if code == 0x09:  # register
            return Rule(RuleKind.REGISTER, cursor.uleb128())
        if code == 0x10:  # expression
            return Rule(RuleKind.EXPRESSION, expression=cursor.block())
        if code == 0x16:  # val_expression
            return Rule(RuleKind.VAL_EXPRESSION, expression=cursor.block())
        raise ElfError(f"unknown instruction {code:#x} in call frame information")

    def _factored(self, value: int) -> int:
        return value * self._common.data_alignment
