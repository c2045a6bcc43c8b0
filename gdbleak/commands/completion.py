"""`gdbleak completion`: what a shell needs to complete command lines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import shtab


class Completion:
    """Print a script by which a shell completes commands, options and their values."""

    summary = "print a script by which your shell completes command lines"
    description = (
        "Print a script for a shell by which it completes the commands of gdbleak, their options, "
        "and what these can be set to."
    )
    examples = """\
  gdbleak completion bash > ~/.local/share/bash-completion/completions/gdbleak
  gdbleak completion zsh > ~/.zfunc/_gdbleak    (a folder of your $fpath)
  gdbleak completion fish > ~/.config/fish/completions/gdbleak.fish
"""

    def __init__(self, make_parser: Callable[[], argparse.ArgumentParser]) -> None:
        """Prepare; `make_parser` returns the parser of the whole command line."""
        self._make_parser = make_parser

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "shell",
            metavar="SHELL",
            choices=shtab.SUPPORTED_SHELLS,
            help="the shell: bash, zsh, tcsh or fish",
        )

    def run(self, options: argparse.Namespace) -> int:
        """Run the command; return the exit status."""
        sys.stdout.write(shtab.complete(self._make_parser(), options.shell))
        return 0
