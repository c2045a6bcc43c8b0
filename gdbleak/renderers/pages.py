"""Pages that need no network: a template with its styles and its script in it.

A policy in the page forbids all scripts and styles but these.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

_FOLDER = Path(__file__).parent / "page"


def fill_page(template: str, styles: Iterable[str], script: str, **values: str) -> str:
    """Return a page.

    Args:
        template: Name of a file with places for the values, `style`, `script` and their hashes.
        styles: Names of files.
        script: Name of a file.
        **values: What goes into the template, escaped.

    """
    style, code = "\n".join(map(_read, styles)), _read(script)
    return Template(_read(template)).substitute(
        values, style=style, style_hash=_hash(style), script=code, script_hash=_hash(code)
    )


def card(value: str, text: str) -> str:
    """Return what stands at the top of a page: a number or word, and what it means."""
    return f"<li><b>{escape(value)}</b>{escape(text)}</li>"


def _read(file: str) -> str:
    return (_FOLDER / file).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
