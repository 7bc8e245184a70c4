"""What every page for people has in common: one document that is whole in itself.

Guarantees: a page fetches nothing, runs nothing and links to nothing outside itself (its policy says so to the browser
too); every text is escaped, its control and direction characters written out; a name that a template uses and nobody
gave is an error.

``page.html.jinja`` is the frame, ``page.css`` the look: type, tables, verdicts, colours for light, dark and paper.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from anpr_share.reports.terminal import plain
from anpr_share.words import count

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """A new environment of the templates beside this module, with the filters that all pages use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: object) -> object:
        # What the template made itself, such as a table, is markup already; all else is text, whoever wrote it.
        return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    made = Environment(
        loader=PackageLoader("anpr_share.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(at=at, number=number, sentence=sentence, count=count, percent=brief_percent)
    return made


def at(instant: datetime | None) -> str:
    """A moment in UTC, to the minute; ``never`` if there was none."""
    return "never" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


def number(value: int | None, unknown: str = "not known") -> str:
    """A whole number with commas."""
    return unknown if value is None else f"{value:,}"


def sentence(text: str) -> str:
    """A text of ours with its first letter as in a sentence; a name or a command stays as it is."""
    first = text.split(" ", maxsplit=1)[0]
    return text[0].upper() + text[1:] if first.isascii() and first.isalpha() else text


def percent(share: float, under: str = "under ", over: str = "over ") -> str:
    """A share in per cent, rounded, but never to none or to all: those two are said only where they hold."""
    if share in {0.0, 1.0}:
        return f"{share:.0%}"
    if share < 0.001:
        return f"{under}0.1%"
    return f"{over}99.9%" if share > 0.999 else f"{share:.1%}"


def brief_percent(share: float) -> str:
    """A share in per cent as it fits a table: ``<0.1%``."""
    return percent(share, "<", ">")
