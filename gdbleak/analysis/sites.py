"""The sites of a report, from what was added up for each call stack. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from heapq import nsmallest
from statistics import median_low

from gdbleak.analysis.callers import Wrappers, find_caller
from gdbleak.analysis.estimates import Amounts
from gdbleak.analysis.grouping import Key
from gdbleak.analysis.holders import Chain
from gdbleak.analysis.tally import Tally
from gdbleak.ledger.blocks import HEAP, Block
from gdbleak.recording.end import References
from gdbleak.report.history import Series
from gdbleak.report.model import (
    Frame,
    Holder,
    OutstandingBlock,
    Reach,
    Recorded,
    Site,
    Verdict,
)
from gdbleak.verdicts.levels import Levels
from gdbleak.verdicts.strength import judge_with_strength, priority
from gdbleak.verdicts.turnover import Room, Turnover

Resolver = Callable[[Iterable[int]], "dict[int, tuple[Frame, ...]]"]
"""Returns the frames at each of some return addresses, an inlined function first."""

ENOUGH_SITES = 5
"""Among fewer sites nobody can say what is usual: one that leaks would count too much."""


@dataclass(frozen=True)
class SiteMaker:
    """Makes the sites of one report, in the order that was asked for."""

    sort: str
    """By `verdict` and its strength first, and by outstanding `bytes` or `count`."""
    wrappers: Wrappers
    frames_of: Mapping[int, tuple[Frame, ...]]
    """At each return address."""
    labels: Mapping[Key, str]
    """What groups of call stacks are called."""
    duration_s: float
    """Length of the window."""
    end_ns: int
    """When the window and its tail ended, on the recording's clock."""
    older_frees: Mapping[int, Sequence[int]]
    """Older blocks that were freed in each quarter of the window, by the class of their size."""
    listed_blocks: int = 0
    """How many outstanding blocks of each site are listed."""
    never_freed: float = 0.0
    """Which share of blocks seems never freed although it was: see `Sampling`."""
    one_of: int = 1
    """Of so many blocks one was kept, by its address: no reason to doubt what is said of those."""
    references: References | None = None
    """The search of memory for references to blocks."""
    doubtful_kinds: Collection[str] = ()
    """Kinds of blocks of which some may have been freed unseen, and nothing tells which."""
    speed: float | None = None
    """At which share of its usual speed the process ran; None where nothing slowed it."""
    holders: Mapping[Key, Sequence[Chain]] = field(default_factory=dict)
    """Who holds blocks of which site."""
    levels: Levels | None = None
    """What the heap holds."""

    def make(
        self, tallies: Mapping[Key, Tally], estimates: Mapping[Key, Amounts]
    ) -> tuple[Site, ...]:
        """Return a site for each call stack, ranked from 1.

        Args:
            tallies: What was added up for each call stack.
            estimates: What that stands for, where not all was recorded; else empty.

        """

        verdicts = self._judge(tallies, bool(estimates) and self.one_of == 1)

        def order(key: Key) -> tuple[int, ...]:
            values = estimates.get(key, tallies[key])
            sizes = (values.outstanding_bytes, values.outstanding_count)
            first, second = sizes[::-1] if self.sort == "count" else sizes
            urgent = priority(verdicts[key]) if self.sort == "verdict" else (0, 0)
            allocated = tallies[key].allocated_bytes
            # What is not shown, because nothing of it stays, has the last ranks: none is missing.
            is_over = not values.outstanding_count
            return is_over, *urgent, -first, -second, -allocated, *key.stack.addresses

        ranks = {key: rank for rank, key in enumerate(sorted(tallies, key=order), start=1)}
        return tuple(
            self._make(ranks, key, tallies[key], estimates.get(key), verdicts[key]) for key in ranks
        )

    def _judge(self, tallies: Mapping[Key, Tally], is_sampled: bool) -> dict[Key, Verdict]:
        room_of = self._compare(tallies)
        shares = [tally.share_that_gets_old for tally in tallies.values()] if is_sampled else []
        # A site that keeps most of its blocks means to: it does not tell what a sample misses.
        known = [share for share in shares if share is not None and share < 0.5]
        usual = median_low(known) if len(known) >= ENOUGH_SITES else 0.0
        births = Series()
        for tally in tallies.values():
            births.merge(tally.births)
        totals = births.totals()
        return {
            key: judge_with_strength(
                tally.story(
                    room_of(tally),
                    is_sampled,
                    usual,
                    self.never_freed,
                    totals,
                    self.one_of,
                    self.references,
                    key.kind in self.doubtful_kinds,
                    self.levels.of(tally.came) if self.levels and key.kind == HEAP else None,
                    self.speed,
                )
            )
            for key, tally in tallies.items()
        }

    def _compare(self, tallies: Mapping[Key, Tally]) -> Callable[[Tally], Room]:
        """Return what tells how much room older blocks have made for those of a site.

        First for those that can be freed: what is lost takes the place of nothing, unless it only
        seems to be lost.
        """
        every = tallies.values()
        held = Turnover(self.older_frees, (each.came for each in every if not each.is_lost))
        lost = Turnover(held.rest(), (each.came for each in every if each.is_lost))
        return lambda tally: (lost if tally.is_lost else held).room(tally.came)

    def _list(self, blocks: Iterable[Block]) -> tuple[OutstandingBlock, ...]:
        oldest = nsmallest(self.listed_blocks, blocks, key=lambda block: block.born_ns)
        return tuple(
            OutstandingBlock(
                block.address, block.size, (self.end_ns - block.born_ns) / 1e9, block.thread
            )
            for block in oldest
        )

    def _reach(self, ranks: Mapping[Key, int], key: Key, tally: Tally) -> Reach | None:
        """Return what was found in memory about the blocks of a site, and who holds them."""
        reach = tally.reach(self.references)
        chains = self.holders.get(key, ())
        if reach is None or not chains:
            return reach
        holders = (
            Holder(
                chain.blocks, chain.of, *chain.root, tuple(ranks[each] for each in chain.through)
            )
            for chain in chains
        )
        return replace(reach, holders=tuple(holders))

    def _make(
        self,
        ranks: Mapping[Key, int],
        key: Key,
        tally: Tally,
        estimate: Amounts | None,
        verdict: Verdict,
    ) -> Site:
        stack = key.stack
        frames = tuple(frame for address in stack.addresses for frame in self.frames_of[address])
        oldest_ns = tally.oldest_ns
        recorded = Recorded(**{each.name: getattr(tally, each.name) for each in fields(Recorded)})
        history = tally.bytes.totals()
        amounts: dict[str, int] = vars(recorded)
        if estimate:
            amounts = _scale(recorded, estimate)
            history = tuple(round(estimate.scale * size) for size in history)
        size = amounts["outstanding_bytes"]
        return Site(
            rank=ranks[key],
            **amounts,
            bytes_per_s=size / self.duration_s if self.duration_s else 0.0,
            oldest_s=None if oldest_ns is None else (self.end_ns - oldest_ns) / 1e9,
            caller=find_caller(frames, self.wrappers),
            truncated=stack.truncated,
            frames=frames,
            kind=key.kind,
            recorded=recorded if estimate else None,
            verdict=verdict,
            group=self.labels.get(key),
            history=history,
            blocks=self._list(tally.outstanding),
            reach=self._reach(ranks, key, tally),
        )


def _scale(recorded: Recorded, estimate: Amounts) -> dict[str, int]:
    """Return what a site has done in all, by the names of its fields."""
    return {
        "outstanding_bytes": estimate.outstanding_bytes,
        "outstanding_bytes_low": estimate.outstanding_bytes_low,
        "outstanding_bytes_high": estimate.outstanding_bytes_high,
        "outstanding_count": estimate.outstanding_count,
        # A count that is small by chance is no less than what is left of it.
        "allocated_bytes": max(
            round(recorded.allocated_bytes * estimate.scale), estimate.outstanding_bytes
        ),
        "allocated_count": max(
            round(recorded.allocated_count * estimate.scale), estimate.outstanding_count
        ),
        "freed_count": round(recorded.freed_count * estimate.scale),
    }
