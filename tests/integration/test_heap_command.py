"""`gdbleak heap` as a user types it: formats, files, what is refused, and what is said instead."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess

import pytest
from support.cli import GDBLEAK
from support.libraries import LIBRARIES, find_library
from support.processes import TRACER

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def assert_only_announced(text):
    """Assert that standard error has said what was begun, and nothing else."""
    [line] = text.splitlines()
    assert line.startswith("gdbleak: counting the blocks of ")


@pytest.fixture
def start(build_target, start_target):
    """Return a function that starts a program of tests/targets/heaps."""
    return lambda name, *words: start_target(build_target(f"heaps/{name}.c"), *map(str, words))


@pytest.fixture
def quiet(start):
    return start("census", "quiet", 2)


def assert_refused(result, exit_code, *words):
    """Assert that the refusal is two lines that name what they must."""
    assert result.exit_code == exit_code, result.stderr
    cause, cure = result.stderr.splitlines()[-2:]
    assert cause.startswith("gdbleak: ")
    assert cure.startswith("  try: ")
    for word in words:
        assert str(word) in cause + cure


def test_every_format(cli, quiet, tmp_path):
    """On standard output, in a file by its suffix, and saved beside it."""
    saved = tmp_path / "saved.heap"
    plain = cli.run("heap", quiet.pid, "--save", saved)
    assert plain.exit_code == 0
    assert_only_announced(plain.stderr)
    assert "neither attached to nor stopped" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert json.loads(saved.read_text())["schema"] == "gdbleak.heap/1"
    for form, suffix in (("html", "html"), ("markdown", "md"), ("csv", "csv")):
        path = tmp_path / f"report.{suffix}"
        written = cli.run("heap", quiet.pid, "-o", path)
        assert (written.exit_code, written.stdout) == (0, "")
        assert_only_announced(written.stderr)
        text = path.read_text()
        if form == "csv":
            assert len([*csv.reader(text.splitlines())]) > 10
        assert "303088" in text or "303,088" in text, form
    report = cli.run("heap", quiet.pid, "--format", "json", "--stop", "--max-pause", 20000).report
    assert report["taking"]["pause_ms"] > 0
    assert report["in_use"] == json.loads(saved.read_text())["in_use"]


def test_two_saved_heaps(cli, start, tmp_path):
    target = start("many_arenas", 1, 0, 0)
    before, after = tmp_path / "before.heap", tmp_path / "after.heap"
    assert cli.run("heap", target.pid, "--save", before).exit_code == 0
    assert target.ask("grow 5000000") == "done"
    assert cli.run("heap", target.pid, "--save", after).exit_code == 0
    compared = cli.run("diff", before, after)
    assert compared.exit_code == 0
    [row] = [line for line in compared.stdout.splitlines() if line.split()[:1] == ["1000"]]
    assert "4,961" in row or "4961" in row or "+" in row
    sizes = json.loads(cli.run("diff", before, after, "--format", "json").stdout)
    assert sizes


def test_output_into_a_pipe_that_ends_early(quiet):
    command = [*GDBLEAK, "heap", str(quiet.pid), "--top", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as gdbleak:
        gdbleak.stdout.close()
        assert_only_announced(gdbleak.stderr.read().decode())
        assert gdbleak.wait(60) == 0


def test_an_output_that_cannot_be_written(cli, quiet, tmp_path):
    assert_refused(cli.run("heap", quiet.pid, "-o", tmp_path / "no/file.html"), 5, "cannot write")
    assert_refused(cli.run("heap", quiet.pid, "-o", tmp_path / "file.xyz"), 2, "suffix")
    both = tmp_path / "file.json"
    assert_refused(cli.run("heap", quiet.pid, "-o", both, "--save", both), 2, "same file")
    assert [*tmp_path.glob("file*")] == []


def test_a_file_that_fails_at_the_end_does_not_lose_the_report(cli, quiet):
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("this host has no /dev/full")
    result = cli.run("heap", quiet.pid, "-o", "/dev/full", "--format", "plain")
    assert_refused(result, 5, "standard output")
    assert "Blocks by size" in result.stdout


@pytest.mark.parametrize(
    "options", [["--count", 0], ["--interval", 0], ["--max-pause", 0]], ids=str
)
def test_numbers_out_of_range(cli, options):
    assert cli.run("heap", os.getpid(), *options).exit_code == 2


def test_who_is_not_there(cli):
    with subprocess.Popen(["true"]) as gone:
        pass
    assert_refused(cli.run("heap", gone.pid), 3, gone.pid)
    assert_refused(cli.run("heap", "no-such-process"), 3, "no-such-process")


def test_two_processes_of_a_name(cli, build_target, start_target, tmp_path):
    program = tmp_path / "two-of-a-kind"
    shutil.copy(build_target("heaps/census.c"), program)
    two = [start_target(program, "quiet", "1") for _ in range(2)]
    result = cli.run("heap", "two-of-a-kind")
    assert result.exit_code == 3
    assert all(str(each.pid) in result.stderr for each in two)
    two[1].end()
    assert cli.run("heap", "two-of-a-kind").exit_code == 0


def test_a_process_of_another_user(cli, start_target):
    if os.geteuid() == 0:
        as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        other = start_target(*as_nobody, "sh", "-c", "echo ready; exec cat").pid
        wrapper = ["setpriv", "--bounding-set=-sys_ptrace"]
    else:
        other, wrapper = 1, []
    assert_refused(cli.run("heap", other, wrapper=wrapper), 3, other)


def test_a_process_that_somebody_else_traces(cli, quiet):
    with subprocess.Popen([*TRACER, str(quiet.pid)], stdin=-1, stdout=-1) as tracer:
        tracer.stdout.readline()
        assert_refused(cli.run("heap", quiet.pid, "--stop"), 3, tracer.pid, "--stop")
        tracer.stdin.close()


def notes_of(report):
    others = [note for each in report["allocators"] for note in each["notes"]]
    return " ".join([*report["notes"], *others])


def test_hooks_of_glibc(cli, build_target, start_target):
    debug = find_library("libc_malloc_debug.so.0")
    words = (f"LD_PRELOAD={debug}", "MALLOC_CHECK_=3", build_target("heaps/census.c"))
    report = cli.run("heap", start_target("env", *words, "quiet").pid, "--format", "json").report
    assert "libc_malloc_debug" in notes_of(report)
    assert "MALLOC_CHECK_" in notes_of(report)
    assert report["in_use"]["count"] > 1000


@pytest.mark.parametrize("name", LIBRARIES)
def test_other_allocators_are_named(cli, build_target, start_target, name):
    library = find_library(LIBRARIES[name])
    program = build_target("puppet.c")
    target = start_target("env", f"LD_PRELOAD={library}", program)
    report = cli.run("heap", target.pid, "--format", "json").report
    assert name.split()[0] in {each["name"].split()[0] for each in report["allocators"]}
    assert notes_of(report)


def test_musl(cli, start_target, tmp_path, pytestconfig):
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: run .ci/setup test")
    program = tmp_path / "puppet"
    source = pytestconfig.rootpath / "tests/targets/puppet.c"
    subprocess.run(["musl-gcc", "-O1", "-pthread", "-o", program, source], check=True)
    result = cli.run("heap", start_target(program).pid)
    assert result.exit_code == 0
    assert "musl" in result.stdout


def test_32_bits(cli, build_target, start_target):
    try:
        flags = ("-static", "-nostdlib", "-fno-stack-protector", "-m32")
        bare = start_target(build_target("bare.c", *flags))
    except (subprocess.CalledProcessError, OSError, EOFError) as error:
        pytest.skip(f"32-bit programs cannot be built or run here: {error}")
    result = cli.run("heap", bare.pid)
    assert "32" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_a_process_without_any_heap(cli, build_target, start_target):
    bare = start_target(build_target("bare.c", "-static", "-nostdlib", "-fno-stack-protector"))
    result = cli.run("heap", bare.pid)
    assert result.exit_code == 0
    assert_only_announced(result.stderr)
    assert "without a heap of glibc's malloc" in result.stdout


def test_a_command_line_that_is_not_text(cli, build_target, start_target, tmp_path):
    program = build_target("heaps/census.c")
    target = start_target(program, b"quiet", b"1", b"\xff\x1b[31m\n")
    path = tmp_path / "report.json"
    for form in ("plain", "csv", "html"):
        result = cli.run("heap", target.pid, "--format", form, "-o", path)
        assert result.exit_code == 0
        assert_only_announced(result.stderr)
        assert "\x1b" not in path.read_text()


def test_a_corrupt_heap_is_said(cli, start):
    result = cli.run("heap", start("corrupt", "noise").pid)
    assert result.exit_code == 0
    assert_only_announced(result.stderr)
    assert "64.0 KiB" in result.stdout or "65,536" in result.stdout


def test_which_size_grows_is_said_with_what_to_type_next(cli, start):
    target = start("grows_by_size", 3000, 100)
    result = cli.run("heap", target.pid, "--interval", 0.3, "--count", 7)
    assert result.exit_code == 0
    assert "--size 24" in result.stdout
