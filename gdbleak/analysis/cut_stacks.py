"""Call stacks that were cut because little of the stack was kept. Pure.

A target that records itself keeps less of its stack the busier it is, and of some blocks more. So
one call stack is seen whole at some times and cut at others. A cut one is taken for the longer one
that begins like it, if there is only one.

Unless blocks of the cut one stay, and none of the longer one does: then who handed them out may be
somebody else, who does so too rarely to have been seen whole, and must not be mixed up with the
longer one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gdbleak.analysis.grouping import Key
from gdbleak.analysis.tally import Tally

Beginning = tuple[str, str, tuple[int, ...]]
"""Kind, part, and the first addresses of a call stack."""


def complete(tallies: Mapping[Key, Tally]) -> dict[Key, Tally]:
    """Add what was added up for cut call stacks to what it was for the whole ones.

    The tallies of those that are taken for others are spent.
    """
    lengths = {len(key.stack.addresses) for key in tallies if key.stack.truncated}
    longer: dict[Beginning, set[Key]] = {}
    for key in tallies:
        for length in lengths:
            if length < len(key.stack.addresses):
                longer.setdefault(_begin(key, length), set()).add(key)
    completed = dict(tallies)
    cut = [key for key in tallies if key.stack.truncated]
    # The longest first: it may be what a shorter one is taken for.
    for key in sorted(cut, key=lambda key: len(key.stack.addresses), reverse=True):
        length = len(key.stack.addresses)
        candidates = longer.get(_begin(key, length), set()) & completed.keys()
        whole = _choose(candidates, completed, tallies[key].outstanding_count > 0)
        if whole:
            completed[whole].merge(completed.pop(key))
    return completed


def _choose(candidates: Iterable[Key], tallies: Mapping[Key, Tally], stays: bool) -> Key | None:
    """Return the longest call stack a cut one is taken for, if there is only one that long.

    Args:
        candidates: The longer ones that begin like it.
        tallies: What was added up for each.
        stays: Whether blocks of the cut one stay: then some have to of the longer one too.

    """
    chain = sorted(candidates, key=lambda key: len(key.stack.addresses), reverse=True)
    for before, after in zip(chain, chain[1:]):
        length = len(after.stack.addresses)
        is_cut = after.stack.truncated and length < len(before.stack.addresses)
        if not is_cut or _begin(before, length) != _begin(after, length):
            return None
    return next((key for key in chain if tallies[key].outstanding_count or not stays), None)


def _begin(key: Key, length: int) -> Beginning:
    return key.kind, key.part, key.stack.addresses[:length]
