"""What verdicts the programs of the corpus get, by each probe: Markdown tables.

    python benchmarks/corpus.py [--probe KIND...] [--seconds S] [NAME...]

A window of 20 seconds on each program, or on those named, with the options that `gdbleak trace` has
by itself. With several probes each program is started once for each, at the same time. Then a
summary says how many of the leaks were named, and how much else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from subprocess import PIPE
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.corpus import FOLDER, Program, read_programs
from support.scores import Seen, score

GDBLEAK = [sys.executable, "-m", "gdbleak", "trace"]
PROBES = ("breakpoint", "inline")
HEADS = ("Program", "Label", "Probe", "Allocations/s", "Recorded", "Verdict", "Evidence", "Right")
SUMMARY = {
    "first": "leaks that come before everything sound",
    "certain": "leaks that are called `leak` or `growing`",
    "suspected": "leaks that are called so, or `leak?`",
    "right_certain": "of what is called `leak` or `growing`, leaks",
    "right_suspected": "of what is called so, or `leak?`, leaks",
    "sound_suspected": "programs without a leak of which something is called so, or `leak?`",
}


@dataclass(frozen=True)
class Trial:
    """A program, and how it is traced."""

    program: Program
    probe: str
    options: Sequence[str]
    keep: Path | None
    """Where its recording and its report are kept."""

    @property
    def name(self) -> str:
        """A name for its files."""
        return f"{self.program.path.stem}-{self.probe}"


class TraceError(Exception):
    """There was no window; says why."""


def trace(trial: Trial, folder: Path) -> dict[str, Any]:
    """Return the report of a window on a program; its binary is in a folder.

    Raises:
        TraceError: there was none.

    """
    command = [*GDBLEAK, "--probe", trial.probe, *trial.options, "--format", "json"]
    if trial.keep:
        command += ["--save", str(trial.keep / f"{trial.name}.gdbleak")]
    with subprocess.Popen([folder / trial.program.path.stem], stdin=PIPE, stdout=PIPE) as target:
        assert target.stdin
        assert target.stdout
        target.stdout.readline()
        with subprocess.Popen([*command, str(target.pid)], stdout=PIPE, stderr=PIPE) as running:
            assert running.stdout
            assert running.stderr
            said = b""
            for line in running.stderr:
                said += line
                if b": tracing " in line:
                    break
            else:
                target.kill()
                raise TraceError(" ".join(said.decode().split()))
            target.stdin.write(b"\n")
            target.stdin.flush()
            text = running.stdout.read()
        target.kill()
    if trial.keep:
        (trial.keep / f"{trial.name}.json").write_bytes(text)
    report: dict[str, Any] = json.loads(text)
    return report


def build(program: Program, folder: Path) -> None:
    """Compile a program into a folder."""
    compiler = "c++" if program.path.suffix == ".cpp" else "cc"
    binary = folder / program.path.stem
    options = ["-O2", "-g", "-pthread"]
    subprocess.run([compiler, *options, "-o", binary, program.path], check=True)


def rows(trial: Trial, report: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of the table for a window."""
    name, window = f"`{trial.program.path.stem}`", report["window"]
    of_all = (trial.probe, rate(window), recorded(window))
    found: list[tuple[str, ...]] = [
        (
            *(name, f"{one.function}: {one.label}", *of_all, f"`{one.word}`", one.evidence),
            "yes" if one.fits else "**no**",
        )
        for one in trial.program.find(report)
        if one.function in trial.program.labels
    ]
    return found or [(name, "", *of_all, "", "nothing was allocated", "")]


def rate(window: dict[str, Any]) -> str:
    """Return how many blocks were allocated a second, as far as is known."""
    sampling, inline = window["sampling"], window["inline"]
    count = sampling["calls"] if sampling else window["allocations"]
    if inline:
        count *= inline["one_of"]
    return "" if count is None else f"{count / window['duration_s']:,.0f}"


def recorded(window: dict[str, Any]) -> str:
    """Return how much was recorded, and whether the window ended early."""
    sampling, inline, seconds = window["sampling"], window["inline"], window["duration_s"]
    much = "all"
    if sampling:
        much = f"{sampling['recorded_s'] / seconds:.1%} of the time"
    elif inline and inline["one_of"] > 1:
        much = f"1 block in {inline['one_of']}"
    if inline and inline["lost"]:
        much += f", {inline['lost']:,} calls lost"
    if window["ended_by"] != "duration":
        much += f", until {window['ended_by']} after {seconds:.1f} s"
    return much


def show(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    for cells in (heads, ["---"] * len(heads), *lines):
        print(f"| {' | '.join(cells)} |", flush=True)


def summarize(seen: Mapping[str, Collection[Seen]]) -> None:
    """Print how right the reports were, by probe."""
    scores = {probe: score(seen[probe]) for probe in seen}
    lines = []
    for field in fields(next(iter(scores.values()))):
        counts = [getattr(scores[probe], field.name) for probe in scores]
        lines.append([SUMMARY[field.name], *(f"{some} of {all_}" for some, all_ in counts)])
    print()
    show(("", *scores), lines)


def main() -> None:
    """Trace and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a program")
    parser.add_argument("--probe", nargs="+", choices=PROBES, default=PROBES)
    parser.add_argument("--seconds", default="20", help="length of a window (default: 20)")
    parser.add_argument("--budget", help="as for `gdbleak trace`")
    parser.add_argument("--at-once", type=int, default=8, help="windows at a time (default: 8)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the programs are")
    parser.add_argument("--keep", type=Path, help="keep recordings and reports in this folder")
    asked = parser.parse_args()
    options = ["--duration", asked.seconds]
    if asked.budget:
        options += ["--budget", asked.budget]
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
    programs = [
        p for p in read_programs(asked.folder) if not asked.names or p.path.stem in asked.names
    ]
    trials = [Trial(p, probe, options, asked.keep) for p in programs for probe in asked.probe]
    seen: dict[str, list[Seen]] = {probe: [] for probe in asked.probe}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(asked.at_once) as pool:
        folder = Path(name)
        for program in programs:
            build(program, folder)
        show(HEADS, ())
        for trial, window in [(one, pool.submit(trace, one, folder)) for one in trials]:
            program, findings = trial.program, []
            try:
                report = window.result()
                findings = program.find(report)
                lines = rows(trial, report)
            except TraceError as error:
                lines = [(f"`{program.path.stem}`", "", trial.probe, "", "", "", str(error), "")]
            print(*(f"| {' | '.join(cells)} |" for cells in lines), sep="\n", flush=True)
            seen[trial.probe].append(Seen(program.labels, findings))
    summarize(seen)


if __name__ == "__main__":
    main()
