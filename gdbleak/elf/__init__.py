"""ELF files, read with care: whoever made one may have meant harm. Pure."""
