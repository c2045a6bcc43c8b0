"""Allocators other than glibc's: which there are, and what their own structures tell."""
