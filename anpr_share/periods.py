"""Days, durations, windows and the moment by which a day must be deleted.

Guarantees:

- Pure: every function takes the time it needs; none reads a clock.
- A *day* is a date in the agreement's time zone; an *instant* is an aware datetime, and every instant returned is UTC.
- A day is never kept a moment over: months are clamped to the month's end, midnight is the first one where clocks go
  back over it and the moment after the gap where they go forward over it, and of several limits the earliest counts.
- ``delete_by`` never decreases from one day to the next: a later day is never due earlier.

The rules are those of ``docs/spec/rules-v1.md``; examples are published in ``docs/spec/vectors/delete-by.json``.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from anpr_share.errors import FormatError, PolicyError, UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import polars as pl

__all__ = [
    "CREATED_TOLERANCE",
    "LONGEST_WITHOUT_PURGE",
    "PURGE_GRACE",
    "RESOLUTIONS",
    "UNDATED",
    "Duration",
    "Now",
    "Window",
    "day_end",
    "day_of",
    "day_start",
    "delete_by",
    "effective_now",
    "floored",
    "is_expired",
    "needs_authority",
    "oldest_kept",
    "parse_day",
    "parse_utc",
    "undated_day",
    "utc_text",
    "window_key_dies",
    "windows",
]

CREATED_TOLERANCE: Final = timedelta(minutes=5)
"""How far ahead of ours a sender's clock may be."""

CLOCK_BACK_TOLERANCE: Final = timedelta(minutes=5)
"""How far the system clock may fall behind the ledger before a site refuses to work."""

CLOCK_LEAP: Final = timedelta(days=31)
"""A clock further than this past the last ledger entry may be wrong: it hides expired days, and destroys nothing."""

PURGE_GRACE: Final = timedelta(days=1)
"""What goes within so long of its delete-by is in time: a purge comes by night, and nobody can see it meanwhile."""

LONGEST_WITHOUT_PURGE: Final = timedelta(days=7)
"""How long a site may hold data or files under retention without a run of purge before that is told."""

RESOLUTIONS: Final = {"1s": 1_000_000, "1m": 60_000_000, "15m": 900_000_000, "1h": 3_600_000_000, "1d": None}
"""Microseconds of each resolution of times; of whole days there is only the start."""

UNDATED: Final = "undated"
"""What stands in place of a day where a table has none."""

WINDOW_KEY_LIFE: Final = timedelta(days=30)

MAX_MONTHS: Final = 12
MAX_DAYS: Final = 365
MAX_WINDOWS: Final = 366
MAX_WINDOW_DAYS: Final = 3660

_DURATION: Final = re.compile(r"P([1-9][0-9]{0,2})([MD])")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UTC: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_ONE_DAY: Final = timedelta(days=1)
_LEAP_CYCLE: Final = range(date(2027, 1, 1).toordinal(), date(2031, 1, 1).toordinal())
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Duration:
    """``PnM`` (1 to 12 months) or ``PnD`` (1 to 365 days), and nothing else; raises FormatError."""

    months: int = 0
    days: int = 0

    def __post_init__(self) -> None:
        in_months = 1 <= self.months <= MAX_MONTHS and self.days == 0
        in_days = 1 <= self.days <= MAX_DAYS and self.months == 0
        if not in_months and not in_days:
            raise _bad_duration()

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``P12M`` or ``P90D``. Raises FormatError for anything else."""
        match = _DURATION.fullmatch(text)
        if match is None:
            raise _bad_duration()
        number = int(match[1])
        return cls(months=number) if match[2] == "M" else cls(days=number)

    def __str__(self) -> str:
        return f"P{self.months}M" if self.months else f"P{self.days}D"

    @property
    def words(self) -> str:
        """The duration as a person says it: ``12 months``, ``1 day``."""
        number, unit = (self.months, "month") if self.months else (self.days, "day")
        return f"{number} {unit}" if number == 1 else f"{number} {unit}s"

    def after(self, day: date) -> date:
        """The date this much later, clamped to the month's end and to the end of the calendar (9999-12-31)."""
        return _later(day, self, 1)

    def lengthens(self, other: Duration) -> bool:
        """Whether some day would be kept longer than under ``other``, on any day of the four years of a leap cycle."""
        return any(self.after(day) > other.after(day) for day in map(date.fromordinal, _LEAP_CYCLE))


