"""The probe plan: on this host's C library, and on small libraries that leave in every way."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gdbleak.allocators import BY_NAME, MALLOC_FAMILY
from gdbleak.architecture import X86_64
from gdbleak.elf import ElfImage
from gdbleak.errors import AllocatorError
from gdbleak.modules import Module
from gdbleak.plan import Probe, make_plan
from gdbleak.proc import read_mappings

BIAS = 0x7F00_0000_0000


def plan_of(path, functions=MALLOC_FAMILY):
    module = Module(str(path), BIAS, BIAS + 0x1000_0000, BIAS, None, str(path))
    return make_plan(functions, module, ElfImage(str(path)), X86_64)


@pytest.fixture(scope="module")
def libc():
    """Return the path of the C library of this process."""
    paths = (Path(mapping.path) for mapping in read_mappings("self"))
    return next(path for path in paths if re.match(r"libc[.-]", path.name))


@pytest.fixture(scope="module")
def plan(libc):
    return plan_of(libc)


def disassemble(path, name):
    """Return address, mnemonic and operands of each instruction of a function, by objdump."""
    function = ElfImage(str(path)).find_function(name)
    span = (function.address, function.address + function.size)
    command = ["objdump", "-d", "--no-show-raw-insn", "--start-address=%d", "--stop-address=%d"]
    text = subprocess.run(
        [*command[:3], command[3] % span[0], command[4] % span[1], path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = re.findall(r"^ *([0-9a-f]+):\t(?:bnd )?(\S+) *(.*)$", text, re.MULTILINE)
    return [(int(address, 16), mnemonic, rest) for address, mnemonic, rest in lines]


def exits(plan):
    return {probe.address - BIAS for probe in plan if not probe.entry}


@pytest.mark.parametrize("name", ["malloc", "calloc", "realloc", "posix_memalign", "valloc"])
def test_every_ret_of_the_c_library_is_planned(libc, plan, name):
    rets = {address for address, mnemonic, _ in disassemble(libc, name) if mnemonic == "ret"}
    assert rets <= exits(plan)
    assert rets or name not in ("malloc", "realloc")


def test_every_exit_is_a_ret_or_a_jump(libc, plan):
    image = ElfImage(str(libc))
    codes = {probe.original: bytes.fromhex(probe.original) for probe in plan if not probe.entry}
    assert set(codes) <= {"c3", "c2", "f3", "f2", "e9", "eb"}
    for probe in plan:
        assert probe.original == image.read(probe.address - BIAS, 1).hex()


def test_jump_of_calloc_to_memset_is_planned_with_its_first_argument(libc, plan):
    inside = range(disassemble(libc, "calloc")[0][0], disassemble(libc, "calloc")[-1][0] + 1)
    jumps = {
        address
        for address, mnemonic, rest in disassemble(libc, "calloc")
        if mnemonic == "jmp" and "plt" in rest and int(rest.split()[0], 16) not in inside
    }
    planned = {p.address - BIAS for p in plan if not p.entry and p.registers[1] == "rdi"}
    assert planned == jumps


def test_free_is_probed_at_its_entry_alone(libc, plan):
    function = ElfImage(str(libc)).find_function("free")
    span = range(function.address, function.address + function.size)
    (probe,) = (probe for probe in plan if probe.address - BIAS in span)
    assert (probe.address - BIAS, probe.entry) == (span.start, True)


def test_entries_of_the_c_library(libc, plan):
    entries = {probe.function: probe for probe in plan if probe.entry}
    image = ElfImage(str(libc))
    defined = {name: image.find_function(name) for name in BY_NAME}
    addresses = {BIAS + function.address for function in defined.values() if function}
    assert {probe.address for probe in entries.values()} == addresses
    for name in ("malloc", "calloc", "realloc", "posix_memalign", "free"):
        assert entries[name].address == BIAS + defined[name].address
    assert entries["malloc"].registers == ("rsp", "rdi")
    assert entries["calloc"].registers == ("rsp", "rdi", "rsi")
    assert entries["posix_memalign"].registers == ("rsp", "rdi", "rdx")
    assert [p.function for p in plan if p.out_register] == ["posix_memalign"]
    assert entries["posix_memalign"].out_register == "rdi"


def test_ids_count_from_zero_and_addresses_are_distinct(plan):
    assert [probe.id for probe in plan] == list(range(len(plan)))
    assert len({probe.address for probe in plan}) == len(plan)


def test_json_round_trip(plan):
    assert [Probe.from_json(probe.to_json()) for probe in plan] == list(plan)


# Small libraries. `probe_N` marks an instruction that must be planned; the rest must not be.

FUNCTION = """
    .globl {name}
    .type {name}, @function
{name}:
    .cfi_startproc
{body}
    .cfi_endproc
    .size {name}, . - {name}
