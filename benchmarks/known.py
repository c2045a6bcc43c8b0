"""What verdicts real software gets whose leaks are known: a Markdown table.

    python benchmarks/known.py [--seconds S] [NAME...]

Each program is started twice, once so that it leaks and once so that it does not, and both are
traced with the options that `gdbleak trace` has by itself. A leak is found when a call stack is
called `leak`, `growing` or `leak?` that has a frame of what leaks; without a leak, none should be.
A program that is not installed is left out, and said.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

GDBLEAK = [sys.executable, "-m", "gdbleak", "trace"]
FOLDER = Path(__file__).parents[1] / "tests" / "targets" / "known"
PYTHON = "/usr/bin/python3"  # of the distribution: it exports its functions
HEADS = ("Program", "Leaks", "Rank", "Verdict", "Caller", "Evidence", "Suspected", "Right")
DEFINITE = {"leak", "growing"}
SUSPECTED = {*DEFINITE, "leak?"}


@dataclass(frozen=True)
class Known:
    """A program, and what of it leaks."""

    name: str
    command: tuple[str, ...]
    """What is run; `leaks` or `sound` is added."""
    frames: str | None
    """A pattern for the function or module of a frame of the leak; None for a program that never
    leaks."""

    @property
    def is_installed(self) -> bool:
        return shutil.which(self.command[0]) is not None

    @property
    def ways(self) -> tuple[str, ...]:
        return ("leaks", "sound") if self.frames else ("sound",)


def _interpreter(way: str, frames: str | None) -> Known:
    command = (PYTHON, str(FOLDER / "interpreter.py"), way)
    return Known(f"python3: {way}", command, frames)


PROGRAMS = (
    _interpreter("table", "python3"),
    _interpreter("borrowed", "libffi|strdup"),
    _interpreter("statements", "libsqlite3"),
    _interpreter("documents", "libxml2|xml[A-Z]"),
    _interpreter("rows", None),
    Known("perl: cycles", ("perl", str(FOLDER / "cycles.pl")), "Perl_|perl"),
    Known("node: buffers", ("node", str(FOLDER / "buffers.js")), "Buffer|node|v8"),
)


@contextmanager
def running(known: Known, way: str) -> Iterator[int]:
    """Run a program for a while; the context is its PID."""
    with subprocess.Popen([*known.command, way], stdin=DEVNULL, stdout=PIPE) as target:
        try:
            assert target.stdout
            if target.stdout.readline() != b"ready\n":
                raise SystemExit(f"{known.name} did not start")
            yield target.pid
        finally:
            target.kill()


def trace(known: Known, way: str, seconds: str) -> dict[str, Any] | str:
    """Return the report on a program, or why there is none."""
    with running(known, way) as pid, tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [*GDBLEAK, str(pid), "--duration", seconds, "-o", file.name]
        done = subprocess.run(command, stdout=DEVNULL, stderr=PIPE, text=True, check=False)
        try:
            report: dict[str, Any] = json.loads(Path(file.name).read_text())
        except ValueError:
            return " ".join(done.stderr.split())
    return report


def describe(known: Known, way: str, report: dict[str, Any] | str) -> tuple[str, ...]:
    """Return the row of a report."""
    leaks = "yes" if way == "leaks" else "no"
    if isinstance(report, str):
        return (known.name, leaks, "", "", "", report, "", "")
    suspected = [site for site in report["sites"] if site["verdict"]["word"] in SUSPECTED]
    found = [site for site in suspected if way == "leaks" and has_frame(site, known.frames or "")]
    right = bool(found) and found[0]["rank"] == 1 if way == "leaks" else not suspected
    shown = (found or suspected or report["sites"])[:1]
    cells = [(str(site["rank"]), f"`{site['verdict']['word']}`", *tell(site)) for site in shown]
    return (
        *(known.name, leaks),
        *(cells[0] if cells else ("", "", "", "")),
        str(len(suspected)),
        "yes" if right else "**no**",
    )


def has_frame(site: dict[str, Any], pattern: str) -> bool:
    """Whether a call stack has a frame of what leaks."""
    names = (each for frame in site["frames"] for each in (frame["function"], frame["module"]))
    return any(re.search(pattern, name) for name in names if name)


def tell(site: dict[str, Any]) -> tuple[str, str]:
    """Return the caller of a site, and the evidence for its verdict."""
    return str(site["function"]), site["verdict"]["evidence"]


def main() -> None:
    """Trace and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of programs, or parts of names")
    parser.add_argument("--seconds", default="30", help="length of a window (default: 30)")
    parser.add_argument("--at-once", type=int, default=2, help="windows at a time (default: 2)")
    asked = parser.parse_args()
    chosen = [
        known
        for known in PROGRAMS
        if not asked.names or any(name in known.name for name in asked.names)
    ]
    for known in chosen:
        if not known.is_installed:
            print(f"{known.name}: {known.command[0]} is not installed", file=sys.stderr)
    trials = [(known, way) for known in chosen if known.is_installed for way in known.ways]
    with ThreadPoolExecutor(asked.at_once) as pool:
        windows = [pool.submit(trace, *trial, asked.seconds) for trial in trials]
        for cells in (HEADS, ["---"] * len(HEADS)):
            print(f"| {' | '.join(cells)} |")
        for (known, way), window in zip(trials, windows):
            print(f"| {' | '.join(describe(known, way, window.result()))} |", flush=True)


if __name__ == "__main__":
    main()
