"""aarch64: its ELF files are read, and their code followed, on the distribution's own libraries."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from gdbleak.architectures import AARCH64, AARCH64_FRAMES
from gdbleak.architectures.decoder import Flow
from gdbleak.elf.image import ElfImage
from gdbleak.plan.breakpoints import place_probes
from gdbleak.recording.functions import FAMILIES, MALLOC_FAMILY
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.recording.probes import Role
from gdbleak.unwinding.stacks import Unwinder

TARGETS = Path(__file__).parents[1] / "targets"
LIBC = Path("/usr/aarch64-linux-gnu/lib/libc.so.6")
CODE = {
    "c0035fd6": Flow.RETURN,  # ret
    "ff0b5fd6": Flow.RETURN,  # retaa
    "00000094": Flow.CALL,  # bl .
    "00003fd6": Flow.CALL,  # blr x0
    "02000014": Flow.JUMP,  # b .+8
    "41000054": Flow.BRANCH,  # b.ne .+8
    "400000b4": Flow.BRANCH,  # cbz x0, .+8
    "40000036": Flow.BRANCH,  # tbz w0, #0, .+8
    "20021fd6": Flow.INDIRECT_JUMP,  # br x17
    "000020d4": Flow.DEAD_END,  # brk #0
    "fd7bbea9": Flow.NEXT,  # stp x29, x30, [sp, #-32]!
    "3f2303d5": Flow.NEXT,  # paciasp
}


def decoder(code):
    """Return a decoder of `code`, as if it stood at address 0x1000."""
    return AARCH64.make_decoder(lambda address, size: code[address - 0x1000 :][:size])


@pytest.mark.parametrize(("code", "flow"), CODE.items())
def test_flow(code, flow):
    instruction = decoder(bytes.fromhex(code)).decode(0x1000)
    assert (instruction.flow, instruction.size) == (flow, 4)
    if flow in (Flow.JUMP, Flow.BRANCH):
        assert instruction.target == 0x1008


@pytest.mark.parametrize("register", [0, 17, 31])
@pytest.mark.parametrize(
    "code", ["{}003fd6", "{}083fd7", "{}0c3fd7", "{}f83fd7"], ids=["blr", "blraa", "blrab", "other"]
)
def test_calls_by_a_register(code, register):
    word = int.from_bytes(bytes.fromhex(code.format("00")), "little") | register << 5
    found = word.to_bytes(4, "little")
    decoded = decoder(found).decode(0x1000)
    is_call = decoded is not None and decoded.flow is Flow.CALL
    assert AARCH64_FRAMES.ends_in_call(b"\x90" + found) == is_call
    assert not AARCH64_FRAMES.ends_in_call(b"\x90" + (word & ~(1 << 21)).to_bytes(4, "little"))


def test_no_instruction():
    assert decoder(b"\xc0\x03").decode(0x1000) is None


# adrp x16, 0x21000; ldr x17, [x16, #0x18]; add x16, x16, #0x18; br x17
STUB = "10010090110e40f910620091" + "20021fd6"


@pytest.mark.parametrize("beginning", ["", "5f2403d5"], ids=["plain", "bti c"])
def test_entry_of_a_linkage_table(beginning):
    code = bytes.fromhex(beginning + STUB)
    assert decoder(code).find_stub_slot(0x1000) == 0x21018


@pytest.mark.parametrize("code", ["c0035fd6", STUB[:24] + "c0035fd6", "fd7bbea9" + STUB])
def test_no_entry_of_a_linkage_table(code):
    assert decoder(bytes.fromhex(code)).find_stub_slot(0x1000) is None


@pytest.fixture(scope="module")
def plan():
    """Return the plan for the C library of the cross compiler."""
    if not LIBC.exists() or not shutil.which("aarch64-linux-gnu-objdump"):
        pytest.skip("no C library or binutils for aarch64 on this host: run .ci/setup test")
    module = Module(str(LIBC), 0, 1 << 32, 0, None, str(LIBC))
    return place_probes(FAMILIES[0], module, ElfImage(str(LIBC)), AARCH64)


def find_returns(name):
    """Return the addresses of the `ret`s of a function, by objdump."""
    function = ElfImage(str(LIBC)).find_function(name)
    span = (
        f"--start-address={function.address}",
        f"--stop-address={function.address + function.size}",
    )
    command = ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", *span, str(LIBC)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {int(address, 16) for address in re.findall(r"^ *(\w+):\tret$", text, re.MULTILINE)}


@pytest.mark.parametrize("name", ["malloc", "calloc", "realloc", "posix_memalign", "pvalloc"])
def test_every_return_of_the_c_library_is_planned(plan, name):
    returns = find_returns(name)
    assert returns
    assert returns <= {probe.address for probe in plan if probe.role is Role.RETURN}


def test_every_function_of_the_c_library_has_an_entry(plan):
    defined = ElfImage(str(LIBC)).find_functions([f.name for f in MALLOC_FAMILY])
    entries = {probe.address: probe.registers for probe in plan if probe.role is Role.ENTRY}
    assert entries.keys() == {symbol.address for symbol in defined.values()}
    assert entries[defined["calloc"].address] == ("sp", "x0", "x1")
    assert [probe for probe in plan if probe.role is Role.ESCAPE] == []


@pytest.mark.parametrize(
    "flag", ["-O2", "-O1", "-fomit-frame-pointer", "-mbranch-protection=standard"]
)
def test_stack_of_a_program_that_ran(tmp_path, flag):
    """It ran under emulation, which has stacks and registers as a processor has, signatures too."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("no compiler or emulator for aarch64 on this host: run .ci/setup test")
    program = tmp_path / "chain"
    options = ("-O2", "-g", "-static", "-no-pie", "-fno-optimize-sibling-calls", flag)
    source = TARGETS / "aarch64_chain.c"
    subprocess.run([compiler, *options, "-o", program, source], check=True)
    recorded = subprocess.run([emulator, program], check=True, capture_output=True).stdout
    sp, x29, x30 = struct.unpack_from("<3Q", recorded)
    image = ElfImage(str(program))
    module = Module(str(program), 0x400000, 0x800000, 0, None, str(program))
    unwinder = Unwinder(ModuleMap([module]), lambda _: image, 64, AARCH64_FRAMES)
    stack = unwinder.unwind(recorded[24:], sp, {"x29": x29, "x30": x30})

    names = subprocess.run(
        ["aarch64-linux-gnu-addr2line", "-f", "-e", program],
        input="".join(f"{address - 4:x}\n" for address in stack.addresses),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()[::2]
    assert names[:3] == ["innermost", "with_large_frame", "with_frame_of_any_size"]
    assert names[3:8] == ["recursive"] * 4 + ["main"]
    assert [name.strip("_").removesuffix("_impl") for name in names[8:]] == [
        "libc_start_call_main",
        "libc_start_main",
        "start",
    ]
    assert not stack.truncated
