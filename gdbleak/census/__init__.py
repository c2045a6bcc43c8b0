"""What is in the memory of a process, or of a core file: blocks, free memory, mappings, losses.

A process is not stopped for it, unless that is asked for. What is shown is in
`gdbleak.report.heap`; where the bytes come from is behind `gdbleak.target.examined.Examined`.
"""
