"""It works as any user that may trace, on targets in containers, and with replaced files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from support.cli import lasting_notes

from gdbleak.target.process import YAMA

ROOT = Path(__file__).parents[2]
NOBODY, SOMEBODY = 65534, 61234

AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user or make a container"
)
# The folder is to outlive the targets that run from it.
pytestmark = pytest.mark.usefixtures("needs_ptrace", "open_folder")


def become(user, *capabilities):
    """Return the beginning of a command that runs as another user, with nothing but these."""
    granted = ",".join(f"+{name}" for name in capabilities) or "-all"
    drop = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    return *drop, f"--inh-caps={granted}", f"--ambient-caps={granted}"


def trace(cli, target, pid=None, **options):
    """Return the report of a window in which a puppet leaks fifty blocks."""
    arguments = ("--budget", 100, "--older", 0, "--duration", 600, "--format", "json")
    running = cli.start("trace", pid or target.pid, *arguments, **options)
    running.wait_for_window()
    assert target.ask("leak 50") == "leaked"
    running.send(signal.SIGINT)
    return running.finish().report


def assert_complete(report):
    """Assert that the fifty blocks were found, with names and lines, and the target let go."""
    [site] = report["sites"]
    leak, main, *_ = site["frames"]
    line = 1 + (ROOT / "tests/targets/puppet.c").read_text().split("= malloc")[0].count("\n")
    assert site["outstanding_count"] == 50
    assert (leak["function"], Path(leak["file"]).name, leak["line"]) == ("leak", "puppet.c", line)
    assert (main["function"] in ("main", "run"), Path(main["file"]).name) == (True, "puppet.c")
    assert report["target"]["allocator"].startswith("glibc ")
    assert report["verification"]["ok"] is True
    assert lasting_notes(report) == []


@pytest.fixture
def open_folder():
    """Return a folder that every user may enter: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def puppet_file(build_target, open_folder):
    """Return a program that every user may run."""
    return Path(shutil.copy(build_target("puppet.c"), open_folder))


@pytest.fixture(scope="session")
def python_for_all():
    """Return command and environment of a Python that runs gdbleak as any user."""
    packages = Path(psutil.__file__).parents[1]
    paths = f"{ROOT}{os.pathsep}{packages}"
    check = "import gdbleak.cli, subprocess, sys; subprocess.run([sys.executable, '-c', ''])"
    for python, environment in (
        (sys.executable, {}),
        (shutil.which("python3", path="/usr/local/bin:/usr/bin"), {"PYTHONPATH": paths}),
    ):
        attempt = python and subprocess.run(
            [*become(NOBODY), python, "-c", check],
            env={**os.environ, **environment},
            cwd="/",
            capture_output=True,
        )
        if attempt and attempt.returncode == 0:
            return python, environment
    pytest.skip("no Python of this host runs gdbleak as another user")


@pytest.fixture
def as_nobody(open_folder, python_for_all):
    """Return a function: how to run gdbleak as nobody. It must leave nothing behind."""
    python, environment = python_for_all
    folders = {"TMPDIR": open_folder / "tmp", "GDBLEAK_STATE": open_folder / "state"}
    for folder in folders.values():
        folder.mkdir(mode=0o700)
        os.chown(folder, NOBODY, NOBODY)
    # The Python that `cli` names may be one that only we can run.
    replace_python = ("sh", "-c", 'shift; exec "$0" "$@"', python)

    def as_nobody(*capabilities):
        return {
            "wrapper": (*become(NOBODY, *capabilities), *replace_python),
            "env": {**environment, **folders},
            "cwd": "/",
        }

    yield as_nobody
    assert [path for folder in folders.values() for path in folder.iterdir()] == []


@AS_ROOT
def test_user_traces_a_process_of_its_own(cli, as_nobody, start_target, puppet_file):
    if YAMA.exists() and YAMA.read_text().strip() != "0":
        pytest.skip("kernel.yama.ptrace_scope forbids it here")
    target = start_target(*become(NOBODY), puppet_file)
    assert_complete(trace(cli, target, **as_nobody()))


