"""Where functions begin, and which never return, in files without call frame information."""

from __future__ import annotations

from functools import cached_property

from gdbleak.architectures import X86_64
from gdbleak.architectures.decoder import Decoder, Flow, Instruction
from gdbleak.architectures.x86_64_frames import iter_referred
from gdbleak.elf.image import ElfImage

NEVER_RETURN = frozenset(
    {
        *("abort", "exit", "_exit", "_Exit", "quick_exit", "pthread_exit", "thrd_exit"),
        *("longjmp", "_longjmp", "siglongjmp", "__longjmp_chk"),
        *("__assert", "__assert_fail", "__assert_perror_fail", "err", "errx", "verr", "verrx"),
        *("__stack_chk_fail", "__chk_fail", "__fortify_fail", "__libc_fatal"),
        *("__cxa_throw", "__cxa_rethrow", "__cxa_bad_cast", "__cxa_throw_bad_array_new_length"),
        *("_Unwind_Resume", "_ZSt9terminatev", "__cxa_call_unexpected", "__cxa_pure_virtual"),
        *("_ZSt17__throw_bad_allocv", "_ZSt28__throw_bad_array_new_lengthv"),
        *("_ZSt20__throw_length_errorPKc", "_ZSt20__throw_out_of_rangePKc"),
        *("_ZSt19__throw_logic_errorPKc", "_ZSt21__throw_runtime_errorPKc"),
        *("_ZSt24__throw_out_of_range_fmtPKcz", "_ZSt20__throw_system_errori"),
    }
)
"""Library functions that do not return, so that other code may stand behind a call of them."""

_MAX_CODE_BYTES = 64 << 20
"""In larger segments, only the symbol tables tell where functions begin."""


class CodeMap:
    """The code of one file, by link-time address."""

    def __init__(self, image: ElfImage) -> None:
        self._image = image

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes of code."""
        return self._image.read_code(address, size)

    def spend(self, steps: int) -> None:
        """Count work that the code causes.

        Raises:
            ElfError: it is more than may be spent.

        """
        self._image.spend(steps)

    def is_function(self, address: int) -> bool:
        """Return whether a function is known to begin at `address`.

        Raises:
            ElfError: the file is damaged.

        """
        return address in self._starts

    def never_returns(self, address: int) -> bool:
        """Return whether the function at `address` has a name that says so.

        Raises:
            ElfError: the file is damaged.

        """
        return address in self._never_returning

    def slot_never_returns(self, slot: int) -> bool:
        """Return whether the function whose address the dynamic linker writes to `slot` has one.

        Raises:
            ElfError: the file is damaged.

        """
        return self._linked_functions.get(slot) in NEVER_RETURN

    def call_never_returns(self, call: Instruction, decoder: Decoder) -> bool:
        """Return whether an instruction is a call of a function that has such a name.

        Args:
            call: Any instruction.
            decoder: Decodes this code.

        Raises:
            ElfError: the file is damaged.

        """
        if call.flow is not Flow.CALL:
            return False
        slot = call.slot
        if call.target is not None:
            if self.never_returns(call.target):
                return True
            slot = decoder.find_stub_slot(call.target)
        return slot is not None and self.slot_never_returns(slot)

    @cached_property
    def _linked_functions(self) -> dict[int, str]:
        return self._image.read_linked_functions(
            X86_64.slot_relocations, X86_64.resolver_relocation, ()
        )

    @cached_property
    def _never_returning(self) -> set[int]:
        return {symbol.address for symbol in self._image.find_functions(NEVER_RETURN).values()}

    @cached_property
    def _starts(self) -> set[int]:
        image = self._image
        starts = image.function_starts
        for segment in image.segments:
            if segment.executable and segment.file_size <= _MAX_CODE_BYTES:
                code = image.read(segment.address, segment.file_size)
                for offset in iter_referred(code):
                    image.spend(1, held_bytes=32)
                    starts.add(segment.address + offset)
        return starts
