"""Tracing through a gdbserver on another machine."""
