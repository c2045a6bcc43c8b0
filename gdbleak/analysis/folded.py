"""Which of the blocks that were folded a row of a report is about. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from gdbleak.recording.events import Folded


def allot(amount: int, shares: Sequence[int]) -> list[int]:
    """Divide an amount in proportion to shares, without a rest.

    >>> allot(10, [1, 1, 2]), allot(4, [1, 1, 2]), allot(3, [0]), allot(7, [])
    ([2, 3, 5], [1, 1, 2], [0], [])

    """
    whole = sum(shares)
    if not whole:
        return [0] * len(shares)
    ends = [amount * until // whole for until in accumulate(shares)]
    return [end - start for start, end in zip([0, *ends], ends)]


def divide(
    folded: Folded, by: str, zeros: int, counts: Callable[[int], bool] | None
) -> Iterator[tuple[int, int, int]]:
    """Yield parts of folded blocks: the thread, how many, and their bytes.

    Args:
        folded: The blocks.
        by: What rows are made by, see `gdbleak.analysis.grouping`. By `thread` and by `size`, there
            is a part for each; else the thread is 0.
        zeros: Only blocks count whose lot ends in so many zeros.
        counts: Whether blocks of a size count; None if all do.

    """
    blocks, size = folded.kept(zeros)
    parts = [(blocks, size)]
    if by == "size" or counts is not None:
        numbers = allot(blocks, [number for number, _ in folded.sizes])
        sizes = allot(size, [each for _, each in folded.sizes])
        parts = [
            (number, each)
            for number, each in zip(numbers, sizes)
            if number and (counts is None or counts(each // number))
        ]
    for number, each in parts if by == "size" else [_add_up(parts)]:
        threads = [(0, number)]
        if by == "thread":
            shares = allot(number, [share for _, share in folded.threads])
            threads = [(thread, share) for (thread, _), share in zip(folded.threads, shares)]
        for (thread, own), of_it in zip(threads, allot(each, [own for _, own in threads])):
            if own:
                yield thread, own, of_it


def _add_up(parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(number for number, _ in parts), sum(size for _, size in parts)
