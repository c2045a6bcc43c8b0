"""The longest gap that a process sees while it is traced, by a clock of its own.

    python benchmarks/pause.py [ROUNDS]

Beside gdbleak: `gdb -p PID -batch -ex detach`, which does nothing but attach and detach, and the
same time without a tracer; all in turn, in one run. The debug information is real: an object file
of many types and functions is linked in two hundred times. The slow disk is this host's, with an
empty page cache, limited to SLOW_READS a second by a control group for whoever traces.

It takes root, also for this: the tools have precedence over whatever else the host does, and the
watched program has precedence over the tools, so that a gap is a halt and no wait for a processor.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tabulate import tabulate

import gdbleak

HERE = Path(__file__).parent
WINDOW_S = 1.0
LIBRARIES = 400
TYPES = 3000
OBJECTS = 200
SLOW_READS = 200


class Watcher:
    """A program that watches the clock."""

    def __init__(self, program: Path, threads: int, rate: int) -> None:
        self._process = subprocess.Popen(
            [program, str(threads), str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            preexec_fn=lambda: take_precedence(2),
        )
        self.pid = self._process.pid
        self._answer()

    def gap_ms(self, action: Callable[[int], object]) -> float:
        """Return the longest gap that it sees while something is done to it."""
        self._ask()
        action(self.pid)
        return self._ask()

    def end(self) -> None:
        """End it."""
        self._process.communicate()

    def _ask(self) -> float:
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        return float(self._answer())

    def _answer(self) -> bytes:
        assert self._process.stdout
        return self._process.stdout.readline()


def take_precedence(level: int) -> None:
    """Run before every process of a lower level."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(level))


def build(folder: Path, name: str, *objects: Path) -> Path:
    """Compile the watcher, with something linked to it."""
    program = folder / name
    source = HERE / "watch.c"
    command: list[str | Path] = [
        "cc",
        "-O2",
        "-pthread",
        "-o",
        program,
        source,
        "-Wl,--no-as-needed",
        *objects,
    ]
    subprocess.run(command, check=True)
    return program


def build_with_debug_information(folder: Path) -> Path:
    """Compile it with 300 MB of debug information: many times that of one object file."""
    source = folder / "types.c"
    source.write_text(
        "".join(
            f"struct s{n} {{ int a{n}; char b{n}[{n % 50 + 1}]; union {{ double c{n}; long d{n}; }}"
            f" e{n}; struct s{n} *next{n}; }};\n"
            f"static __attribute__((used)) long f{n}(struct s{n} *first{n}, int count{n}) {{\n"
            f"long sum{n} = 0; for (int i{n} = 0; i{n} < count{n}; i{n}++)\n"
            f"sum{n} += first{n}[i{n}].a{n}; return sum{n}; }}\n"
            for n in range(TYPES)
        )
    )
    subprocess.run(["cc", "-g3", "-O1", "-c", source, "-o", folder / "types.o"], check=True)
    return build(folder, "debug", *[folder / "types.o"] * OBJECTS)


def build_with_libraries(folder: Path) -> Path:
    """Compile it with many shared libraries."""
    source = folder / "library.c"
    source.write_text("int NAME(void) { return 1; }\n")
    libraries = [folder / f"library_{number}.so" for number in range(LIBRARIES)]
    for library in libraries:
        options = [f"-DNAME={library.stem}", "-shared", "-fPIC", "-nostdlib"]
        subprocess.run(["cc", *options, source, "-o", library], check=True)
    return build(folder, "libraries", *libraries)


@contextmanager
def slow_disk(folder: Path) -> Iterator[None]:
    """Empty the page cache, and limit how often we and our children may read from the disk."""
    device = folder.stat().st_dev
    disk = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    if (disk / "partition").exists():  # only the whole can be limited
        disk = disk.parent
    number = (disk / "dev").read_text().strip()
    root, limit = Path("/sys/fs/cgroup"), ("io.max", f"{number} riops={SLOW_READS}")
    if (root / "blkio").exists():  # control groups of the first version
        root = root / "blkio"
        limit = ("blkio.throttle.read_iops_device", f"{number} {SLOW_READS}")
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    # Of the second version there is only one, which names no controller.
    paths = {name: path for line in lines for _, name, path in [line.split(":", 2)]}
    before = root / paths["blkio" if root.name == "blkio" else ""].lstrip("/")
    group = root / f"gdbleak-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit[0]).write_text(limit[1])
        (group / "cgroup.procs").write_text(str(os.getpid()))
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("1")
        yield
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


def attach_gdb(pid: int) -> None:
    """Attach a GDB as it comes, and detach."""
    command = ["gdb", "-p", str(pid), "-batch", "-ex", "detach"]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def cells(values: list[float]) -> tuple[str, str]:
    """Return median and spread."""
    return f"{statistics.median(values):.1f}", f"{min(values):.1f} .. {max(values):.1f}"


def main(rounds: int) -> None:
    """Measure and print."""
    rows = []
    take_precedence(1)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        plain = build(folder, "plain")
        shapes = [
            ("1 thread", plain, 1, 0),
            ("1 thread, 100 allocations/s", plain, 1, 100),
            ("64 threads", plain, 64, 0),
            ("500 threads", plain, 500, 0),
            ("300 MB of debug information", build_with_debug_information(folder), 1, 0),
            (f"{LIBRARIES} libraries", build_with_libraries(folder), 1, 0),
            (f"disk of {SLOW_READS} reads/s", plain, 1, 0),
        ]
        for shape, program, threads, rate in shapes:
            quiet: list[float] = []
            peer: list[float] = []
            ours: list[float] = []
            reported: list[float] = []
            slow = shape.startswith("disk")

            def trace(pid: int, reported: list[float] = reported) -> None:
                report = gdbleak.trace(pid, duration_s=WINDOW_S)
                reported.append(report.window.longest_pause_ms or 0.0)

            watcher = Watcher(program, threads, rate)
            for _ in range(rounds):
                quiet.append(watcher.gap_ms(lambda _: time.sleep(WINDOW_S)))
                for action, gaps in ((attach_gdb, peer), (trace, ours)):
                    with slow_disk(folder) if slow else nullcontext():
                        gaps.append(watcher.gap_ms(action))
            watcher.end()
            rows.append((shape, *(c for v in (quiet, peer, ours, reported) for c in cells(v))))
    headers = ("longest gap, ms", "untraced", "", "gdb -p", "", "gdbleak", "", "it reports", "")
    print(tabulate(rows, headers))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
