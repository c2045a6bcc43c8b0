"""What is added up for one call stack, a block at a time. Pure."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gdbleak.analysis.folded import allot
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.recording.end import References
from gdbleak.recording.events import Folded
from gdbleak.recording.references import HELD, LOST, LOST_WITH, UNKNOWN, UNREACHED
from gdbleak.report.history import OLD_SHARE, PARTS, Series, Span
from gdbleak.report.model import Reach
from gdbleak.verdicts.facts import Growth, Story
from gdbleak.verdicts.levels import Level
from gdbleak.verdicts.sampling import Sample
from gdbleak.verdicts.survival import Ages
from gdbleak.verdicts.turnover import NO_ROOM, Came, Room

ENOUGH = 10
"""A share of fewer blocks says nothing."""


@dataclass
class Tally:
    """What is added up for a call stack: sizes in bytes, times and ages in nanoseconds."""

    span: Span
    outstanding_bytes: int = 0
    outstanding_count: int = 0
    allocated_bytes: int = 0
    allocated_count: int = 0
    freed_count: int = 0
    outstanding: list[Block] = field(default_factory=list)
    oldest_ns: int | None = None
    size: int = 0
    """Bytes of all blocks of the window together."""
    freed_ages: Ages = field(default_factory=Ages)
    alive_ages: array[int] = field(default_factory=lambda: array("q"))
    bytes: Series = field(default_factory=Series)
    births: Series = field(default_factory=Series)
    deaths: Series = field(default_factory=Series)
    """How many blocks of the window came, and went."""
    came: Came = field(default_factory=Came)
    resized: Series = field(default_factory=Series)
    """How much those have grown that were resized, and got half as old as the window."""
    resized_blocks: int = 0
    resizes: int = 0
    largest: tuple[int, int] = (0, 0)
    """First and last size of the one of them that grew most."""
    reached: Counter[int] = field(default_factory=Counter)
    """How many outstanding blocks were found to be what: see `Block.reach`."""
    freed_after: int = 0
    """How many blocks were freed although nothing had referred to them."""

    def add(self, block: Block, growth: Series | None, older_ns: float) -> None:
        """Add a block.

        Args:
            block: A block that the call stack allocated.
            growth: When it grew by how much; None if it was never resized.
            older_ns: How old a block has to be to count as outstanding.

        """
        self.allocated_bytes += block.allocated_bytes
        self.allocated_count += 1
        freed_ns = block.freed_ns
        alive = freed_ns is None
        age_ns = (freed_ns or self.span.end_ns) - block.born_ns
        if not block.is_older and not (block.is_last and alive):
            if alive:
                self.alive_ages.append(age_ns)
            else:
                self.freed_ages.add(age_ns)
            self.size += block.size or block.allocated_bytes
        if not alive:
            self.freed_count += 1
            if block.reach in UNREACHED:
                self.freed_after += 1
        elif age_ns >= older_ns and (block.net_bytes or not block.is_older):
            self.outstanding_bytes += block.net_bytes
            self.outstanding_count += 1
            self.outstanding.append(block)
            if block.reach:
                self.reached[block.reach] += 1
            self.oldest_ns = min(block.born_ns, self.oldest_ns or block.born_ns)
        self._follow(block, growth)
        if growth and alive and (block.is_older or age_ns >= self.span.observed_ns / 2):
            self._add_resized(block, growth)

    def add_folded(self, folded: Folded, blocks: int, size: int) -> None:
        """Add blocks that were handed out and freed within a moment.

        Args:
            folded: How old they were, and when that was.
            blocks: How many of its blocks.
            size: Bytes of these together.

        """
        for (age_ns, _), count in zip(folded.ages, allot(blocks, [n for _, n in folded.ages])):
            self.freed_ages.add_many(age_ns, count)
        self.allocated_bytes += size
        self.size += size
        self.allocated_count += blocks
        self.freed_count += blocks
        for part, count in self.span.spread(folded.from_ns, folded.to_ns, blocks):
            self.births.add(part, count)
            self.deaths.add(part, count)

    def _follow(self, block: Block, growth: Series | None) -> None:
        """Add when the block came, grew and went."""
        span, size = self.span, self.bytes
        went = None if block.freed_ns is None else span.part(block.freed_ns)
        if growth:
            size.merge(growth)
        if went is not None:
            size.add(went, -block.net_bytes)
        if block.is_older:
            return
        came = span.part(block.born_ns)
        self.births.add(came, 1)
        size.add(came, block.first_size)
        if went is not None:
            self.deaths.add(went, 1)
        if block.kind == HEAP and (went is None or went == PARTS):
            self.came.add(block.size, span.is_old(block.born_ns))

    def _add_resized(self, block: Block, growth: Series) -> None:
        self.resized.merge(growth)
        self.resized_blocks += 1
        self.resizes += block.reallocations
        first, last = self.largest
        if block.size - block.first_size > last - first:
            self.largest = block.first_size, block.size

    def merge(self, other: Tally) -> None:
        """Add all that was added to another."""
        self.outstanding_bytes += other.outstanding_bytes
        self.outstanding_count += other.outstanding_count
        self.allocated_bytes += other.allocated_bytes
        self.allocated_count += other.allocated_count
        self.freed_count += other.freed_count
        self.outstanding += other.outstanding
        births = [ns for ns in (self.oldest_ns, other.oldest_ns) if ns is not None]
        self.oldest_ns = min(births, default=None)
        self.size += other.size
        self.freed_ages.merge(other.freed_ages)
        self.alive_ages += other.alive_ages
        self.bytes.merge(other.bytes)
        self.births.merge(other.births)
        self.deaths.merge(other.deaths)
        self.came.old.update(other.came.old)
        self.came.young.update(other.came.young)
        self.resized.merge(other.resized)
        self.resized_blocks += other.resized_blocks
        self.resizes += other.resizes
        self.largest = max(self.largest, other.largest, key=lambda sizes: sizes[1] - sizes[0])
        self.reached.update(other.reached)
        self.freed_after += other.freed_after

    def reach(self, references: References | None) -> Reach | None:
        """Return what a search of memory has found; None if it did not look for these blocks."""
        looked_at = sum(self.reached.values())
        if not (looked_at or self.freed_after):
            return None
        return Reach(
            looked_at,
            lost=self.reached[LOST],
            lost_with=self.reached[LOST_WITH],
            held=self.reached[HELD],
            unknown=self.reached[UNKNOWN],
            looks=references.looks if references else 0,
            freed_after=self.freed_after,
        )

    @property
    def is_lost(self) -> bool:
        """Whether nothing refers to the blocks of the site any more."""
        reach = self.reach(None)
        return reach is not None and reach.is_lost

    def sample(self) -> Sample:
        """Return what is needed to estimate from a sample."""
        count = len(self.freed_ages) + len(self.alive_ages)
        older = [block.net_bytes for block in self.outstanding if block.is_older]
        return Sample(
            [
                (block.born_ns, block.net_bytes)
                for block in self.outstanding
                if not (block.is_older or block.is_last)
            ],
            self.freed_ages,
            self.alive_ages,
            self.size / max(count, 1),
            self.span.end_ns,
            len(older),
            sum(older),
        )

    @property
    def share_that_gets_old(self) -> float | None:
        """Which share of the blocks is old at the end; None where they are too few to tell."""
        count = len(self.freed_ages) + len(self.alive_ages)
        if count < ENOUGH:
            return None
        return sum(age >= self.span.observed_ns * OLD_SHARE for age in self.alive_ages) / count

    def story(
        self,
        room: Room,
        sampled: bool,
        usual_share: float = 0.0,
        never_freed: float = 0.0,
        births: Sequence[int] = (),
        stands_for: int = 1,
        references: References | None = None,
        misses_frees: bool = False,
        level: Level | None = None,
        speed: float | None = None,
    ) -> Story:
        """Return what is needed to judge.

        Args:
            room: How much of `came` older blocks have made room for.
            sampled: Whether the window was recorded in bursts.
            usual_share: Which share of the blocks of other sites gets old.
            never_freed: Which share of blocks seems never freed although it was.
            births: How many blocks all sites together had allocated by the end of each part.
            stands_for: How many blocks each one stands for, where others were left out.
            references: The search for references to the blocks.
            misses_frees: Whether it cannot tell a lost block from one that was freed unseen.
            level: What the heap holds of the size of most of the blocks.
            speed: See `Story`.

        """
        came, went = self.births.totals(), self.deaths.totals()
        growth = None
        if self.resized_blocks:
            growth = Growth(self.resized_blocks, self.resizes, *self.largest, self.resized.totals())
        return Story(
            freed=self.freed_ages,
            alive=self.alive_ages,
            blocks=tuple(born - died for born, died in zip(came, went)),
            sizes=self.bytes.totals(),
            growth=growth,
            room=NO_ROOM if sampled else room,
            window_ns=self.span.window_ns,
            observed_ns=self.span.observed_ns,
            sampled=sampled,
            stands_for=stands_for,
            reach=self.reach(references),
            references=references,
            misses_frees=misses_frees,
            speed=speed,
            never_freed=never_freed,
            usual_share=usual_share,
            others=tuple(every - own for every, own in zip(births, came)),
            level=level,
        )
