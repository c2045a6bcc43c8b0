"""The scripts for bash and fish really complete in these shells; zsh can read its own."""

from __future__ import annotations

import shutil
import subprocess

import pytest

_COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"$(complete -p gdbleak | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
printf '%s\\n' "${COMPREPLY[@]}"
"""


COMPLETIONS = [
    (["tr"], {"trace"}),
    (["re"], {"report", "rescue"}),
    (["trace", "--dur"], {"--duration"}),
    (["trace", "--sort", ""], {"verdict", "bytes", "count"}),
    (["completion", "b"], {"bash"}),
    (["explain", "l"], {"leak", "leak?", "lost"}),
    (["explain", "SA"], {"SAMPLED"}),
]


@pytest.mark.parametrize(("words", "completions"), COMPLETIONS)
def test_bash(cli, tmp_path, words, completions):
    script = tmp_path / "gdbleak.bash"
    script.write_text(cli.run("completion", "bash").stdout)
    command = ["bash", "-c", _COMPLETE, "bash", str(script), "gdbleak", *words]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(made.stdout.split()) == completions, made


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish")
@pytest.mark.parametrize(("words", "completions"), COMPLETIONS)
def test_fish(cli, tmp_path, words, completions):
    script = tmp_path / "gdbleak.fish"
    script.write_text(cli.run("completion", "fish").stdout)
    ask = "source $argv[1]; complete --do-complete $argv[2]"
    command = ["fish", "--no-config", "-c", ask, str(script), " ".join(["gdbleak", *words])]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {line.split("\t")[0] for line in made.stdout.splitlines()}
    assert found == completions, made


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
def test_zsh_can_read_it(cli, tmp_path):
    script = tmp_path / "_gdbleak"
    script.write_text(cli.run("completion", "zsh").stdout)
    subprocess.run(["zsh", "-n", script], check=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_in_it(cli, shell):
    script = cli.run("completion", shell).stdout
    assert all(name in script for name in ("trace", "report", "suspects", "doctor", "rescue"))
