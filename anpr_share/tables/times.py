"""Time and date cells to UTC times and days, as a profile declares them.

- A cell is trimmed; several are joined with a space. Nothing about their order or format is guessed.
- A local time that the clocks showed twice (the repeated October hour) or never (the missing March hour) is rejected,
  or resolved as the profile says; those resolved are counted.
- No text, however hostile, raises: what is not a time from 1900 to 9998 is unreadable.

    profile      Europe/London, %d/%m/%Y %H:%M
    29/03/2026 01:30   never shown      time-nonexistent, or 01:30 UTC if nonexistent = "forward"
    25/10/2026 01:30   shown twice      time-ambiguous, or 00:30 UTC ("earliest") or 01:30 UTC ("latest")
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from anpr_share.errors import InputError

if TYPE_CHECKING:
    from anpr_share.tables.profile import DateColumn, TimeColumn

UTC_TIME = pl.Datetime("us", "UTC")

_FORMAT = re.compile(r"(%[#:.]?[369]?[A-Za-z%])")
_LONG = re.compile("%[TRDF]")
_EXPANDED = {"%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y", "%F": "%Y-%m-%d"}
_DIGITS = {
    **dict.fromkeys(("%m", "%d", "%H", "%I", "%M", "%S", "%y"), "[0-9]{2}"),
    "%Y": "[0-9]{4}",
    "%j": "[0-9]{3}",
    "%e": "[ 0-9][0-9]",
    "%f": "[0-9]{1,9}",
    **{f"%{digits}f": f"[0-9]{{{digits}}}" for digits in (3, 6, 9)},
}

FIRST_DAY, END_DAY = date(1900, 1, 1), date(9999, 1, 1)
"""The first day that is read as one, and the first that is none any more: zones and other programs know no others."""
_FIRST, _LAST = (datetime(day.year, 1, 1) for day in (FIRST_DAY, END_DAY))  # noqa: DTZ001
_GAP = timedelta(hours=3)  # more than clocks are ever put forward, less than lies between two changes
_LONGEST_SPAN = timedelta(days=800)


@dataclass(frozen=True, slots=True)
class Times:
    """What became of a column of times.

    ``values`` is ``Datetime("us", "UTC")``, null where ``failures``, rule by rule a Boolean for each row, says why.
    ``resolved`` counts the local times that the profile's settings resolved, by the rule that would have rejected them.
    """

    values: pl.Series
    failures: dict[str, pl.Series]
    resolved: dict[str, int]


def parse_times(frame: pl.DataFrame, column: TimeColumn) -> Times:
    """The times that a profile's column says, in UTC.

    Args:
        frame: String columns, or one of type Datetime or Date.
        column: which of them, and how they are written.

    Raises:
        InputError: a column already has a type and is to be joined with others, or is a day without a time.
    """
    if any(frame.schema[name] != pl.String for name in column.columns):
        return _typed_times(frame, column)
    read, missing = _read_texts(frame, column)
    if column.has_offset:
        utc, repeated, skipped = _plausible(read.dt.replace_time_zone(None)).dt.replace_time_zone("UTC"), None, None
        return _times(utc, missing, repeated, skipped, column)
    return _from_local(_plausible(read), missing, column)


def parse_dates(frame: pl.DataFrame, column: DateColumn) -> tuple[pl.Series, pl.Series]:
    """The days that a profile's column says: Date, null where empty or unreadable; and which rows are unreadable."""
    if any(frame.schema[name] != pl.String for name in column.columns):
        typed = _only_column(frame, column)
        days, missing = typed.cast(pl.Date, strict=False), typed.is_null()
    else:
        text, missing = _texts(frame, column)
        days = _whole_digits(text, column.format).str.strptime(pl.Date, column.format, strict=False)
    days = days.to_frame("day").select(
        pl.when(pl.col("day").is_between(FIRST_DAY, END_DAY, closed="left")).then(pl.col("day"))
    )["day"]
    return days, days.is_null() & ~missing


def local_to_utc(naive: pl.Series, zone: str) -> pl.DataFrame:
    """What local times are in UTC: ``earliest`` and ``latest`` (they differ where the clocks showed a time twice), and
    ``forward``, which goes on by the clock of before where they never did (there the others are null).

    Args:
        naive: ``Datetime("us")`` from 1900 to 9998, with nulls.
        zone: an IANA time zone.
    """
    offset = _constant_offset(naive, zone)
    if offset is not None:
        utc = (naive - offset).dt.replace_time_zone("UTC")
        return pl.DataFrame({"earliest": utc, "latest": utc, "forward": utc})

    def at(which: pl.Series, ambiguous: str) -> pl.Series:
        local = which.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")  # type: ignore[arg-type]
        return local.dt.convert_time_zone("UTC")

    earliest = at(naive, "earliest")
    forward = earliest.fill_null(at(naive - _GAP, "latest") + _GAP)
    return pl.DataFrame({"earliest": earliest, "latest": at(naive, "latest"), "forward": forward})


def local_days(utc: pl.Series, zone: str) -> pl.Series:
    """The days (Date) of UTC times in an IANA time zone; null stays null."""
    naive = utc.dt.replace_time_zone(None)
    offset = _constant_offset(naive, zone)
    if offset is not None:
        return (naive + offset).dt.date()
    return utc.dt.convert_time_zone(zone).dt.date()


def _from_local(naive: pl.Series, missing: pl.Series, column: TimeColumn) -> Times:
    utc = local_to_utc(naive, column.timezone or "UTC")
    repeated = (utc["earliest"] != utc["latest"]).fill_null(value=False)
    skipped = utc["earliest"].is_null() & naive.is_not_null()
    values = utc["latest" if column.ambiguous == "latest" else "earliest"]
    if column.nonexistent == "forward" and skipped.any():
        values = values.fill_null(utc["forward"])
    return _times(values, missing, repeated, skipped, column)


