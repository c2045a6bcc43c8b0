"""What depends on the processor: one file for each kind."""

from __future__ import annotations

from gdbleak.architectures.aarch64 import AARCH64
from gdbleak.architectures.model import Architecture, Flow, Instruction
from gdbleak.architectures.x86_64 import X86_64

__all__ = ["AARCH64", "X86_64", "Architecture", "Flow", "Instruction"]
