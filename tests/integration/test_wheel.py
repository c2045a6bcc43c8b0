"""What is shipped works: the wheel, in an environment of its own, runs the demo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]


def run(*command, **options):
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=300, **options
    ).stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Return the folder with the programs of an environment that holds only the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    [wheel] = folder.glob("gdbleak-*.whl")
    run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv/bin/pip", "install", "--quiet", wheel)
    return folder / "venv/bin"


def test_demo_shows_the_leak_and_then_none(programs, tmp_path):
    path = f"{programs}:{os.environ['PATH']}"
    shown = run(
        ROOT / "examples/demo.sh",
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "TMPDIR": str(tmp_path), "COLUMNS": "100"},
    )

    leaking, fixed = shown.split("$ ./fibonacci_fixed")
    line = 1 + (ROOT / "examples/fibonacci.c").read_text().split("= calloc")[0].count("\n")
    assert f"fibonacci fibonacci.c:{line}" in leaking
    assert "compute_terms" in leaking
    assert "; left as found." in " ".join(leaking.split())
    assert "fibonacci fibonacci" not in fixed
    assert "; left as found." in " ".join(fixed.split())
    assert list(tmp_path.iterdir()) == []


def test_manual_page_is_where_man_looks_for_it(programs):
    assert (programs.parent / "share/man/man1/gdbleak.1").read_text().count(".SH NAME") == 1


def test_twins_differ_in_one_line():
    leaking, fixed = (
        (ROOT / "examples" / name).read_text().partition("*/")[2].splitlines()
        for name in ("fibonacci.c", "fibonacci_fixed.c")
    )
    assert [line.strip() for line in fixed if line not in leaking] == ["free(older);"]
    assert [line for line in fixed if line.strip() != "free(older);"] == leaking
