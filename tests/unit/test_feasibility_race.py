"""The race against deletion, held against counting each vehicle's reads anew for each day of paperwork."""

from __future__ import annotations

import calendar
import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from anpr_share import periods
from anpr_share.feasibility.figures import Loss, Race
from anpr_share.feasibility.race import LONGEST, of_offences, of_reads
from anpr_share.periods import Duration

LONDON = ZoneInfo("Europe/London")
YEAR = Duration(months=12)
DAYS = {"vehicle": pl.String, "day": pl.Date, "reads": pl.UInt32}


def days(*rows: tuple[str, date, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=DAYS, orient="row")


def is_gone(day: date, limit: Duration, today: date) -> bool:
    """Whether a day has expired on another, by the calendar alone: months are clamped to their end."""
    if limit.days:
        return today >= day + timedelta(days=limit.days)
    year, month = divmod(day.year * 12 + day.month - 1 + limit.months, 12)
    return today >= date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def counted_anew(found: pl.DataFrame, limit: Duration, today: date, enough: int) -> list[int]:
    left = []
    for after in range(LONGEST + 1):
        reads: dict[str, int] = {}
        for vehicle, day, number in found.iter_rows():
            if not is_gone(day, limit, today + timedelta(days=after)):
                reads[vehicle] = reads.get(vehicle, 0) + number
        left.append(sum(1 for number in reads.values() if number >= enough))
        if left[-1] == 0:
            break
    return left


@pytest.mark.parametrize("seed", range(40))
def test_the_curve_is_what_counting_each_day_anew_gives(seed: int) -> None:
    source = random.Random(seed)
    # Around the ends of February and of years, in years with a leap day and without one.
    today = date(source.choice((2024, 2025, 2027, 2028)), source.choice((1, 2, 3, 12)), source.choice((1, 28)))
    today += timedelta(days=source.randrange(4))
    limit = source.choice((YEAR, Duration(months=1), Duration(months=6), Duration(days=365), Duration(days=30)))
    oldest = periods.oldest_kept(datetime(today.year, today.month, today.day, 12, tzinfo=UTC), limit, LONDON)
    span = (today - oldest).days + 1
    seen = {
        (f"v{source.randrange(12)}", oldest + timedelta(days=source.randrange(span))): source.randrange(1, 4)
        for _ in range(source.randrange(60))
    }
    found = days(*((vehicle, day, reads) for (vehicle, day), reads in seen.items()))
    enough = source.randrange(1, 5)

    race = of_reads(found, today, limit, LONDON, min_reads=enough)

    assert list(race.left) == counted_anew(found, limit, today, enough)
    assert race.reads == sum(seen.values())


def test_the_worst_day_is_the_first_of_those_that_lose_most() -> None:
    found = days(
        ("a", date(2025, 12, 1), 2),
        ("b", date(2026, 1, 15), 2),
        ("c", date(2026, 1, 15), 2),
        ("d", date(2026, 2, 20), 2),
        ("e", date(2026, 2, 20), 2),
        ("f", date(2026, 2, 1), 1),
        ("f", date(2026, 3, 1), 1),
        ("f", date(2026, 3, 2), 1),
    )

    race = of_reads(found, date(2026, 10, 20), YEAR, LONDON, min_reads=2)

    assert race.worst == Loss(87, date(2027, 1, 15), 2)
    assert race.first_loss == date(2026, 12, 1)
    assert [race.after(after) for after in (0, 41, 42, 86, 87, 122, 123, 131, 132, 366)] == [
        6,
        6,
        5,
        5,
        3,
        3,
        1,
        1,
        0,
        0,
    ]
    assert race.left[-1] == 0
    assert len(race.left) == 133


def test_a_leap_day_goes_with_the_last_of_february_and_not_with_the_first_of_march() -> None:
    found = days(("a", date(2028, 2, 28), 1), ("b", date(2028, 2, 29), 1), ("c", date(2028, 3, 1), 1))

    race = of_reads(found, date(2029, 2, 27), YEAR, LONDON, min_reads=1)

    assert race.left == (3, 1, 0)


def test_where_nothing_is_there_nothing_is_lost() -> None:
    assert of_reads(days(), date(2026, 10, 20), YEAR, LONDON, min_reads=1) == Race("reads", (0,), 0, None, None)


def test_without_reads_a_vehicle_is_left_while_an_offence_of_its_own_overlaps() -> None:
    today = date(2026, 10, 20)
    entries = pl.DataFrame(
        [
            ("a", date(2020, 1, 1), today - timedelta(days=360)),
            ("a", None, date(2025, 12, 20)),
            ("b", date(2025, 12, 1), None),
            ("c", date(2020, 1, 1), date(2030, 1, 1)),
            ("d", None, None),
            (None, today, today),
        ],
        schema={"vehicle": pl.String, "offence_from": pl.Date, "offence_to": pl.Date},
        orient="row",
    )

    race = of_offences(entries, today, YEAR, LONDON)

    assert (race.basis, race.reads) == ("offence-dates", None)
    assert [race.after(after) for after in (0, 41, 42, 60, 61, LONGEST)] == [4, 4, 3, 3, 2, 2]
    assert len(race.left) == LONGEST + 1
    assert race.worst == Loss(42, date(2026, 12, 1), 1)


def test_without_any_date_nothing_says_that_a_vehicle_goes() -> None:
    race = of_offences(pl.DataFrame({"vehicle": ["a", "b", "a"]}), date(2026, 10, 20), YEAR, LONDON)

    assert set(race.left) == {2}
    assert race.first_loss is None
