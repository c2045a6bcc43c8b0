"""The tables of benchmarks/corpus.py: what was found in each program at what cost, and the sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from support.corpus import Finding, Program
from support.scores import LEAKS, SUSPICIONS, Seen, score, wilson
from trials import Trial, Window

HEADS = (
    *(
        "Program",
        "Traced by",
        "Allocations/s",
        "Recorded",
        "Kept",
        "CPU",
        "p99 usual, during, worst",
    ),
    *("Label", "Verdict", "Evidence", "Right"),
)
BUSY = 1000
"""So many allocations a second are much."""
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
    cost = costs(window, (program.rate or 0) >= BUSY)
    of_all = (f"`{program.name}`", trial.way.name, rate(report), recorded(report), *cost)
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


def costs(window: Window, is_busy: bool) -> tuple[str, str, str]:
    """Return what was kept of the throughput, lost in processor time, and how late ticks were.

    A program that has little to do spends most of its processor time on its ticks: that says
    nothing.
    """
    if not window.usual or not window.during:
        return "", "", ""
    kept = "" if window.kept is None else f"{window.kept:.1%}"
    late = (window.usual.p99_ms, window.during.p99_ms, window.worst_ms)
    dearer = "" if window.dearer is None or not is_busy else f"{window.dearer:+.0%}"
    return kept, dearer, " ".join(f"{ms:.3g}" for ms in late) + " ms"


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
    show_rows((heads, ["---"] * len(heads), *lines))


def show_rows(lines: Iterable[Sequence[str]]) -> None:
    """Print rows of a table."""
    for cells in lines:
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
