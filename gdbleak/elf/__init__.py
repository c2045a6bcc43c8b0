"""What stands in an ELF file, read with care: its maker may have meant harm. Pure."""
