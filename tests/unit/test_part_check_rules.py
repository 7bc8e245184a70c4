"""Step 8: what the agreement does not let leave is refused, whatever its sender signs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from anpr_share.errors import UsageError
from anpr_share.parquet import scan_part
from anpr_share.part_check import PartJob, PartRules, Rewrite
from anpr_share.periods import Window, day_start, floored
from tests.support.parts import CAMERA, DAY, FIRST, LOCAL, SCHEMA, VEHICLE, check, check_here, job, refuse


def times(*instants: datetime) -> pl.DataFrame:
    return pl.DataFrame([(VEHICLE, CAMERA, instant) for instant in instants], schema=SCHEMA, orient="row")


@pytest.mark.parametrize(
    ("resolution", "even", "odd"),
    [
        ("1s", FIRST + timedelta(seconds=59), FIRST + timedelta(microseconds=1)),
        ("1m", FIRST + timedelta(minutes=59), FIRST + timedelta(seconds=1)),
        ("15m", FIRST + timedelta(minutes=45), FIRST + timedelta(minutes=14)),
        ("1h", FIRST + timedelta(hours=23), FIRST + timedelta(minutes=15)),
        ("1d", FIRST, FIRST + timedelta(hours=1)),
    ],
)
def test_times_finer_than_agreed_are_refused(tmp_path: Path, resolution: str, even: datetime, odd: datetime) -> None:
    rules = PartRules(resolution=resolution)
    assert check_here(job(tmp_path / "even", times(FIRST, even), rules=rules)).rows == 2
    refuse("times are finer than agreed", job(tmp_path / "odd", times(FIRST, even, odd), rules=rules))


@pytest.mark.parametrize("resolution", ["1s", "1m", "15m", "1h", "1d"])
@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/London", date(2026, 3, 29)),
        ("Europe/London", date(2026, 10, 25)),
        ("Asia/Kathmandu", DAY),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
        ("Africa/Cairo", date(2026, 4, 24)),
    ],
)
def test_what_an_export_floors_passes(tmp_path: Path, resolution: str, zone: str, day: date) -> None:
    place = ZoneInfo(zone)
    start, end = day_start(day, place), day_start(day + timedelta(days=1), place)
    every = pl.datetime_range(start, end, "7m13s", time_unit="us", time_zone="UTC", closed="left", eager=True)
    coarse = floored(pl.col("captured_at"), resolution, day, place).alias("captured_at")
    frame = pl.DataFrame({"captured_at": every}).with_columns(coarse)
    rows = frame.select(pl.lit(VEHICLE).alias("vehicle"), pl.lit(CAMERA).alias("camera"), "captured_at")
    window = Window(day, day)
    part = job(tmp_path / "p", rows, day=day, zone=place, window=window, rules=PartRules(resolution=resolution))
    assert check_here(part).rows == rows.height


TARGETS = ("vehicle", "log", "offence", "offence_from", "offence_to", "convicted_on", "person_category")


def targets(path: Path, *rows: tuple[Any, ...], **rules: Any) -> PartJob:
    """A part of targets, each row an offence, a date for one of the three date columns, that column, a category."""
    kinds = [pl.Date() if name in TARGETS[3:6] else pl.String() for name in TARGETS]
    cells = [
        (VEHICLE, CAMERA, offence, *(when if name == column else None for name in TARGETS[3:6]), category)
        for offence, when, column, category in rows
    ]
    frame = pl.DataFrame(cells, schema=dict(zip(TARGETS, kinds, strict=True)), orient="row")
    return job(path, frame, table="targets", day=None, columns=TARGETS, rules=PartRules(**rules))


@pytest.mark.parametrize("column", TARGETS[3:6])
def test_dates_finer_than_agreed_are_refused(tmp_path: Path, column: str) -> None:
    months = [("Burglary", date(2020, 5, 1), column, None), ("Theft", None, column, "suspect")]
    exact = ("Theft", date(2020, 5, 2), column, None)
    assert check_here(targets(tmp_path / "m", *months, date_resolution="month")).rows == 2
    assert check_here(targets(tmp_path / "d", *months, exact, date_resolution="day")).rows == 3
    refused = refuse("dates are finer", targets(tmp_path / "x", *months, exact, date_resolution="month"))
    assert "2020" not in str(refused)


@pytest.mark.parametrize("resolution", ["month", "day", None])
@pytest.mark.parametrize("days", [-(2**31), -25_568, 2_932_532, 2_932_897, 2**31 - 1])
def test_dates_of_impossible_years_are_refused(tmp_path: Path, days: int, resolution: str | None) -> None:
    part = targets(tmp_path / "p", ("Theft", date(2020, 5, 1), "offence_from", None), date_resolution=resolution)
    frame = (
        scan_part(part.path, part.key)
        .collect()
        .with_columns(pl.lit(days, dtype=pl.Int32).cast(pl.Date).alias("offence_from"))
    )
    odd = job(tmp_path / "x", frame, table="targets", day=None, columns=TARGETS, rules=part.rules)
    refuse("dates of years", odd)


def test_the_first_and_the_last_date_that_an_extract_may_have_pass(tmp_path: Path) -> None:
    ends = [("Theft", day, "convicted_on", None) for day in (date(1900, 1, 1), date(9998, 12, 31))]
    assert check_here(targets(tmp_path / "p", *ends, date_resolution="day")).rows == 2


def test_victims_are_refused_where_the_agreement_leaves_them_out(tmp_path: Path) -> None:
    others = [("Theft", None, "convicted_on", category) for category in ("suspect", "convicted", "witness")]
    victim = ("Theft", None, "convicted_on", "victim")
    assert check_here(targets(tmp_path / "o", *others, victims=False)).rows == 3
    assert check_here(targets(tmp_path / "a", *others, victim, victims=True)).rows == 4
    refuse("it has victims", targets(tmp_path / "x", *others, victim, victims=False))


def test_rows_without_a_category_are_refused_where_victims_are(tmp_path: Path) -> None:
    rows = [("Theft", None, "convicted_on", category) for category in ("suspect", None)]
    assert check_here(targets(tmp_path / "a", *rows, victims=True)).rows == 2
    refuse("without a category", targets(tmp_path / "x", *rows, victims=False))


def test_more_offences_than_a_list_of_them_are_refused(tmp_path: Path) -> None:
    words = [f"Offence {first}{second}" for first in "abcdefghijk" for second in "abcdefghij"]
    rows = [(word, None, "convicted_on", None) for word in words[:100] * 2]
    assert check_here(targets(tmp_path / "p", *rows)).rows == 200
    rows.append((words[100], None, "convicted_on", None))
    assert "Offence" not in str(refuse("more different offences", targets(tmp_path / "x", *rows)))
    assert check_here(targets(tmp_path / "n", *rows, max_offences=None)).rows == 201


def test_the_offences_of_all_parts_of_a_table_count_together(tmp_path: Path) -> None:
    rows = [(f"Offence {letter}", None, "convicted_on", None) for letter in "abc"]
    parts = [targets(tmp_path / str(n), *rows[n:][:2], max_offences=3) for n in range(2)]
    assert len(check(*parts)) == 2
    fewer = [replace(part, rules=PartRules(max_offences=2)) for part in parts]
    assert check(fewer[0])[0].rows == check(fewer[1])[0].rows == 2
    refuse("more different offences", *fewer, seconds=60)


def test_what_breaks_a_rule_is_not_written_to_the_store(tmp_path: Path) -> None:
    target = tmp_path / "local"
    rewrite = Rewrite(target, LOCAL)
    refuse("finer", job(tmp_path / "p", rewrite=rewrite, rules=PartRules(resolution="1h")), seconds=300.0)
    assert not target.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "0" * 63},
        {"rules": PartRules(resolution="2h")},
        {"rules": PartRules(date_resolution="year")},
    ],
)
def test_a_rule_that_no_agreement_has_is_our_mistake(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        check_here(job(tmp_path / "p", **wrong))
