"""Name functions and variables of ELF files. Runs inside a GDB that has no process.

Reads `request.json` from the current folder: a list of {"file", "addresses", "variables"}. The
addresses are link-time ones of code; a variable is [link-time address or null, name in the symbol
table or null, name of the source file or null]. Writes `answer.json` beside it, one line of JSON
for each file in the same order as soon as it is known, so that a GDB that dies over one file loses
no other:

    {"error": "..."}            the file cannot be read
    {"functions": [[...]],      for each address [[name, source file, line], ...], innermost
                                inlined function first, the function that holds it last
     "variables": [...],        for each variable [name, bytes between its begin and the address,
                                source file, line], or null where GDB knows none
     "problem": "..."}          what is wrong with the debug information, or null
"""

import json
import re

import gdb


def main():
    with open("request.json") as request:
        modules = json.load(request)
    with open("answer.json", "w") as answers:
        for module in modules:
            answers.write(json.dumps(answer(module)) + "\n")
            answers.flush()


def answer(module):
    try:
        load(module["file"])
    except (gdb.error, ValueError) as error:
        return {"error": text(str(error))}
    problems = []
    functions = [functions_at(address, problems) for address in module["addresses"]]
    variables = [variable(*words) for words in module.get("variables", ())]
    return {
        "functions": functions,
        "variables": variables,
        "problem": problems[0] if problems else None,
    }


def load(path):
    """Make a file's symbols the only ones; GDB finds separate debug files by itself.

    GDB splits a command at its newlines, and its arguments as a shell would.
    """
    if "\n" in path:
        raise ValueError("its path contains a newline")
    command = 'symbol-file "%s"' % re.sub(r'(["\\])', r"\\\1", path)
    # Python 2's GDB takes bytes.
    gdb.execute(command if isinstance(command, str) else command.encode("utf-8"), to_string=True)


def functions_at(address, problems):
    """Return the functions; the symbol table has names where the debug information is damaged.

    So it is where split debug information (.dwo) is missing: GDB then takes no part of the rest.
    """
    for look_up in (debug_functions, only_symbol):
        try:
            return look_up(address)
        except (gdb.error, ValueError, OverflowError) as error:
            # ... or a name is in an unknown encoding, or this is no address at all.
            if isinstance(error, gdb.error):
                problems.append(text(str(error)))
    return [[None, None, None]]


def debug_functions(address):
    """Walk outwards through the blocks of the debug information, else ask the symbol table.

    The symbol of an inlined function bears the file and line of the call (GDB's reader takes
    DW_AT_call_file and DW_AT_call_line for them).
    """
    file, line = location(gdb.find_pc_line(address))
    functions = []
    block = gdb.block_for_pc(address)
    # A nested function of GNU C has its parent's block around it, but lies elsewhere.
    while block is not None and block.start <= address < block.end:
        function = block.function
        if function is not None:
            functions.append([text(function.print_name), file, line])
            file, line = location(function)
        block = block.superblock
    return functions or [[minimal_symbol(address), file, line]]


def only_symbol(address):
    return [[minimal_symbol(address), None, None]]


def location(item):
    """Return the file, as the debug information names it, and line of a symbol or table row."""
    if item.symtab is None or not item.line:
        return None, None
    return text(item.symtab.filename), item.line


def minimal_symbol(address):
    """Return the name in the symbol table of the function around an address, or None.

    GDB takes no symbol whose size says that it ends before the address. It has no Python
    interface to them.
    """
    return symbol_at(address)[0]


def symbol_at(address):
    """Return the name that the symbol table has for an address, and how far in it that is."""
    said = gdb.execute("info symbol %d" % address, to_string=True)
    match = re.match(r"(.+?)(?: \+ (\d+))? in section ", said)
    return (text(match.group(1)), int(match.group(2) or 0)) if match else (None, 0)


def variable(address, name, source):
    """Return the name, offset, file and line of a variable; None where GDB knows none.

    One of a thread has no address.
    """
    offset = 0
    try:
        if address is None:
            name = demangled(str(name))
        else:
            name, offset = symbol_at(address)
        if name is None:
            return None
        # The compiler numbers the static variables of functions: counter.0
        short = re.sub(r"\.(?:\d+|isra|constprop|lto_priv).*$", "", name)
        begin = None if address is None else address - offset
        for symbol in declarations(short, source, begin):
            if symbol is not None and (begin is None or begin_of(symbol) == begin):
                file, line = location(symbol)
                return [short, offset, file, line]
        return [short, offset, None, None]
    except (gdb.error, ValueError, OverflowError, RuntimeError):
        return None  # damaged debug information, or no address at all


def demangled(name):
    try:
        return text(gdb.execute("demangle -- %s" % name, to_string=True)).strip()
    except gdb.error:  # it is not mangled
        return name


def declarations(name, source, begin):
    """Yield what may be the declaration of a variable."""
    yield gdb.lookup_global_symbol(name)
    if hasattr(gdb, "lookup_static_symbols"):  # GDB 10
        for symbol in gdb.lookup_static_symbols(name):
            yield symbol
    elif hasattr(gdb, "lookup_static_symbol"):
        yield gdb.lookup_static_symbol(name)
    if source and begin is not None:
        for symbol in in_functions(name.rsplit("::", 1)[-1], source):
            yield symbol


def in_functions(name, source):
    """Yield variables of a name in the outermost blocks of the functions of a source file."""
    # Since GDB 16, decode_line() takes no line without code.
    said = gdb.execute("info line '%s':1" % source, to_string=True)
    match = re.search(r" address (0x[0-9a-f]+)", said)
    symtab = gdb.find_pc_line(int(match.group(1), 16)).symtab if match else None
    if symtab is None:
        return
    for block in (symtab.global_block(), symtab.static_block()):
        for function in block:
            if function.is_function:
                inner = gdb.block_for_pc(int(function.value().address))
                for symbol in inner or ():
                    if symbol.name == name and symbol.is_variable:
                        yield symbol


def begin_of(symbol):
    """Return where a variable begins; None for one that has no fixed place."""
    try:
        return int(symbol.value().address)
    except (gdb.error, TypeError, ValueError):
        return None


def text(string):
    """Return Unicode: Python 2's GDB gives bytes."""
    return string.decode("utf-8", "replace") if isinstance(string, bytes) else string


if __name__ == "__main__":
    main()
