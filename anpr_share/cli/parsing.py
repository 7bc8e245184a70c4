"""Days, durations and files with their profile, as a person types them; what is wrong with one is a usage error."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from anpr_share import periods
from anpr_share.errors import FormatError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anpr_share.tables.extract import Input


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


def given(files: Sequence[str], profile: str) -> Input:
    """The files of a table and their profile, a bundled name or a file. Raises as loading a profile does."""
    from anpr_share.tables.extract import Input
    from anpr_share.tables.profile import load_profile

    return Input(tuple(files), load_profile(profile))


def if_given(table: str, files: Sequence[str] | None, profile: str | None) -> Input | None:
    """The same, None if neither is given. Raises :class:`UsageError` for one without the other."""
    if bool(files) != (profile is not None):
        raise UsageError(f"--{table} and --{table}-profile go together", hint="give both, or neither")
    return given(files, profile) if files and profile is not None else None
