"""Builds what is written into a target: the recorder, and a trampoline for each function. Pure.

A trampoline of a function that frees:

            push    BLOCK                   and so on behind each `call`: the slot of its
            call    record_entry            return address is cleared
            drop    1 word
    moved:  the instructions that the jump covers
            jump    behind them

Of one that allocates; one that resizes has `call record_entry` behind its first `push`:

    moved:  the instructions that the jump covers
            jump    behind them
    here:   call    gate                    sets the carry flag if nothing is to be recorded
            jump    moved, if it is set
            push    BLOCK or where the result will be stored; any word if there is neither
            push    FACTOR or 1
            push    SIZE
            call    moved                   aligned as for the program: three words and an address
            call    record_result, record_resized, or record_out
            drop    3 words
            return
"""

from __future__ import annotations

from gdbleak.architectures import X86_64
from gdbleak.architectures.x86_64_encoder import JUMP_BYTES, Encoder
from gdbleak.architectures.x86_64_moving import Moved, move
from gdbleak.errors import AllocatorError
from gdbleak.inline.model import Cave, Hook, Image, InlinePlan, Jump, Site
from gdbleak.inline.recorder import fill_in, read_code, read_labels
from gdbleak.inline.ring import Ring
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.probes import Role

_ALIGNMENT = 16
_MAX_IMAGE_BYTES = 1 << 16
"""The number of a site has 16 bits."""
_MIN_UNIT_BITS, _MAX_UNIT_BITS = 6, 32
_HELP = "trace it with `--probe breakpoint`"


def build_in_any(plan: InlinePlan, ring: Ring) -> tuple[Cave, Image]:
    """Return the first cave of a plan that the image fits into, and the image.

    Raises:
        AllocatorError: It fits into none.

    """
    for cave in plan.caves[:-1]:
        try:
            return cave, build(plan, cave, ring)
        except AllocatorError:
            continue  # it is too small: the next may have more room before its first aligned byte
    if not plan.caves:
        raise AllocatorError("no code of the process has room for a recorder", _HELP)
    return plan.caves[-1], build(plan, plan.caves[-1], ring)


def build(plan: InlinePlan, cave: Cave, ring: Ring) -> Image:
    """Return what is written into a cave, and the jumps that lead there.

    Raises:
        AllocatorError: The cave is too small, or too far away.
        ValueError: The ring has too few or too many units.

    """
    if not _MIN_UNIT_BITS <= ring.unit_bits <= _MAX_UNIT_BITS:
        raise ValueError(f"2**{ring.unit_bits} units")
    skipped = -cave.address % _ALIGNMENT
    start = cave.address + skipped
    try:
        builder = _Builder(start)
        for number, hook in enumerate(plan.hooks):
            builder.add(number, hook)
    except OverflowError as error:
        raise AllocatorError(f"{cave.path}: {error}", _HELP) from error
    size, room = builder.size, min(len(cave.original) - skipped, _MAX_IMAGE_BYTES)
    if size > room:
        message = f"{cave.path}: there is room for {max(room, 0)} bytes of {size} of a recorder"
        raise AllocatorError(message, _HELP)
    labels = read_labels()
    return Image(
        address=start,
        code=fill_in(_words(plan, ring, start, size)) + builder.code,
        sites=tuple(builder.sites),
        jumps=tuple(builder.jumps),
        map_ring=start + labels["map_ring"],
        unmap_ring=start + labels["unmap_ring"],
        resume=start + labels["resume"],
    )


def _words(plan: InlinePlan, ring: Ring, start: int, size: int) -> dict[str, int]:
    """Return what is filled in; `resume` stays 0 until a thread is chosen."""
    own_start, own_end = plan.own_code
    return {
        "ring": ring.address,
        "ring_size": ring.size,
        "last_unit": ring.units - 1,
        "half": ring.units // 2,
        "last_bit": ring.unit_bits - 1,
        "own_code": own_start,
        "own_size": own_end - own_start,
        "own_to_image": own_start - start,
        "image_size": size,
    }


class _Builder:
    """Appends trampolines to a recorder that is at an address."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._labels = read_labels()
        self._encoder = Encoder(start + len(read_code()))
        self.sites: list[Site] = []
        self.jumps: list[Jump] = []

    @property
    def code(self) -> bytes:
        """The trampolines so far."""
        return self._encoder.code

    @property
    def size(self) -> int:
        """How many bytes the recorder and the trampolines have so far."""
        return self._encoder.here - self._start

    def add(self, number: int, hook: Hook) -> None:
        """Append the trampoline of a hook, and the jump to it."""
        if hook.function.allocates:
            original = self._encoder.here
            moved = self._add_moved(hook)
            start = self._encoder.here
            self._add_call(number, hook.function, original)
        else:
            start = self._encoder.here
            self._add_record(number, hook.function, Role.ENTRY)
            self._encoder.drop(1)
            moved = self._add_moved(hook)
        self._add_jump(hook, start, moved)

    def _add_moved(self, hook: Hook) -> Moved:
        """Append the instructions that a jump covers, and the way back behind them."""
        moved = move(hook.code, hook.patch, self._encoder.here)
        self._encoder.add(moved.code)
        self._encoder.jump(hook.patch + len(hook.code))
        return moved

    def _add_call(self, number: int, function: AllocatorFunction, original: int) -> None:
        """Append what calls a function that allocates, and records what it returns."""
        self._encoder.call(self._start + self._labels["gate"])
        self._encoder.jump_if_carry(original)
        *factors, size = (X86_64.argument_registers[number] for number in function.sizes)
        if function.pointer is not None:
            self._add_record(number, function, Role.ENTRY)
        else:
            stored = function.result
            self._encoder.push(size if stored is None else X86_64.argument_registers[stored])
        if factors:
            self._encoder.push(factors[0])
        else:
            self._encoder.push_one()
        self._encoder.push(size)
        self._encoder.call(original)
        self._add_result(number, function)
        self._encoder.drop(3)
        self._encoder.ret()

    def _add_record(self, number: int, function: AllocatorFunction, role: Role) -> None:
        """Append what pushes the block that a function frees or resizes, and records it."""
        if function.pointer is None:
            raise ValueError(f"{function.name} takes no block")
        self._encoder.push(X86_64.argument_registers[function.pointer])
        self._add_site(number, "record_entry", role)

    def _add_result(self, number: int, function: AllocatorFunction) -> None:
        """Append what records the block that a function has handed out."""
        if function.pointer is not None:
            self._add_site(number, "record_resized", Role.RETURN)
        elif function.result is not None:
            self._add_site(number, "record_out", Role.CALL)
        else:
            self._add_site(number, "record_result", Role.CALL)

    def _add_site(self, number: int, routine: str, role: Role) -> None:
        returned = self._encoder.call(self._start + self._labels[routine])
        self.sites.append(Site(returned - self._start, number, role))

    def _add_jump(self, hook: Hook, start: int, moved: Moved) -> None:
        jump = Encoder(hook.patch)
        jump.jump(start)
        twins = tuple(pair for pair in moved.places if pair[0] != hook.patch)
        self.jumps.append(Jump(hook.patch, hook.code, jump.code + hook.code[JUMP_BYTES:], twins))
