"""The window: what is recorded of a process, and when that ends."""
