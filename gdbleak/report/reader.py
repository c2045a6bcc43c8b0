"""A JSON report, read again. Pure.

What was added to the format since a report was written is as in a report without it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from gdbleak.errors import RecordingError
from gdbleak.recording.chosen import Chosen
from gdbleak.recording.end import EndedBy, Inline, References, Verification
from gdbleak.recording.outside_values import UnfitError, check, describe_damage, fill, read_json
from gdbleak.recording.reader import damaged
from gdbleak.report.earlier import EARLIER, upgrade
from gdbleak.report.model import (
    SCHEMA,
    Frame,
    Holder,
    OutstandingBlock,
    Reach,
    Recorded,
    Report,
    Site,
    Verdict,
    Word,
)
from gdbleak.report.window import (
    GrowingSize,
    HeapWindow,
    History,
    MemoryInfo,
    Outlook,
    Sampling,
    Suppressed,
    TargetInfo,
    WindowInfo,
)
from gdbleak.text.lines import cut

T = TypeVar("T")


def read_report(text: str, path: str) -> Report:
    """Return the report that `JsonRenderer` has written.

    Args:
        text: What it wrote.
        path: To name in errors.

    Raises:
        RecordingError: it is no report, or one of another version.

    """
    try:
        values = read_json(text)
    except ValueError as error:
        raise RecordingError(
            f"{path} is neither a recording nor a report: {describe_damage(error)}",
            "give a file written with --save, or with -o FILE.json",
        ) from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema not in (SCHEMA, EARLIER):
        said = f"its schema is {cut(repr(schema), 100)}" if schema else "it has no schema"
        raise RecordingError(
            f"{path} is not a JSON report that this gdbleak can read: {said}",
            "give a file written with --save, or with -o FILE.json",
        )
    try:
        return _read(upgrade(values) if schema == EARLIER else values)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


def _read(values: dict[str, Any]) -> Report:
    check(values, {"older_ms": "float | None"})
    window = dict(values["window"])
    window["ended_by"] = EndedBy(window["ended_by"])
    window["sampling"] = _make(Sampling, window.get("sampling"))
    window["probe"] = _make(Chosen, window.get("probe"))
    window["inline"] = _make(Inline, window.get("inline"))
    window["references"] = _make(References, window.get("references"))
    memory = {**values["memory"], "rest": tuple(values["memory"].get("rest", ()))}
    history = {name: tuple(series) for name, series in values.get("history", {}).items()}
    return Report(
        target=fill(TargetInfo, values["target"]),
        window=fill(WindowInfo, window),
        memory=fill(MemoryInfo, memory),
        verification=fill(Verification, values["verification"]),
        sites=tuple(map(_read_site, values["sites"])),
        notes=_read_notes(values["notes"]),
        history=fill(History, history),
        outlook=_make(Outlook, values.get("outlook")),
        suppressed=_make(Suppressed, values.get("suppressed")),
        heap=_read_heap(values.get("heap")),
        older_ms=values.get("older_ms"),
    )


def _read_heap(values: dict[str, Any] | None) -> HeapWindow | None:
    if values is None:
        return None
    growing = tuple(fill(GrowingSize, each) for each in values["growing"])
    return fill(HeapWindow, {**values, "growing": growing})


def _read_notes(values: Any) -> tuple[str, ...]:
    check({"notes": values}, {"notes": "tuple[str, ...]"})
    return tuple(values)


def _read_site(values: dict[str, Any]) -> Site:
    frames = tuple(map(_read_frame, values["frames"]))
    # The caller's own frame is not written: it is the first one of its function.
    caller = next((frame for frame in frames if frame.function == values["function"]), None)
    read = {
        "frames": frames,
        "caller": caller if frames else None,
        "recorded": _make(Recorded, values.get("recorded")),
        "verdict": _read_verdict(values.get("verdict")),
        "history": tuple(values.get("history", ())),
        "blocks": tuple(map(_read_block, values.get("blocks", ()))),
        "reach": _read_reach(values.get("reach")),
    }
    return fill(Site, {**values, **read})


def _read_verdict(values: dict[str, Any] | None) -> Verdict | None:
    if values is None:
        return None
    try:
        word = Word(values["word"])
    except ValueError:
        said = cut(repr(values["word"]), 50)
        raise UnfitError(f"only a later gdbleak can know the verdict {said}") from None
    return fill(Verdict, {**values, "word": word})


def _read_reach(values: dict[str, Any] | None) -> Reach | None:
    if values is None:
        return None
    holders = tuple(fill(Holder, holder) for holder in values.get("holders", ()))
    return fill(Reach, {**values, "holders": holders})


def _read_block(values: dict[str, Any]) -> OutstandingBlock:
    return fill(OutstandingBlock, {**values, "address": int(values["address"], 16)})


def _read_frame(values: dict[str, Any]) -> Frame:
    offset = values["offset"]
    read = {
        "address": int(values["address"], 16),
        "offset": None if offset is None else int(offset, 16),
    }
    return fill(Frame, {**values, **read})


def _make(kind: type[T], values: dict[str, Any] | None) -> T | None:
    return None if values is None else fill(kind, values)
