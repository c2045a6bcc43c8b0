"""The `gdbleak` command as a process: quick with little to do, and quiet when interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "gdbleak", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("module", ["argparse", "psutil", "pygdbmi", "rich"])
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, "gdbleak: interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_signal_while_modules_are_imported(tmp_path, module, number, status, said):
    # Stands before the module of that name, and never comes to an end.
    code = f"import os\nos.kill(os.getpid(), {int(number)})\nwhile True:\n    pass\n"
    (tmp_path / f"{module}.py").write_text(code)
    result = run("doctor", PYTHONPATH=str(tmp_path))

    assert (result.returncode, result.stdout, result.stderr) == (status, "", said)


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, "gdbleak: interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_signal_in_a_destructor(tmp_path, number, status, said):
    # Python drops what a destructor raises, so that the signal would be lost.
    (tmp_path / "psutil.py").write_text(
        "import signal\n"
        "class Dying:\n"
        "    def __del__(self):\n"
        f"        signal.raise_signal({int(number)})\n"
        "Dying()\n"
        "while True:\n"
        "    pass\n"
    )
    result = run("doctor", PYTHONPATH=str(tmp_path))

    assert (result.returncode, result.stdout, result.stderr) == (status, "", said)


def test_version_needs_no_other_module(tmp_path):
    for module in ("capstone", "numpy", "psutil", "pygdbmi", "rich", "tabulate"):
        (tmp_path / f"{module}.py").write_text("raise ImportError")
    result = run("--version", PYTHONPATH=str(tmp_path))

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("gdbleak ")


def test_names_of_the_package():
    code = (
        "import gdbleak\n"
        "assert 'gdbleak.api' not in __import__('sys').modules\n"
        "from gdbleak import *\n"
        "print(trace.__module__, Report.__module__, GdbleakError.__module__)\n"
        "gdbleak.nothing"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout == "gdbleak.api gdbleak.report.model gdbleak.errors\n"
    assert result.stderr.endswith("module 'gdbleak' has no attribute 'nothing'\n")