HIDDEN = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t proc -o hidepid=2 proc /proc && exec "$@"',
    "sh",
)
"""Beginning of a command that sees no process of another user."""


@AS_ROOT
def test_processes_of_others_are_hidden(cli, as_nobody, start_target, puppet_file):
    """Its own ancestors are, as those of a shell under sudo or of a job under cron."""
    if YAMA.exists() and YAMA.read_text().strip() != "0":
        pytest.skip("kernel.yama.ptrace_scope forbids it here")
    if subprocess.run([*HIDDEN, "true"], capture_output=True).returncode:
        pytest.skip("this kernel hides processes for all mounts of /proc alike")
    target = start_target(*become(NOBODY), puppet_file)
    how = as_nobody()
    how["wrapper"] = (*HIDDEN, *how["wrapper"])
    assert_complete(trace(cli, target, **how))


@AS_ROOT
def test_process_that_hides_itself_in_the_window(
    cli, as_nobody, start_target, open_folder, build_target
):
    """From then on its user may not read its mappings; there is a report all the same."""
    if YAMA.exists() and YAMA.read_text().strip() != "0":
        pytest.skip("kernel.yama.ptrace_scope forbids it here")
    trickster = shutil.copy(build_target("trickster.c"), open_folder)
    target = start_target(*become(NOBODY), trickster)
    running = cli.start_trace(target.pid, **as_nobody())
    assert target.ask("leak 50") == "done"
    assert target.ask("hide") == "done"
    running.send(signal.SIGINT)
    result = running.finish()
    assert "Traceback" not in result.stderr
    report = result.report
    assert report["sites"][0]["outstanding_count"] == 50
    assert any("loaded in the window" in note for note in report["notes"])


@AS_ROOT
def test_yama_forbids_it(cli, as_nobody, start_target, puppet_file):
    if not YAMA.exists() or YAMA.read_text().strip() != "1":
        pytest.skip("kernel.yama.ptrace_scope is not 1 here")
    target = start_target(*become(NOBODY), puppet_file)
    result = cli.run("trace", target.pid, **as_nobody())
    assert result.exit_code == 3
    assert "kernel.yama.ptrace_scope is 1" in result.stderr
    assert "ptrace_scope=0" in result.stderr


@AS_ROOT
def test_cap_sys_ptrace_alone(cli, as_nobody, start_target, puppet_file):
    """The process may do something its user may not: that is what the capability is for."""
    target = start_target(*become(NOBODY, "net_bind_service"), puppet_file)
    result = cli.run("trace", target.pid, **as_nobody())
    assert (result.exit_code, "CAP_SYS_PTRACE" in result.stderr) == (3, True)

    assert_complete(trace(cli, target, **as_nobody("sys_ptrace")))


@AS_ROOT
def test_process_of_another_user(cli, as_nobody, start_target, puppet_file):
    """Its memory is guarded as a process and as a file, and its threads against signals."""
    target = start_target(*become(SOMEBODY), puppet_file)
    for granted in (["sys_ptrace"], ["sys_ptrace", "dac_override"]):
        result = cli.run("trace", target.pid, **as_nobody(*granted))
        assert (result.exit_code, "CAP_DAC_OVERRIDE and CAP_KILL" in result.stderr) == (3, True)

    assert_complete(trace(cli, target, **as_nobody("sys_ptrace", "dac_override", "kill")))


def test_nothing_but_ptrace_and_proc(cli, build_target, start_target):
    """What a container may forbid is not needed."""
    target = start_target(build_target("puppet.c"))
    assert_complete(trace(cli, target, wrapper=(build_target("forbid.c"),)))


@AS_ROOT
@pytest.mark.parametrize("namespace", ["--net", "--user"])
def test_namespaces_that_do_not_matter(cli, build_target, start_target, namespace):
    try:
        target = start_target("unshare", namespace, build_target("puppet.c"))
    except EOFError:
        pytest.skip(f"this host lets nobody `unshare {namespace}`")
    report = trace(cli, target)
    assert_complete(report)
    assert report["target"]["namespace_pid"] is None


