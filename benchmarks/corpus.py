"""What verdicts the programs of the corpus get: a Markdown table.

    python benchmarks/corpus.py [SECONDS [BUDGET [NAME...]]]

A window of SECONDS (20) on each program, or on those named, nine at a time, with `--budget`
BUDGET (100).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.corpus import PROGRAMS, Program

GDBLEAK = [sys.executable, "-m", "gdbleak"]


def trace(program: Program, folder: str, seconds: str, budget: str) -> list[str]:
    """Return the rows of the table for a program."""
    binary = f"{folder}/{program.path.stem}"
    compiler = "c++" if program.path.suffix == ".cpp" else "cc"
    subprocess.run([compiler, "-O2", "-g", "-o", binary, program.path], check=True)
    with subprocess.Popen([binary], stdin=PIPE, stdout=PIPE) as target:
        assert target.stdin
        assert target.stdout
        target.stdout.readline()
        command = [*GDBLEAK, "trace", str(target.pid), "--duration", seconds, "--budget", budget]
        with subprocess.Popen([*command, "--format", "json"], stdout=PIPE, stderr=PIPE) as running:
            assert running.stdout
            assert running.stderr
            while b"tracing" not in running.stderr.readline():
                continue
            target.stdin.write(b"\n")
            target.stdin.flush()
            report = json.loads(running.stdout.read())
        target.kill()
    rows = [
        f"| `{program.path.stem}` | {found.function}: {found.label} | `{found.word}` |"
        f" {found.evidence} | {'yes' if found.fits else '**no**'} |"
        for found in program.find(report)
        if found.function in program.labels
    ]
    return rows or [f"| `{program.path.stem}` | | | nothing was allocated | |"]


def main(seconds: str = "20", budget: str = "100", *names: str) -> None:
    """Print the table."""
    print("| Program | Label | Verdict | Evidence | Right |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(9) as pool:
        programs = [p for p in PROGRAMS if not names or p.path.stem in names]
        for rows in pool.map(lambda p: trace(p, folder, seconds, budget), programs):
            print(*rows, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
