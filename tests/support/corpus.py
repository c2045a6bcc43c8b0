"""The corpus: programs that leak, and programs that only look like it, each with its label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "targets" / "corpus"

FITTING = {
    "leak": {"leak", "leak?"},
    "growing": {"growing", "leak"},
    "keeps": {"cache?", "turnover?", "churn", "too few"},
}
"""The words that fit each label."""


@dataclass(frozen=True)
class Finding:
    """What a report says of a call stack of the corpus."""

    function: str
    label: str
    rank: int
    word: str
    evidence: str

    @property
    def fits(self) -> bool:
        """Whether the word is right."""
        return self.word in FITTING[self.label]


@dataclass(frozen=True)
class Program:
    """A program of the corpus."""

    path: Path

    @property
    def labels(self) -> dict[str, str]:
        """What each of its functions is to be called; others are noise, and keep their blocks."""
        lines = re.findall(r"^ \* (leak|growing|keeps): (\w+)", self.path.read_text(), re.MULTILINE)
        return {function: label for label, function in lines}

    def find(self, report: dict[str, Any]) -> list[Finding]:
        """Return what a report says of each call stack of the program, in its order."""
        return [self._find(site) for site in report["sites"]]

    def _find(self, site: dict[str, Any]) -> Finding:
        names = [(frame["function"] or "?").partition("(")[0] for frame in site["frames"]]
        function = next((name for name in names if name in self.labels), names[0])
        label = self.labels.get(function, "keeps")
        return Finding(
            function, label, site["rank"], site["verdict"]["word"], site["verdict"]["evidence"]
        )


def read_programs(folder: Path) -> list[Program]:
    """Return the programs in a folder, by name."""
    found = [Program(path) for path in folder.iterdir() if path.suffix in (".c", ".cpp")]
    return sorted(found, key=lambda program: program.path.name)


PROGRAMS = read_programs(FOLDER)
