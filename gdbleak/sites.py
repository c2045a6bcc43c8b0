"""From what was added up for each call stack to the sites of a report. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gdbleak.callers import Wrappers, find_caller
from gdbleak.report import Estimate, Frame, Site
from gdbleak.stacks import CallStack
from gdbleak.tally import Tally
from gdbleak.turnover import Sizes, Turnover
from gdbleak.verdicts import judge

Key = tuple[CallStack, str]
"""What makes a site: where memory was handed out, and of which kind."""

Resolver = Callable[[Iterable[int]], "dict[int, tuple[Frame, ...]]"]


@dataclass(frozen=True)
class SiteMaker:
    """Makes sites, in an order."""

    sort: str
    """By outstanding `bytes` or `count`."""
    wrappers: Wrappers
    resolve: Resolver
    duration_s: float
    end_ns: int
    older_frees: Sizes
    """Blocks from before the window that were freed in it, by the class of their size."""

    def make(
        self, tallies: Mapping[Key, Tally], estimates: Mapping[Key, Estimate]
    ) -> tuple[Site, ...]:
        """Return a site for each call stack, ranked from 1.

        Args:
            tallies: What was added up for each.
            estimates: Of each, where the window was recorded in bursts.

        """

        def order(entry: tuple[Key, Tally]) -> tuple[int, ...]:
            key, tally = entry
            values = estimates.get(key, tally)
            sizes = (values.outstanding_bytes, values.outstanding_count)
            first, second = sizes if self.sort == "bytes" else sizes[::-1]
            return -first, -second, -tally.allocated_bytes, *key[0].addresses

        turnover = Turnover(self.older_frees, (tally.classes for tally in tallies.values()))
        frames_of = self.resolve({address for stack, _ in tallies for address in stack.addresses})
        return tuple(
            self._make(rank, key, tally, estimates.get(key), turnover, frames_of)
            for rank, (key, tally) in enumerate(sorted(tallies.items(), key=order), start=1)
        )

    def _make(
        self,
        rank: int,
        key: Key,
        tally: Tally,
        estimate: Estimate | None,
        turnover: Turnover,
        frames_of: Mapping[int, tuple[Frame, ...]],
    ) -> Site:
        stack, kind = key
        frames = tuple(frame for address in stack.addresses for frame in frames_of[address])
        oldest_ns = tally.oldest_ns
        size = tally.outstanding_bytes
        sampled = estimate is not None
        return Site(
            rank=rank,
            outstanding_bytes=size,
            outstanding_count=tally.outstanding_count,
            allocated_bytes=tally.allocated_bytes,
            allocated_count=tally.allocated_count,
            freed_count=tally.freed_count,
            bytes_per_s=size / self.duration_s if self.duration_s else 0.0,
            oldest_s=None if oldest_ns is None else (self.end_ns - oldest_ns) / 1e9,
            caller=find_caller(frames, self.wrappers),
            truncated=stack.truncated,
            frames=frames,
            kind=kind,
            estimate=estimate,
            verdict=judge(tally.story(0.0 if sampled else turnover.share(tally.classes), sampled)),
            history=tally.bytes.totals(),
        )
