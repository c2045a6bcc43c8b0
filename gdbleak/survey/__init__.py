"""What is told of processes by looking at them: nothing is attached to, nobody is stopped.

`search` says which processes of a host grow, `ways` what holds a block of one: on `ground`, which
says what the memory consists of, with `threads`; `holders` names what was found.
"""
