"""What may make a report wrong, or a process unwell: said first, and never hidden."""

from __future__ import annotations

from collections.abc import Iterator

from gdbleak.recording.end import TARGET_ENDED, EndedBy
from gdbleak.report.endings import ENDINGS
from gdbleak.report.model import Report
from gdbleak.report.window import WindowInfo
from gdbleak.text.lines import cut, printable

_LONGEST = 150
"""How many characters of a sentence are shown: the whole stands below."""

NOTES = ("the process stood still for", "the process ran at", "the process is stopped")
"""How notes begin that must not be overlooked: they are said here."""


def find_alarms(report: Report) -> list[str]:
    """Return a sentence for each, the gravest first; empty for a window as it should be."""
    return [printable(cut(sentence, _LONGEST)) for sentence in _find(report)]


def describe_proof(report: Report) -> str:
    """Return whether the process was left as it was found: `yes`, `no` or `unknown`, and why."""
    proof = report.verification
    if proof.ok is None:
        if proof.state_after is not None:
            return "released: nobody traces it; its code could not be checked"
        reason = "the process has ended" if report.window.complete else "the recording is cut off"
        return f"unknown: {reason}"
    if proof.ok:
        runs = proof.ran_on_s is not None and proof.state_after not in ("T", "t")
        return "yes" + (f"; seen to run on for {proof.ran_on_s:.1f} s" if runs else "")
    differences = []
    if proof.death:
        differences.append(_death(proof.death, proof.ran_on_s or 0))
    if proof.tracer_pid:
        differences.append(f"process {proof.tracer_pid} traces it")
    if proof.state_after in ("T", "t"):
        differences.append("it is stopped")
    if proof.text_intact is False:
        differences.append("its code differs from its file")
    return f"no: {', '.join(differences) or 'it could not be checked'}"


def is_gone(window: WindowInfo) -> bool:
    """Whether the program that was traced has ended, or become another."""
    return window.ended_by in (*TARGET_ENDED, EndedBy.TARGET_EXEC)


def _find(report: Report) -> Iterator[str]:
    window = report.window
    if report.verification.ok is False:
        differences = describe_proof(report).removeprefix("no: ")
        yield f"The process was NOT left as it was found: {differences}."
    if window.inline and window.inline.left and not is_gone(window):
        yield f"Something is STILL IN THE PROCESS: {window.inline.left}."
    if not window.complete:
        yield "INCOMPLETE: the recording is cut off before the window ended."
    elif ENDINGS[window.ended_by].remedy:
        is_open = "is " if window.ended_by is EndedBy.RUNNING else ""
        yield f"The window {is_open}{ENDINGS[window.ended_by].words}."
    if window.lost_events:
        yield f"{window.lost_events:,} events were LOST: counts may be wrong by as many."
    elif window.inline and window.inline.lost:
        yield f"{window.inline.lost:,} events were LOST: counts may be wrong by as many."
    if window.missed_frees and window.sampling is None:
        yield f"{window.missed_frees:,} frees were not seen: addresses were handed out again."
    for note in report.notes:
        if note.startswith(NOTES):
            yield f"{note[:1].upper()}{note[1:]}."


def _death(signal: str, ran_on_s: float) -> str:
    """Say how a process ended right after the detach, and what to do."""
    when = f"within {ran_on_s:.1f} s of the detach"
    if signal == "unknown":
        return f"it ended {when}, and the kernel does not tell how: look at its log"
    if signal == "SIGTRAP":
        return (
            f"SIGTRAP killed it {when}, so a breakpoint was left in it: restart it, and use"
            " another gdb"
        )
    return f"{signal} killed it {when}: look at its log, and restart it"
