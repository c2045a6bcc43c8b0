"""Who is named as the caller in real programs, and how deep recursion is shown."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import Cli
from support.processes import running

from gdbleak.text.names import qualified

pytestmark = pytest.mark.usefixtures("needs_ptrace")

RUST = Path(__file__).parent.parent / "targets" / "leaky.rs"
EVERYTHING = ("--older", 0, "--max-frames", 1000)


def record(program, path, tmpdir):
    """Save a recording of one round."""
    with running(program) as target, closing(Cli(tmpdir)) as cli:

        def work():
            assert target.ask("go") == "done"

        assert cli.record(target.pid, path, work, "--stack-bytes", "64k").exit_code == 0


@pytest.fixture(scope="module")
def saved(build_target, tmp_path_factory):
    """Return the recording of a C++ program."""
    path = tmp_path_factory.mktemp("recording") / "saved"
    record(build_target("wrappers.cpp"), path, tmp_path_factory.mktemp("tmpdir"))
    return path


@pytest.fixture(scope="module")
def build_rust(tmp_path_factory):
    """Return a function that compiles the Rust program; skip where nothing can."""
    if not shutil.which("rustc"):
        pytest.skip("there is no Rust compiler (rustc)")

    def build(*options):
        output = tmp_path_factory.mktemp("rust") / "leaky"
        subprocess.run(["rustc", "-O", *options, "-o", output, RUST], check=True)
        return output

    return build


def callers(cli, path, *options):
    """Return the callers that a report names, by their bare names."""
    report = cli.run("report", path, *EVERYTHING, *options, "--format", "json").report
    return {qualified(site["function"]) for site in report["sites"]}


CXX_CALLERS = {
    *("by_new", "by_string", "by_vector", "by_map", "by_shared", "by_strdup", "by_asprintf"),
    *("by_fopen", "pool_get", "descend", "even"),
}


def test_cxx_callers(cli, saved):
    assert callers(cli, saved) == CXX_CALLERS


def test_skip_adds_wrappers(cli, saved, tmp_path):
    """Behind `pool_get` lies `xmalloc`, which needs no option."""
    skipped = CXX_CALLERS - {"pool_get"} | {"by_pool"}
    listed = tmp_path / "skip"
    listed.write_text("# our own\n\n  pool_*  \n#even\n")
    assert callers(cli, saved, "--skip", "pool_*") == skipped
    assert callers(cli, saved, "--skip-file", listed) == skipped
    both = callers(cli, saved, "--skip-file", listed, "--skip", "even", "--skip", "odd")
    assert both == skipped - {"even"} | {"main"}


def test_skip_leaves_the_stack_whole(cli, saved):
    def stacks(*options):
        report = cli.run("report", saved, *EVERYTHING, "--format", "json", *options).report
        return [site["frames"] for site in report["sites"]]

    assert stacks() == stacks("--skip", "pool_*")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"\xff\n", "it is not UTF-8 text")],
    ids=["missing", "no text"],
)
def test_unreadable_skip_file(cli, saved, tmp_path, content, reason):
    listed = tmp_path / "skip"
    if content is not None:
        listed.write_bytes(content)
    result = cli.run("report", saved, "--skip-file", listed)
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == (
        f"gdbleak: cannot read {listed}: {reason}\n"
        "  try: give --skip-file a text file, one function a line\n"
    )


def test_recursion_is_shown_once_and_kept_whole(cli, saved):
    text = cli.run("report", saved, *EVERYTHING, "--top", 99, "--verbose").stdout
    assert re.search(r"  #1   descend\(int\) .*\n +\.\.\. 211 times in all, up to #211\n", text)
    assert re.search(
        r"  #1   odd\(int\) .*\n  #2   even\(int\) .*\n"
        r" +\.\.\. these 2 frames 105 times in all, up to #210\n",
        text,
    )
    report = cli.run("report", saved, *EVERYTHING, "--format", "json").report
    names = [[frame["function"] for frame in site["frames"]] for site in report["sites"]]
    assert 212 in [stack.count("descend(int)") for stack in names]
    assert [106, 105] in [[stack.count("even(int)"), stack.count("odd(int)")] for stack in names]


@pytest.mark.parametrize("options", [(), ("-g",)], ids=["symbols alone", "debug information"])
def test_rust_callers(cli, build_rust, tmp_path, options):
    path = tmp_path / "saved"
    record(build_rust(*options), path, cli.tmpdir)
    report = cli.run("report", path, *EVERYTHING).stdout
    assert set(re.findall(r"\bby_\w+(?=[ <].*\(leaky\)$)", report.split("\n\n")[1], re.M)) == {
        *("by_vec", "by_box", "by_format", "by_map", "by_trait"),
    }
    assert not re.search(r"\[[0-9a-f]{8,}\]|::h[0-9a-f]{16}", report)


def test_events_name_the_program_and_not_the_library_of_cxx(build_target):
    program = build_target("wrappers.cpp")
    with running(program) as target:
        command = [sys.executable, "-m", "gdbleak", "trace", target.pid, "--events"]
        with subprocess.Popen(
            [*map(str, command), "--duration", "8"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as gdbleak:
            header = gdbleak.stdout.readline()
            assert target.ask("go") == "done"
            out, _ = gdbleak.communicate(timeout=60)
    assert header.endswith("caller, or age\n")
    # of a free stands the age there
    callers = re.findall(r"^[\d:.]+ +\d+ (?!free)\S+ +\d+ 0x\w+  (\S+)$", out, re.MULTILINE)
    assert len(callers) > 10
    assert {caller.partition("+")[0] for caller in callers} == {program.name}