def _bad_duration() -> FormatError:
    return FormatError("a duration is not P1M to P12M or P1D to P365D", hint="write P12M for months, P90D for days")


def _later(day: date, step: Duration, times: int) -> date:
    """``day`` plus ``times`` steps, counted from ``day`` itself so that a clamped month does not shift later ones."""
    if step.days:
        left = (date.max - day).days
        return day + timedelta(days=min(left, step.days * times))
    months = day.month - 1 + step.months * times
    year, month = day.year + months // 12, months % 12 + 1
    if year > date.max.year:
        return date.max
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _next_day(day: date) -> date:
    return day if day == date.max else day + _ONE_DAY


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise UsageError("a time has no time zone")
    return instant


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of ``day`` in ``zone``, in UTC."""
    try:
        return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return _EARLIEST if day.year == date.min.year else _LATEST


def day_end(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which ``day`` is over in ``zone``, in UTC: 00:00 of the next, whatever length it has."""
    return day_start(_next_day(day), zone)


def day_of(instant: datetime, zone: ZoneInfo) -> date:
    """The date of an instant in ``zone``. Raises UsageError for a time without a zone."""
    try:
        return _aware(instant).astimezone(zone).date()
    except OverflowError:
        return date.min if instant.year == date.min.year else date.max


def undated_day(created: datetime, loaded: datetime, zone: ZoneInfo) -> date:
    """The day that a table without days counts from: that of the earlier of its bundle's making and its loading."""
    return day_of(min(_aware(created), _aware(loaded)), zone)


def delete_by(day: date, limit: Duration, zone: ZoneInfo, ends: date | None = None) -> datetime:
    """When ``day`` must be gone: 00:00 of the date ``limit`` later, and never later than 00:00 after ``ends``."""
    due = day_start(limit.after(day), zone)
    return due if ends is None else min(due, day_end(ends, zone))


def is_expired(day: date, now: datetime, limit: Duration, zone: ZoneInfo, ends: date | None = None) -> bool:
    """Whether ``day`` may no longer be held, loaded, exported or seen."""
    return _aware(now) >= delete_by(day, limit, zone, ends)


def oldest_kept(now: datetime, limit: Duration, zone: ZoneInfo) -> date:
    """The earliest day that has not expired under a limit: every day before it has."""
    day = day_of(now, zone)
    before = day - _ONE_DAY * (MAX_DAYS + 1) if day.toordinal() > MAX_DAYS + 1 else date.min
    while is_expired(before, now, limit, zone):
        before += _ONE_DAY
    return before


def needs_authority(day: date, now: datetime, authority_after: Duration, zone: ZoneInfo) -> bool:
    """Whether reads of ``day`` are older than may leave without a named authority."""
    return is_expired(day, now, authority_after, zone)


@dataclass(frozen=True)
class Now:
    """The time a site goes by; ``leapt`` when the clock is suspiciously far past the last ledger entry."""

    instant: datetime
    leapt: bool


def effective_now(system: datetime, last: datetime | None, latest: datetime | None = None) -> Now:
    """The later of the system clock and the ledger's times: ``last`` of the last line that counts, ``latest`` of any.

    Raises PolicyError when the system clock is more than five minutes behind either: a clock put back would make
    expired days visible again. What has leapt is measured from ``last`` alone: see docs/decisions/0012.
    """
    system = _aware(system).astimezone(UTC)
    floor = max((_aware(item).astimezone(UTC) for item in (last, latest) if item is not None), default=system)
    if floor - system > CLOCK_BACK_TOLERANCE:
        raise PolicyError(
            "the system clock is more than 5 minutes behind the ledger",
            hint="nothing was done: set this machine's clock right; if it is right, and the ledger's times were wrong: "
            "anpr-share clock reset --reason TEXT",
        )
    instant = max(system, floor)
    return Now(instant, leapt=last is not None and instant - _aware(last) > CLOCK_LEAP)


