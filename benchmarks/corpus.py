"""What verdicts the programs of the corpus get by default, and at what cost: Markdown tables.

    python benchmarks/corpus.py [--gdbleak CHECKOUT...] [--probe KIND...] [--seconds S] [NAME...]

A window of 30 seconds on each program, or on those named, with the options that `gdbleak trace` has
by itself. With several checkouts or probes each program is started once for each, at about the same
time. A row says how much of its throughput the program kept in the window, compared with five
seconds before and five after, how much more processor time each operation of a busy one took, and
how late its ticks were: most programs do what comes by the clock, so those that are slowed keep
their throughput and are late.
Then a summary says how many of the leaks were named, and how much else, with 95 % intervals.

`--keep FOLDER` keeps programs, recordings and reports; `--again FOLDER` makes the reports anew from
what was kept, with the rules of now, and traces nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.builds import UnbuildableError, build
from support.corpus import FOLDER, Finding, Program, read_programs
from support.scores import Seen
from trials import TraceError, Trial, Way, Window
from verdict_tables import HEADS, rows, show, show_rows, summarize

OWN = Path(__file__).parents[1]
PROBES = ("breakpoint", "inline")


def name_of(checkout: Path) -> str:
    """Return the commit that a checkout is at, or its name."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or checkout.name


def ways(asked: argparse.Namespace) -> list[Way]:
    """Return how each program is to be traced."""
    budget = ["--budget", asked.budget] if asked.budget else []
    found = []
    for checkout in asked.gdbleak:
        for probe in asked.probe or [""]:
            words = [name_of(checkout)] if len(asked.gdbleak) > 1 else []
            words += [probe] if probe or not words else []
            options = [*budget, *(["--probe", probe] if probe else [])]
            found.append(Way(checkout.resolve(), "-".join(filter(None, words)) or "auto", options))
    return found


def build_all(programs: Iterable[Program], folder: Path) -> dict[Program, Path]:
    """Compile programs into a folder, and say which cannot be."""
    built = {}
    folder.mkdir(parents=True, exist_ok=True)
    for program in programs:
        try:
            built[program] = build(program, folder)
        except UnbuildableError as error:
            print(f"{program.name} is left out: {error}", file=sys.stderr)
    return built


def parse() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="of a program")
    add("--gdbleak", nargs="+", type=Path, default=[OWN], help="checkouts to trace with")
    add("--probe", nargs="+", choices=PROBES, help="default: gdbleak chooses")
    add("--seconds", type=int, default=30, help="length of a window (default: 30)")
    add("--budget", help="as for `gdbleak trace`")
    add("--at-once", type=int, default=8, help="windows at a time (default: 8)")
    add(
        "--busy-at-once", type=int, default=2, help="windows at a time on busy programs, default: 2"
    )
    add("--folder", type=Path, default=FOLDER, help="where the programs are")
    add("--keep", type=Path, help="keep programs, recordings and reports in this folder")
    add("--again", type=Path, metavar="FOLDER", help="trace nothing; read what was kept there")
    return parser.parse_args()


def main() -> None:
    """Trace and print."""
    asked = parse()
    keep = (asked.again or asked.keep) and (asked.again or asked.keep).resolve()
    programs = [p for p in read_programs(asked.folder) if not asked.names or p.name in asked.names]
    programs.sort(key=lambda program: program.rate or 0)
    results = Results([way.name for way in ways(asked)])
    with tempfile.TemporaryDirectory() as name:
        folder = keep / "bin" if keep else Path(name)
        if asked.again:
            built = {program: folder / program.name for program in programs}
        else:
            built = build_all(programs, folder)
        show(HEADS, ())
        for at_once, is_busy in ((asked.at_once, False), (asked.busy_at_once, True)):
            trials = [
                Trial(program, binary, way, asked.seconds, keep)
                for program, binary in built.items()
                for way in ways(asked)
                if (program.rate is not None) is is_busy
            ]
            with ThreadPoolExecutor(at_once) as pool:
                runs = [pool.submit(one.repeat if asked.again else one.run) for one in trials]
                for trial, run in zip(trials, runs):
                    results.add(trial, run)
    summarize(results.seen, results.kept)


class Results:
    """What was found in each program so far, by the way it was traced."""

    def __init__(self, names: Iterable[str]) -> None:
        """Begin with nothing found by any of these ways."""
        self.seen: dict[str, list[Seen]] = {name: [] for name in names}
        self.kept: dict[str, list[float]] = {name: [] for name in self.seen}

    def add(self, trial: Trial, run: Future[Window]) -> None:
        """Wait for a window, and print what was found; no window means that nothing was."""
        program, way = trial.program, trial.way.name
        findings: list[Finding] = []
        try:
            window = run.result()
        except TraceError as error:
            empty = ("",) * (len(HEADS) - 4)
            show_rows([(f"`{program.name}`", way, *empty, str(error), "**no**")])
        else:
            findings = program.find(window.report)
            show_rows(rows(trial, window))
            if window.kept is not None:
                self.kept[way].append(window.kept)
        self.seen[way].append(Seen(program.labels, findings, program.lost))


if __name__ == "__main__":
    main()