def list_libraries(program):
    """Return the files a program loads, its dynamic linker the last."""
    return re.findall(r"(/\S+) \(", subprocess.check_output(["ldd", program], text=True))


@pytest.fixture
def jail(build_target, tmp_path):
    """Return a root folder with a program and libraries, and the program's path in it.

    Files at the same path outside are others. Nothing in it comes from there.
    """
    folder = tmp_path / "own"
    outside = build_target("worker.c")
    program = build_target(
        "puppet.c", f"-Wl,-rpath,{folder}", f"-Wl,--dynamic-linker={folder}/ld.so", name="of-jail"
    )
    root = tmp_path / "root"
    inside = root / folder.relative_to("/")
    inside.mkdir(parents=True)
    folder.mkdir()
    *libraries, linker = list_libraries(outside)
    copies = {"puppet": program, "ld.so": linker, **{Path(lib).name: lib for lib in libraries}}
    for name, source in copies.items():
        shutil.copy(source, inside / name)
        shutil.copy(outside, folder / name)
    return root, folder / "puppet"


PIVOT = """
mount --bind "$1" "$1" && cd "$1" && mkdir old && pivot_root . old && exec "$2"
"""


@AS_ROOT
@pytest.mark.parametrize(
    "enter",
    [("sh", "-c", PIVOT, "sh"), ("chroot",)],
    ids=["pivot_root", "chroot"],
)
def test_container_with_its_own_c_library(cli, jail, start_target, enter):
    namespaces = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child")
    root, program = jail
    target = start_target(*namespaces, *enter, root, program)
    [process] = psutil.Process(target.pid).children()
    report = trace(cli, target, process.pid)

    assert_complete(report)
    assert (report["target"]["pid"], report["target"]["namespace_pid"]) == (process.pid, 1)
    seen = program if enter != ("chroot",) else root / program.relative_to("/")
    assert report["target"]["exe"] == str(seen)
    [site] = report["sites"]
    assert site["frames"][0]["module"] == str(seen)
    assert site["frames"][2]["module"] == str(seen.with_name("libc.so.6"))


@AS_ROOT
def test_chroot_of_a_user(cli, as_nobody, build_target, start_target, open_folder):
    """Without root there is no other way to a file than its path."""
    program = build_target("puppet.c")
    root = open_folder / "root"
    for file in (*list_libraries(program), program):
        copy = root / Path(file).relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    target = start_target("chroot", f"--userspec={NOBODY}:{NOBODY}", root, program)
    assert_complete(trace(cli, target, **as_nobody()))


@pytest.fixture
def outdated(build_target, start_target, open_folder):
    """Return nobody's process whose program and library were replaced since it began."""
    flags = ("-shared", "-fPIC", "-Dmain=run", "-Wl,-soname,libpuppet.so")
    library = build_target("puppet.c", *flags, name="libpuppet.so")
    program = build_target("runner.c", library, f"-Wl,-rpath,{open_folder}")
    for file in (library, program):
        shutil.copy(file, open_folder)
    target = start_target(*become(NOBODY), open_folder / program.name)
    for file in (library, program):
        shutil.copy(build_target("worker.c"), open_folder / "new")
        (open_folder / "new").replace(open_folder / file.name)
    yield target
    target.tell("exit 7")
    assert target.wait() == 7


@AS_ROOT
def test_replaced_files(cli, outdated):
    report = trace(cli, outdated)
    assert_complete(report)
    assert report["sites"][0]["frames"][2]["function"] == "main"


@AS_ROOT
def test_replaced_files_that_a_user_cannot_read(cli, as_nobody, outdated):
    """A library that has no name any more gives no function names, rather than wrong ones."""
    report = trace(cli, outdated, **as_nobody())

    [site] = report["sites"]
    [frame] = site["frames"]
    assert (site["outstanding_count"], site["truncated"]) == (50, True)
    assert Path(frame["module"]).name == "libpuppet.so"
    assert (frame["function"], frame["file"], frame["offset"] is None) == (None, None, False)
    [note] = lasting_notes(report)
    assert "libpuppet.so: its file was replaced or deleted" in note
    assert report["verification"]["ok"] is True
