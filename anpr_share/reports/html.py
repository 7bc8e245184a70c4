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
from anpr_share.words import brief_percent, count

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
