"""A look at the heap of a process or a core file, from the first census to the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import NamedTuple

import numpy as np

from gdbleak.census.describe import describe_arenas, describe_sizes, sum_in_use, sum_large
from gdbleak.census.glibc import Census, Count
from gdbleak.census.series import Series
from gdbleak.census.threads import read_thread_words
from gdbleak.census.wish import HeapWish
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import NoSuchProcessError
from gdbleak.heap.walk import Words
from gdbleak.report.heap import Amount, HeapReport, Taking
from gdbleak.target.examined import Examined
from gdbleak.target.held import HeldProcess
from gdbleak.target.proc import Mapping as Mapped

_UNFOLLOWED = (
    "Some lists of free blocks were too long, or changed too fast, to be followed: the blocks on"
    " them count as in use."
)


class _Taken(NamedTuple):
    heap: Count | None
    mappings: Sequence[Mapped]
    words: Mapping[int, Words]
    pause_ms: float | None


class Examination:
    """A look at one heap."""

    def __init__(
        self,
        process: Examined,
        images: ImageCache,
        wish: HeapWish,
        tell: Callable[[int, float], None] = lambda _number, _share: None,
    ) -> None:
        """Prepare it.

        Args:
            process: The process, or the core file.
            images: Keeps its ELF files.
            wish: How to look.
            tell: Called with the number of the census, from 0, and the share of it that is done;
                it may raise.

        """
        self._process = process
        self._images = images
        self._wish = wish
        self._tell = tell
        self._notes: list[str] = []

    def run(self, core: str | None = None) -> HeapReport:
        """Return what is in the heap; Ctrl-C ends it after the census before.

        Args:
            core: The path of the core file.

        Raises:
            TargetError: the process cannot be read, or has ended before the first census.
            KeyboardInterrupt: Ctrl-C came before the first census was done.

        """
        began_s = time.monotonic()
        series = Series()
        taken = self._take(0)
        series.add(0.0, describe_sizes(taken.heap) if taken.heap else {})
        try:
            while len(series) < self._wish.count:
                next_s = began_s + len(series) * self._wish.interval_s
                time.sleep(max(next_s - time.monotonic(), 0))
                now_s = time.monotonic() - began_s
                taken = self._take(len(series))
                series.add(now_s, describe_sizes(taken.heap) if taken.heap else {})
        except KeyboardInterrupt:
            self._notes.append("It was interrupted before the last census.")
        except NoSuchProcessError:
            self._notes.append("The process ended before the last census.")
        return self._report(core, taken, series, time.monotonic() - began_s)

    def _take(self, number: int) -> _Taken:
        with ExitStack() as stack:
            held = None
            if self._wish.stop and not self._process.is_core:
                held = stack.enter_context(
                    HeldProcess(self._process.pid, self._wish.max_pause_ms / 1e3)
                )
            mappings = self._process.read_mappings()
            if not mappings:
                raise NoSuchProcessError(f"process {self._process.pid} has ended meanwhile")
            words = read_thread_words(self._process, mappings, self._images)
            count = Census(
                self._process,
                mappings,
                frozenset(np.unique(np.concatenate([*words.values(), _NO_WORDS])).tolist()),
                keeps=self._wish.lost,
                is_still=held is not None,
                tell=lambda share: self._tell(number, share),
            ).take()
            if held is None:
                return _Taken(count, mappings, words, None)
            held.release()
            return _Taken(count, mappings, words, held.pause_ms)

    def _report(self, core: str | None, taken: _Taken, series: Series, took_s: float) -> HeapReport:
        count = taken.heap
        usage = self._process.read_usage()
        names = {thread.id: str(thread) for thread in self._process.read_threads()}
        words = {names.get(thread, str(thread)): each for thread, each in taken.words.items()}
        if count and not count.is_whole:
            self._notes.append(_UNFOLLOWED)
        return HeapReport(
            self._process.pid,
            self._process.command,
            core,
            _say_when(self._process.written_s),
            self._describe_taking(taken, series, took_s),
            f"glibc, layout of {count.layout}" if count else None,
            sum(each.resident for each in usage.values()) if usage else None,
            sum_in_use(count) if count else Amount(),
            sum_large(count) if count else Amount(),
            series.rank(),
            describe_arenas(count, {name: each.tolist() for name, each in words.items()})
            if count
            else (),
            (),
            notes=tuple(self._notes),
        )

    def _describe_taking(self, taken: _Taken, series: Series, took_s: float) -> Taking:
        count = taken.heap
        return Taking(
            took_s,
            taken.pause_ms,
            len(series),
            self._wish.interval_s if len(series) > 1 else 0.0,
            count.read_bytes if count else 0,
            Amount(*count.unsettled) if count else Amount(),
            count.unclear_bytes if count else 0,
        )


def _say_when(written_s: float | None) -> str:
    now = datetime.now() if written_s is None else datetime.fromtimestamp(written_s)
    return now.astimezone().isoformat(timespec="seconds")


_NO_WORDS = np.zeros(0, np.uint64)
