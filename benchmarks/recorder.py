"""What the recorder of the inline probe costs a program: a Markdown table of ns of CPU.

    python benchmarks/recorder.py [THREADS...]

Each row is the least of ROUNDS rounds of a `malloc` and a `free` in a loop, in all of THREADS (1
and 16) at once. The ring is not read, only said to have been; in the last row, not even that.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.probed import Probed
from support.processes import running
from tabulate import tabulate

from gdbleak.inline import ring as layout

SOURCE = Path(__file__).parents[1] / "tests/targets/inline_probe.c"
ROUNDS = 5
PAIRS = 2_000_000
FEWER_PAIRS = 400_000
"""So few that a ring that nobody reads does not switch itself off."""
STACKS_BYTES = (0, 192, 512, 4096)


def measure(probed: Probed, threads: int, pairs: int = PAIRS) -> float:
    """Return the nanoseconds of CPU that a pair takes."""
    shown = []
    for _ in range(ROUNDS):
        probed.put(layout.UNREAD, 0)
        shown.append(float(probed.target.ask(f"bench {pairs // threads}")))
    return min(shown)


def measure_all(program: Path, threads: int) -> Iterator[tuple[str, float]]:
    """Yield what is measured, and nanoseconds."""
    with running(program) as target:
        probed = Probed(target)
        probed.tell(f"threads {threads}")
        probed.write_image()
        probed.set_up()
        yield "untraced", measure(probed, threads)
        probed.put(layout.STACK_BLOCK, find_stack_block(probed, threads))
        probed.patch()
        yield "patched, switched off", measure(probed, threads)
        probed.tell(f"drain {probed.ring.address}")
        probed.switch(True)
        for size in STACKS_BYTES:
            probed.put(layout.STACK_BYTES, size)
            probed.put(layout.MORE_STACK_BYTES, size)
            yield f"recording, {size} bytes of stack", measure(probed, threads)
        assert not any(probed.dropped) or threads > 1
        assert probed.get(layout.ON)
        probed.tell("drain 0")
        measure(probed, threads, FEWER_PAIRS)  # fills it
        yield "ring full", measure(probed, threads, FEWER_PAIRS)
        probed.restore()
        probed.close()
    with running(program) as target:
        probed = Probed(target, sizes="1k", sized=True)
        probed.tell(f"threads {threads}")
        probed.start()
        yield "only blocks of another size are recorded", measure(probed, threads)
        assert probed.get(layout.TICKETS) == 0
        probed.restore()
        probed.close()


def find_stack_block(probed: Probed, threads: int) -> int:
    """Return where the C library keeps the start of a thread's stack."""
    pointers = [probed.read_log(number)[0] for number in range(1, threads + 1)]
    return probed.find_stack_block({each: probed.stack_of(each) for each in pointers})


def main(counts: list[int]) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "inline_probe"
        flags = ["-O2", "-fno-builtin", "-pthread"]
        subprocess.run(["cc", *flags, "-o", program, SOURCE], check=True)
        columns = [dict(measure_all(program, threads)) for threads in counts]
    rows = [[what, *(f"{column[what]:.1f}" for column in columns)] for what in columns[0]]
    heads = ["ns of CPU a pair", *(f"{count} threads" for count in counts)]
    print(tabulate(rows, heads, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main([*map(int, sys.argv[1:])] or [1, 16])
