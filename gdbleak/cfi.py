"""Call frame information: how to get from a function's frame to its caller's, at any instruction.

Formats: `.eh_frame` and `.eh_frame_hdr`: Linux Standard Base Core, "Exception Frames"; the
instructions: DWARF 5, section 6.4; register numbers: System V ABI, AMD64 supplement, figure
"DWARF Register Number Mapping".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import cached_property
from typing import NamedTuple, Union

from gdbleak.dwarf_expressions import WORD_BYTES, WORD_MASK, Cursor
from gdbleak.elf import ElfImage
from gdbleak.errors import ElfError

_NAMES = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp")
REGISTER_NUMBERS: Mapping[str, int] = {
    **{name: number for number, name in enumerate(_NAMES)},
    **{f"r{number}": number for number in range(8, 16)},
    "rip": 16,
}
RBP = REGISTER_NUMBERS["rbp"]
RSP = REGISTER_NUMBERS["rsp"]
RIP = REGISTER_NUMBERS["rip"]

# A thousand times what functions have; a damaged length must not fill the memory.
_MAX_ENTRY_BYTES = 1 << 20

# The DW_EH_PE formats of fixed size; from 8 on they are signed.
_POINTER_BYTES = {0x00: WORD_BYTES, 0x02: 2, 0x03: 4, 0x04: 8, 0x0A: 2, 0x0B: 4, 0x0C: 8}


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

    @property
    def ends_stack(self) -> bool:
        """True where the calls begin: in `_start`, at the start of a thread."""
        rule = self.rules.get(RIP)
        return rule is not None and rule.kind is RuleKind.UNDEFINED


class UnwindTable:
    """The call frame information of one ELF file, read where it is asked for."""

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._common: dict[int, _CommonEntry] = {}

    def find_row(self, address: int) -> Row | None:
        """Return the row for a link-time address, None when no function covers it.

        Raises:
            ElfError: the call frame information is damaged.

        """
        function = self._find_function(address)
        if function is None:
            return None
        common = function.common
        program = _Program(common, function.start)
        program.run(function.instructions, address)
        return Row(program.cfa, program.rules, common.is_signal_frame)

    def find_extent(self, address: int) -> range | None:
        """Return the addresses of the function, or part of one, at a link-time address.

        Raises:
            ElfError: the call frame information is damaged.

        """
        function = self._find_function(address)
        return function and range(function.start, function.start + function.size)

    def _find_function(self, address: int) -> _FunctionEntry | None:
        starts, entries, base = self._index
        position = bisect_right(starts, address - base) - 1
        if position < 0:
            return None
        function = self._read_function(entries[position] + base)
        return function if 0 <= address - function.start < function.size else None

    @cached_property
    def _index(self) -> tuple[Sequence[int], Sequence[int], int]:
        """Sorted starts of functions, where their entries are, and what both are relative to."""
        if self._image.eh_frame_hdr is None:
            return (), (), 0
        address, size = self._image.eh_frame_hdr
        header = Cursor(self._image.read(address, size), address)
        _version, frame_encoding, count_encoding, table_encoding = header.take(4)
        eh_frame = _read_pointer(header, frame_encoding)
        # Sorted pairs of four signed bytes relative to the header: all that any linker writes.
        if count_encoding == 0xFF or table_encoding != 0x3B:
            functions = sorted(self._scan(eh_frame))
            return [start for start, _ in functions], [entry for _, entry in functions], 0
        count = _read_pointer(header, count_encoding)
        # Searched as it is, for it may have a million pairs. The cast takes this host to be
        # little-endian, like the target.
        table = memoryview(header.take(2 * 4 * count)).cast("i")
        return table[::2], table[1::2], address

    def _scan(self, address: int) -> Iterator[tuple[int, int]]:
        """Yield start and entry of each function, up to the terminator or the first damage."""
        while length := int.from_bytes(self._image.read(address, 4), "little"):
            try:
                if self._read_entry(address).integer(4) != 0:
                    yield self._read_function(address).start, address
            except ElfError:
                return
            address += 4 + length

    def _read_function(self, address: int) -> _FunctionEntry:
        cursor = self._read_entry(address)
        common = self._find_common(cursor.address - cursor.integer(4))
        start = _read_pointer(cursor, common.encoding)
        size = _read_pointer(cursor, common.encoding & 0x0F)
        if common.has_augmentation:
            cursor.block()
        return _FunctionEntry(common, start, size, cursor)

    def _find_common(self, address: int) -> _CommonEntry:
        if address not in self._common:
            cursor = self._read_entry(address)
            if cursor.integer(4) != 0:
                raise ElfError(f"{self._image.path}: no CIE at {address:#x}")
            self._common[address] = _read_common(cursor)
        return self._common[address]

    def _read_entry(self, address: int) -> Cursor:
        # A length of 0xffffffff would announce one of 64 bits: no linker writes that.
        length = int.from_bytes(self._image.read(address, 4), "little")
        if length > _MAX_ENTRY_BYTES:
            raise ElfError(f"{self._image.path}: .eh_frame is damaged at {address:#x}")
        return Cursor(self._image.read(address + 4, length), address + 4)


class _CommonEntry(NamedTuple):
    """What many functions share: a common information entry (CIE)."""

    code_alignment: int
    data_alignment: int
    encoding: int
    has_augmentation: bool
    is_signal_frame: bool
    cfa: Cfa = b""
    rules: Mapping[int, Rule] = {}


class _FunctionEntry(NamedTuple):
    """A frame description entry (FDE)."""

    common: _CommonEntry
    start: int
    size: int
    instructions: Cursor


def _read_common(cursor: Cursor) -> _CommonEntry:
    version = cursor.integer(1)
    augmentation = cursor.string()
    code_alignment = cursor.uleb128()
    data_alignment = cursor.sleb128()
    return_address = cursor.integer(1) if version == 1 else cursor.uleb128()
    if version not in (1, 3) or return_address != RIP or augmentation[:1] not in (b"", b"z"):
        raise ElfError("call frame information of an unknown kind")
    encoding = 0
    if augmentation:
        instructions = cursor.uleb128() + cursor.position
        encoding = _read_augmentation(cursor, augmentation[1:].decode("latin-1"))
        cursor.jump(instructions - cursor.position)
    common = _CommonEntry(
        code_alignment, data_alignment, encoding, bool(augmentation), b"S" in augmentation
    )
    program = _Program(common, 0)
    program.run(cursor, 0)
    return common._replace(cfa=program.cfa, rules=program.rules)


def _read_augmentation(cursor: Cursor, letters: str) -> int:
    """Return the encoding of the addresses in the functions' entries."""
    encoding = 0
    for letter in letters:
        if letter == "R":
            encoding = cursor.integer(1)
        elif letter == "P":  # the personality routine, for exceptions
            _read_pointer(cursor, cursor.integer(1) & 0x7F)  # without "is a pointer to it"
        elif letter == "L":  # the encoding of data for exceptions
            cursor.take(1)
        elif letter not in "SB":
            raise ElfError(f"call frame information with an unknown augmentation {letter!r}")
    return encoding


def _read_pointer(cursor: Cursor, encoding: int) -> int:
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


class _Program:
    """The state of the machine that the instructions of CIE and FDE are written for.

    Its mappings of rules are replaced, never changed: remembering one is keeping it.
    """

    def __init__(self, common: _CommonEntry, location: int) -> None:
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
                self._location = _read_pointer(cursor, self._common.encoding)
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
            elif code != 0x00:  # nop
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
        if register <= RIP:  # the others, of floating point and the like, locate no frame
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
