"""TOML that people write, or that somebody else may have written for them.

Guarantees: whatever the text is, reading it ends soon and in a value or a :class:`FormatError` that quotes nothing of
it; a number too long for Python, nesting without end and names of many parts are refused like any other mistake.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from anpr_share.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

_PLACE = re.compile(r"\(at (line [0-9]+, column [0-9]+|end of document)\)\Z")
MAX_DOTS = 200
"""On one line: the parser takes the square of the length of a dotted key, or worse."""


def read_toml(text: str, what: str, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The values of a TOML text, with or without a byte order mark; ``what`` names it in messages, as "the profile".

    Raises :class:`FormatError`, which names the line and nothing that stands in it. How long a text may be is the
    caller's to say.
    """
    if any(line.count(".") > MAX_DOTS for line in text.split("\n")):
        raise FormatError(
            f"a line of {what} holds more than {MAX_DOTS} dots", hint="write a long list on several lines"
        )
    try:
        return tomllib.loads(text.removeprefix("\ufeff"), parse_float=parse_float)
    except RecursionError:
        raise FormatError(f"{what} is nested too deeply", hint="write it flat, as the template does") from None
    except ValueError as error:
        place = _PLACE.search(str(error))
        where = f" at {place[1]}" if place else ""
        raise FormatError(
            f"{what} cannot be read as TOML{where}",
            hint="text stands between straight double quotes, a date is written 2026-11-25, yes and no as true and "
            "false, and each name stands once",
        ) from None
