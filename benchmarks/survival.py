"""How often a process outlives a SIGKILL of the GDB that traces it.

    .venv/bin/python benchmarks/survival.py [TRIALS]

Each trial starts a program that allocates and frees at a given rate, opens a window on it, kills
GDB with SIGKILL at a random moment, and looks whether the program runs on with its code intact.
Prints a Markdown table; the interval is Wilson's, for 95 %.
"""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
RATES = (1, 10, 100, 1000, 0)
SEED = 1
READY_S = 30.0


def main(trials: int) -> None:
    """Print the table."""
    dice = random.Random(SEED)
    print("| Allocations a second | Trials | Survived | 95 % interval |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        program = Path(name, "paced")
        source = ROOT / "tests/targets/paced.c"
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
        for rate in RATES:
            survived = sum(survives(program, rate, dice.random()) for _ in range(trials))
            low, high = wilson(survived, trials)
            print(
                f"| {rate or 'without pause'} | {trials} | {survived} | {low:.0%} to {high:.0%} |",
                flush=True,
            )


def survives(program: Path, rate: int, delay_s: float) -> bool:
    """Kill GDB `delay_s` into a window on a program; return whether the program lives."""
    with subprocess.Popen(
        [program, str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as target:
        assert target.stdout
        target.stdout.readline()
        try:
            trace_and_kill(target.pid, delay_s)
            target.communicate(b"end\n", timeout=READY_S)
        except subprocess.TimeoutExpired:  # left stopped
            target.kill()
        return target.wait() == 0


def trace_and_kill(pid: int, delay_s: float) -> None:
    """Open a window on a process and kill its GDB; return when gdbleak has ended."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gdbleak",
            "trace",
            str(pid),
            "--probe",
            "breakpoint",
            "--duration",
            "600",
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as trace:
        assert trace.stderr
        while b"tracing" not in trace.stderr.readline():
            assert trace.poll() is None, "gdbleak does not start: run it by hand"
        [gdb] = [child for child in psutil.Process(trace.pid).children() if child.name() == "gdb"]
        time.sleep(delay_s)
        os.kill(gdb.pid, signal.SIGKILL)
        trace.communicate(timeout=READY_S)


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion."""
    share = successes / trials
    center = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25)
