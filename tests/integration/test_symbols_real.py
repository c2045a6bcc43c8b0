"""Names for addresses of compiled programs, by the GDB of this host."""

from __future__ import annotations

import lzma
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.processes import wait_until

from gdbleak.debugger.program import GdbProgram, find_gdb
from gdbleak.debugger.symbols import Symbolizer
from gdbleak.elf.image import ElfImage
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.report.model import Frame
from gdbleak.target.owners import Owner
from gdbleak.target.proc import read_state

TARGETS = Path(__file__).parent.parent / "targets"
SIZE = 1 << 32
HUGE = "h" * 1_000_000
FUNCTION_BYTES = 3


@pytest.fixture(scope="session")
def gdb() -> GdbProgram:
    """Return the GDB of this host."""
    return find_gdb()


@pytest.fixture(scope="session")
def program(build_target: Callable[..., Path]) -> Path:
    """Return a program with debug information."""
    return build_target("symbols_program.cpp", "-rdynamic")


@pytest.fixture(scope="session")
def library(build_target: Callable[..., Path]) -> Path:
    """Return a shared library with debug information."""
    return build_target("symbols_library.c", "-shared", "-fPIC", name="libsymbols.so")


@pytest.fixture(scope="session")
def offsets(program: Path, library: Path) -> dict[str, int]:
    """Return link-time return addresses by the words the program prints."""
    output = subprocess.run([program, library], check=True, stdout=subprocess.PIPE, text=True)
    lines = (line.split() for line in output.stdout.splitlines())
    return {word: int(address, 16) for word, address in lines}


def resolve(gdb: GdbProgram, file: Path | str, *offsets: int) -> list[tuple[Frame, ...]]:
    """Return the frames at link-time addresses of one file that was mapped somewhere."""
    base = SIZE
    module = Module("/target/module", base, base + SIZE, base, None, str(file))
    symbolizer = Symbolizer(gdb, ModuleMap([module]))
    resolved = symbolizer.resolve(base + offset for offset in offsets)
    assert symbolizer.notes == []
    return [resolved[base + offset] for offset in offsets]


def names(gdb: GdbProgram, file: Path | str, *offsets: int) -> list[str | None]:
    """Return the functions that hold link-time addresses."""
    return [frames[-1].function for frames in resolve(gdb, file, *offsets)]


def line_of(word: str, source: str = "symbols_program.cpp") -> int:
    """Return the number of the line that is marked with a word."""
    lines = (TARGETS / source).read_text().splitlines()
    return 1 + next(index for index, line in enumerate(lines) if f"at: {word}" in line)


def strip(file: Path, output: Path, *options: str) -> Path:
    """Copy a file without its symbols."""
    subprocess.run(["objcopy", "--strip-all", *options, file, output], check=True)
    return output


def test_inlined_functions_each_have_their_own_line(
    gdb: GdbProgram, program: Path, offsets: dict[str, int]
) -> None:
    [frames] = resolve(gdb, program, offsets["inlined"])
    assert [(f.function, f.line, f.inlined) for f in frames] == [
        ("shop::innermost<int>(int)", line_of("innermost"), True),
        ("shop::middle<int>(int)", line_of("middle"), True),
        ("shop::outermost<int>(int, shop::Basket const*)", line_of("outermost"), False),
    ]
    assert {f.file for f in frames} == {str(TARGETS / "symbols_program.cpp")}
    assert {f.address - SIZE for f in frames} == {offsets["inlined"]}
    assert {f.offset for f in frames} == {offsets["inlined"]}
    assert {f.module for f in frames} == {"/target/module"}


@pytest.mark.parametrize(
    ("word", "function"),
    [
        ("operator", "shop::operator+(shop::Basket const&, shop::Basket const&)"),
        ("exported", "exported()"),
        ("hidden", "hidden()"),
    ],
)
def test_functions_are_demangled_and_have_the_line_of_the_call(
    word: str, function: str, gdb: GdbProgram, program: Path, offsets: dict[str, int]
) -> None:
    [[frame]] = resolve(gdb, program, offsets[word])
    assert (frame.function, frame.line, frame.inlined) == (function, line_of(word), False)


