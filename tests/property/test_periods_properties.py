"""Retention on any date, in zones that do odd things at midnight."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from anpr_share.errors import FormatError
from anpr_share.periods import (
    Duration,
    Window,
    day_of,
    day_start,
    delete_by,
    is_expired,
    parse_day,
    parse_utc,
    utc_text,
    windows,
)

DAYS = st.dates(date(1950, 1, 1), date(2100, 1, 1))
ANY_DAYS = st.dates()
ZONES = st.sampled_from(
    ["Europe/London", "America/Sao_Paulo", "America/Havana", "Pacific/Apia", "Asia/Kolkata", "Africa/Cairo", "UTC"]
).map(ZoneInfo)
DURATIONS = st.integers(1, 12).map(lambda n: Duration(months=n)) | st.integers(1, 365).map(lambda n: Duration(days=n))
INSTANTS = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ONE_DAY = timedelta(days=1)


@given(DURATIONS)
def test_a_duration_is_read_as_it_was_written(duration: Duration) -> None:
    assert Duration.parse(str(duration)) == duration


@given(ANY_DAYS, DURATIONS, ZONES)
def test_a_later_day_is_never_due_earlier(day: date, limit: Duration, zone: ZoneInfo) -> None:
    assert day == date.max or delete_by(day, limit, zone) <= delete_by(day + ONE_DAY, limit, zone)


@given(DURATIONS, DURATIONS, ANY_DAYS)
def test_what_does_not_lengthen_keeps_no_day_longer(new: Duration, old: Duration, day: date) -> None:
    assert new.lengthens(old) or new.after(day) <= old.after(day)
    assert not new.lengthens(new)


@given(DAYS, DURATIONS, ZONES, DAYS)
def test_an_end_only_shortens(day: date, limit: Duration, zone: ZoneInfo, ends: date) -> None:
    due = delete_by(day, limit, zone, ends)
    assert due <= delete_by(day, limit, zone)
    assert is_expired(ends + ONE_DAY, day_start(ends + ONE_DAY, zone), limit, zone, ends)


@given(DAYS, ZONES)
def test_a_day_starts_when_the_one_before_it_ends(day: date, zone: ZoneInfo) -> None:
    start = day_start(day, zone)
    assert day_of(start, zone) >= day
    assert day_of(start - timedelta(microseconds=1), zone) < day


@given(DAYS, st.integers(0, 365), DURATIONS)
def test_windows_cover_each_day_once(first: date, length: int, every: Duration) -> None:
    whole = Window(first, first + timedelta(days=length))
    cut = windows(whole.first, whole.last, every)
    assert tuple(day for window in cut for day in window.days()) == whole.days()


@given(st.text("0123456789-:TZ ", max_size=21) | st.text(max_size=21) | ANY_DAYS.map(str))
def test_only_what_would_be_written_is_read(text: str) -> None:
    with contextlib.suppress(FormatError):
        assert str(parse_day(text)) == text
    with contextlib.suppress(FormatError):
        assert utc_text(parse_utc(text)) == text