@dataclass(frozen=True)
class Window:
    """Whole days from ``first`` to ``last``, both included. Raises UsageError when they are in the wrong order."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise UsageError("a window ends before it starts", hint="give the earlier day first")

    def days(self) -> tuple[date, ...]:
        """Every day of the window, in order."""
        first = self.first.toordinal()
        return tuple(date.fromordinal(n) for n in range(first, self.last.toordinal() + 1))

    def contains(self, day: date) -> bool:
        """Whether ``day`` is in the window."""
        return self.first <= day <= self.last


def windows(first: date, last: date, every: Duration | None) -> tuple[Window, ...]:
    """Cut ``first`` to ``last`` (both included) into windows of ``every``; the last one may be shorter.

    Raises UsageError when the days are in the wrong order, span more than 3660 days, or give more than 366 windows.
    """
    whole = Window(first, last)
    if (last - first).days >= MAX_WINDOW_DAYS:
        raise UsageError(f"a request spans at most {MAX_WINDOW_DAYS} days", hint="ask for fewer days")
    if every is None:
        return (whole,)
    found: list[Window] = []
    start = first
    while True:
        if len(found) == MAX_WINDOWS:
            raise UsageError(
                f"a request has at most {MAX_WINDOWS} windows", hint="ask for longer windows, or fewer days"
            )
        following = _later(first, every, len(found) + 1)
        if following > last or following <= start:
            return (*found, Window(start, last))
        found.append(Window(start, following - _ONE_DAY))
        start = following


def window_key_dies(window_last: date, created: datetime, zone: ZoneInfo) -> datetime:
    """When a window's one-time key dies: 30 days after the later of the window's end and the request's creation."""
    end = max(day_end(window_last, zone), _aware(created).astimezone(UTC))
    return end + WINDOW_KEY_LIFE if end < _LATEST - WINDOW_KEY_LIFE else _LATEST


def floored(at: pl.Expr, resolution: str, day: date, zone: ZoneInfo) -> pl.Expr:
    """Times of one day at a resolution by the zone's clock, never before the day begins.

    ``at`` is ``Datetime("us", "UTC")``, of instants of ``day``; so is what is given back. What is floored again to a
    resolution that is no finer is what would have come of the times themselves.
    """
    import polars as pl

    begins = day_start(day, zone)
    start = pl.lit(begins).cast(pl.Datetime("us", "UTC"))
    step = RESOLUTIONS[resolution]
    if step is None:
        return start
    past = (at.dt.timestamp("us") + _clock_offset(at, begins, day_end(day, zone), zone)) % step
    return pl.max_horizontal(at - pl.duration(microseconds=past), start)


def _clock_offset(at: pl.Expr, start: datetime, end: datetime, zone: ZoneInfo) -> pl.Expr:
    """What the zone's clock is ahead of UTC, in microseconds: one number for the day, unless clocks change in it."""
    import polars as pl

    hours = int((end - start) / timedelta(hours=1))
    offsets = {(start + timedelta(hours=hour)).astimezone(zone).utcoffset() for hour in range(hours + 1)}
    if len(offsets) == 1 and (offset := offsets.pop()) is not None:
        return pl.lit(offset // timedelta(microseconds=1))
    local = at.dt.convert_time_zone(zone.key)
    return (local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_microseconds()


def parse_day(text: str) -> date:
    """Read ``YYYY-MM-DD`` and nothing else. Raises FormatError."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        raise _bad_day() from None
    raise _bad_day()


def _bad_day() -> FormatError:
    return FormatError("a day is not a date written YYYY-MM-DD")


def utc_text(instant: datetime) -> str:
    """Write an instant as ``2026-10-08T16:30:51Z``; fractions of a second are dropped. Raises UsageError if naive."""
    return _aware(instant).astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def parse_utc(text: str) -> datetime:
    """Read ``2026-10-08T16:30:51Z`` and nothing else. Raises FormatError."""
    try:
        if _UTC.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        raise _bad_time() from None
    raise _bad_time()


def _bad_time() -> FormatError:
    return FormatError("a time is not written YYYY-MM-DDTHH:MM:SSZ")