def test_shared_library(gdb: GdbProgram, library: Path, offsets: dict[str, int]) -> None:
    [[frame]] = resolve(gdb, library, offsets["library"])
    assert frame.function == "library_call"
    assert frame.line == line_of("library", "symbols_library.c")


def test_modules_do_not_share_symbols(
    gdb: GdbProgram, program: Path, library: Path, tmp_path: Path, offsets: dict[str, int]
) -> None:
    """The last of three files is no ELF file, and must not be given the symbols of another."""
    broken = tmp_path / "broken"
    broken.write_text("no ELF file")
    modules = [
        Module(str(file), base, base + SIZE, base, None, str(file))
        for file, base in ((broken, SIZE), (program, 2 * SIZE), (library, 3 * SIZE))
    ]
    symbolizer = Symbolizer(gdb, ModuleMap(modules))
    addresses = [
        SIZE + offsets["hidden"],
        2 * SIZE + offsets["hidden"],
        3 * SIZE + offsets["library"],
    ]
    resolved = symbolizer.resolve(addresses)
    assert [resolved[a][-1].function for a in addresses] == [None, "hidden()", "library_call"]
    [note] = symbolizer.notes
    assert str(broken) in note
    assert "file format not recognized" in note


def test_stripped_file_names_only_what_it_exports(
    gdb: GdbProgram, program: Path, tmp_path: Path, offsets: dict[str, int]
) -> None:
    stripped = strip(program, tmp_path / "stripped")
    [[exported], [operator], [hidden]] = resolve(
        gdb, stripped, offsets["exported"], offsets["operator"], offsets["hidden"]
    )
    assert exported.function == "exported"
    assert (exported.file, exported.line) == (None, None)
    assert operator.function == "shop::operator+(shop::Basket const&, shop::Basket const&)"
    assert hidden == Frame(SIZE + offsets["hidden"], "/target/module", offsets["hidden"])


def test_addresses_where_nothing_stands(gdb: GdbProgram, program: Path) -> None:
    assert names(gdb, program, 1, SIZE - 1) == [None, None]


def test_separate_debug_file_is_found_by_its_link(
    gdb: GdbProgram, program: Path, tmp_path: Path, offsets: dict[str, int]
) -> None:
    debug = tmp_path / ".debug" / "stripped.debug"
    debug.parent.mkdir()
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    stripped = strip(program, tmp_path / "stripped", f"--add-gnu-debuglink={debug}")
    [[frame]] = resolve(gdb, stripped, offsets["hidden"])
    assert (frame.function, frame.line) == ("hidden()", line_of("hidden"))


