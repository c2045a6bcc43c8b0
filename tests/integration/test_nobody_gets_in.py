"""What lies about on a host is not run, followed or trusted; names of the target are data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes import state_of, wait_until

from gdbleak.debugger.program import find_gdb

TARGETS = Path(__file__).parents[1] / "targets"

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture
def state(tmp_path):
    """Return the folder for journals, which does not exist yet."""
    return tmp_path / "state"


def modes(folder):
    """Return the permissions of a folder or file and of everything in it."""
    return {path: oct(path.stat().st_mode & 0o777) for path in (folder, *folder.rglob("*"))}


# Files


def test_only_the_owner_may_read_or_write(cli, puppet, state, tmp_path):
    saved = tmp_path / "saved"
    everything_open = ("sh", "-c", 'umask 000; exec "$@"', "sh")
    running = cli.start(
        *("trace", puppet.pid, "--save", saved, "--duration", 600),
        wrapper=everything_open,
        env={"GDBLEAK_STATE": str(state)},
    )
    running.wait_for_window()
    [folder] = cli.tmpdir.iterdir()
    assert modes(state) == {state: "0o700", state / f"{puppet.pid}.journal": "0o600"}
    assert modes(folder)[folder] == "0o700"
    assert modes(saved) == {saved: "0o600"}
    running.send(signal.SIGINT)
    assert running.finish().exit_code == 0
    assert modes(saved) == {saved: "0o600"}
    assert list(state.iterdir()) == []


def test_link_in_the_place_of_a_recording(cli, puppet, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "saved").symlink_to(precious)
    result = cli.run("trace", puppet.pid, "--save", tmp_path / "saved", "--duration", 0.1)
    assert result.exit_code == 0, result.stderr
    assert precious.read_text() == "precious"
    assert not (tmp_path / "saved").is_symlink()


def make_link(state):
    (state.parent / "elsewhere").mkdir(mode=0o700)
    state.symlink_to(state.parent / "elsewhere")


def make_open(state):
    state.mkdir()
    state.chmod(0o777)


def make_file(state):
    state.write_text("")


def make_foreign(state):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    state.mkdir(mode=0o700)
    os.chown(state, 65534, 65534)


@pytest.mark.parametrize("make", [make_link, make_open, make_file, make_foreign])
def test_folder_of_journals_that_others_may_use(cli, puppet, state, make):
    make(state)
    result = cli.run("trace", puppet.pid, env={"GDBLEAK_STATE": str(state)})
    assert result.exit_code == 5
    assert str(state) in result.stderr
    assert "GDBLEAK_STATE" in result.stderr.splitlines()[1]


def test_temporary_folder_that_others_may_change(cli, puppet, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    result = cli.run("trace", puppet.pid, env={"TMPDIR": str(folder)})
    assert result.exit_code == 5
    assert str(folder) in result.stderr
    assert "TMPDIR" in result.stderr.splitlines()[1]
    assert list(folder.iterdir()) == []

    folder.chmod(0o1777)  # as /tmp is: nobody may rename what others made
    env = {"TMPDIR": str(folder)}
    assert cli.run("trace", puppet.pid, "--duration", 0.1, env=env).exit_code == 0


# Code


def gdb_trap(name):
    return f'shell touch "$TRAPS/{name}"\n'


def python_trap(name):
    return f"import os; o = open(os.environ['TRAPS'] + '/{name}', 'w')\n"


def set_traps(folder, names, trap):
    """Put code into files; each leaves a mark when it is run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(trap(f"{folder.name}-{name}".replace("/", "-")))


@dataclass
class Host:
    """A folder to be in, a program in it, an environment, and the marks that code has left."""

    here: Path
    environment: dict[str, str]
    _marks: Path

    def marks(self):
        return {path.name for path in self._marks.iterdir()}


@pytest.fixture
def host(build_target, tmp_path):
    """Return a host where code lies wherever GDB, Python or gdbleak might look for some."""
    here, home, path, marks = (tmp_path / name for name in ("here", "home", "path", "marks"))
    marks.mkdir()
    site = home / f".local/lib/python{find_gdb().python}/site-packages"
    set_traps(
        here, (".gdbinit", ".gdbearlyinit", "puppet-gdb.gdb", "libpuppet.so-gdb.gdb"), gdb_trap
    )
    set_traps(home, (".gdbinit", ".gdbearlyinit"), gdb_trap)
    set_traps(home / ".config/gdb", ("gdbinit", "gdbearlyinit"), gdb_trap)
    modules = ("json.py", "struct.py", "time.py", "sitecustomize.py", "usercustomize.py")
    packages = ("gdb/__init__.py", "gdbleak/__init__.py")
    ours = ("gdbleak_recorder.py", "gdbleak_kernel.py", "gdbleak_words.py")
    for folder in (here, path, site):
        set_traps(folder, (*modules, *packages, *ours), python_trap)
    set_traps(here, ("puppet-gdb.py", "libpuppet.so-gdb.py", "gdbleak_agent.py"), python_trap)
    set_traps(site, ("trap.pth",), python_trap)
    set_traps(path, ("startup.py",), python_trap)

    shared = ("-shared", "-fPIC", "-Dmain=run", "-Wl,-soname,libpuppet.so")
    library = build_target("puppet.c", *shared, name="libpuppet.so")
    scripts = TARGETS / "debug_scripts.c"
    program = build_target("runner.c", scripts, library, f"-Wl,-rpath,{here}", name="puppet")
    for file in (library, program):
        shutil.copy(file, here)
    variables = {
        "HOME": home,
        "XDG_CONFIG_HOME": home / ".config",
        "TRAPS": marks,
        "PYTHONPATH": path,
        "PYTHONSTARTUP": path / "startup.py",
        "GDBHISTFILE": home / "history",
    }
    return Host(here, {name: str(value) for name, value in variables.items()}, marks)


