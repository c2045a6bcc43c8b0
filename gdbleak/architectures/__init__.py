"""What depends on the processor: its registers and calls, and the decoder of its instructions.

`x86_64` and `aarch64` hold facts, and take no time to import. The decoders (`x86_64_decoder`,
`aarch64_decoder`) load capstone, so they are imported when the first instruction is decoded. All
that has to be known about an instruction is asked of the decoder: where it leads to, what it does
to the stack (`x86_64_effects`).
"""

from __future__ import annotations

from gdbleak.architectures.aarch64 import AARCH64, AARCH64_FRAMES
from gdbleak.architectures.model import WORD_BYTES, Architecture, FrameConvention
from gdbleak.architectures.x86_64 import X86_64
from gdbleak.architectures.x86_64_frames import X86_64_FRAMES

__all__ = [
    "AARCH64",
    "AARCH64_FRAMES",
    "WORD_BYTES",
    "X86_64",
    "X86_64_FRAMES",
    "Architecture",
    "FrameConvention",
]
