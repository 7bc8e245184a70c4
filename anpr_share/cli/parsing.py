"""Days and durations as a person types them; what is wrong with one is a usage error."""

from __future__ import annotations

from datetime import date

from anpr_share import periods
from anpr_share.errors import FormatError, UsageError


def day(text: str) -> date:
    """A day as YYYY-MM-DD. Raises :class:`UsageError`."""
    try:
        return periods.parse_day(text)
    except FormatError:
        raise UsageError("a day is written YYYY-MM-DD", hint="such as 2026-10-01") from None


def duration(text: str) -> periods.Duration:
    """A duration such as P7D or P1M. Raises :class:`UsageError`."""
    try:
        return periods.Duration.parse(text)
    except FormatError as error:
        raise UsageError(error.message, hint="such as P7D for a week, or P1M for a month") from None
