"""The ways to release: each measured as if it were agreed, and a recommendation that says what the figures say."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr_share import periods
from anpr_share.risk import choices as choosing
from anpr_share.risk.choices import Terms, choices, recommendation
from anpr_share.risk.figures import Choice
from anpr_share.risk.scopes import and_coarser, by_day, coarsened, measured
from tests.support.releases import LONDON, Row, release, rows_of_reads

COLUMNS = ("vehicle", "camera", "captured_at", "vrm_family")
TERMS = Terms(COLUMNS, "1m", None, LONDON)


def ways(rows: pl.DataFrame, terms: Terms) -> list[Choice]:
    curves = [measured(coarsened(rows, it, terms.zone), it) for it in and_coarser(terms.resolution)]
    return list(choices(rows, terms, curves))


def way(found: list[Choice], resolution: str, *left_out: str, sample: str = "1") -> Choice:
    columns = tuple(name for name in COLUMNS if name not in left_out)
    return next(it for it in found if (it.resolution, it.columns, it.sample) == (resolution, columns, sample))


def planted() -> pl.DataFrame:
    """200 vehicles with four reads each, which only the camera, or only the minute, or only the kind, tells apart.

    Pairs 0 to 49 differ in one camera alone, 50 to 79 in one minute alone, 80 to 99 in the kind alone.
    """
    rows: list[Row] = []
    for pair in range(100):
        for twin in (0, 1):
            vehicle, base = 2 * pair + twin, 100 * pair
            camera = 1_000_000 + twin if pair < 50 else 0
            minute = twin if 50 <= pair < 80 else 0
            kind = twin if pair >= 80 else 0
            day = [(vehicle, base + place, 0, 0, kind) for place in range(3)]
            rows += [*day, (vehicle, base + 3 + camera, 0, minute, kind)]
    return release(rows)


def test_each_way_tells_what_was_planted() -> None:
    found = ways(planted(), TERMS)

    assert way(found, "1m").unicity4 == 1
    assert way(found, "15m").unicity4 == pytest.approx(0.7)  # but those whom the minute told
    assert way(found, "1m", "vrm_family").unicity4 == pytest.approx(0.8)
    assert way(found, "1d", "vrm_family").unicity4 == pytest.approx(0.5)
    assert way(found, "1d", "camera").unicity4 == 0
    assert [it for it in found if it.agreed] == [way(found, "1m")]
    assert len(found) == 4 * 3 * 2
    assert {it.of for it in found if it.sample == "1"} == {200}


@pytest.mark.parametrize(
    ("agreed", "sample", "rates"),
    [(None, "1", {"1", "0.05"}), ("0.5", "0.5", {"0.5", "0.05"}), ("0.01", "0.01", {"0.01"})],
)
def test_a_sample_is_compared_with_a_smaller_one_and_exposes_so_many_less(
    agreed: str | None, sample: str, rates: set[str]
) -> None:
    rows = release([(vehicle, vehicle, 0, point, 0) for vehicle in range(2_000) for point in range(4)])

    found = ways(rows, replace(TERMS, sample=agreed))

    assert {it.sample for it in found} == rates
    for it in found:
        if it.resolution == "1m" and "camera" in it.columns:
            assert it.unicity4 == 1
            assert it.exposed == pytest.approx(float(it.sample))
            assert (
                it.of == 2_000 if it.sample == sample else it.of == pytest.approx(2_000 * 0.05 / float(sample), rel=0.3)
            )


@settings(max_examples=5)
@given(rows_of_reads)
def test_every_way_is_measured_as_if_it_were_agreed(rows: list[Row]) -> None:
    frame = release(rows)
    found = ways(frame, replace(TERMS, sample="0.05"))

    for it in found:
        kept = frame.drop(
            name for name, column in (("kind", "vrm_family"), ("camera", "camera")) if column not in it.columns
        )
        again = measured(coarsened(kept, it.resolution, LONDON), it.resolution).four
        assert (it.unicity4, it.low, it.high) == (again.share, again.low, again.high)


CHANGES = [date(2026, 3, 29), date(2026, 10, 25), date(2026, 7, 1)]


@given(
    st.sampled_from(
        [
            ("Europe/London", CHANGES),
            ("Asia/Kathmandu", [*CHANGES, date(1986, 1, 1)]),
            ("Australia/Lord_Howe", [date(2026, 4, 5)]),
        ]
    ),
    st.sampled_from(["1s", "1m", "15m"]),
    st.lists(st.integers(0, 23 * 3600 - 1), min_size=1, max_size=20),
)
def test_what_is_made_coarser_is_as_an_export_would_have_floored_it(
    where: tuple[str, list[date]], agreed: str, seconds: list[int]
) -> None:
    zone, days = ZoneInfo(where[0]), where[1]
    rows = []
    for day in days:
        start = periods.day_start(day, zone)
        rows += [(start + timedelta(seconds=second), day) for second in seconds]
    exact = pl.DataFrame(rows, schema={"at": pl.Datetime("us", "UTC"), "day": pl.Date()}, orient="row")
    exact = exact.with_row_index("row")

    at_agreed = coarsened(exact, agreed, zone)

    for resolution in and_coarser(agreed):
        found = coarsened(at_agreed, resolution, zone).sort("row")
        expected = [floor(instant, day, resolution, zone) for instant, day in rows]
        assert found["at"].to_list() == expected


def floor(instant: datetime, day: date, resolution: str, zone: ZoneInfo) -> datetime:
    """An instant by the zone's clock, in Python."""
    start = periods.day_start(day, zone)
    if resolution == "1d":
        return start
    local = instant.astimezone(zone)
    past = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    step = timedelta(microseconds=periods.RESOLUTIONS[resolution] or 0)
    return max(instant - past % step, start)


