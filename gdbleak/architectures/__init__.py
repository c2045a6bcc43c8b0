"""What depends on the processor: one file for each kind."""

from __future__ import annotations

from gdbleak.architectures.aarch64 import AARCH64, AARCH64_FRAMES
from gdbleak.architectures.model import Architecture, Flow, FrameConvention, Instruction
from gdbleak.architectures.x86_64 import X86_64
from gdbleak.architectures.x86_64_frames import X86_64_FRAMES

__all__ = [
    "AARCH64",
    "AARCH64_FRAMES",
    "X86_64",
    "X86_64_FRAMES",
    "Architecture",
    "Flow",
    "FrameConvention",
    "Instruction",
]
