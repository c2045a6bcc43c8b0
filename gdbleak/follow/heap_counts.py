"""The process that counts the blocks of a heap by size while a window is open.

It begins by itself, and is told when the window is over by a line of JSON; it answers with another:

- in: `{"close": number}`, how many ns the recording's clock is ahead of the monotonic one
- out: `{"heap": {...}}`, when the frame for the recording is in a file
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gdbleak.census.describe import describe_sizes
from gdbleak.census.take import take_census
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import NoSuchProcessError, TargetError
from gdbleak.follow.line import Line, quietly, write
from gdbleak.memory.pieces import Range
from gdbleak.recording.censuses import Censuses, CountedSize, encode_censuses
from gdbleak.recording.end import HeapCount
from gdbleak.report.heap import SizeClass
from gdbleak.target.examined import ExaminedProcess

INTERVALS = 10
"""So many times is a window divided by censuses."""
PAUSES = 5
"""After a census comes a pause of so many times as long, at least."""
_NICENESS = 5
"""The target comes first."""
_RECENT = 0.25
"""A census that began in this last share of an interval is the last one."""


class _TooLongError(Exception):
    """A census takes too long."""


@dataclass(frozen=True)
class Task:
    """Whose heap is counted, and how."""

    pid: int
    duration_s: float
    """Length of the window."""
    left_out: tuple[tuple[int, int], ...]
    """Memory of the target that is ours."""
    limit_s: float
    """How long one census may take."""
    result: str
    """The file for the frame."""


def main(path: str) -> None:
    """Do what a pickled task says."""
    with quietly:
        task = Task(**pickle.loads(Path(path).read_bytes()))
        line = Line()
        os.nice(_NICENESS)
        try:
            found = _count(task, line)
        except _TooLongError:
            found = _none(f"one census takes longer than {task.limit_s:g} s: see gdbleak heap")
        except PermissionError:
            found = _none("the process lets nobody look at it any more")
        except NoSuchProcessError:
            found = _none("the process ended meanwhile")
        except TargetError as error:
            found = _none(str(error))
        except MemoryError:
            found = _none("it takes more memory than there is")
        line.tell(heap=asdict(found))


def _none(reason: str) -> HeapCount:
    return HeapCount(0, 0.0, reason)


@dataclass(frozen=True)
class _Census:
    began_s: float
    ended_s: float
    sizes: Mapping[int, SizeClass]


def _count(task: Task, line: Line) -> HeapCount:
    censuses: list[_Census] = []
    order = None
    interval_s = task.duration_s / INTERVALS
    with ImageCache() as images, ExaminedProcess(task.pid, images) as process:
        while order is None:
            census = _take(task, process, images)
            if census is None:
                return _none("glibc's malloc has no heap in it")
            censuses.append(census)
            took_s = census.ended_s - census.began_s
            next_s = max(census.began_s + interval_s, census.ended_s + PAUSES * took_s)
            order = line.hear(max(next_s - time.monotonic(), 0))
        if time.monotonic() - censuses[-1].began_s > _RECENT * interval_s:
            last = _take(task, process, images)
            if last:
                censuses.append(last)
    longest_s = max(each.ended_s - each.began_s for each in censuses)
    reason = write(task.result, encode_censuses(_describe(censuses, order["close"])))
    return _none(reason) if reason else HeapCount(len(censuses), longest_s)


def _take(task: Task, process: ExaminedProcess, images: ImageCache) -> _Census | None:
    began_s = time.monotonic()

    def check(_share: float) -> None:
        if time.monotonic() - began_s > task.limit_s:
            raise _TooLongError

    left_out = [Range(*each) for each in task.left_out]
    _, count = take_census(process, images, check, left_out=left_out)
    if count is None:
        return None
    return _Census(began_s, time.monotonic(), describe_sizes(count))


def _describe(censuses: list[_Census], ahead_ns: int) -> Censuses:
    """Return what all censuses have found of each size."""
    found = []
    for key in sorted({key for census in censuses for key in census.sizes}):
        known = [census.sizes[key] for census in censuses if key in census.sizes]
        last = censuses[-1].sizes.get(key)
        found.append(
            CountedSize(
                min(size.low for size in known),
                max(size.high for size in known),
                last.in_use.bytes if last else 0,
                tuple(
                    census.sizes[key].in_use.count if key in census.sizes else 0
                    for census in censuses
                ),
            )
        )
    middles = (round((census.began_s + census.ended_s) / 2 * 1e9) for census in censuses)
    return Censuses(tuple(middle + ahead_ns for middle in middles), tuple(found))
