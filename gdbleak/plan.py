"""Where to set breakpoints, computed before anything is attached.

Entries come from the symbol table. Returns come from a disassembly that follows every path a
function can take, and a function is left in one of three ways:

- a `ret`, its own or one of code it jumps to;
- a jump to another function of the plan, whose returns are probed anyway;
- a jump to `memset`, as glibc's `calloc` ends: `memset` returns its first argument, so the jump
  itself tells the result, with the stack pointer where it will be at the return.

Anything else cannot be proved to be complete, and is an error rather than a missed return.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import capstone
import capstone.x86

from gdbleak.allocators import AllocatorFunction
from gdbleak.architecture import Architecture
from gdbleak.cfi import UnwindTable
from gdbleak.elf import ElfImage
from gdbleak.errors import AllocatorError
from gdbleak.modules import Module

MAX_INSTRUCTION_BYTES = 15


@dataclass(frozen=True)
class Probe:
    """One breakpoint, and what to record where it is hit."""

    id: int
    address: int
    """Run-time address."""
    function: str
    """The function entered, or, for a return, one of those that return there."""
    entry: bool
    """True where the function begins, False at one of its return instructions."""
    registers: tuple[str, ...]
    """The registers to record; the stack pointer is the first."""
    out_register: str | None
    """At an entry: the register that says where the result will be stored."""
    original: str
    """The bytes of the ELF file at the address that a breakpoint covers, in hexadecimal."""

    def to_json(self) -> dict[str, Any]:
        """Return the probe as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Probe:
        """Rebuild a probe from `to_json`'s values."""
        return cls(**{**values, "registers": tuple(values["registers"])})


def make_plan(
    functions: Iterable[AllocatorFunction],
    module: Module,
    image: ElfImage,
    architecture: Architecture,
) -> tuple[Probe, ...]:
    """Plan the breakpoints for those of `functions` that the module defines.

    Args:
        functions: What to look for, the usual name of an alias first.
        module: Where the allocator is mapped.
        image: The module's ELF file.
        architecture: Of the target.

    Raises:
        AllocatorError: a function leaves by a way whose returns cannot be known.

    """
    functions = list(functions)
    arguments = architecture.argument_registers
    # Functions whose returns are probed in this module, under whatever name they are reached.
    names = {f.name for f in functions if f.allocates and image.find_function(f.name)}
    entries: dict[int, AllocatorFunction] = {}
    exits: dict[int, tuple[str, str]] = {}
    for function in functions:
        symbol = image.find_function(function.name)
        if symbol is None or symbol.address in entries:
            continue
        if symbol.is_indirect:
            raise AllocatorError(
                f"{function.name} of {image.path} is chosen among several when the program starts",
                _CURE,
            )
        entries[symbol.address] = function
        if function.allocates:
            walk = _Walk(image, names, function.name)
            walk.follow(symbol.address)
            for address in sorted(walk.returns):
                exits.setdefault(address, (function.name, architecture.result_register))
            for address in sorted(walk.jumps_to_memset):
                exits.setdefault(address, (function.name, arguments[0]))

    sp = architecture.stack_pointer
    plan: list[Probe] = []

    def add(
        address: int, name: str, registers: tuple[str, ...], out: str | None, *, entry: bool
    ) -> None:
        original = image.read(address, len(architecture.breakpoint)).hex()
        run_time = address + module.bias
        plan.append(Probe(len(plan), run_time, name, entry, registers, out, original))

    for address, function in entries.items():
        out = None if function.result is None else arguments[function.result]
        registers = (sp, *(arguments[number] for number in function.arguments))
        add(address, function.name, registers, out, entry=True)
    for address, (name, result) in exits.items():
        registers = (sp, result, *architecture.unwind_registers)
        add(address, name, registers, None, entry=False)
    return tuple(plan)


class _Walk:
    """One pass over the code reachable from a function's entry without its calls."""

    def __init__(self, image: ElfImage, planned: set[str], name: str) -> None:
        self.returns: set[int] = set()
        self.jumps_to_memset: set[int] = set()
        self._image = image
        self._planned = planned
        self._name = name
        self._seen: set[int] = set()
        self._extents = UnwindTable(image)
        self._disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._disassembler.detail = True

    def follow(self, entry: int) -> None:
        """Find every way out, at link-time addresses."""
        todo = [entry]
        while todo:
            address = todo.pop()
            extent = self._extents.find_extent(address)
            if extent is None:
                raise self._unprovable(address, "code without unwind information")
            # Running out of a function means that its last call never returns: abort, say.
            while address in extent and address not in self._seen:
                self._seen.add(address)
                instruction = self._decode(address)
                if instruction is None:
                    raise self._unprovable(address, "an unknown instruction")
                if instruction.group(capstone.CS_GRP_RET):
                    self.returns.add(address)
                    break
                if instruction.id in _DEAD_ENDS:
                    break
                if instruction.group(capstone.CS_GRP_JUMP):
                    todo += self._targets(instruction)
                    if instruction.id == capstone.x86.X86_INS_JMP:
                        break
                address += instruction.size

    def _decode(self, address: int) -> Any:
        code = self._image.read(address, MAX_INSTRUCTION_BYTES)
        return next(self._disassembler.disasm(code, address, 1), None)

    def _targets(self, jump: Any) -> list[int]:
        """Where a jump leads within the code to be followed."""
        if jump.operands[0].type != capstone.x86.X86_OP_IMM:
            linked = self._linked_function(jump)
            if linked not in self._planned:
                raise self._unprovable(jump.address, f"`{jump.mnemonic} {jump.op_str}`")
            return []
        target = int(jump.operands[0].imm)
        if self._linked_function(self._decode_stub(target)) != "memset":
            return [target]
        if jump.id != capstone.x86.X86_INS_JMP:
            raise self._unprovable(jump.address, "a conditional jump to memset")
        self.jumps_to_memset.add(jump.address)
        return []

    def _decode_stub(self, address: int) -> Any:
        """The instruction that matters of an entry of the procedure linkage table."""
        instruction = self._decode(address)
        if instruction is not None and instruction.id == capstone.x86.X86_INS_ENDBR64:
            return self._decode(address + instruction.size)
        return instruction

    def _linked_function(self, jump: Any) -> str | None:
        """The function that `jmp *slot(%rip)` leads to, where the dynamic linker fills the slot."""
        if jump is None or jump.id != capstone.x86.X86_INS_JMP:
            return None
        operand = jump.operands[0]
        if operand.type != capstone.x86.X86_OP_MEM or operand.mem.base != capstone.x86.X86_REG_RIP:
            return None
        return self._image.linked_functions.get(jump.address + jump.size + operand.mem.disp)

    def _unprovable(self, address: int, how: str) -> AllocatorError:
        return AllocatorError(
            f"cannot find all returns of {self._name}: {how} at {self._image.path}+{address:#x}",
            _CURE,
        )


_CURE = "see docs/limits.md for the allocators that can be traced"
_DEAD_ENDS = (capstone.x86.X86_INS_HLT, capstone.x86.X86_INS_UD2, capstone.x86.X86_INS_INT3)
