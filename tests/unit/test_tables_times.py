"""Local times to UTC, in every hour that clocks make difficult. One fault each."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.errors import InputError
from anpr_share.tables.profile import DateColumn, TimeColumn
from anpr_share.tables.times import digits_pattern, local_to_utc, parse_dates, parse_times

LONDON = "Europe/London"
RULES = ("time-missing", "time-unreadable", "time-ambiguous", "time-nonexistent")


def column(**settings: object) -> TimeColumn:
    given: dict[str, object] = {"columns": ["t"], "format": "%d/%m/%Y %H:%M", "timezone": LONDON}
    return TimeColumn.model_validate(given | settings)


def parse(cell: str | None, **settings: object) -> datetime | str | None:
    """The one time, or the rule that rejects it."""
    times = parse_times(pl.DataFrame({"t": [cell]}, schema={"t": pl.String}), column(**settings))
    failed = [rule for rule in RULES if rule in times.failures and times.failures[rule].item()]
    assert (times.values.item() is None) == bool(failed)
    assert len(failed) <= 1
    assert times.values.dtype == pl.Datetime("us", "UTC")
    return failed[0] if failed else times.values.item()


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("15/10/2026 123", "%d/%m/%Y %H%M"),
        ("15/10/2026  123", "%d/%m/%Y %H%M"),
        ("20261015 23456", "%Y%m%d %H%M%S"),
        ("20261015 23456", "%Y%m%d%H%M%S"),
        ("20261 15123456", "%Y%m%d%H%M%S"),
        ("2026101 123456", "%Y%m%d%H%M%S"),
        ("15/10/2O 12:00", "%d/%m/%y %H:%M"),
        ("15/10/2? 12:00", "%d/%m/%y %H:%M"),
        ("15/10/2 12:00", "%d/%m/%y %H:%M"),
        ("16/10/-6 12:00", "%d/%m/%y %H:%M"),
        ("10/15/2 12:00", "%D %R"),
        ("2026-2881200", "%Y-%j%H%M%S"),
    ],
)
def test_digits_that_were_lost_move_no_others_into_their_place(cell: str, form: str) -> None:
    assert parse(cell, format=form, timezone="UTC") == "time-unreadable"


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("15/10/2026 0123", "%d/%m/%Y %H%M"),
        ("5/10/2026 0123", "%d/%m/%Y %H%M"),
        (" 15/10/2026   0123 ", "%d/%m/%Y %H%M"),
        ("20261015 023456", "%Y%m%d %H%M%S"),
        ("20261015023456", "%Y%m%d%H%M%S"),
        ("20261015023456.25", "%Y%m%d%H%M%S%.f"),
        ("20261015023456+0100", "%Y%m%d%H%M%S%z"),
        ("20261015023456250", "%Y%m%d%H%M%S%3f"),
        ("15%10%26 1200", "%d%%%m%%%y %H%M"),
        ("15.10.26, 12:00 PM", "%d.%m.%y, %I:%M %p"),
        ("15-Oct-26 12:00", "%d-%b-%y %R"),
        ("10/15/26 2:05", "%D %R"),
        ("2026288 1200", "%Y%j %H%M"),
    ],
)
def test_digits_without_anything_between_them_are_read_where_all_are_there(cell: str, form: str) -> None:
    assert isinstance(parse(cell, format=form, timezone="UTC"), datetime)


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y - %H:%M:%S", "%F %T%.f"])
def test_formats_that_tell_their_numbers_apart_cost_no_look(form: str) -> None:
    assert digits_pattern(form) is None


@given(
    when=st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001
    form=st.sampled_from(["%Y%m%d%H%M%S", "%Y%m%d %H%M%S", "%d%m%Y %H%M%S", "%y%m%d%H%M%S"]),
    at=st.integers(0, 16),
)
def test_a_cell_that_lost_a_character_is_not_read(when: datetime, form: str, at: int) -> None:
    when = when.replace(microsecond=0)
    text = when.strftime(form)
    assert parse(text, format=form, timezone="UTC") == when.replace(tzinfo=UTC)
    if at < len(text):
        assert parse(text[:at] + text[at + 1 :], format=form, timezone="UTC") == "time-unreadable"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("cell", "settings", "expected"),
    [
        ("01/07/2026 12:00", {}, utc(2026, 7, 1, 11)),
        ("01/12/2026 12:00", {}, utc(2026, 12, 1, 12)),
        ("  01/07/2026 12:00\t", {}, utc(2026, 7, 1, 11)),
        ("1/7/2026 12:00", {}, utc(2026, 7, 1, 11)),
        ("01/07/2026 00:30", {}, utc(2026, 6, 30, 23, 30)),
        ("01/07/2026 12:00", {"timezone": "UTC"}, utc(2026, 7, 1, 12)),
        ("07/01/2026 12:00", {"format": "%m/%d/%Y %H:%M"}, utc(2026, 7, 1, 11)),
        ("01/07/26 12:00:05 PM", {"format": "%d/%m/%y %I:%M:%S %p"}, utc(2026, 7, 1, 11, 0, 5)),
        ("2026-07-01 12-00-05", {"format": "%Y-%m-%d %H-%M-%S"}, utc(2026, 7, 1, 11, 0, 5)),
        ("2026-07-01T12:00:00.25", {"format": "%FT%T%.f"}, utc(2026, 7, 1, 11, 0, 0, 250_000)),
        ("2026-07-01T12:00:00", {"format": "%FT%T%.f"}, utc(2026, 7, 1, 11)),
        ("2026-07-01T12:00:00Z", {"format": "%FT%TZ", "timezone": "UTC"}, utc(2026, 7, 1, 12)),
        ("2026-07-01T12:00:00Z", {"format": "%FT%T%#z", "timezone": None}, utc(2026, 7, 1, 12)),
        ("2026-07-01T12:00:00+05:30", {"format": "%FT%T%#z", "timezone": None}, utc(2026, 7, 1, 6, 30)),
        ("2026-07-01T12:00:00+0100", {"format": "%FT%T%z"}, utc(2026, 7, 1, 11)),
        # the edges of the missing hour, 29 March 2026, 01:00 to 02:00
        ("29/03/2026 00:59", {}, utc(2026, 3, 29, 0, 59)),
        ("29/03/2026 01:00", {}, "time-nonexistent"),
        ("29/03/2026 01:59", {}, "time-nonexistent"),
        ("29/03/2026 02:00", {}, utc(2026, 3, 29, 1)),
        ("29/03/2026 01:30", {"nonexistent": "forward"}, utc(2026, 3, 29, 1, 30)),
        ("29/03/2026 01:30", {"ambiguous": "latest"}, "time-nonexistent"),
        # the edges of the repeated hour, 25 October 2026, 01:00 to 02:00
        ("25/10/2026 00:59", {}, utc(2026, 10, 24, 23, 59)),
        ("25/10/2026 01:00", {}, "time-ambiguous"),
        ("25/10/2026 01:59", {}, "time-ambiguous"),
        ("25/10/2026 02:00", {}, utc(2026, 10, 25, 2)),
        ("25/10/2026 01:30", {"ambiguous": "earliest"}, utc(2026, 10, 25, 0, 30)),
        ("25/10/2026 01:30", {"ambiguous": "latest"}, utc(2026, 10, 25, 1, 30)),
        ("25/10/2026 01:30", {"nonexistent": "forward"}, "time-ambiguous"),
        ("25/10/2026 01:30", {"timezone": "UTC"}, utc(2026, 10, 25, 1, 30)),
        (None, {}, "time-missing"),
        ("", {}, "time-missing"),
        ("   ", {}, "time-missing"),
        ("yesterday", {}, "time-unreadable"),
        ("31/02/2026 12:00", {}, "time-unreadable"),
        ("13/13/2026 12:00", {}, "time-unreadable"),
        ("01/07/2026", {}, "time-unreadable"),
        ("01/07/2026 24:00", {}, "time-unreadable"),
        ("01/07/2026 12:00 x", {}, "time-unreadable"),
        ("01/07/1899 12:00", {}, "time-unreadable"),
        ("01/07/+262143 12:00", {}, "time-unreadable"),
        ("01/07/-0001 12:00", {}, "time-unreadable"),
        ("+262143-01-01T00:00:00+01:00", {"format": "%FT%T%z"}, "time-unreadable"),
        ("01/07/9998 12:00", {}, utc(9998, 7, 1, 11)),
    ],
)
def test_a_cell_becomes_a_time_or_fails_one_rule(
    cell: str | None, settings: dict[str, object], expected: datetime | str
) -> None:
    assert parse(cell, **settings) == expected


def test_resolved_times_are_counted_by_the_rule_they_would_have_failed() -> None:
    cells = pl.DataFrame({"t": ["29/03/2026 01:30", "25/10/2026 01:30", "25/10/2026 01:31", "01/07/2026 12:00"]})

    resolving = parse_times(cells, column(ambiguous="latest", nonexistent="forward"))

    assert resolving.resolved == {"time-ambiguous": 2, "time-nonexistent": 1}
    assert parse_times(cells, column()).resolved == {}


def test_several_columns_are_joined_with_a_space() -> None:
    frame = pl.DataFrame(
        {"d": ["01/07/2026", " 01/07/2026 ", "", "01/07/2026", None], "h": ["12:00", "12:00", "", "", None]}
    )
    times = parse_times(frame, column(columns=["d", "h"]))

    assert times.values.to_list() == [utc(2026, 7, 1, 11)] * 2 + [None] * 3
    assert times.failures["time-missing"].to_list() == [False, False, True, False, True]
    assert times.failures["time-unreadable"].to_list() == [False, False, False, True, False]


def test_typed_times_keep_their_zone_or_take_the_profiles() -> None:
    naive = pl.Series("t", [datetime(2026, 7, 1, 12), datetime(2026, 10, 25, 1, 30), None])  # noqa: DTZ001

    local = parse_times(naive.to_frame(), column())
    aware = parse_times(naive.dt.replace_time_zone("UTC").dt.cast_time_unit("ms").to_frame(), column())

    assert local.values.to_list() == [utc(2026, 7, 1, 11), None, None]
    assert local.failures["time-ambiguous"].to_list() == [False, True, False]
    assert local.failures["time-missing"].to_list() == [False, False, True]
    assert aware.values.to_list() == [utc(2026, 7, 1, 12), utc(2026, 10, 25, 1, 30), None]


def test_of_typed_columns_the_format_of_the_documentation_is_not_used() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")
    times, dates = re.findall(r"`\"(%F[^`]*)\"`", page)
    at = pl.Series("t", [datetime(2026, 7, 1, 12)])  # noqa: DTZ001

    read = parse_times(at.to_frame(), TimeColumn(columns=("t",), format=times, timezone="Europe/London"))
    days, _ = parse_dates(at.dt.date().to_frame(), DateColumn(columns=("t",), format=dates))

    assert (read.values.to_list(), days.to_list()) == ([utc(2026, 7, 1, 11)], [date(2026, 7, 1)])


def test_typed_columns_that_cannot_be_times_are_refused() -> None:
    days = pl.DataFrame({"t": [date(2026, 7, 1)], "u": ["x"]})

    with pytest.raises(InputError, match="days without a time"):
        parse_times(days, column())
    with pytest.raises(InputError, match="joined"):
        parse_times(days, column(columns=["t", "u"]))
    with pytest.raises(InputError, match="local times"):
        parse_times(days.cast({"t": pl.Datetime}), column(timezone=None, format="%FT%T%z"))


def test_dates_are_days_empty_or_unreadable() -> None:
    frame = pl.DataFrame({"d": ["30/08/2026", " 1/2/2026 ", "", None, "2026-08-30", "30/08/2026 10:00", "01/01/0001"]})
    days, unreadable = parse_dates(frame, DateColumn(columns=("d",), format="%d/%m/%Y"))

    assert days.to_list() == [date(2026, 8, 30), date(2026, 2, 1), None, None, None, None, None]
    assert unreadable.to_list() == [False, False, False, False, True, True, True]
    typed, none = parse_dates(pl.DataFrame({"d": [date(2026, 8, 30)]}), DateColumn(columns=("d",), format="%d/%m/%Y"))
    assert (typed.to_list(), none.to_list()) == ([date(2026, 8, 30)], [False])


def test_typed_days_outside_the_years_of_rules_are_unreadable() -> None:
    cells = [date(1899, 12, 31), date(1900, 1, 1), date(9998, 12, 31), date(9999, 1, 1), None]
    days, unreadable = parse_dates(pl.DataFrame({"d": cells}), DateColumn(columns=("d",), format="%d/%m/%Y"))

    assert days.to_list() == [None, date(1900, 1, 1), date(9998, 12, 31), None, None]
    assert unreadable.to_list() == [True, False, False, True, False]


@given(
    st.lists(st.datetimes(datetime(1950, 1, 1), datetime(2036, 12, 31)), min_size=1, max_size=30),  # noqa: DTZ001
    st.sampled_from([LONDON, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    st.booleans(),
)
def test_local_times_agree_with_the_standard_library(times: list[datetime], zone: str, near: bool) -> None:
    # "near" keeps them within a week of the first, where one offset may serve them all.
    times = [times[0] + (time - times[0]) % timedelta(days=7) for time in times] if near else times
    found = local_to_utc(pl.Series(times, dtype=pl.Datetime("us")), zone)

    for time, earliest, latest in zip(times, found["earliest"], found["latest"], strict=True):
        first, second = (time.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
        skipped = first.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != time
        assert (earliest, latest) == ((None, None) if skipped else (first, second))


@given(st.lists(st.text(alphabet="0123456789/: +-TZx", max_size=24), min_size=1, max_size=20))
def test_no_text_raises(cells: list[str]) -> None:
    for form in ("%d/%m/%Y %H:%M", "%Y-%m-%dT%H:%M:%S%.f", "%y%m%d %H%M"):
        times = parse_times(pl.DataFrame({"t": cells}), column(format=form))
        failed = pl.DataFrame(times.failures).select(pl.sum_horizontal(pl.all())).to_series()
        assert (failed == times.values.is_null()).all()
