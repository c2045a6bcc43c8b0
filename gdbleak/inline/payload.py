"""Builds what is written into a target: the recorder, and a trampoline for each function. Pure.

A trampoline is entered at `here`. Behind each `call`, the slot of its return address is cleared.

    moved:  the instructions that the jump covers
            jump    behind them
    here:   call    gate            sets the carry flag if nothing is to be recorded
            jump    moved, if it is set
            push    BLOCK, of a function that frees or resizes
            call    record_entry
            call    moved
            drop    1 word
            return

The original is called, for it may end in a jump to another function that is recorded, or to
itself: that one finds a return address in the image, and takes the call for the allocator's own.
Of a function that allocates, three words are on the stack. It is aligned as for the program anyway:

            push    BLOCK, or where the result will be stored; any word if there is neither
            call    record_entry, if it resizes
            push    FACTOR or 1
            push    SIZE
            call    moved
            call    record_result, record_resized, or record_out
            drop    3 words
            return

No exception could leave an original that is called so, for nothing tells how to unwind a frame in
the image. One that may throw returns to the pad instead (see `pads`), where a jump leads on. The
frame is as large as that of the function which the pad is behind. Its upmost word says whose it is.
There is a call for each return, though it returns elsewhere: otherwise the processor would foresee
the returns of all callers wrongly.

            push    NUMBER          which overwrites BLOCK, if it resizes
            push    FACTOR or 1
            push    SIZE
            take    the rest of the frame
            call    to_pad          which is before `moved`
    result: call    record_result, or record_resized
            drop    3 words
            return

    to_pad: drop    the return address
            push    the address of the pad
    moved:  ...

    pad:    clear   where the return address was
            drop    the rest of the frame
            jump    to the `result` of that number
"""

from __future__ import annotations

from dataclasses import replace

from gdbleak.architectures import X86_64
from gdbleak.architectures.x86_64_encoder import Encoder
from gdbleak.architectures.x86_64_moving import JUMP_BYTES, UnmovableError, move
from gdbleak.errors import InlineRefusedError
from gdbleak.inline.model import Cave, Hook, Image, InlinePlan, Jump, Pad, Site
from gdbleak.inline.recorder import fill_in, read_code, read_labels
from gdbleak.inline.ring import WORD_BYTES, Ring
from gdbleak.recording.probes import Role

_ALIGNMENT = 16
_MAX_IMAGE_BYTES = 1 << 16
"""The number of a site has 16 bits."""
_FRAME_WORDS, _OWNER = 4, 2
"""Of a frame that the pad returns to, without its rest, and which of them says whose it is."""
_MIN_UNIT_BITS, _MAX_UNIT_BITS = 6, 32


def build_in_any(plan: InlinePlan, ring: Ring) -> tuple[Cave, Image]:
    """Return the first cave of a plan that the image fits into, and the image.

    Raises:
        InlineRefusedError: It fits into none.

    """
    for cave in plan.caves[:-1]:
        try:
            return cave, build(plan, cave, ring)
        except InlineRefusedError:
            continue  # it is too small, or too far from a hook
    if not plan.caves:
        raise InlineRefusedError("no code of the process has room for a recorder")
    return plan.caves[-1], build(plan, plan.caves[-1], ring)


def build(plan: InlinePlan, cave: Cave, ring: Ring) -> Image:
    """Return what is written into a cave, and the jumps that lead there.

    Raises:
        InlineRefusedError: The cave is too small, or too far away.
        ValueError: The ring has too few or too many units.

    """
    if not _MIN_UNIT_BITS <= ring.unit_bits <= _MAX_UNIT_BITS:
        raise ValueError(f"2**{ring.unit_bits} units")
    chooses = plan.sizes is not None
    skipped = -cave.address % _ALIGNMENT
    start = cave.address + skipped
    try:
        builder = _Builder(start, plan.pad, chooses)
        for number, hook in enumerate(plan.hooks):
            builder.add(number, hook)
        builder.finish()
    except (OverflowError, UnmovableError) as error:
        raise InlineRefusedError(f"{cave.path}: {error}") from error
    size, room = builder.size, min(len(cave.original) - skipped, _MAX_IMAGE_BYTES)
    if size > room:
        message = f"{cave.path}: there is room for {max(room, 0)} bytes of {size} of a recorder"
        raise InlineRefusedError(message)
    labels = read_labels()
    return Image(
        address=start,
        code=fill_in(_words(plan, ring, start, size), chooses) + builder.code,
        sites=tuple(builder.sites),
        jumps=tuple(builder.jumps),
        map_ring=start + labels["map_ring"],
        unmap_ring=start + labels["unmap_ring"],
        resume=start + labels["resume"],
    )