def test_separate_debug_file_is_found_by_build_id(gdb: GdbProgram) -> None:
    libc = next(
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith("libc.so.6")
    )
    image = ElfImage(libc)
    build_id = image.build_id
    assert build_id is not None
    if not Path(f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug").exists():
        pytest.skip("the debug information of libc is not installed (libc6-dbg)")
    malloc = image.find_function("malloc")
    assert malloc is not None
    [frames] = resolve(gdb, libc, malloc.address + malloc.size // 2)
    assert frames[-1].file is not None
    assert frames[-1].file.endswith("malloc.c")


def test_separate_debug_file_of_our_own_is_found_by_build_id(
    gdb: GdbProgram, program: Path, tmp_path: Path, offsets: dict[str, int]
) -> None:
    """The folder of debug files is the system's; a GDB that has another one stands for it."""
    build_id = ElfImage(str(program)).build_id
    assert build_id is not None
    debug = tmp_path / "debug" / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
    debug.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    wrapper = tmp_path / "gdb"
    folder = f"set debug-file-directory {tmp_path}/debug"
    wrapper.write_text(f'#!/bin/sh\nexec {gdb.path} -iex "{folder}" "$@"\n')
    wrapper.chmod(0o755)
    stripped = strip(program, tmp_path / "stripped")
    there = GdbProgram(str(wrapper), gdb.version, gdb.python)
    [[frame]] = resolve(there, stripped, offsets["hidden"])
    assert (frame.function, frame.line) == ("hidden()", line_of("hidden"))


def test_mini_debug_information(
    gdb: GdbProgram, program: Path, tmp_path: Path, offsets: dict[str, int]
) -> None:
    """As rpm's find-debuginfo makes it: the symbols that .dynsym lacks, compressed."""
    configuration = subprocess.run(
        [gdb.path, "-nx", "-batch", "-ex", "show configuration"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    if "--with-lzma" not in configuration:
        pytest.skip("this GDB was built without lzma, and does not read mini debug information")

    def functions(*options: str) -> set[str]:
        listed = subprocess.run(
            ["nm", "--format=posix", "--defined-only", *options, program],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        rows = (line.split() for line in listed.splitlines())
        return {name for name, kind, *_ in rows if kind in "TtD"}

    kept = tmp_path / "kept"
    kept.write_text("\n".join(functions() - functions("--dynamic")))
    mini = tmp_path / "mini"
    debug = tmp_path / "program.debug"
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["objcopy", "-S", f"--keep-symbols={kept}", debug, mini], check=True)
    debug.unlink()
    compressed = tmp_path / "mini.xz"
    compressed.write_bytes(lzma.compress(mini.read_bytes()))
    stripped = strip(program, tmp_path / "stripped", f"--add-section=.gnu_debugdata={compressed}")

    assert names(gdb, stripped, offsets["hidden"], offsets["exported"]) == ["hidden()", "exported"]


@pytest.fixture
def split_program(tmp_path: Path) -> Path:
    """Return a program whose debug information lies in a .dwo file beside it."""
    made = tmp_path / "split"
    source = TARGETS / "symbols_program.cpp"
    # gold's dwp, the one of the distributions, does not survive DWARF 5.
    flags = ["-O2", "-gdwarf-4", "-gsplit-dwarf", "-pthread", "-rdynamic"]
    object_file = made.with_suffix(".o")
    subprocess.run(["c++", *flags, "-c", source, "-o", object_file], check=True, cwd=tmp_path)
    subprocess.run(["c++", "-pthread", "-rdynamic", object_file, "-o", made], check=True)
    assert made.with_suffix(".dwo").exists()
    return made


def split_offsets(program: Path) -> dict[str, int]:
    """Return the offsets of a program that is no copy of the one above."""
    output = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {word: int(number, 16) for word, number in map(str.split, output.splitlines())}


def assert_inlined_are_known(gdb: GdbProgram, program: Path) -> None:
    [frames] = resolve(gdb, program, split_offsets(program)["inlined"])
    assert [(f.function, f.line) for f in frames] == [
        ("shop::innermost<int>(int)", line_of("innermost")),
        ("shop::middle<int>(int)", line_of("middle")),
        ("shop::outermost<int>(int, shop::Basket const*)", line_of("outermost")),
    ]


def test_split_debug_information_beside_the_objects(gdb: GdbProgram, split_program: Path) -> None:
    assert_inlined_are_known(gdb, split_program)


def test_split_debug_information_in_a_package(gdb: GdbProgram, split_program: Path) -> None:
    if not shutil.which("dwp"):
        pytest.skip("there is no dwp (binutils) to make the package with")
    subprocess.run(["dwp", "-e", split_program, "-o", f"{split_program}.dwp"], check=True)
    split_program.with_suffix(".dwo").unlink()
    assert_inlined_are_known(gdb, split_program)


def test_without_its_split_debug_information_functions_have_names(
    gdb: GdbProgram, split_program: Path
) -> None:
    split_program.with_suffix(".dwo").unlink()
    assert names(gdb, split_program, split_offsets(split_program)["hidden"]) == ["hidden()"]


def test_debug_information_that_gdb_refuses_costs_no_names(gdb: GdbProgram, tmp_path: Path) -> None:
    """GDB 13 reads nothing of a DWARF 5 program whose .dwo file is not there."""
    made = tmp_path / "program"
    source = TARGETS / "symbols_program.cpp"
    flags = ["-O2", "-gdwarf-5", "-gsplit-dwarf", "-pthread", "-rdynamic"]
    subprocess.run(["c++", *flags, source, "-o", made], check=True, cwd=tmp_path)
    for part in tmp_path.glob("*.dwo"):
        part.unlink()
    module = Module("/target/module", 0, SIZE, 0, None, str(made))
    symbolizer = Symbolizer(gdb, ModuleMap([module]))
    offset = split_offsets(made)["hidden"]
    [frame] = symbolizer.resolve([offset])[offset]
    assert frame.function == "hidden()"
    for note in symbolizer.notes:  # other versions of GDB have nothing to complain of
        assert note.startswith("Some files and lines in /target/module are unknown: ")


@pytest.fixture(scope="session")
def large_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library of 200,000 functions, and one whose name is a million characters long."""
    folder = tmp_path_factory.mktemp("large")
    with (folder / "large.s").open("w") as source:
        for name in [*map("_ZN5large7f{:06}Ev".format, range(200_000)), HUGE]:
            source.write(f".globl {name}\n.type {name},@function\n{name}: nop\nnop\nret\n")
            source.write(f".size {name}, .-{name}\n")
        source.write('.section .note.GNU-stack,"",@progbits\n')
    output = folder / "liblarge.so"
    subprocess.run(["cc", "-shared", "-o", output, source.name], check=True)
    return output


def test_large_library(gdb: GdbProgram, large_library: Path) -> None:
    image = ElfImage(str(large_library))
    start = image.find_function("_ZN5large7f000000Ev")
    assert start is not None
    numbers = [*range(0, 200_000, 20), 200_000]
    offsets = [start.address + FUNCTION_BYTES * number + 1 for number in numbers]
    assert names(gdb, large_library, *offsets) == [
        *(f"large::f{number:06}()" for number in numbers[:-1]),
        HUGE,
    ]


@pytest.mark.parametrize("name", ["a b", "it's", 'a"b', "a\\b\\", "$x;#y", "-r", "~z", "ü", "a "])
def test_awkward_paths(
    name: str, gdb: GdbProgram, program: Path, tmp_path: Path, offsets: dict[str, int]
) -> None:
    copy = tmp_path / name / name
    copy.parent.mkdir()
    shutil.copy(program, copy)
    assert names(gdb, copy, offsets["hidden"]) == ["hidden()"]


@pytest.mark.parametrize(
    "name", ["a\nshell touch pwned", os.fsdecode(b"\xff")], ids=["newline", "no UTF-8"]
)
def test_paths_that_no_command_of_gdb_can_hold(
    name: str, gdb: GdbProgram, program: Path, tmp_path: Path, offsets: dict[str, int]
) -> None:
    """It is told a descriptor, and no path."""
    copy = tmp_path / name
    shutil.copy(program, copy)
    assert names(gdb, copy, offsets["hidden"]) == ["hidden()"]
    assert list(tmp_path.iterdir()) == [copy]


def test_deleted_file_is_read_through_a_descriptor(
    gdb: GdbProgram, program: Path, tmp_path: Path, offsets: dict[str, int]
) -> None:
    copy = tmp_path / "deleted"
    shutil.copy(program, copy)
    with copy.open("rb") as file:
        copy.unlink()
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        assert names(gdb, path, offsets["hidden"]) == ["hidden()"]


def test_no_script_of_the_target_is_executed(
    gdb: GdbProgram,
    program: Path,
    tmp_path: Path,
    offsets: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traps = tmp_path / "executed"
    traps.mkdir()
    section = tmp_path / "section"
    section.write_bytes(b"\x04inlined\n" + f"open('{traps}/section', 'w')\n\0".encode())
    copy = tmp_path / "program"
    added = f"--add-section=.debug_gdb_scripts={section}"
    subprocess.run(["objcopy", added, program, copy], check=True)
    (tmp_path / "program-gdb.py").write_text(f"open('{traps}/auto-load', 'w')")
    (tmp_path / ".gdbinit").write_text(f"shell touch '{traps}/gdbinit'\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    trusting = ["-iex", "set auto-load safe-path /", "-batch", "-ex", f"symbol-file {copy}"]
    subprocess.run([gdb.path, *trusting], check=True, stdin=subprocess.DEVNULL)
    assert {trap.name for trap in traps.iterdir()} == {"section", "auto-load", "gdbinit"}
    shutil.rmtree(traps)
    traps.mkdir()

    assert names(gdb, copy, offsets["hidden"]) == ["hidden()"]
    assert find_gdb() == gdb
    assert list(traps.iterdir()) == []


@pytest.fixture
def make_hooked_gdb(gdb: GdbProgram, tmp_path: Path) -> Callable[[str], GdbProgram]:
    """Return a function that makes a GDB that runs some Python when it reads `libsymbols.so`."""

    def make(python: str) -> GdbProgram:
        hook = tmp_path / "hook.py"
        hook.write_text(
            "import gdb, os, signal, time\n"
            "execute = gdb.execute\n"
            "def hooked(command, *rest, **options):\n"
            "    if command.startswith('symbol-file') and 'libsymbols.so' in os.path.realpath(\n"
            "        command.split('\"')[1]\n"
            "    ):\n"
            f"        {python}\n"
            "    return execute(command, *rest, **options)\n"
            "gdb.execute = hooked\n"
        )
        path = tmp_path / "gdb"
        path.write_text(f'#!/bin/sh\nexec {gdb.path} -iex "source {hook}" "$@"\n')
        path.chmod(0o755)
        return GdbProgram(str(path), gdb.version, gdb.python)

    return make


def test_a_module_that_kills_gdb_takes_no_other_names_with_it(
    make_hooked_gdb: Callable[[str], GdbProgram],
    program: Path,
    library: Path,
    offsets: dict[str, int],
) -> None:
    modules = [
        Module(str(file), base, base + SIZE, base, None, str(file))
        for file, base in ((program, SIZE), (library, 2 * SIZE), (program, 3 * SIZE))
    ]
    killed = make_hooked_gdb("os.kill(os.getpid(), signal.SIGKILL)")
    symbolizer = Symbolizer(killed, ModuleMap(modules))
    addresses = [
        base + offsets[word]
        for base, word in ((SIZE, "hidden"), (2 * SIZE, "library"), (3 * SIZE, "hidden"))
    ]
    resolved = symbolizer.resolve(addresses)
    assert [resolved[a][-1].function for a in addresses] == ["hidden()", None, "hidden()"]
    assert symbolizer.notes == [
        f"Functions in {library} have no names: GDB gave no answer and died of signal 9."
    ]


def test_an_interrupt_ends_gdb_and_leaves_nothing(
    make_hooked_gdb: Callable[[str], GdbProgram],
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pid_file = tmp_path / "pid"
    slow = make_hooked_gdb(
        f"open({str(pid_file)!r}, 'w').write('%d\\n' % os.getpid()); signal.pause()"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))

    def interrupt() -> None:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "GDB reads")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    modules = ModuleMap([Module("m", 0, SIZE, 0, None, str(library))])
    with pytest.raises(KeyboardInterrupt):
        Symbolizer(slow, modules).resolve([8])
    thread.join()
    assert not Path("/proc", pid_file.read_text().strip()).exists()
    assert list(scratch.iterdir()) == []


def test_names_in_any_locale(
    gdb: GdbProgram,
    program: Path,
    tmp_path: Path,
    offsets: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stripped file takes the way through the text of `info symbol`, which GDB translates."""
    for variable in ("LANG", "LC_ALL", "LANGUAGE"):
        monkeypatch.setenv(variable, "de_DE.ISO-8859-1")
    stripped = strip(program, tmp_path / "größe")
    assert names(gdb, stripped, offsets["exported"]) == ["exported"]


@pytest.mark.parametrize("section", [".gnu_debuglink", ".gnu_debugaltlink"])
def test_fifo_in_the_place_of_debug_information(
    section: str, gdb: GdbProgram, program: Path, library: Path, tmp_path: Path
) -> None:
    """GDB opens whatever a file says that its debug information is in, and waits for a writer."""
    os.mkfifo(tmp_path / "fifo")
    name = b"fifo\0\0\0\0" if section == ".gnu_debuglink" else bytes(tmp_path / "fifo") + b"\0"
    (tmp_path / "link").write_bytes(name + bytes(20))
    copy = tmp_path / "program"
    option = f"{section}={tmp_path / 'link'}"
    subprocess.run(["objcopy", "--strip-debug", "--add-section", option, program, copy], check=True)
    modules = [
        Module(str(file), base, base + SIZE, base, None, str(file))
        for file, base in ((copy, SIZE), (library, 2 * SIZE))
    ]
    script = tmp_path / "gdb"
    script.write_text(f'#!/bin/sh\n{gdb.path} "$@"\nexit $?\n')
    script.chmod(0o755)
    symbolizer = Symbolizer(GdbProgram(str(script), "1", "3"), ModuleMap(modules))
    began_s = time.monotonic()
    resolved = symbolizer.resolve([SIZE + 0x1130, 2 * SIZE + 0x1130])
    assert time.monotonic() - began_s < 10
    assert len(resolved) == 2
    assert wait_until(lambda: not list_children(), "GDB has ended")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_gdb_in_a_folder_that_only_root_may_enter(
    gdb: GdbProgram, program: Path, home: Path, offsets: dict[str, int]
) -> None:
    """It runs as the user whose process it is, and may read as root may, and nothing more."""
    own = home / "own" / "gdb"
    own.parent.mkdir(mode=0o700)
    said = home / "said"
    said.touch()
    said.chmod(0o666)
    own.write_text(
        f'#!/bin/sh\n{{ id -u; touch {own.parent}/new; }} > {said}\nexec {gdb.path} "$@"\n'
    )
    own.chmod(0o755)
    modules = ModuleMap([Module("m", SIZE, 2 * SIZE, SIZE, None, str(program))])
    symbolizer = Symbolizer(GdbProgram(str(own), "1", "3"), modules, Owner(65534, 65534))
    address = SIZE + offsets["hidden"] + 1
    assert symbolizer.resolve([address])[address][0].function == "hidden()"
    assert symbolizer.notes == []
    assert said.read_text() == "65534\n"
    assert [*own.parent.iterdir()] == [own]


def list_children() -> list[psutil.Process]:
    """Return what runs still of all that we have started."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if read_state(child.pid) not in (None, "Z")]


def test_gdb_ends_with_whoever_started_it(
    make_hooked_gdb: Callable[[str], GdbProgram], library: Path, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    slow = make_hooked_gdb(
        f"open({str(pid_file)!r}, 'w').write('%d\\n' % os.getpid()); signal.pause()"
    )
    script = (
        "from gdbleak.debugger.program import GdbProgram\n"
        "from gdbleak.target.modules import Module, ModuleMap\n"
        "from gdbleak.debugger.symbols import Symbolizer\n"
        f"modules = ModuleMap([Module('m', 0, {SIZE}, 0, None, {str(library)!r})])\n"
        f"Symbolizer(GdbProgram({slow.path!r}, '1', '3'), modules).resolve([8])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}
    ) as reader:
        wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "GDB reads")
        reader.kill()
    pid = int(pid_file.read_text())
    wait_until(lambda: read_state(pid) in (None, "Z"), "GDB has ended")
