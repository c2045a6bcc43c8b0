"""The memory of a whole process: which of its words refer to which blocks. Pure, on numpy.

Everything is read through a `Searchable` (`source`), while the process runs:
`pieces` says what is read, `table` which block an address is in, `look` reads all of it once,
`judgement` says of several looks which blocks nothing refers to.

The other way round, `ways` says what holds one block, with an `index` of all references; a
`territory` says which memory are roots, and which consists of blocks.
"""
