"""A profile for speedscope: outstanding and allocated bytes.

Source: the JSON schema of the format, https://www.speedscope.app/file-format-schema.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from gdbleak import __version__
from gdbleak.renderers.content import heading
from gdbleak.renderers.stacks import iter_stacks, name
from gdbleak.report.model import Frame, Report


@dataclass(frozen=True)
class SpeedscopeRenderer:
    """Writes every site as a sample of a profile whose unit is bytes."""

    def render(self, report: Report) -> str:
        """Return the report as text."""
        numbers: dict[Frame, int] = {}
        stacks = [
            ([numbers.setdefault(frame, len(numbers)) for frame in frames], weights)
            for frames, weights in iter_stacks(report)
        ]
        title = heading(report).text
        profiles = []
        for what in ("outstanding", "allocated"):
            weighed = [(s, getattr(weights, f"{what}_bytes")) for s, weights in stacks]
            weighed = [(stack, size) for stack, size in weighed if size]
            profiles.append(
                {
                    "type": "sampled",
                    "name": f"{what} bytes",
                    "unit": "bytes",
                    "startValue": 0,
                    "endValue": sum(size for _, size in weighed),
                    "samples": [stack for stack, _ in weighed],
                    "weights": [size for _, size in weighed],
                }
            )
        record = {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "name": title,
            "exporter": f"gdbleak {__version__}",
            "activeProfileIndex": 0,
            "shared": {"frames": [_frame(frame) for frame in numbers]},
            "profiles": profiles,
        }
        return json.dumps(record) + "\n"


def _frame(frame: Frame) -> dict[str, object]:
    values = {"name": name(frame), "file": frame.file or frame.module, "line": frame.line}
    return {key: value for key, value in values.items() if value is not None}
