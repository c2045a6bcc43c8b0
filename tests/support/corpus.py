"""The corpus: programs that leak, and programs that only look like it, each with its label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gdbleak.text.names import qualified

FOLDER = Path(__file__).parents[1] / "targets" / "corpus"
HEADERS = {"corpus.rs"}
"""What programs in Rust share; those in C share what ends in `.h`."""

FITTING = {
    "leak": {"leak", "leak?", "growing"},
    "growing": {"growing", "leak"},
    "keeps": {"cache?", "turnover?", "churn", "too few"},
}
"""The words that fit each label."""

_LINE = re.compile(r"^(?: \*|//!) (\w+): (\S+?)(?: \*/)?$", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """What a report says of a call stack of the corpus."""

    function: str
    label: str
    rank: int
    word: str
    evidence: str
    lost: bool = False
    """Whether it is said that nothing refers to its blocks."""

    @property
    def fits(self) -> bool:
        """Whether the word is right."""
        return self.word in FITTING[self.label]


@dataclass(frozen=True)
class Program:
    """A program of the corpus; the head of its source says what it is: see corpus.h."""

    path: Path

    @cached_property
    def _head(self) -> list[tuple[str, str]]:
        return _LINE.findall(self.path.read_text())

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.stem

    @property
    def labels(self) -> dict[str, str]:
        """What each of its functions is to be called; others are noise, and keep their blocks."""
        return {function: label for label, function in self._head if label in FITTING}

    @property
    def lost(self) -> set[str]:
        """The functions to whose blocks nothing refers any more."""
        return {function for key, function in self._head if key == "lost"}

    @property
    def rate(self) -> int | None:
        """About how often a second it allocates, if that is much."""
        rate = self._get("rate")
        return int(rate) if rate else None

    @property
    def window_s(self) -> int:
        """Less than this does not show what it does; 0 where any window does."""
        return int(self._get("window") or 0)

    @property
    def allocator(self) -> str | None:
        """What allocates, if it is not the C library of the host."""
        return self._get("allocator")

    @property
    def module(self) -> str | None:
        """Whether a part of it is a library: `linked`, or `loaded` by the program itself."""
        return self._get("module")

    @property
    def forks(self) -> bool:
        """Whether its first child is the process to trace."""
        return self._get("process") == "child"

    def _get(self, wanted: str) -> str | None:
        return next((value for key, value in self._head if key == wanted), None)

    def find(self, report: dict[str, Any]) -> list[Finding]:
        """Return what a report says of each call stack of the program, in its order."""
        return [self._find(site) for site in report["sites"]]

    def _find(self, site: dict[str, Any]) -> Finding:
        names = [bare_name(frame["function"] or "?") for frame in site["frames"]] or ["?"]
        function = next((name for name in names if name in self.labels), names[0])
        label = self.labels.get(function, "keeps")
        word, evidence = site["verdict"]["word"], site["verdict"]["evidence"]
        lost = word == "leak" and evidence.startswith("lost")
        return Finding(function, label, site["rank"], word, evidence, lost)


def bare_name(function: str) -> str:
    """Return the last part of a function's name: `insert` of `Cache<int>::insert(int)`."""
    return qualified(function).rpartition("::")[2]


def read_programs(folder: Path) -> list[Program]:
    """Return the programs in a folder, by name."""
    found = [
        Program(path)
        for path in folder.iterdir()
        if path.suffix in (".c", ".cpp", ".rs") and path.name not in HEADERS
    ]
    return sorted(found, key=lambda program: program.path.name)


PROGRAMS = read_programs(FOLDER)
