"""Which processes of a host grow: their memory is watched, and nothing is attached to."""