"""


def function(name, body):
    """Return the assembly of a function; its instructions are separated by semicolons."""
    return FUNCTION.format(name=name, body="\n".join(f"    {x}" for x in body.split("; ")))


@pytest.fixture
def build(tmp_path):
    """Return a function that makes a shared library of assembly."""

    def build(*functions, flags=()):
        source, library = tmp_path / "library.s", tmp_path / "library.so"
        end = '\n    .section .note.GNU-stack,"",@progbits\n'
        source.write_text("    .text\n" + "".join(functions) + end)
        command = ["cc", "-shared", "-nostdlib", "-o", library, source, *flags]
        subprocess.run(command, check=True)
        return library

    return build


def marks(library):
    """Return the addresses of the labels `probe_N`."""
    text = subprocess.run(["nm", library], check=True, capture_output=True, text=True).stdout
    return {int(a, 16) for a, name in re.findall(r"(\w+) . (\S+)", text) if "probe_" in name}


RET = "nop; probe_1:; ret"

WAYS_OUT = {
    "one ret": [function("malloc", RET)],
    "two rets and a loop": [
        function("malloc", "1: test %rdi, %rdi; jne 2f; probe_1: ret; 2: dec %rdi; jmp 1b"),
    ],
    "a ret behind a ret": [
        function("malloc", "test %rdi, %rdi; je 1f; probe_1: ret; 1: nop; probe_2: ret"),
    ],
    "a ret with a prefix": [function("malloc", "probe_1: repz ret")],
    "a ret that pops": [function("malloc", "probe_1: ret $16")],
    "a branch to a cold part": [
        function("malloc", "test %rdi, %rdi; je malloc.cold; probe_1: ret"),
        function("other", "ret"),
        function("malloc.cold", "nop; probe_2: ret"),
    ],
    "a jump to an inner function": [
        function("memalign", "jmp inner"),
        function("other", "ret"),
        "    .hidden inner\n" + function("inner", RET),
    ],
    "a call that never returns at the end": [
        function("malloc", "test %rdi, %rdi; jne 1f; probe_1: ret; 1: call abort@plt"),
        function("other", "nop; ret"),
    ],
    "code that traps": [
        function("malloc", "test %rdi, %rdi; jne 1f; probe_1: ret; 1: ud2; nop; ret"),
    ],
    "a free beside it": [function("malloc", RET), function("free", "nop; ret")],
    "a jump to a planned function through the linkage table": [
        function("reallocarray", "imul %rdx, %rsi; jmp realloc@plt"),
        function("realloc", RET),
    ],
    "a jump to a planned function through its slot": [
        function("reallocarray", "jmp *realloc@GOTPCREL(%rip)"),
        function("realloc", RET),
    ],
    "calloc jumps to memset": [
        function("calloc", "test %rdi, %rdi; je 1f; probe_1: jmp memset@plt; 1: nop; probe_2: ret"),
        function("memset", "ret"),
    ],
}


@pytest.mark.parametrize("flags", [(), ("-Wl,-z,ibtplt",), ("-Wl,-z,now",)], ids=str)
@pytest.mark.parametrize("functions", WAYS_OUT.values(), ids=WAYS_OUT)
def test_way_out(build, functions, flags):
    library = build(*functions, flags=flags)
    assert exits(plan_of(library)) == marks(library) != set()


def test_jump_to_memset_tells_the_result_by_its_argument(build):
    library = build(*WAYS_OUT["calloc jumps to memset"])
    registers = {p.original: p.registers for p in plan_of(library) if not p.entry}
    assert registers["c3"] == ("rsp", "rax", "rbp")
    assert registers["e9"] == ("rsp", "rdi", "rbp")


INDIRECT_MEMSET = """
    .globl memset
    .type memset, @gnu_indirect_function
memset:
    lea inner(%rip), %rax
    ret
    .size memset, . - memset
"""


def test_memset_that_is_chosen_at_load_time(build):
    library = build(
        function("calloc", "nop; probe_1: jmp memset@plt"),
        "    .hidden inner\n" + function("inner", "ret"),
        INDIRECT_MEMSET,
        flags=("-Wl,-Bsymbolic",),
    )
    assert exits(plan_of(library)) == marks(library)


UNPROVABLE = {
    "an indirect jump": [function("malloc", "jmp *%rax")],
    "a jump table": [function("malloc", "jmp *(%rdx,%rax,8)")],
    "a jump through data": [function("malloc", "jmp *8(%rdi)")],
    "an indirect jump in an inner function": [
        function("malloc", "jmp inner"),
        "    .hidden inner\n" + function("inner", "jmp *%rax"),
    ],
    "a jump to a function of another library": [function("malloc", "jmp elsewhere@plt")],
    "a conditional jump to memset": [
        function("calloc", "test %rdi, %rdi; je memset@plt; ret"),
    ],
    "an instruction nobody knows": [function("malloc", "nop; .byte 6; ret")],
    "code without unwind information": [
        function("malloc", "ret").replace(".cfi_startproc", "").replace(".cfi_endproc", ""),
        function("other", "ret"),
    ],
    # Planned by name, but not here: its returns would not be probed.
    "a jump to an allocator of another library": [function("malloc", "jmp aligned_alloc@plt")],
    # Of `free`, only the entry is probed.
    "a jump to free": [function("realloc", "jmp free@plt"), function("free", "ret")],
    # The symbol is of the function that chooses, not of the one that allocates.
    "a malloc that is chosen at load time": [
        function("malloc", "ret").replace("@function", "@gnu_indirect_function"),
    ],
}


@pytest.mark.parametrize("functions", UNPROVABLE.values(), ids=UNPROVABLE)
def test_unprovable(build, functions):
    library = build(*functions)
    name = re.search(r"\.globl (\S+)", "".join(functions))[1]
    with pytest.raises(AllocatorError, match=name) as caught:
        plan_of(library)
    assert "docs/limits.md" in caught.value.help_text


def test_two_names_of_one_function_are_one_entry(build):
    alias = "    .globl aligned_alloc\n    .set aligned_alloc, memalign\n"
    library = build(function("memalign", RET), alias)
    (entry,) = (probe for probe in plan_of(library) if probe.entry)
    assert entry.function == "aligned_alloc", "the usual name of an alias is first"
    assert exits(plan_of(library)) == marks(library)


def test_only_what_was_asked_for_is_planned(build):
    library = build(function("malloc", "ret"), function("calloc", "ret"))
    assert {p.function for p in plan_of(library, [BY_NAME["malloc"]])} == {"malloc"}
