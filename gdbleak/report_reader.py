"""A JSON report, read again. Pure.

What was added to the format since a report was written is as in a report without it.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from gdbleak.errors import RecordingError
from gdbleak.report import (
    SCHEMA,
    Estimate,
    Frame,
    History,
    MemoryInfo,
    Outlook,
    OutstandingBlock,
    Report,
    Sampling,
    Site,
    Suppressed,
    TargetInfo,
    Verdict,
    Verification,
    WindowInfo,
)

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
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path} is neither a recording nor a report: {error}") from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        said = f"its schema is {schema!r}" if schema else "it has no schema"
        raise RecordingError(
            f"{path} is no JSON report that this gdbleak reads: {said}",
            "give a file written with --save, or with -o FILE.json",
        )
    try:
        return _read(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordingError(f"{path} is damaged: {error!r}") from error


def _read(values: dict[str, Any]) -> Report:
    window = dict(values["window"])
    window["sampling"] = _make(Sampling, window.get("sampling"))
    memory = {**values["memory"], "rest": tuple(values["memory"].get("rest", ()))}
    history = {name: tuple(series) for name, series in values.get("history", {}).items()}
    return Report(
        target=_fill(TargetInfo, values["target"]),
        window=_fill(WindowInfo, window),
        memory=_fill(MemoryInfo, memory),
        verification=_fill(Verification, values["verification"]),
        sites=tuple(map(_read_site, values["sites"])),
        notes=tuple(values["notes"]),
        history=_fill(History, history),
        outlook=_make(Outlook, values.get("outlook")),
        suppressed=_make(Suppressed, values.get("suppressed")),
    )


def _read_site(values: dict[str, Any]) -> Site:
    frames = tuple(map(_read_frame, values["frames"]))
    # The caller's own frame is not written: it is the first one of its function.
    caller = next((frame for frame in frames if frame.function == values["function"]), None)
    read = {
        "frames": frames,
        "caller": caller if frames else None,
        "estimate": _make(Estimate, values.get("estimate")),
        "verdict": _make(Verdict, values.get("verdict")),
        "history": tuple(values.get("history", ())),
        "blocks": tuple(map(_read_block, values.get("blocks", ()))),
    }
    return _fill(Site, {**values, **read})


def _read_block(values: dict[str, Any]) -> OutstandingBlock:
    return _fill(OutstandingBlock, {**values, "address": int(values["address"], 16)})


def _read_frame(values: dict[str, Any]) -> Frame:
    offset = values["offset"]
    read = {
        "address": int(values["address"], 16),
        "offset": None if offset is None else int(offset, 16),
    }
    return _fill(Frame, {**values, **read})


def _make(kind: type[T], values: dict[str, Any] | None) -> T | None:
    return None if values is None else _fill(kind, values)


def _fill(kind: type[T], values: dict[str, Any]) -> T:
    """Return a value of a dataclass; what it does not know is passed over."""
    known = {each.name: values[each.name] for each in fields(kind) if each.name in values}  # type: ignore[arg-type]
    missing = [
        each.name
        for each in fields(kind)  # type: ignore[arg-type]
        if each.name not in known and each.default is MISSING
    ]
    if missing:
        raise KeyError(*missing)
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name in known and not _fits(known[each.name], str(each.type)):
            raise TypeError(f"{each.name} is {known[each.name]!r}")
    return kind(**known)


def _fits(value: object, annotation: str) -> bool:
    """Whether a value may be one of a field, by the field's annotation; of others it may be any."""
    name, _, optional = annotation.partition(" | ")
    if value is None:
        return optional == "None"
    return isinstance(value, _KINDS[name]) if name in _KINDS else True


_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
}