def _times(
    values: pl.Series, missing: pl.Series, repeated: pl.Series | None, skipped: pl.Series | None, column: TimeColumn
) -> Times:
    failures = {"time-missing": missing}
    unreadable = values.is_null() & ~missing
    resolved: dict[str, int] = {}
    for rule, rows, rejected in (
        ("time-ambiguous", repeated, column.ambiguous == "reject"),
        ("time-nonexistent", skipped, column.nonexistent == "reject"),
    ):
        if rows is None or not rows.any():
            continue
        if rejected:
            failures[rule] = rows
            unreadable &= ~rows
        else:
            resolved[rule] = int(rows.sum())
    if "time-ambiguous" in failures:
        values = values.to_frame("utc").select(pl.when(~failures["time-ambiguous"]).then(pl.col("utc")))["utc"]
    return Times(values.alias("captured_at"), {**failures, "time-unreadable": unreadable}, resolved)


def _read_texts(frame: pl.DataFrame, column: TimeColumn) -> tuple[pl.Series, pl.Series]:
    """The times that the cells write, and which cells are empty."""

    def read(text: pl.Series) -> pl.Series:
        whole = _whole_digits(text, column.format)
        return whole.str.to_datetime(column.format, time_unit="us", strict=False)

    if len(column.columns) == 1:  # trimming takes as long as reading, and hardly any extract needs it
        plain = read(frame[column.columns[0]])
        if not plain.null_count():
            return plain, pl.repeat(False, len(plain), dtype=pl.Boolean, eager=True)  # noqa: FBT003
    text, missing = _texts(frame, column)
    return read(text), missing


def _whole_digits(text: pl.Series, form: str) -> pl.Series:
    """The cells, null where a number has lost digits that the format does not tell apart from those beside it."""
    pattern = digits_pattern(form)
    if pattern is None:
        return text
    return text.to_frame("cell").select(pl.when(pl.col("cell").str.contains(pattern)).then(pl.col("cell")))["cell"]


@lru_cache
def digits_pattern(form: str) -> str | None:
    """What a cell of a format must look like for its digits to be told apart; None if any reading of it is right.

    Where numbers follow one another without anything between them, a lost leading zero moves every digit after it, and
    a year of two digits is read from one: ``%H%M%S`` would make 23:45:06 of ``23456``, which was 02:34:56.
    """
    parts = [part for part in _FORMAT.split(_LONG.sub(lambda match: _EXPANDED[match[0]], form)) if part]
    numbers = [part in _DIGITS for part in parts]
    pattern, needed = "", False
    for at, part in enumerate(parts):
        if part.startswith("%") and part != "%%" and not numbers[at]:
            pattern += ".*?"
        elif not numbers[at]:
            pattern += re.escape(part.replace("%%", "%")).replace(r"\ ", r"\s+")
        elif part == "%y" or True in (*numbers[max(0, at - 1) : at], *numbers[at + 1 : at + 2]):
            needed = True
            pattern += _DIGITS[part]
        else:
            pattern += r"\s*[0-9]+"
    return rf"\A(?s:{pattern})\z" if needed else None


def _texts(frame: pl.DataFrame, column: DateColumn) -> tuple[pl.Series, pl.Series]:
    cells = frame.select(pl.col(name).str.strip_chars() for name in column.columns)
    joined = cells if cells.width == 1 else cells.select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True))
    missing = cells.select(pl.all_horizontal(pl.all().fill_null("") == "")).to_series()
    return joined.to_series(), missing


def _typed_times(frame: pl.DataFrame, column: TimeColumn) -> Times:
    typed = _only_column(frame, column)
    if typed.dtype != pl.Datetime:
        raise InputError(
            f"the column {typed.name} holds days without a time",
            hint="a read needs the time of day: take it into the extract",
        )
    missing = typed.is_null()
    zone = getattr(typed.dtype, "time_zone", None)
    naive = typed.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone is not None else typed
    naive = _plausible(naive.cast(pl.Datetime("us"), strict=False))
    if zone is not None:
        return _times(naive.dt.replace_time_zone("UTC"), missing, None, None, column)
    if column.timezone is None:
        raise InputError(f"the column {typed.name} holds local times", hint="add timezone under [columns.captured_at]")
    return _from_local(naive, missing, column)


def _only_column(frame: pl.DataFrame, column: DateColumn) -> pl.Series:
    if len(column.columns) > 1:
        raise InputError(
            f"the columns {', '.join(column.columns)} are to be joined, and are not text",
            hint="name one column of times, or write them as text",
        )
    return frame[column.columns[0]]


def _plausible(naive: pl.Series) -> pl.Series:
    # Conversions between zones abort the process outside the years that they know.
    return naive.to_frame("time").select(
        pl.when(pl.col("time").is_between(_FIRST, _LAST, closed="left")).then(pl.col("time"))
    )["time"]


def _constant_offset(naive: pl.Series, zone: str) -> timedelta | None:
    """The zone's offset if it is one and the same around all of these times, which are local or UTC."""
    if zone == "UTC":
        return timedelta()
    first, last = naive.min(), naive.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return timedelta()  # no time at all
    first, last = first - timedelta(days=2), last + timedelta(days=2)
    if last - first > _LONGEST_SPAN:
        return None
    at = ZoneInfo(zone)
    offsets = {(first + timedelta(days=day)).replace(tzinfo=at).utcoffset() for day in range((last - first).days + 2)}
    return offsets.pop() if len(offsets) == 1 else None
