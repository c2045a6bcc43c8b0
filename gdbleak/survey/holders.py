"""What to call the words on a way to a block: variables, stacks with their functions, registers."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress

from gdbleak.analysis.images import Images
from gdbleak.debugger.program import GdbProgram
from gdbleak.debugger.symbols import Symbolizer
from gdbleak.debugger.variables import name_thread_variables, name_variables
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import GdbleakError
from gdbleak.memory.pieces import WORD_BYTES
from gdbleak.memory.territory import Area, Kind
from gdbleak.memory.ways import Way
from gdbleak.report import ways as report
from gdbleak.report.variables import Variable
from gdbleak.survey.ground import Ground
from gdbleak.survey.threads import first_variable
from gdbleak.unwinding.stacks import Unwinder

_STACK_BYTES = 1 << 18
"""As much of a stack is unwound."""
_MOST_FRAMES = 200
_ANONYMOUS = "/dev/zero"
"""What the kernel calls shared memory without a file."""


class Naming:
    """Names of the words in a process, for those ways that are shown."""

    def __init__(self, ground: Ground, images: ImageCache, gdb: GdbProgram | None) -> None:
        self._ground = ground
        self._images = images
        owner = ground.memory.find_owner()
        self._symbolizer = Symbolizer(gdb, ground.modules, owner) if gdb else None
        self._frames: dict[int, list[tuple[int, int]]] = {}
        self.notes: list[str] = []

    def name(self, ways: Sequence[Way]) -> list[report.Way]:
        """Return the ways as they are shown."""
        roots = [(way.steps[-1].word, way.area) for way in ways]
        variables = name_variables(
            {word for word, area in roots if area.kind is Kind.MODULE},
            self._ground.modules,
            self._images,
            self._symbolizer,
        )
        variables.update(self._name_of_threads(roots))
        places = self._find_functions(roots)
        if self._symbolizer:
            self.notes += self._symbolizer.notes
        return [
            report.Way(
                (
                    *(
                        report.Holder(
                            step.word,
                            block=step.block.start,
                            block_bytes=step.block.end - step.block.start
                            if step.block.is_known
                            else None,
                        )
                        for step in way.steps
                        if step.block
                    ),
                    _root(way.steps[-1].word, way.area, variables, places),
                )
            )
            for way in ways
        ]

    def _name_of_threads(self, roots: Iterable[tuple[int, Area]]) -> dict[int, Variable]:
        """Return variables that each thread has of its own, of the program, by address."""
        program = self._ground.program
        offsets: dict[int, int] = {}
        for word, area in roots:
            block = self._ground.thread_blocks.get(area.thread)
            if area.kind is Kind.THREAD and block is not None and program:
                first = first_variable(block, program, self._images)
                if first is not None and first <= word < block:
                    offsets[word] = word - first
        if not offsets or program is None:
            return {}
        found = name_thread_variables(offsets.values(), program, self._images, self._symbolizer)
        return {word: found[offset] for word, offset in offsets.items() if offset in found}

    def _find_functions(self, roots: Iterable[tuple[int, Area]]) -> dict[int, str]:
        """Return in whose frame words on stacks are, such as `worker (pool.c:31)`."""
        if self._symbolizer is None:
            return {}
        counters: dict[int, int] = {}
        for word, area in roots:
            if area.kind is Kind.STACK:
                for start, counter in self._unwind(area.thread):
                    if start <= word:
                        counters[word] = counter
        frames = self._symbolizer.resolve(counters.values())
        found = {}
        for word, counter in counters.items():
            frame = frames[counter][-1]
            if frame.function:
                line = f" ({frame.file.rsplit('/', 1)[-1]}:{frame.line})" if frame.file else ""
                found[word] = f"{frame.function}{line}"
        return found

    def _unwind(self, number: int) -> list[tuple[int, int]]:
        """Return where the frames of a thread begin, and where each goes on, the innermost first.

        Nothing for a thread that runs. A return address that an earlier call has left between two
        frames may move the border.
        """
        if number in self._frames:
            return self._frames[number]
        thread = next(each for each in self._ground.threads if each.id == number)
        frames: list[tuple[int, int]] = []
        if thread.stack_pointer:
            with suppress(GdbleakError):
                frames = self._walk(thread.stack_pointer, thread.counter)
        self._frames[number] = frames
        return frames

    def _walk(self, stack_pointer: int, counter: int) -> list[tuple[int, int]]:
        stack = self._ground.memory.read(stack_pointer, _STACK_BYTES)
        # It is as if what called the kernel were a function that is about to return.
        stack = struct.pack("<Q", counter) + stack
        begin = stack_pointer - WORD_BYTES
        images = Images(self._images)
        unwinder = Unwinder(self._ground.modules, images.open, _MOST_FRAMES)
        frames = []
        at = 0
        words = memoryview(stack)[: len(stack) & -WORD_BYTES].cast("Q").tolist()
        for address in unwinder.unwind(stack, begin, {}).addresses:
            if address not in words[at:]:
                break
            at = words.index(address, at) + 1
            frames.append((begin + at * WORD_BYTES, address))
        return frames


def _root(
    word: int, area: Area, variables: dict[int, Variable], places: dict[int, str]
) -> report.Holder:
    """Return what to call a root."""
    variable = variables.get(word)
    if area.kind is Kind.THREAD and variable:
        text = f"{variable.text} of thread {area.thread}"
        return report.Holder(word, text, variable.place, variable.module)
    if variable:
        return report.Holder(word, variable.text, variable.place, variable.module)
    if area.kind is Kind.STACK:
        return report.Holder(word, f"thread {area.thread}'s stack", places.get(word))
    if area.kind is Kind.THREAD:
        return report.Holder(word, f"what thread {area.thread} has of its own")
    if area.kind is Kind.REGISTER:
        return report.Holder(word, f"a register of thread {area.thread}")
    name = "" if area.name == _ANONYMOUS else area.name.rsplit("/", 1)[-1]
    return report.Holder(word, f"{name or 'shared memory'}+{word - area.start:#x}")
