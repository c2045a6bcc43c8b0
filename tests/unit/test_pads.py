"""Where functions return to that throw: behind calls that never return, in frames that fit."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from inline_plans import BIAS, map_files
from small_libraries import build_library, function, hidden
from support.gdbs import debian_root
from support.libraries import LIBRARIES as ALLOCATORS
from support.libraries import find_library
from support.roots import HOST, LIBRARIES, library_of

from gdbleak.architectures.x86_64_frames import RIP, RSP
from gdbleak.elf.image import ElfImage
from gdbleak.inline.pads import find_pads
from gdbleak.target.proc import read_mappings

PERSONALITY = hidden("handle", "ret")
GROW = "sub ${size}, %rsp; .cfi_adjust_cfa_offset {size}"
NEXT = function("next", "nop; nop; ret")
FAR = "    .skip 300\n"


@pytest.fixture
def build(tmp_path):
    """Return a function that makes a library, whose function `ends` is the one to look at."""

    def build(*parts, flags=()):
        return build_library(tmp_path, *parts, flags=flags)

    return build


def ending(*before, size=24, call="call abort@plt"):
    """Return a function that ends in a call."""
    return function("ends", "; ".join((*before, GROW.format(size=size), call)))


def pads_in(path):
    memory, modules = map_files([path])
    [module] = modules
    return find_pads(module, ElfImage(str(path)), memory)


def host_libc():
    paths = (Path(mapping.path) for mapping in read_mappings(os.getpid()) if mapping.executable)
    return next(path for path in paths if re.match(r"libc[.-]", path.name))


def tables_at(path, address):
    """Return the CIE and the row of `.eh_frame` for an address, as pyelftools reads them."""
    with path.open("rb") as file:
        for entry in ELFFile(file).get_dwarf_info().EH_CFI_entries():
            if isinstance(entry, FDE):
                start = entry.header["initial_location"]
                if start <= address < start + entry.header["address_range"]:
                    rows = (row for row in entry.get_decoded().table if row["pc"] <= address)
                    return entry, max(rows, key=lambda row: row["pc"])
    raise AssertionError(f"no entry for {address:#x}")


def disassembly_around(path, start, address):
    """Return the instruction before an address, and those behind it, given their function."""
    command = ["objdump", "-dw", f"--start-address={start}", f"--stop-address={address + 16}"]
    text = subprocess.run([*command, path], check=True, capture_output=True, text=True).stdout
    lines = re.findall(r"^ *([0-9a-f]+):\t[0-9a-f ]+\t(.*)$", text, re.MULTILINE)
    before = [line for at, line in lines if int(at, 16) < address]
    return before[-1], [line for at, line in lines if 0 <= int(at, 16) - address < 5]


@pytest.mark.parametrize("name", [*LIBRARIES, *ALLOCATORS])
def test_pads_of_real_libraries(name):
    if name in ALLOCATORS:
        path = Path(find_library(ALLOCATORS[name])).resolve()
    else:
        path = host_libc() if name == HOST else library_of(debian_root(name)).resolve()
    found = pads_in(path)
    assert found
    assert [pad.frame_bytes for pad in found] == sorted(pad.frame_bytes for pad in found)
    for pad in found:
        end = pad.address - BIAS
        entry, row = tables_at(path, end - 1)
        assert (row["cfa"].reg, row["cfa"].offset) == (RSP, pad.frame_bytes)
        rules = {key: rule for key, rule in row.items() if isinstance(key, int)}
        assert {key: (rule.type, rule.arg) for key, rule in rules.items()} == {RIP: ("OFFSET", -8)}
        start = entry.header["initial_location"]
        assert start + entry.header["address_range"] == end
        assert entry.cie.header["augmentation"] == b"zR"
        call, filling = disassembly_around(path, start, end)
        assert re.match(r"call .*<(__stack_chk_fail|abort|__libc_fatal)(@.*)?>", call), call
        assert all(re.search(r"\bnop|int3|xchg +%ax,%ax", line) for line in filling), filling


FOUND = {
    "nops": ([ending(), "    .nops 8\n", NEXT], 32),
    "traps": ([ending(), "    .skip 8, 0xcc\n", NEXT], 32),
    "zeros": ([ending(), "    .skip 8\n", NEXT], 32),
    "a call by a slot": ([ending(call="call *abort@GOTPCREL(%rip)"), "    .nops 5\n", NEXT], 32),
    "a function of the library": (
        [ending(call="call abort"), "    .nops 5\n", hidden("abort", "ret")],
        32,
    ),
    "a larger frame": ([ending(size=120), "    .nops 8\n", NEXT], 128),
    "registers that are the same": (
        [ending(".cfi_same_value %rbx"), "    .nops 8\n", NEXT],
        32,
    ),
    "a jump to what follows": (
        [ending(), "    .nops 8\n", NEXT, function("other", "jmp next")],
        32,
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(build, name):
    parts, frame_bytes = FOUND[name]
    path = build(*parts)
    [pad] = pads_in(path)
    end = ElfImage(str(path)).find_function("ends")
    assert pad.address == BIAS + end.address + end.size
    assert pad.frame_bytes == frame_bytes
    assert len(pad.original) == 5
    assert pad.path == str(path)


FRAME_POINTER = (
    *("push %rbp", ".cfi_adjust_cfa_offset 8", ".cfi_rel_offset %rbp, 0"),
    *("mov %rsp, %rbp", ".cfi_def_cfa_register %rbp"),
)
SAVED = ("push %rbx", ".cfi_adjust_cfa_offset 8", ".cfi_rel_offset %rbx, 0")
PAD = "    pad: .nops 8\n"
REFUSED = {
    "a personality": [ending(".cfi_personality 0x1b, handle"), PAD, NEXT, PERSONALITY],
    "data of handlers": [ending(".cfi_lsda 0x1b, handle"), PAD, NEXT, PERSONALITY],
    "a frame pointer": [ending(*FRAME_POINTER, size=16), PAD, NEXT],
    "a saved register": [ending(*SAVED, size=16), PAD, NEXT],
    "an expression for a register": [
        ending(".cfi_escape 0x10, 3, 2, 0x77, 0"),
        *(PAD, NEXT),
    ],
    "an expression for the frame": [
        ending(size=24, call=".cfi_escape 0x0f, 2, 0x77, 0x20; call abort@plt"),
        *(PAD, NEXT),
    ],
    "a register that is lost": [ending(".cfi_undefined %rbx"), PAD, NEXT],
    "a return address elsewhere": [ending(".cfi_offset %rip, -16"), PAD, NEXT],
    "the end of a stack": [ending(".cfi_undefined %rip"), PAD, NEXT],
    "the frame of a signal": [ending(".cfi_signal_frame"), PAD, NEXT],
    "a frame that is too small": [ending(size=8), PAD, NEXT],
    "a frame that is too large": [ending(size=136), PAD, NEXT],
    "a stack that is not aligned": [ending(size=32), PAD, NEXT],
    "a call that may return": [ending(call="call strlen@plt"), PAD, NEXT],
    "a jump at the end": [ending(call="jmp abort@plt"), PAD, NEXT],
    "what only looks like a call": [
        ending(call=".byte 0x48, 0xb8, 1, 2, 3, 0xe8; .long 0"),
        *(PAD, NEXT),
    ],
    "little room": [ending(), "    .nops 4\n", NEXT],
    "other code behind": [ending(), "    mov %rax, %rbx; mov %rcx, %rdx; ret\n", NEXT],
    "a function behind": [ending(), NEXT],
    "a function amid the room": [ending(), "    .nops 2\n", NEXT, PAD],
    "a symbol amid the room": [
        ending(),
        *("    .nops 2\n    .type amid, @function\namid: .nops 6\n    .size amid, 6\n", NEXT),
    ],
    "a jump into it": [ending(), PAD, NEXT, FAR, function("other", "jmp pad")],
    "a short jump into it": [ending(), PAD, function("other", "jmp pad + 2")],
    "a branch into it from before": [function("other", "je pad + 4"), ending(), PAD, NEXT],
    "a reference into it": [ending(), PAD, FAR, function("other", "lea pad + 1(%rip), %rax")],
    "the end of a page": ["    .p2align 12\n    .skip 4096 - 12\n", ending(), PAD, NEXT],
    "a function that nobody describes": [
        "    .type ends, @function\n",
        *("ends: sub $24, %rsp; call abort@plt\n    .size ends, . - ends\n", PAD, NEXT),
    ],
    "a large function": ["", ending("    .skip 4096, 0x90"), PAD, NEXT],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(build, name):
    assert pads_in(build(*REFUSED[name])) == []


def test_without_an_index_nobody_finds_the_tables(build):
    path = build(ending(), PAD, NEXT, flags=("-Wl,--no-eh-frame-hdr",))
    assert ElfImage(str(path)).eh_frame_hdr is None
    assert pads_in(path) == []


def test_memory_that_differs(build):
    memory, modules = map_files([build(ending(), PAD, NEXT)])
    [module] = modules
    image = ElfImage(module.path)
    [pad] = find_pads(module, image, memory)
    memory.write(pad.address + 4, b"\xcc")
    assert find_pads(module, image, memory) == []
