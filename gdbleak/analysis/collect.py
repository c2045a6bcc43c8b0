"""From the events of a recording to what was added up for each call stack. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from gdbleak.analysis.allocator_mappings import AllocatorMappings
from gdbleak.analysis.cut_stacks import complete
from gdbleak.analysis.folded import divide
from gdbleak.analysis.grouping import Key, name_part, part_of
from gdbleak.analysis.images import Images
from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.tally import Tally
from gdbleak.elf.cache import ImageCache
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.ledger.heap import Ledger, ignore
from gdbleak.ledger.replay import Replay
from gdbleak.recording.censuses import Censuses
from gdbleak.recording.choice import lot_of
from gdbleak.recording.end import UNFINISHED
from gdbleak.recording.events import Folded, Hit, Resident, Turn
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Role
from gdbleak.recording.reader import Recording
from gdbleak.recording.references import UNREACHED, Held, Holding, Reached
from gdbleak.report.history import PARTS, QUARTER, Series, Span
from gdbleak.unwinding.known_stacks import CallStack
from gdbleak.unwinding.stacks import Unwinder
from gdbleak.verdicts.turnover import UNKNOWN, size_class

MOST_SHARED = 1 << 16
"""Of so many raw stacks it is kept which call stack each is; then all of that is forgotten."""

_BEHIND_SEARCH_S = 1.0
"""At most so much time is recorded behind the end of a search of memory."""


@dataclass(frozen=True)
class Collected:
    """What the events of a recording come to."""

    span: Span
    events: int
    """Calls and returns."""
    ledger: Ledger
    """Closed."""
    tallies: Mapping[Key, Tally]
    """Of each call stack whose blocks the report is about."""
    older_frees: Mapping[int, Sequence[int]]
    """Older blocks that were freed in each quarter of the window, by the class of their size."""
    called: frozenset[int]
    """The probes that were hit, by number."""
    turns: tuple[Turn, ...]
    calls: tuple[int, ...]
    """How many calls that allocate had been recorded by each of these."""
    resident: tuple[Resident, ...]
    notes: tuple[str, ...]
    """Sentences about modules that could not be unwound through."""
    reached_ns: int
    """When memory was last searched for references to blocks; 0 if it was not."""
    held: tuple[Held, ...]
    """A sample of the blocks that are held, and who holds them."""
    censuses: Censuses | None = None
    """What the heap held of each size, if it was counted."""

    @property
    def misses_frees(self) -> bool:
        """Whether blocks may have been freed unseen before memory was searched."""
        return any(t.phase is Phase.NONE and t.time_ns < self.reached_ns for t in self.turns)


def collect(
    recording: Recording, modules: ModuleMap, options: ReportOptions, cache: ImageCache
) -> Collected:
    """Replay a recording, and add up its blocks by call stack.

    Args:
        recording: Read once from its first event to its last.
        modules: What the process had mapped, with the files to unwind through.
        options: Which blocks count.
        cache: Keeps the files that earlier stages have read.

    """
    span = find_span(recording)
    images = Images(cache)
    adder = _Adder(recording, modules, images, options, span)
    replay = Replay(
        recording.head.probes,
        recording.head.functions,
        adder.add,
        adder.resize,
        adder.free_older,
        ignore if adder.leaves_out else adder.admit,
        recording.zeros,
        lot_of(recording.head.version),
    )
    called: set[int] = set()
    turns = []
    calls = []
    resident = []
    held: list[Held] = []
    censuses = None
    reached_ns = 0
    for event in recording.iter_events():
        if isinstance(event, Hit):
            called.add(event.probe)
            replay.feed_hit(event)
            continue
        replay.feed(event)
        if isinstance(event, Turn):
            turns.append(event)
            calls.append(replay.ledger.allocations + replay.ledger.resizes)
        elif isinstance(event, Resident):
            resident.append(event)
        elif isinstance(event, Reached):
            reached_ns = event.time_ns
            adder.note_reached(event)
        elif isinstance(event, Holding):
            held += event.blocks
        elif isinstance(event, Censuses):
            censuses = event
        elif isinstance(event, Folded) and replay.takes(event):
            called.add(event.probe)
            adder.add_folded(event)
    ledger = replay.ledger
    ledger.close()
    for block in ledger.survivors:
        adder.add(block)
    return Collected(
        span=span,
        events=replay.events,
        ledger=ledger,
        tallies=complete(adder.tallies) if recording.is_inline else adder.tallies,
        older_frees=adder.older_frees,
        called=frozenset(called),
        turns=tuple(turns),
        calls=tuple(calls),
        resident=tuple(resident),
        notes=tuple(images.notes),
        reached_ns=reached_ns,
        held=tuple(held),
        censuses=censuses,
    )


def find_span(recording: Recording) -> Span:
    """Return when the window was opened and closed, and its tail ended."""
    end_ns = (recording.end or UNFINISHED).end_ns or recording.last_ns
    # Without a beginning there was no window: the process ended while it was attached to.
    opened_ns = end_ns if recording.opened_ns is None else recording.opened_ns
    end_ns = max(end_ns, opened_ns)
    closed_ns = end_ns
    if recording.head.tail_s:
        closed_ns = min(end_ns, opened_ns + round(recording.head.duration_s * 1e9))
    elif recording.end and recording.end.searched_ns is not None:
        closed_ns = min(max(recording.end.searched_ns, opened_ns), end_ns)
    elif not recording.end and recording.closed_ns is not None:  # it is being searched
        closed_ns = min(max(recording.closed_ns, opened_ns), end_ns)
    return Span(opened_ns, closed_ns, end_ns)


def _find_search(recording: Recording) -> float:
    """Return a time before which memory had not been searched; without a search it never was."""
    search = (recording.end or UNFINISHED).references
    if search is None:
        return inf
    return recording.last_ns - (search.took_s + _BEHIND_SEARCH_S) * 1e9


class _Adder:
    """Adds blocks up as the ledger retires them, so that those that are freed need not be kept."""

    def __init__(
        self,
        recording: Recording,
        modules: ModuleMap,
        images: Images,
        options: ReportOptions,
        span: Span,
    ) -> None:
        self.older_frees: dict[int, list[int]] = {}
        self._growth: dict[int, Series] = {}
        """Of the blocks that were resized and not added yet, by their identity."""
        self._stacks: list[CallStack] = []
        self._numbers: dict[CallStack, int] = {}
        """What blocks know their call stacks by."""
        self._shared: dict[int, int] = {}
        """The same by the position of a stack, where several blocks may have it."""
        self._shares = any(probe.role is Role.CALL for probe in recording.head.probes)
        self._tallies: dict[tuple[int, str, str], Tally] = {}
        """By number of the call stack, kind and part: see `Key`."""
        self._recording = recording
        self._min_size, self._max_size = options.min_size, options.max_size
        self.leaves_out = self._min_size > 0 or self._max_size is not None
        """Blocks of some sizes do not count: so no stack is unwound before that is known."""
        self._older_ns = options.older_ms * 1e6
        self._by = options.by
        self._span = span
        self._searched_ns = _find_search(recording)
        self._freed: dict[tuple[int, int], Tally] = {}
        """By address and time of birth, the tallies of blocks that were freed since."""
        self._zeros = recording.zeros
        self._unwinder = Unwinder(modules, images.open, options.max_frames)
        self._own_mappings = AllocatorMappings(recording, modules, images.open)

    @property
    def tallies(self) -> dict[Key, Tally]:
        """What was added up for each call stack, in the order of their first blocks."""
        return {
            Key(self._stacks[number], kind, part): tally
            for (number, kind, part), tally in self._tallies.items()
        }

    def admit(self, block: Block) -> None:
        """Unwind the stack of a new block: it takes least time right after it was read."""
        block.stack = self._find_number(block.stack)

    def _find_number(self, position: int) -> int:
        """Return the number of the call stack whose raw stack is at a position."""
        number = self._shared.get(position)
        if number is None:
            number = self._unwind(position)
            if self._shares:
                if len(self._shared) == MOST_SHARED:
                    self._shared.clear()
                self._shared[position] = number
        return number

    def _unwind(self, position: int) -> int:
        stack, registers = self._recording.stack(position)
        call_stack = self._unwinder.unwind(stack, registers["rsp"], registers)
        number = self._numbers.get(call_stack)
        if number is None:
            number = self._numbers[call_stack] = len(self._stacks)
            self._stacks.append(call_stack)
        return number

    def resize(self, block: Block, by: int, time_ns: int) -> None:
        """Keep by how much a block grew until it is known whether it counts."""
        self._growth.setdefault(id(block), Series()).add(self._span.part(time_ns), by)

    def free_older(self, size: int, time_ns: int) -> None:
        """Count a free of a block from before the window."""
        part = self._span.part(time_ns)
        if part < PARTS:
            kind = size_class(size) if size else UNKNOWN
            self.older_frees.setdefault(kind, [0] * 4)[part // QUARTER] += 1

    def add(self, block: Block) -> None:
        """Add a block to its call stack, if the report is about blocks of its size."""
        growth = self._growth.pop(id(block), None) if self._growth else None
        if self.leaves_out:
            if not self._counts(block.size):
                return
            self.admit(block)
        if block.kind != HEAP and self._own_mappings.include(self._stacks[block.stack]):
            return
        part = part_of(block, self._by) if self._by != "stack" else ""
        tally = self._find_tally(block.stack, block.kind, part)
        tally.add(block, growth, self._older_ns)
        if block.freed_ns is not None and block.freed_ns >= self._searched_ns:
            self._freed[block.address, block.born_ns] = tally

    def note_reached(self, reached: Reached) -> None:
        """Count blocks that nothing referred to, and that were freed while others were looked for.

        The frees are before the result in the recording: the ledger knows nothing of them any more.
        """
        for address, born_ns, state in reached.blocks:
            if state in UNREACHED:
                tally = self._freed.pop((address, born_ns), None)
                if tally is not None:
                    tally.freed_after += 1

    def add_folded(self, folded: Folded) -> None:
        """Add blocks that were handed out and freed within a moment."""
        number = self._find_number(folded.position)
        counts = self._counts if self.leaves_out else None
        for thread, blocks, size in divide(folded, self._by, self._zeros, counts):
            part = name_part(thread, size // blocks, self._by)
            self._find_tally(number, HEAP, part).add_folded(folded, blocks, size)

    def _counts(self, size: int) -> bool:
        return self._min_size <= size and (self._max_size is None or size <= self._max_size)

    def _find_tally(self, stack: int, kind: str, part: str) -> Tally:
        key = stack, kind, part
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(self._span)
        return tally
