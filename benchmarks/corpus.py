"""What verdicts the programs of the corpus get by default, and at what cost: Markdown tables.

    python benchmarks/corpus.py [--gdbleak CHECKOUT...] [--probe KIND...] [--seconds S] [NAME...]

A window of 30 seconds on each program, or on those named, with the options that `gdbleak trace` has
by itself. With several checkouts or probes each program is started once for each, at about the same
time. A row says how much of its throughput the program kept in the window, compared with five
seconds before, and how late its ticks were. Then a summary says how many of the leaks were named,
and how much else, with 95 % intervals.

`--keep FOLDER` keeps programs, recordings and reports; `--again FOLDER` makes the reports anew from
what was kept, with the rules of now, and traces nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.builds import UnbuildableError, build
from support.corpus import FOLDER, Finding, Program, read_programs
from support.scores import LEAKS, SUSPICIONS, Seen, score, wilson
from trials import TraceError, Trial, Way, Window

OWN = Path(__file__).parents[1]
PROBES = ("breakpoint", "inline")
HEADS = (
    *("Program", "Traced by", "Allocations/s", "Recorded", "Kept", "p99 before, during, worst"),
    *("Label", "Verdict", "Evidence", "Right"),
)
SUMMARY = {
    "first": "leaks that come before everything sound",
    "certain": "leaks that are called `leak` or `growing`",
    "suspected": "recall: leaks that are called so, or `leak?`",
    "right_certain": "precision: of what is called `leak` or `growing`, leaks",
    "right_suspected": "of what is called so, or `leak?`, leaks",
    "sound_suspected": "programs without a leak of which something is called so, or `leak?`",
    "lost": "leaks whose blocks are lost that are called `leak: lost`",
    "right_lost": "of what is called `leak: lost`, lost",
}


def rows(trial: Trial, window: Window) -> list[tuple[str, ...]]:
    """Return the rows of the table for a window."""
    program, report = trial.program, window.report["window"]
    of_all = (f"`{program.name}`", trial.way.name, rate(report), recorded(report), *costs(window))
    findings = program.find(window.report)
    missing = program.labels.keys() - {finding.function for finding in findings}
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for one in findings:
        if one.function in program.labels or not one.fits:
            alike.setdefault((one.function, one.label, one.word), []).append(one)
    named = {one.function for one in findings if one.word in SUSPICIONS}
    found: list[tuple[str, ...]] = []
    for (function, _, word), some in alike.items():
        verdict = (f"`{word}`", evidence(some), right(some[0], function in named))
        found.append((*of_all, label_of(program, function), *verdict))
    for function in sorted(missing):
        verdict = ("", "not in the report", unseen(program.labels[function]))
        found.append((*of_all, label_of(program, function), *verdict))
    return found


def label_of(program: Program, function: str) -> str:
    """Return a function and what it is to be called."""
    lost = ", lost" if function in program.lost else ""
    return f"{function}: {program.labels.get(function, 'keeps')}{lost}"


def evidence(findings: Sequence[Finding]) -> str:
    """Return the evidence of the first of some call stacks."""
    more = f" (and {len(findings) - 1} more call stacks)" if findings[1:] else ""
    return findings[0].evidence.replace("|", "\\|") + more


def right(finding: Finding, is_named: bool) -> str:
    """Return whether a verdict is right; of a leak, one of its call stacks is enough."""
    if finding.label not in LEAKS:
        return "yes" if finding.fits else "**no**"
    if finding.word in LEAKS:
        return "yes"
    if finding.word in SUSPICIONS:
        return "suspected"
    return "another is" if is_named else "**no**"


def unseen(label: str) -> str:
    """Return whether it is right that a function is not in a report."""
    return "**no**" if label in LEAKS else "yes"


def costs(window: Window) -> tuple[str, str]:
    """Return the throughput that was kept, and how late ticks were."""
    if not window.before or not window.during:
        return "", ""
    kept = "" if window.kept is None else f"{window.kept:.1%}"
    late = (window.before.p99_ms, window.during.p99_ms, window.worst_ms)
    return kept, " ".join(f"{ms:.3g}" for ms in late) + " ms"


def rate(window: dict[str, Any]) -> str:
    """Return how many blocks were allocated a second, as far as is known."""
    sampling, inline = window.get("sampling"), window.get("inline")
    count = sampling["calls"] if sampling else window["allocations"]
    if inline and count is not None:
        count *= inline["one_of"]
    return "" if count is None else f"{count / window['duration_s']:,.0f}"


def recorded(window: dict[str, Any]) -> str:
    """Return by what how much was recorded, and whether the window ended early."""
    sampling, inline = window.get("sampling"), window.get("inline")
    seconds = window["duration_s"]
    much = f"{'inline' if inline else 'breakpoints'}: all"
    if sampling:
        much = f"breakpoints: {sampling['recorded_s'] / seconds:.1%} of the time"
    elif inline and inline["one_of"] > 1:
        much = f"inline: 1 block in {inline['one_of']}"
    if inline and inline["lost"]:
        much += f", {inline['lost']:,} calls lost"
    if window["ended_by"] != "duration":
        much += f", until {window['ended_by']} after {seconds:.1f} s"
    return much


def show(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    for cells in (heads, ["---"] * len(heads), *lines):
        print(f"| {' | '.join(cells)} |", flush=True)


def summarize(seen: Mapping[str, Sequence[Seen]], kept: Mapping[str, Sequence[float]]) -> None:
    """Print how right the reports were, by the way they were made."""
    scores = {way: score(seen[way]) for way in seen}
    lines = []
    for field in fields(next(iter(scores.values()))):
        counts = [getattr(scores[way], field.name) for way in scores]
        lines.append([SUMMARY[field.name], *(of_all(*count) for count in counts)])
    lines.append(["throughput kept: median, least", *(spread(kept[way]) for way in scores)])
    print()
    show(("", *scores), lines)


def of_all(some: int, all_: int) -> str:
    """Return a share with its interval."""
    if not all_:
        return "none"
    low, high = wilson(some, all_)
    return f"{some} of {all_}: {some / all_:.1%} ({low:.1%} to {high:.1%})"


def spread(shares: Sequence[float]) -> str:
    """Return the median and the least of some shares."""
    ordered = sorted(shares)
    return f"{ordered[len(ordered) // 2]:.1%}, {ordered[0]:.1%}" if ordered else ""


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
    seen: dict[str, list[Seen]] = {way.name: [] for way in ways(asked)}
    kept: dict[str, list[float]] = {way.name: [] for way in ways(asked)}
    with tempfile.TemporaryDirectory() as name:
        folder = keep / "bin" if keep else Path(name)
        if asked.again:
            built = {program: folder / program.name for program in programs}
        else:
            built = build_all(programs, folder)
        show(HEADS, ())
        with (
            ThreadPoolExecutor(asked.at_once) as calm,
            ThreadPoolExecutor(asked.busy_at_once) as busy,
        ):
            for is_busy, pool in ((False, calm), (True, busy)):
                started: list[tuple[Trial, Future[Window]]] = []
                for program in built:
                    if (program.rate is not None) is is_busy:
                        for way in ways(asked):
                            trial = Trial(program, built[program], way, asked.seconds, keep)
                            run = trial.repeat if asked.again else trial.run
                            started.append((trial, pool.submit(run)))
                for trial, window in started:
                    program, way_name = trial.program, trial.way.name
                    findings: list[Finding] = []
                    try:
                        result = window.result()
                        findings = program.find(result.report)
                        lines = rows(trial, result)
                        if result.kept is not None:
                            kept[way_name].append(result.kept)
                    except TraceError as error:
                        empty = ("",) * 5
                        lines = [(f"`{program.name}`", way_name, *empty, "", str(error), "**no**")]
                    print(*(f"| {' | '.join(cells)} |" for cells in lines), sep="\n", flush=True)
                    seen[way_name].append(Seen(program.labels, findings, program.lost))
    summarize(seen, kept)


if __name__ == "__main__":
    main()
