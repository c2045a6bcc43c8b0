"""Find the call stacks that leak memory in a running native Linux process."""

from __future__ import annotations

__version__ = "0.1.0"
