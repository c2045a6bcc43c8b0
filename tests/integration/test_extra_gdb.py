"""`pip install 'gdbleak[gdb]'` brings a GDB that is found, and that proves itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Return the folder of the programs of an environment with the GDB of the extra."""
    folder = tmp_path_factory.mktemp("extra")
    listed = (ROOT / "pyproject.toml").read_text()
    wanted = re.search(r'^gdb = \["(.+)"\]$', listed, re.MULTILINE)[1]
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    command = [*pip, "--python", folder / "bin/python", "install", "--quiet", "--retries=0", wanted]
    got = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if got.returncode != 0:
        pytest.skip(f"{wanted} cannot be had here: {got.stderr.strip()}")
    return folder / "bin"


def test_gdb_of_the_extra_is_found_without_path(programs, tmp_path):
    paths = (ROOT, Path(psutil.__file__).parents[1])
    doctor = subprocess.run(
        [programs / "python", "-m", "gdbleak", "doctor"],
        env={
            "PATH": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "TMPDIR": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    if "missing libpython" in doctor.stdout:
        pytest.skip("this Python was built without the shared library that the GDB needs")
    assert f"({programs / 'gdb'}), proved on a process of gdbleak's own" in doctor.stdout
    assert doctor.returncode == 0
    assert list(tmp_path.iterdir()) == []