def test_a_smaller_sample_is_tried_several_times_and_its_interval_holds_each(monkeypatch: pytest.MonkeyPatch) -> None:
    # Few vehicles have four points, so that chance decides which of them fall into one sample.
    random = Random(5)
    many = [(vehicle, random.randrange(6), 0, random.randrange(40), 0) for vehicle in range(1_500) for _ in range(2)]
    some = [(2_000 + n, random.randrange(6), 0, random.randrange(40), 0) for n in range(60) for _ in range(6)]
    rows = release([*many, *some])
    together = way(ways(rows, TERMS), "1h", sample="0.05")
    monkeypatch.setattr(choosing, "SAMPLES", 1)
    alone = way(ways(rows, TERMS), "1h", sample="0.05")

    assert together.low <= alone.unicity4 <= together.high
    assert together.high - together.low > alone.high - alone.low or together.unicity4 != alone.unicity4
    assert together.of == pytest.approx(0.05 * 1_560, rel=0.2)


def test_days_come_in_order() -> None:
    frame = release([(1, 1, 3, 0, 0), (1, 1, 0, 0, 0), (1, 1, 2, 0, 0)])

    assert [day for day, _ in by_day(frame)] == [date(2026, 10, 1), date(2026, 10, 3), date(2026, 10, 4)]


def choice(resolution: str, unicity4: float, *, left_out: str = "", sample: str = "1", agreed: bool = False) -> Choice:
    columns = tuple(name for name in ("vehicle", "camera", "captured_at") if name != left_out)
    return Choice(
        resolution, columns, sample, agreed, 1_000, unicity4, unicity4 - 0.02, unicity4 + 0.02, unicity4 * float(sample)
    )


ALL = [
    choice("1h", 0.93, agreed=True),
    choice("1d", 0.61),
    choice("1h", 0.94, sample="0.05"),
    choice("1h", 0.34, left_out="camera"),
    choice("1d", 0.02, left_out="camera"),
]


def test_of_ways_that_are_told_alike_the_one_that_loses_least_is_named() -> None:
    ways = [choice("1h", 0.93, agreed=True), choice("1d", 0.004), choice("1d", 0.0, left_out="camera")]

    assert recommendation(ways, None)[0] == (
        "most is gained with times to the day: four reads then single out fewer than 1 of 100"
    )


def test_without_a_ceiling_the_way_that_gains_most_is_named_and_what_does_not_help() -> None:
    assert recommendation(ALL, None) == (
        "most is gained with times to the day and without camera: four reads then single out 2 of 100",
        "coarser times alone do not help: with times to the day four reads still single out 61 of 100",
        (
            "a sample of 0.05 does not hide who is in it (94 of 100), but few are: of all vehicles of the extract it "
            "exposes 5 of 100, instead of 93 of 100"
        ),
    )


@pytest.mark.parametrize(
    ("ceiling", "said"),
    [
        ("0.97", "as agreed it keeps under the ceiling of 0.97"),
        (
            "0.93",
            "as agreed it keeps under the ceiling of 0.93, but the ceiling lies within the interval up to 95 of 100",
        ),
        (
            "0.7",
            "least is lost, and the ceiling of 0.7 kept, with times to the day: four reads then single out 61 of 100",
        ),
        (
            "0.62",
            (
                "least is lost, and the ceiling of 0.62 kept, with times to the day: four reads then single out "
                "61 of 100, but the ceiling lies within the interval up to 63 of 100"
            ),
        ),
        ("0.5", "least is lost, and the ceiling of 0.5 kept, without camera: four reads then single out 34 of 100"),
        (
            "0.01",
            (
                "nothing here keeps under the ceiling of 0.01; lowest it is with times to the day and without camera: "
                "four reads then single out 2 of 100"
            ),
        ),
    ],
)
def test_under_a_ceiling_the_way_that_loses_least_is_named(ceiling: str, said: str) -> None:
    assert recommendation(ALL, ceiling)[0] == said


def test_where_coarser_times_do_help_nothing_else_is_said() -> None:
    found = [choice("1h", 0.9, agreed=True), choice("1d", 0.1), choice("1d", 0.1, left_out="camera")]

    assert recommendation(found, None) == (
        "most is gained with times to the day: four reads then single out 10 of 100",
    )


def test_where_nothing_helps_that_is_said() -> None:
    assert recommendation([choice("1d", 0.3, agreed=True)], None) == (
        "no coarser times, and no fewer columns, lower how many vehicles four reads single out",
    )
