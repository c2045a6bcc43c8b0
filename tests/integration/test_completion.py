"""The script for bash really completes in a bash."""

from __future__ import annotations

import subprocess

import pytest

_COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"$(complete -p gdbleak | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["tr"], {"trace"}),
        (["re"], {"report", "rescue"}),
        (["trace", "--dur"], {"--duration"}),
        (["trace", "--sort", ""], {"verdict", "bytes", "count"}),
        (["completion", "b"], {"bash"}),
    ],
)
def test_bash(cli, tmp_path, words, completions):
    script = tmp_path / "gdbleak.bash"
    script.write_text(cli.run("completion", "bash").stdout)
    command = ["bash", "-c", _COMPLETE, "bash", str(script), "gdbleak", *words]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(made.stdout.split()) == completions, made


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_command_is_in_it(cli, shell):
    script = cli.run("completion", shell).stdout
    assert all(name in script for name in ("trace", "report", "suspects", "doctor", "rescue"))
