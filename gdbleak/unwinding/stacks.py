"""Call stacks from raw stack memory, by the call frame information of the mapped files.

What a call leaves on the stack and in registers is the frame convention of the architecture. Where
call frame information is missing, the code itself is read (see stack_height.py); what it yields
counts only if it leads to a return address. Where something needed is not known, the stack ends and
is marked as truncated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from gdbleak.architectures import WORD_BYTES, X86_64_FRAMES, FrameConvention
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.unwinding.dwarf_expressions import WORD_MASK, UnknownValueError
from gdbleak.unwinding.frame_recovery import StackMemory, apply_rules, recover_caller
from gdbleak.unwinding.frame_rows import RegisterOffset, Row, Rule, RuleKind
from gdbleak.unwinding.known_stacks import CallStack, KnownStacks
from gdbleak.unwinding.sources import UnwindSources

_WORD = Struct("<Q")


_REGISTER = -1
"""In place of an offset: the frame pointer is still in its register."""


class Unwinder:
    """Turns raw stacks of one process into call stacks.

    `recover_caller` handles every kind of frame. Nearly all frames need little of that, so from
    the second visit to a return address on, a short cut is taken: see `_Step`.
    """

    def __init__(
        self,
        modules: ModuleMap,
        open_image: Callable[[Module], ElfImage | None],
        max_frames: int,
        convention: FrameConvention = X86_64_FRAMES,
    ) -> None:
        self._convention = convention
        # The number of bits in an address depends on the kernel. Modules lie near the top.
        self._address_mask = (
            (1 << modules.end.bit_length()) - 1 if convention.signs_addresses else WORD_MASK
        )
        self._sources = UnwindSources(modules, open_image, convention)
        self._max_frames = max_frames
        self._steps: dict[int, _Step | None] = {}
        self._known = KnownStacks()
        numbers = convention.numbers
        self._frame_pointer = next(n for n in numbers if numbers[n] == convention.frame_pointer)

    def unwind(
        self, stack: bytes | memoryview, stack_pointer: int, registers: Mapping[str, int]
    ) -> CallStack:
        """Return the call stack of a thread that is about to execute a function's `ret`.

        Args:
            stack: Memory from the stack pointer upwards, as much as was recorded.
            stack_pointer: Address at which it begins.
            registers: Those that were recorded, by name.

        """
        frame_pointer = registers.get(self._frame_pointer, 0)
        call_stack = self._known.find(stack, stack_pointer, frame_pointer)
        if call_stack is not None:
            return call_stack
        addresses: list[int] = []
        trail = _Trail([])
        try:
            self._walk(stack, stack_pointer, registers, addresses, trail)
            call_stack = CallStack(tuple(addresses), truncated=False)
        except (UnknownValueError, ElfError):
            call_stack = CallStack(tuple(addresses), truncated=True)
        if trail.is_whole:
            needed = frame_pointer if _REGISTER in trail.offsets else None
            offsets = (offset for offset in trail.offsets if offset != _REGISTER)
            self._known.add(stack, stack_pointer, needed, offsets, call_stack)
        return call_stack

    def _walk(
        self,
        stack: bytes | memoryview,
        stack_pointer: int,
        registers: Mapping[str, int],
        addresses: list[int],
        trail: _Trail,
    ) -> None:
        """Append return addresses until the stack ends; raise where it cannot be followed."""
        convention = self._convention
        numbers, frame_pointer = convention.numbers, convention.frame_pointer
        memory = StackMemory(stack, stack_pointer)
        known = {numbers[name]: value for name, value in registers.items() if name in numbers}
        spills: list[tuple[int, Mapping[int, Rule]]] = []
        interrupted = False
        # In this loop sp and fp are offsets into the slice; an unknown fp is below it.
        if convention.has_link_register:
            address, sp = known.get(convention.return_address, 0) & self._address_mask, 0
        else:
            address, sp = memory.read(stack_pointer, WORD_BYTES), WORD_BYTES
            trail.is_whole = True
        fp = known.get(frame_pointer, 0) - stack_pointer
        size, fp_at, go_by = len(stack), _REGISTER, trail.offsets.append
        go_by(0)
        steps, is_return_address = self._steps, self._sources.is_return_address
        read_word = _WORD.unpack_from
        while address:
            if len(addresses) == self._max_frames:
                raise UnknownValueError("more frames than wanted")
            addresses.append(address)
            step = None if interrupted else steps.get(address)
            if step is not None:
                from_fp, cfa_offset, fp_offset, saved, inferred = step
                base = sp
                if from_fp:
                    base = fp
                    go_by(fp_at)
                cfa = base + cfa_offset
                if sp <= base and cfa <= size:
                    caller = read_word(stack, cfa - WORD_BYTES)[0]
                    if not inferred or is_return_address(caller):
                        go_by(cfa - WORD_BYTES)
                        if saved:
                            spills.append((cfa, saved))
                        if fp_offset:
                            fp_at = cfa + fp_offset
                            fp = read_word(stack, fp_at)[0] - stack_pointer
                        address = caller
                        sp = cfa
                        continue
            if sp < 0:
                raise UnknownValueError("a signal came while another stack was in use")
            row = self._find_row(address, interrupted)
            if row.ends_stack if row else not interrupted and self._sources.is_first(address):
                return
            # Only where the slice ends before the CFA is it the same for the same words.
            trail.is_whole &= step is not None and sp <= base and not step.inferred
            if not interrupted:  # a call preserves nothing else
                known = {n: value for n, value in known.items() if n in convention.callee_saved}
            for cfa, saved in spills:
                apply_rules(saved, stack_pointer + cfa, known, known, memory)
            spills.clear()
            known[convention.stack_pointer] = stack_pointer + sp
            known[convention.return_address] = address
            if row is not None:
                known = recover_caller(row, known, memory, convention.stack_pointer)
                interrupted = row.is_signal_frame
            else:
                known = self._infer_caller(known, memory, interrupted)
                interrupted = False
            trail.is_whole = False
            address = known[convention.return_address] & self._address_mask
            sp = known[convention.stack_pointer] - stack_pointer
            fp = known.get(frame_pointer, 0) - stack_pointer

    def _find_row(self, address: int, interrupted: bool) -> Row | None:
        """Return the row for a frame that goes on at `address`, if a table has one.

        Behind a call, the row is that of the byte before the return address: the call may be the
        last instruction of its function. Where a signal interrupted, it is that of the address
        itself. So it is for the code that a signal handler returns to, which has made no call.
        """
        if interrupted:
            return self._sources.find_row(address)
        row = self._sources.find_row(address - 1)
        if row is None or row.is_signal_frame:
            row = self._sources.find_row(address)
            return row if row is not None and row.is_signal_frame else None
        if address not in self._steps:
            self._steps[address] = _Step.from_row(row, self._convention)
        return row

    def _infer_caller(
        self, registers: Mapping[int, int], memory: StackMemory, interrupted: bool
    ) -> dict[int, int]:
        """Return the known registers of the caller, by rows that are inferred from the code."""
        convention = self._convention
        address, sp = registers[convention.return_address], registers[convention.stack_pointer]
        rows = self._sources.infer_rows(address, behind_call=not interrupted)
        if rows and not interrupted and address not in self._steps:
            self._steps[address] = _Step.from_row(rows[0], convention, inferred=True)
        for row in rows:
            try:
                caller = recover_caller(row, registers, memory, convention.stack_pointer)
            except UnknownValueError:
                continue
            assert isinstance(row.cfa, RegisterOffset)
            frame_is_above = caller[convention.stack_pointer] - row.cfa.offset >= sp
            found = caller[convention.return_address]
            if frame_is_above and self._sources.is_return_address(found):
                return caller
        raise UnknownValueError(f"nothing leads from {address:#x} to its caller")


@dataclass
class _Trail:
    """What an unwinding went by."""

    offsets: list[int]
    """Of words in the slice, or `_REGISTER`."""
    is_whole: bool = False
    """Nothing else made a difference."""


class _Step(NamedTuple):
    """A row for which stack and frame pointer suffice, with the return address below the CFA."""

    from_fp: bool
    """Whether the CFA is relative to the frame pointer, not to the stack pointer."""
    cfa_offset: int
    fp_offset: int
    """Offset from the CFA to the saved frame pointer of the caller; 0 when it was not saved."""
    saved: Mapping[int, Rule]
    """The rules of callee-saved registers, for a frame farther out that needs them."""
    inferred: bool
    """Whether it is a guess, which counts only if it leads to a return address."""

    @classmethod
    def from_row(
        cls, row: Row, convention: FrameConvention, inferred: bool = False
    ) -> _Step | None:
        """Return the step for a row; None where the row needs more than that."""
        fp = convention.frame_pointer
        if isinstance(row.cfa, bytes) or row.cfa.register not in (convention.stack_pointer, fp):
            return None
        saved = {n: rule for n, rule in row.rules.items() if rule.kind is not RuleKind.SAME}
        lowest = -row.cfa.offset
        if (
            row.is_signal_frame
            or convention.signs_addresses
            or saved.pop(row.return_address, None) != Rule(RuleKind.OFFSET, -WORD_BYTES)
            or any(rule.kind is not RuleKind.OFFSET for rule in saved.values())
            or not convention.callee_saved.issuperset(saved)
        ):
            return None
        fp_offset = saved[fp].number if fp in saved else 0
        # With both words between the base and the CFA, one look at the CFA finds them recorded.
        if not lowest <= -WORD_BYTES or (fp in saved and not lowest <= fp_offset <= -WORD_BYTES):
            return None
        return cls(row.cfa.register == fp, row.cfa.offset, fp_offset, saved, inferred)