def test_the_traps_work(host):
    """A GDB that is not told otherwise falls into them."""
    subprocess.run(
        [
            *("gdb", "-batch", "-iex", "set auto-load safe-path /", host.here / "puppet"),
            *("-ex", "python import json, struct", "-ex", "start", "-ex", "kill"),
        ],
        cwd=host.here,
        env={**os.environ, **host.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    always = {".debug_gdb_scripts", "here-.gdbinit", "here-puppet-gdb.py", "path-sitecustomize.py"}
    assert always <= host.marks()


def leak(cli, target, saved, **options):
    """Record how a target leaks; return the result."""
    arguments = ("--save", saved, "--older", 0, "--duration", 600, "--verbose")
    running = cli.start("trace", target.pid, *arguments, **options)
    running.wait_for_window()
    assert target.ask("leak 5") == "leaked"
    running.send(signal.SIGINT)
    return running.finish()


def test_no_code_of_the_host_is_run(cli, start_target, host):
    """By GDB, by the guard, and by the command as it is installed."""
    installed = Path(sys.executable).with_name("gdbleak")
    # -E and -s: that Python obeys these variables is for its user to know. GDB's is not to.
    wrapper = ("sh", "-c", f'shift 3; exec "$0" -E -s {installed} "$@"', sys.executable)
    environment = {**host.environment, "PYTHONHOME": host.environment["PYTHONPATH"]}
    options = {"wrapper": wrapper, "cwd": host.here, "env": environment}
    target = start_target(host.here / "puppet")
    saved = host.here.parent / "saved"
    assert "leak puppet.c" in leak(cli, target, saved, **options).stdout
    for arguments in (("report", saved), ("doctor", target.pid), ("rescue", target.pid)):
        result = cli.run(*arguments, **options)
        assert result.exit_code == 0, result.stderr
    assert host.marks() == set()
    assert not Path(environment["GDBHISTFILE"]).exists()


# Names


EVIL = "\x1b[2J\x1b]0;title\x07\"'\\ [bold]|`x`\x9b"


def assert_harmless(result):
    """Assert that nothing in an output is a command to a terminal."""
    for text in (result.stdout, result.stderr):
        assert [c for c in text if c != "\n" and not c.isprintable()] == [], text


@pytest.fixture
def start_evil(build_target, start_target, tmp_path):
    """Return a function that starts a puppet with hostile names, in a folder with one too.

    The symbol table of its library has the name of a function, the debug information of its
    program that of a file.
    """

    def start(folder):
        source = tmp_path / "source.c"
        text = (TARGETS / "runner.c").read_text()
        source.write_text('#line 1 "source\\033[2J\\n[bold]`.c"\n' + text)
        shared = build_target("puppet.c", "-g0", "-shared", "-fPIC", "-Dmain=run", name="evil.so")
        library, program = (tmp_path / folder / name for name in ("\x1b[2J.so", "\x1b[2J[bold]"))
        library.parent.mkdir()
        subprocess.run(["objcopy", f"--redefine-sym=leak={EVIL}", shared, library], check=True)
        shutil.copy(build_target(str(source), library, name="evil"), program)
        return start_target(program, f"{EVIL}\n")

    return start


def test_names_do_not_reach_the_terminal(cli, start_evil, tmp_path):
    evil, saved = start_evil(EVIL), tmp_path / f"saved {EVIL}"
    assert_harmless(leak(cli, evil, saved))
    for form in ("table", "markdown"):
        result = cli.run("report", saved, "-v", "--older", 0, "--format", form)
        assert_harmless(result)
        assert result.stdout.count("[bold]") > 2
    for command in ("doctor", "rescue"):
        result = cli.run(command, evil.pid)
        assert_harmless(result)
        assert "[2J" in result.stdout


def test_names_in_errors_do_not_reach_the_terminal(cli, start_evil):
    evil = start_evil(EVIL)
    os.kill(evil.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(evil.pid) == "T", "it has stopped")
    result = cli.run("trace", evil.pid)
    os.kill(evil.pid, signal.SIGCONT)
    assert result.exit_code == 3
    assert "[2J" in result.stderr
    assert_harmless(result)
    for arguments in (("report", EVIL), ("trace", EVIL), ("trace", evil.pid, "-o", f"{EVIL}/x")):
        assert_harmless(cli.run(*arguments))


def test_newline_in_a_path_begins_no_command(cli, start_evil, tmp_path):
    mark = tmp_path / "mark"
    evil = start_evil('a\nshell touch "$MARK"\n')
    result = leak(cli, evil, tmp_path / "saved", env={"MARK": str(mark)})
    assert result.exit_code == 0, result.stderr
    assert_harmless(result)
    assert not mark.exists()
    assert "5 blocks" in result.stdout
    assert "have no names" not in result.stdout, "GDB was told a descriptor"
    evil.tell("exit 7")
    assert evil.wait() == 7
