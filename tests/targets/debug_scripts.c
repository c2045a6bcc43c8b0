/* Code in a program for GDB to run; it leaves a file in the folder that TRAPS names.
 * Source: GDB manual, "The .debug_gdb_scripts section".
 */
__asm__(".pushsection \".debug_gdb_scripts\", \"MS\",@progbits,1\n"
        ".byte 4\n" /* SECTION_SCRIPT_ID_PYTHON_TEXT */
        ".ascii \"trap\\n\"\n"
        ".ascii \"import os; open(os.environ['TRAPS'] + '/.debug_gdb_scripts', 'w')\\n\"\n"
        ".byte 0\n"
        ".popsection\n");
