"""Blocks of a whole heap that nothing refers to."""
