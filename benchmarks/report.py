"""How long a report takes, and how much memory, by the number of events.

    python benchmarks/report.py [EVENTS...]

A real window is recorded, on a service whose requests allocate and free. Its events are then
written again and again, each time later, until there are as many as are asked for.
"""

from __future__ import annotations

import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate
from targets import Target, build

from gdbleak.recording.events import iter_frames
from gdbleak.recording.frames import HIT, MAGIC
from gdbleak.recording.reader import Recording

SECONDS = 5
FRAME_BYTES = 8
_TIME = struct.Struct("<Q")


def record(folder: Path) -> Path:
    """Return the recording of a window on the service."""
    recording = folder / "recording"
    with Target([str(folder / "service")], folder) as target:
        target.wait_lines(3)
        command = [sys.executable, "-m", "gdbleak", "trace", str(target.pid), "--budget", "100"]
        options = [
            "--duration",
            str(SECONDS),
            "--save",
            str(recording),
            "-o",
            str(folder / "r.txt"),
        ]
        subprocess.run([*command, *options], check=True)
    return recording


def repeat(recording: Path, events: int, longer: Path) -> None:
    """Write a recording of so many events."""
    data = recording.read_bytes()
    frames = [*iter_frames(data, len(MAGIC), len(data))]
    end = Recording(str(recording)).end
    assert end is not None
    hits = [(payload, length) for _, kind, _, payload, length in frames if kind == HIT]
    first, *_, last = (_TIME.unpack_from(data, payload)[0] for payload, _ in hits)
    begin = hits[0][0] - FRAME_BYTES
    with longer.open("wb") as file:
        file.write(data[:begin])
        for number in range(events):
            payload, length = hits[number % len(hits)]
            time_ns = _TIME.unpack_from(data, payload)[0] + number // len(hits) * (last - first)
            file.write(data[payload - FRAME_BYTES : payload])
            file.write(_TIME.pack(time_ns) + data[payload + _TIME.size : payload + length])
        file.write(replace(end, end_ns=time_ns).encode())


def measure(recording: Path, folder: Path) -> tuple[float, float, float]:
    """Return (seconds, seconds of the processor, MiB) of the report of a recording."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    meter = "import resource, runpy, sys, atexit; atexit.register(lambda: sys.stderr.write(str("
    meter += "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))); sys.argv = sys.argv[1:];"
    meter += "runpy.run_module('gdbleak', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", meter, "gdbleak", "report", str(recording)]
    done = subprocess.run(
        [*command, "-o", str(folder / "report.txt")],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime - before.ru_utime, int(done.stderr.split()[-1]) / 1024


def main() -> None:
    """Measure and print."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    counts = [int(word) for word in sys.argv[1:]] or [10_000, 1_000_000]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        recording = record(folder)
        rows = []
        for events in counts:
            longer = folder / "longer"
            repeat(recording, events, longer)
            size = longer.stat().st_size / (1 << 20)
            rows.append((f"{events:,}", f"{size:,.0f}", *measure(longer, folder)))
    heads = ("events", "MiB", "s", "s of the processor", "MiB of memory")
    print(tabulate(rows, heads, floatfmt=".1f"))


if __name__ == "__main__":
    main()
