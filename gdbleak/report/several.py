"""What several processes of one kind have in common: which of them leak, and where. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from posixpath import basename

from gdbleak.report.model import Frame, Report, Site, Word

SUSPICIOUS = (Word.LEAK, Word.GROWING, Word.SUSPECT)
"""Verdicts that are counted as a leak, the surest first."""


@dataclass(frozen=True)
class Traced:
    """One of the processes."""

    pid: int
    report: Report | None
    """None where it could not be traced."""
    problem: str = ""
    """Why it could not be, or what went wrong; a clause."""

    @property
    def leaks(self) -> tuple[Site, ...]:
        """Its call stacks with a suspicious verdict, in the order of its report."""
        return tuple(site for site in self.report.leaking if _word(site)) if self.report else ()

    @property
    def word(self) -> Word | None:
        """The surest of its suspicious verdicts; None without any."""
        return surest(self.leaks)

    @property
    def bytes_per_s(self) -> float:
        """How fast its suspicious call stacks grow together."""
        return sum(site.bytes_per_s for site in self.leaks)


@dataclass(frozen=True)
class Place:
    """A call stack that is suspicious in at least one of the processes."""

    pids: tuple[int, ...]
    """Where it is."""
    word: Word | None
    """The surest of its verdicts."""
    bytes_per_s: float
    """Of all of them together."""
    site: Site
    """As it is in the process where it grows fastest."""


def find_places(processes: Iterable[Traced]) -> tuple[Place, ...]:
    """Return the suspicious call stacks, joined by function, module and offset of their frames.

    The processes of a server run the same files, so the offsets of their frames are the same.
    Those that are in most processes come first, and then those that grow fastest.
    """
    found: dict[tuple[str, ...], list[tuple[int, Site]]] = {}
    for process in processes:
        for site in process.leaks:
            key = (site.kind, site.group or "", *map(_identify, site.frames))
            found.setdefault(key, []).append((process.pid, site))
    places = [_make_place(sites) for sites in found.values()]
    return tuple(sorted(places, key=lambda place: (-len(place.pids), -place.bytes_per_s)))


def surest(sites: Iterable[Site]) -> Word | None:
    """Return the surest of the suspicious verdicts on some sites; None without any."""
    words = {_word(site) for site in sites}
    return next((word for word in SUSPICIOUS if word in words), None)


def _make_place(found: Sequence[tuple[int, Site]]) -> Place:
    sites = [site for _, site in found]
    return Place(
        tuple(dict.fromkeys(pid for pid, _ in found)),
        surest(sites),
        sum(site.bytes_per_s for site in sites),
        max(sites, key=lambda site: site.bytes_per_s),
    )


def _word(site: Site) -> Word | None:
    word = site.verdict.word if site.verdict else None
    return word if word in SUSPICIOUS else None


def _identify(frame: Frame) -> str:
    module = basename(frame.module or "")
    place = hex(frame.address) if frame.offset is None else f"{module}+{frame.offset:#x}"
    return f"{frame.function or ''}@{place}"