def _words(plan: InlinePlan, ring: Ring, start: int, size: int) -> dict[str, int]:
    """Return what is filled in; `resume` stays 0 until a thread is chosen."""
    own_start, own_end = plan.own_code
    least_chunk, largest_chunk = plan.sizes.chunks if plan.sizes else (0, 0)
    least, most = plan.sizes.requests if plan.sizes else (0, 0)
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
        "pad": plan.pad.address if plan.pad else 0,
        "least_chunk": least_chunk,
        "chunk_span": largest_chunk - least_chunk,
        "least_request": least,
        "request_span": most - least,
    }


class _Builder:
    """Appends trampolines to a recorder that is at an address."""

    def __init__(self, start: int, pad: Pad | None, chooses: bool) -> None:
        self._start = start
        self._chooses = chooses
        """Whether only blocks of some sizes are recorded."""
        self._pad = pad
        self._results: list[int] = []
        """Where the trampolines go on whose originals have returned to the pad."""
        self._labels = read_labels()
        self._encoder = Encoder(start + len(read_code(chooses)))
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
        function, to_pad = hook.function, self._encoder.here
        if hook.throws:
            self._encoder.drop(1)
            self._encoder.push_from(self._start + self._labels["pad"])
        original = self._encoder.here
        moved = move(hook.code, hook.patch, original)
        self._encoder.add(moved.code)
        self._encoder.jump(hook.patch + len(hook.code))
        self.jumps.append(self._make_jump(hook.patch, hook.code, moved.places))
        self._encoder.call(self._start + self._labels["gate"], keep_flags=True)
        self._encoder.jump_if_carry(original)
        words = self._push(number, hook)
        if hook.throws:
            self._encoder.take(self._rest_words)
            self._results.append(self._encoder.call_away(to_pad))
        else:
            self._encoder.call(original)
        if function.allocates:
            self._add_result(number, hook)
        self._encoder.drop(words)
        self._encoder.ret()

    def finish(self) -> None:
        """Append what the pad leads to, if there is one, and the jump there, before the others."""
        if self._pad is None:
            return
        jump = self._make_jump(self._pad.address, self._pad.original, ())
        self.jumps.insert(0, replace(jump, is_pad=True))
        self._encoder.clear()
        self._encoder.drop(self._rest_words)
        for number, result in enumerate(self._results[1:], 1):
            self._encoder.jump_if_word(_OWNER, number, result)
        self._encoder.jump(self._results[0])

    def _make_jump(self, address: int, original: bytes, twins: tuple[tuple[int, int], ...]) -> Jump:
        """Return a jump from an address to what comes next."""
        jump = Encoder(address)
        jump.jump(self._encoder.here)
        return Jump(address, original, jump.code + original[JUMP_BYTES:], twins)

    @property
    def _rest_words(self) -> int:
        """How many words the frame has that nobody needs."""
        assert self._pad is not None
        return self._pad.frame_bytes // WORD_BYTES - _FRAME_WORDS

    def _push(self, number: int, hook: Hook) -> int:
        """Append what pushes the arguments to record, and return how many words those are."""
        function = hook.function
        registers = X86_64.argument_registers
        sizes = [registers[argument] for argument in function.sizes]
        if function.pointer is not None:
            self._encoder.push(registers[function.pointer])
            routine = "record_sized_entry" if hook.sized else "record_entry"
            if self._chooses and hook.chooses_ends:
                routine = "record_chosen_entry"
            self._add_site(number, routine, Role.ENTRY)
            if not sizes:
                return 1
            if hook.throws:
                self._encoder.set_top(len(self._results))
        elif hook.throws:
            self._encoder.push_number(len(self._results))
        else:
            self._encoder.push(sizes[0] if function.result is None else registers[function.result])
        if len(sizes) > 1:
            self._encoder.push(sizes[0])
        else:
            self._encoder.push_number(1)
        self._encoder.push(sizes[-1])
        return 3

    def _add_result(self, number: int, hook: Hook) -> None:
        """Append what records the block that a function has handed out."""
        function, kind = hook.function, ""
        if self._chooses:
            kind = "chosen_" if hook.tells_size else "requested_"
        if function.pointer is not None:
            self._add_site(number, f"record_{kind}resized", Role.RETURN)
        elif function.result is not None:
            self._add_site(number, f"record_{kind}out", Role.CALL)
        else:
            self._add_site(number, f"record_{kind}result", Role.CALL)

    def _add_site(self, number: int, routine: str, role: Role) -> None:
        returned = self._encoder.call(self._start + self._labels[routine])
        self.sites.append(Site(returned - self._start, number, role))
