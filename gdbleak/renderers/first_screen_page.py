"""What stands at the top of a page: the first screen of a report as HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from gdbleak.renderers.first_screen import FirstScreen, Suspect

_CODE = re.compile(r"`([^`]+)`")


def draw_first_screen(screen: FirstScreen) -> str:
    """Return the parts of the first screen, with everything from the target escaped."""
    return "".join(_parts(screen))


def _parts(screen: FirstScreen) -> Iterator[str]:
    yield f'<p class="headline">{escape(screen.headline)}</p>'
    yield from (f'<p class="alarm">{escape(alarm)}</p>' for alarm in screen.alarms)
    if screen.suspects:
        yield f'<ol class="suspects">{"".join(map(_suspect, screen.suspects))}</ol>'
    if screen.outlook:
        yield f"<p>{escape(screen.outlook)}</p>"
    yield f'<p class="watch">{escape(screen.watch)}</p>'
    if screen.unseen:
        yield f"<p>{escape(screen.unseen)}</p>"
    if screen.next:
        yield f'<p class="next">Next: {_CODE.sub(_code, escape(screen.next))}</p>'


def _code(match: re.Match[str]) -> str:
    return f"<code>{match[1]}</code>"


def _suspect(suspect: Suspect) -> str:
    kind = escape(suspect.word.rstrip("?"))
    reason = f"<br>{escape(suspect.reasons[0])}" if suspect.reasons else ""
    return (
        f'<li value="{suspect.rank}"><span class="word {kind}">{escape(suspect.word)}</span> '
        f"{escape(suspect.rate)} <b>{escape(suspect.function)}</b> "
        f'<span class="place">{escape(suspect.place)}</span>{reason}</li>'
    )
