"""Which processes of a host grow."""
