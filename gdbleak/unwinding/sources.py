"""Rows for the frames of a process: from the tables of its modules, or from their code."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from gdbleak.architectures import X86_64_FRAMES, FrameConvention
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.unwinding.cfi import UnwindTable
from gdbleak.unwinding.code_map import CodeMap
from gdbleak.unwinding.frame_rows import Row
from gdbleak.unwinding.x86_64_signals import (
    MAX_SIGNAL_RETURN_BYTES,
    SIGNAL_RETURN_ROW,
    is_signal_return,
)

if TYPE_CHECKING:
    from gdbleak.unwinding.stack_height import StackHeights

_MAX_CALL_BYTES = 8
"""Calls are no longer than that on any architecture."""


class UnwindSources:
    """Finds rows by run-time address, each once. A damaged table counts as one without a row."""

    def __init__(
        self,
        modules: ModuleMap,
        open_image: Callable[[Module], ElfImage | None],
        convention: FrameConvention,
    ) -> None:
        self._modules = modules
        self._convention = convention
        self._open_image = open_image
        self._sources: dict[Module, _Source | None] = {}
        self._rows: dict[int, Row | None] = {}
        self._inferred: dict[tuple[int, bool], tuple[Row, ...]] = {}
        self._return_addresses: dict[int, bool] = {}

    def find_row(self, pc: int) -> Row | None:
        """Return the row that a table has for the instruction at `pc`, or None."""
        if pc not in self._rows:
            self._rows[pc] = self._read_row(pc)
        return self._rows[pc]

    def infer_rows(self, address: int, *, behind_call: bool) -> tuple[Row, ...]:
        """Infer rows from the code for a frame that goes on at `address`, the surest first.

        So far this is written for x86-64 only.
        """
        if self._convention is not X86_64_FRAMES:
            return ()
        key = address, behind_call
        if key not in self._inferred:
            self._inferred[key] = self._infer_rows(address, behind_call)
        return self._inferred[key]

    def is_return_address(self, address: int) -> bool:
        """Return whether something may return to `address`.

        It does where a call stands before it, where signal handlers return to, and where a
        program has made a stack by hand.
        """
        if address not in self._return_addresses:
            row = self.find_row(address)
            self._return_addresses[address] = (
                self._is_behind_call(address)
                or (row is not None and row.is_signal_frame)
                or self.is_first(address)
            )
        return self._return_addresses[address]

    def is_first(self, address: int) -> bool:
        """Return whether a stack begins at `address` without a call, as that of a coroutine does.

        `makecontext` lets its function return to the first instruction of another one.
        """
        try:
            module, source = self._find_source(address)
            if module is None or source is None or self._is_behind_call(address):
                return False
            extent = source.table.find_extent(address - module.bias)
            return extent is not None and extent.start == address - module.bias
        except ElfError:
            return False

    def _read_row(self, pc: int) -> Row | None:
        try:
            module, source = self._find_source(pc)
            return source.find_row(pc - module.bias) if module and source else None
        except ElfError:
            return None

    def _infer_rows(self, address: int, behind_call: bool) -> tuple[Row, ...]:
        try:
            # A call that never returns may be the last instruction of its module.
            module, source = self._find_source(address - 1 if behind_call else address)
            if module and source:
                return source.heights.find_rows(address - module.bias, behind_call)
        except ElfError:
            pass
        return ()

    def _is_behind_call(self, address: int) -> bool:
        try:
            module, source = self._find_source(address - 1)
            return bool(module and source and source.ends_in_call(address - module.bias))
        except ElfError:
            return False

    def _find_source(self, pc: int) -> tuple[Module | None, _Source | None]:
        module = self._modules.find(pc)
        if module is not None and module not in self._sources:
            self._sources[module] = None  # if it cannot be opened
            image = self._open_image(module)
            self._sources[module] = _Source(image, self._convention) if image else None
        return module, self._sources[module] if module else None


class _Source:
    """The rows of one file, by link-time address."""

    def __init__(self, image: ElfImage, convention: FrameConvention) -> None:
        self._convention = convention
        self.table = UnwindTable(image)
        self._image = image

    @cached_property
    def heights(self) -> StackHeights:
        """Rows from its code, for frames that no table has."""
        from gdbleak.unwinding.stack_height import StackHeights  # loads capstone

        return StackHeights(CodeMap(self._image))

    def find_row(self, address: int) -> Row | None:
        """Return the row of a table, or that of the code which signal handlers return to."""
        row = self.table.find_row(address)
        if row is None and is_signal_return(
            self._image.read_code(address, MAX_SIGNAL_RETURN_BYTES)
        ):
            return SIGNAL_RETURN_ROW
        return row

    def ends_in_call(self, address: int) -> bool:
        """Return whether the instruction before `address` is a call."""
        before = self._image.read_code(address - _MAX_CALL_BYTES, _MAX_CALL_BYTES)
        return self._convention.ends_in_call(before)
