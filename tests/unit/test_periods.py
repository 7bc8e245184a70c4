"""Days, durations, windows and delete-by dates, on dates chosen for what goes wrong on them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from anpr_share.errors import FormatError, PolicyError, UsageError
from anpr_share.periods import (
    Duration,
    Now,
    Window,
    day_end,
    day_of,
    day_start,
    delete_by,
    effective_now,
    is_expired,
    needs_authority,
    parse_day,
    parse_utc,
    utc_text,
    window_key_dies,
    windows,
)

LONDON = ZoneInfo("Europe/London")
YEAR = Duration(months=12)
WEEK = Duration(days=7)
SECOND = timedelta(seconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["P1M", "P12M", "P1D", "P90D", "P365D"])
def test_a_duration_is_written_as_it_was_read(text: str) -> None:
    assert str(Duration.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P0M",
        "P13M",
        "P0D",
        "P366D",
        "P01M",
        "P1Y",
        "P1M1D",
        "p1m",
        " P1M",
        "P1M\n",
        "P-1M",
        "P\u0661M",
        "P1W",
        "12M",
    ],
)
def test_another_text_is_no_duration(text: str) -> None:
    with pytest.raises(FormatError):
        Duration.parse(text)


@pytest.mark.parametrize(("months", "days"), [(0, 0), (1, 1), (13, 0), (0, 366), (-1, 0), (0, -1)])
def test_a_duration_is_months_or_days_within_its_bounds(months: int, days: int) -> None:
    with pytest.raises(FormatError):
        Duration(months, days)


def test_months_are_clamped_to_the_months_end() -> None:
    assert Duration(months=1).after(date(2026, 1, 31)) == date(2026, 2, 28)
    assert Duration(months=1).after(date(2028, 1, 31)) == date(2028, 2, 29)
    assert YEAR.after(date(2028, 2, 29)) == date(2029, 2, 28)


def test_the_end_of_the_calendar_is_the_latest_date() -> None:
    for limit in (YEAR, Duration(days=365)):
        assert limit.after(date.max) == date.max
    assert YEAR.after(date(9999, 1, 1)) == date.max


def test_a_day_is_over_at_the_next_local_midnight_however_long_it_was() -> None:
    assert day_end(date(2026, 3, 29), LONDON) - day_start(date(2026, 3, 29), LONDON) == timedelta(hours=23)
    assert day_end(date(2026, 10, 25), LONDON) - day_start(date(2026, 10, 25), LONDON) == timedelta(hours=25)
    assert day_end(date(2026, 12, 31), LONDON) == day_start(date(2027, 1, 1), LONDON)
    assert day_end(date.max, LONDON).tzinfo is UTC


def test_a_day_starts_at_local_midnight() -> None:
    assert day_start(date(2026, 1, 1), LONDON) == utc("2026-01-01T00:00:00")
    assert day_start(date(2026, 7, 1), LONDON) == utc("2026-06-30T23:00:00")


@pytest.mark.parametrize("zone", ["Europe/London", "Asia/Kolkata", "Pacific/Kiritimati", "America/New_York"])
def test_the_calendars_ends_have_a_start(zone: str) -> None:
    for day in (date.min, date.max):
        assert day_start(day, ZoneInfo(zone)).tzinfo is UTC
    assert is_expired(date.min, utc("2026-01-01"), YEAR, ZoneInfo(zone))
    assert not is_expired(date.max, utc("2026-01-01"), YEAR, ZoneInfo(zone), ends=date.max)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_the_calendars_ends_have_a_day(zone: str) -> None:
    assert day_of(datetime.min.replace(tzinfo=UTC), ZoneInfo(zone)) == date.min
    assert day_of(datetime.max.replace(tzinfo=UTC), ZoneInfo(zone)) == date.max


def test_an_instant_belongs_to_the_local_day() -> None:
    assert day_of(utc("2026-06-30T22:59:59"), LONDON) == date(2026, 6, 30)
    assert day_of(utc("2026-06-30T23:00:00"), LONDON) == date(2026, 7, 1)


@pytest.mark.parametrize("first_second", [utc("2026-10-24T23:00:00"), utc("2026-03-29T00:00:00")])
def test_the_days_that_clocks_change_hold_all_their_hours(first_second: datetime) -> None:
    day = day_of(first_second, LONDON)
    hours = (day_start(day + timedelta(days=1), LONDON) - first_second) / timedelta(hours=1)
    assert day_of(first_second - SECOND, LONDON) == day - timedelta(days=1)
    assert hours == (25 if day.month == 10 else 23)


def test_a_day_is_live_until_the_second_it_is_due() -> None:
    due = delete_by(date(2026, 6, 30), YEAR, LONDON)
    assert due == utc("2027-06-29T23:00:00")
    assert not is_expired(date(2026, 6, 30), due - SECOND, YEAR, LONDON)
    assert is_expired(date(2026, 6, 30), due, YEAR, LONDON)


def test_the_agreements_last_day_is_still_in_force() -> None:
    due = delete_by(date(2027, 3, 1), YEAR, LONDON, ends=date(2027, 8, 31))
    assert due == utc("2027-08-31T23:00:00")


def test_older_reads_need_an_authority_from_the_ninetieth_day() -> None:
    day, ninety = date(2026, 1, 1), Duration(days=90)
    assert not needs_authority(day, utc("2026-03-31T22:59:59"), ninety, LONDON)
    assert needs_authority(day, utc("2026-03-31T23:00:00"), ninety, LONDON)


def test_without_a_ledger_the_system_clock_counts() -> None:
    assert effective_now(utc("2026-03-01"), None) == Now(utc("2026-03-01"), leapt=False)


def test_a_clock_a_little_behind_the_ledger_is_moved_up() -> None:
    last = utc("2026-03-01T12:00:00")
    assert effective_now(last - timedelta(minutes=5), last) == Now(last, leapt=False)


def test_a_clock_put_back_is_refused() -> None:
    last = utc("2026-03-01T12:00:00")
    with pytest.raises(PolicyError) as caught:
        effective_now(last - timedelta(minutes=5, seconds=1), last)
    assert caught.value.exit_code == 4


def test_a_clock_that_leapt_is_told() -> None:
    last = utc("2026-03-01T12:00:00")
    assert not effective_now(last + timedelta(days=31), last).leapt
    assert effective_now(last + timedelta(days=31, seconds=1), last).leapt


def test_now_is_never_before_a_line_that_does_not_count() -> None:
    last, latest = utc("2026-03-01T12:00:00"), utc("2026-06-01T12:00:00")
    assert effective_now(latest - timedelta(minutes=5), last, latest) == Now(latest, leapt=True)
    with pytest.raises(PolicyError):
        effective_now(latest - timedelta(minutes=5, seconds=1), last, latest)


def test_now_is_utc() -> None:
    now = effective_now(datetime(2026, 7, 1, tzinfo=LONDON), None)
    assert now.instant.tzinfo is UTC
    assert now.instant == utc("2026-06-30T23:00:00")


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    for call in (
        lambda: effective_now(naive, None),
        lambda: effective_now(utc("2026-01-01"), naive),
        lambda: day_of(naive, LONDON),
        lambda: is_expired(date(2026, 1, 1), naive, YEAR, LONDON),
        lambda: window_key_dies(date(2026, 1, 1), naive, LONDON),
        lambda: utc_text(naive),
    ):
        with pytest.raises(UsageError):
            call()


def test_a_window_holds_its_first_and_its_last_day() -> None:
    window = Window(date(2026, 2, 27), date(2026, 3, 1))
    assert window.days() == (date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1))
    assert [window.contains(date(2026, m, d)) for m, d in ((2, 26), (2, 27), (3, 1), (3, 2))] == [
        False,
        True,
        True,
        False,
    ]


def test_a_window_of_one_day() -> None:
    assert Window(date(2026, 3, 1), date(2026, 3, 1)).days() == (date(2026, 3, 1),)


def test_a_window_does_not_end_before_it_starts() -> None:
    with pytest.raises(UsageError):
        Window(date(2026, 3, 2), date(2026, 3, 1))


def test_one_window_unless_asked_for_more() -> None:
    first, last = date(2026, 3, 1), date(2026, 3, 31)
    assert windows(first, last, None) == (Window(first, last),)


def test_the_last_window_may_be_shorter() -> None:
    cut = windows(date(2026, 3, 1), date(2026, 3, 16), WEEK)
    assert [(w.first.day, w.last.day) for w in cut] == [(1, 7), (8, 14), (15, 16)]


def test_windows_that_fit_leave_no_rest() -> None:
    assert len(windows(date(2026, 3, 1), date(2026, 3, 14), WEEK)) == 2


def test_windows_by_month_keep_their_day() -> None:
    cut = windows(date(2026, 1, 31), date(2026, 4, 30), Duration(months=1))
    assert [w.first for w in cut] == [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)]


def test_windows_at_the_end_of_the_calendar() -> None:
    cut = windows(date(9999, 12, 28), date.max, Duration(days=2))
    assert [day for window in cut for day in window.days()] == list(Window(date(9999, 12, 28), date.max).days())


def test_a_request_has_bounds() -> None:
    first = date(2026, 1, 1)
    assert len(windows(first, first + timedelta(days=365), Duration(days=1))) == 366
    with pytest.raises(UsageError):
        windows(first, first + timedelta(days=366), Duration(days=1))
    assert windows(first, first + timedelta(days=3659), None)
    with pytest.raises(UsageError):
        windows(first, first + timedelta(days=3660), None)


def test_a_window_key_lives_thirty_days_past_the_later_of_end_and_creation() -> None:
    last = date(2026, 6, 30)
    assert window_key_dies(last, utc("2026-06-01"), LONDON) == utc("2026-07-30T23:00:00")
    assert window_key_dies(last, utc("2026-08-01"), LONDON) == utc("2026-08-31")
    assert window_key_dies(date.max, utc("2026-08-01"), LONDON).year == 9999


def test_a_day_is_written_in_one_way() -> None:
    assert parse_day("2028-02-29") == date(2028, 2, 29)


@pytest.mark.parametrize(
    "text", ["", "20280229", "2027-02-29", "2028-2-29", "2028-02-29 ", "2028-02-29\n", "0000-01-01", "2028-W09-2"]
)
def test_another_text_is_no_day(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_day(text)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_time_is_written_in_one_way() -> None:
    assert utc_text(parse_utc("2026-10-08T16:30:51Z")) == "2026-10-08T16:30:51Z"
    assert utc_text(datetime(2026, 7, 1, 0, 0, 0, 999_999, tzinfo=LONDON)) == "2026-06-30T23:00:00Z"
    assert utc_text(utc("0800-01-01")) == "0800-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "text",
    ["", "2026-10-08T16:30:51", "2026-10-08T16:30:51+00:00", "2026-10-08T16:30:51.0Z", "2026-10-08 16:30:51Z",
     "2026-10-08T24:00:00Z", "2026-13-08T16:30:51Z", "2026-10-08T16:30:60Z", "2026-10-08T16:30:51z",
     "2026-10-08T16:30:51Z\n"],
)  # fmt: skip
def test_another_text_is_no_time(text: str) -> None:
    with pytest.raises(FormatError):
        parse_utc(text)
