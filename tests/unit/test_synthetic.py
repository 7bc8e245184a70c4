"""The made-up extracts are seeded, legal, close to what was asked for, and like traffic."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anpr_share.errors import StorageError, UsageError
from anpr_share.synthetic import (
    Scenario,
    TargetPlan,
    cameras,
    reads,
    targets,
    write_cameras_csv,
    write_reads_csv,
    write_targets_csv,
)
from anpr_share.synthetic.draws import GAMMA, below, chance, mixed, seed_of
from anpr_share.synthetic.plates import CAPACITY, _families, families, misread, plates, respelt
from anpr_share.synthetic.scenario import days
from anpr_share.synthetic.targets import COLUMNS, FREE_TEXT
from anpr_share.synthetic.traffic import CORRIDOR
from anpr_share.tables.check import check_extract
from anpr_share.tables.profile import load_profile
from anpr_share.vrm import canonicalise, canonicalise_series

if TYPE_CHECKING:
    from pathlib import Path

MASK = (1 << 64) - 1
SMALL = Scenario(seed=3, days=3, reads_per_day=3_000)
MONDAY = date(2026, 9, 7)


def every_read(scenario: Scenario) -> pl.DataFrame:
    return pl.concat(list(reads(scenario)))


def in_plain_python(position: int, seed: int) -> int:
    z = (position * GAMMA + seed) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


# Draws


@given(st.integers(0, MASK), st.integers(0, 1 << 30))
def test_a_draw_is_splitmix64_of_its_position(position: int, stream: int) -> None:
    drawn = pl.select(mixed(pl.lit(position, dtype=pl.UInt64), stream)).item()
    assert drawn == in_plain_python(position, seed_of(stream))


@given(st.integers(0, MASK), st.integers(1, (1 << 32) - 1), st.sampled_from([0, 16, 32]))
def test_a_draw_below_a_bound_is_below_it(draw: int, bound: int, skip: int) -> None:
    assert 0 <= pl.select(below(pl.lit(draw, dtype=pl.UInt64), bound, skip=skip)).item() < bound


@pytest.mark.parametrize("probability", [0.0, 0.004, 0.5, 1.0])
def test_a_chance_comes_as_often_as_it_should(probability: float) -> None:
    draws = mixed(pl.int_range(100_000), "chance")
    assert pl.select(chance(draws, probability).mean()).item() == pytest.approx(probability, abs=0.005)


# Plates


def test_every_family_can_fill_its_share() -> None:
    assert sum(family.share for family in _families()) == 100
    for family in _families():
        assert family.size * 100 >= CAPACITY * family.share, family.name


def test_no_two_numbers_name_one_plate() -> None:
    numbers = pl.concat(
        [pl.int_range(150_000, eager=True), pl.int_range(CAPACITY - 50_000, CAPACITY, eager=True)]
    ).cast(pl.UInt64)
    assert plates(numbers, 5).n_unique() == numbers.len()


def test_every_plate_is_a_legal_one_of_its_family() -> None:
    numbers = pl.int_range(60_000, dtype=pl.UInt64, eager=True)
    made = plates(numbers, 5)
    read = canonicalise_series(made)
    assert read["status"].cast(pl.String).unique().to_list() == ["ok"]
    assert read["vrm"].equals(made)
    assert read["family"].cast(pl.String).equals(families(numbers, 5))


def test_most_plates_are_current_and_every_other_kind_occurs() -> None:
    shares = families(pl.int_range(10_000, eager=True), 1).value_counts(normalize=True)
    found = dict(shares.iter_rows())
    assert found["current"] == pytest.approx(0.84)
    assert set(found) == {"current", "prefix", "suffix", "northern_ireland", "dateless", "other"}


def test_another_world_has_other_plates() -> None:
    numbers = pl.int_range(1_000, eager=True)
    assert plates(numbers, 1).is_in(plates(numbers, 2).implode()).sum() < 5


def test_a_misreading_is_another_plate_and_always_the_same_one() -> None:
    numbers = pl.int_range(20_000, dtype=pl.UInt64, eager=True)
    made = plates(numbers, 5)
    bad = misread(made, numbers)
    assert bad.equals(misread(made, numbers))
    read = canonicalise_series(bad)
    assert not (read["vrm"] == made).any()
    assert (bad.str.len_bytes() - made.str.len_bytes().cast(pl.Int64)).is_in([0, -1]).all()


@pytest.mark.parametrize("spelling", range(6))
def test_no_spelling_changes_the_plate(spelling: int) -> None:
    numbers = pl.int_range(5_000, dtype=pl.UInt64, eager=True)
    made = plates(numbers, 5)
    frame = pl.DataFrame({"number": numbers, "plate": made}).with_columns(
        misread=pl.lit(value=False), spelling=pl.lit(spelling, dtype=pl.UInt8)
    )
    spelt = respelt(frame, 5)
    assert (spelt == made).all() == (spelling == 0)
    assert canonicalise_series(spelt)["vrm"].equals(made)


# Scenarios


def test_the_same_scenario_gives_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    path = tmp_path / "reads.csv"
    write_reads_csv(path, Scenario(seed=11, days=2, reads_per_day=500))
    # Recorded: a change here is a change of every demo, benchmark and course that was made with the generator.
    assert (
        hashlib.sha256(path.read_bytes()).hexdigest()
        == "89a474c5f5532cd32bf951e577b2c03345e6071bc71e5f85a13dbfa0a570a078"
    )


def test_another_seed_gives_other_rows() -> None:
    assert not every_read(SMALL).equals(every_read(replace(SMALL, seed=4)))


@settings(max_examples=20)
@given(
    st.builds(
        Scenario,
        days=st.integers(1, 12),
        reads_per_day=st.integers(1, 400),
        distinct=st.floats(0.01, 1),
        cameras=st.integers(1, 30),
        misread_rate=st.floats(0, 0.5),
        messy=st.booleans(),
        repeated_hour=st.booleans(),
    )
)
def test_any_scenario_has_exactly_its_rows_in_order(scenario: Scenario) -> None:
    made = every_read(scenario)
    assert made.height == scenario.rows == scenario.days * scenario.reads_per_day
    assert made["captured_utc"].is_sorted()
    assert made["vehicle"].null_count() == scenario.unreadable
    assert made["vehicle"].n_unique() - (scenario.unreadable > 0) == scenario.vehicles
    assert sum(len(day.misreadings) for day in days(scenario)) == scenario.misreadings
    assert made["site"].n_unique() <= scenario.cameras


@pytest.mark.parametrize("distinct", [0.01, 0.03, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("messy", [False, True])
def test_the_share_of_distinct_plates_is_met(distinct: float, *, messy: bool) -> None:
    made = every_read(Scenario(days=4, reads_per_day=20_000, distinct=distinct, messy=messy))
    found = canonicalise_series(made["plate"]).filter(pl.col("status").cast(pl.String) == "ok")
    assert found["vrm"].n_unique() / found.height == pytest.approx(distinct, rel=0.005)


@pytest.mark.parametrize("distinct", [0.03, 0.25, 1.0])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05])
def test_the_misread_rate_is_met(distinct: float, rate: float) -> None:
    made = every_read(Scenario(days=4, reads_per_day=20_000, distinct=distinct, misread_rate=rate))
    assert made["misread"].mean() == pytest.approx(rate, rel=0.1)


def test_every_vehicle_is_read_correctly_at_least_once() -> None:
    scenario = replace(SMALL, misread_rate=0.3, messy=False)
    made = every_read(scenario)
    assert made.filter(~pl.col("misread"))["vehicle"].n_unique() == scenario.vehicles


def test_misread_plates_have_less_confidence() -> None:
    means = dict(every_read(SMALL).group_by("misread").agg(pl.col("confidence").mean()).iter_rows())
    assert means[True] < means[False] - 15


def test_a_messy_extract_has_every_kind_of_trouble() -> None:
    plate = every_read(replace(SMALL, reads_per_day=10_000))["plate"]
    assert plate.null_count() > 0
    for pattern in (r"\?", "NOPLATE", "UNKNOWN", "^[A-Z0-9]+ [A-Z0-9]+$", "^[a-z0-9]+$", "-", "^ .*  $"):
        assert plate.str.contains(pattern).any(), pattern


def test_a_tidy_extract_has_none() -> None:
    assert every_read(replace(SMALL, messy=False))["plate"].str.contains("^[A-Z0-9]+$").all()


def test_what_was_not_read_is_no_plate_to_anyone() -> None:
    nothing = every_read(SMALL).filter(pl.col("vehicle").is_null())["plate"]
    assert {canonicalise(raw).status for raw in nothing} == {"missing", "partial"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("days", 0),
        ("reads_per_day", 0),
        ("distinct", 0.0),
        ("distinct", 1.01),
        ("cameras", 0),
        ("misread_rate", 0.6),
        ("force", 4),
        ("shared", 1.5),
    ],
)
def test_a_scenario_that_cannot_be_met_is_refused(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=field):
        replace(SMALL, **{field: value})  # type: ignore[arg-type]


def test_more_vehicles_than_there_are_plates_are_refused() -> None:
    with pytest.raises(UsageError, match="plates"):
        Scenario(days=365, reads_per_day=3_000_000, distinct=1.0)


# Traffic


def test_weekdays_are_busier_than_weekends() -> None:
    by_day = [frame.height for frame in reads(Scenario(first=MONDAY, days=7, reads_per_day=1_000))]
    assert min(by_day[:5]) > 1.1 * max(by_day[5:])


def test_rush_hours_are_on_weekdays() -> None:
    made = every_read(Scenario(first=MONDAY, days=7, reads_per_day=5_000, distinct=0.1))
    by_hour = made.group_by(pl.col("captured_at").dt.weekday() > 5, hour=pl.col("captured_at").dt.hour()).len()
    count = {(weekend, hour): rows for weekend, hour, rows in by_hour.iter_rows()}
    assert count[False, 8] > 2 * count[False, 11] / 1.5
    assert count[True, 8] < count[True, 13]
    assert count[False, 3] * 10 < count[False, 8]


def test_commuters_pass_the_same_cameras_twice_on_a_weekday() -> None:
    made = every_read(Scenario(first=MONDAY, days=5, reads_per_day=10_000, distinct=0.1, misread_rate=0, messy=False))
    commuter = made.filter(pl.col("vehicle") == 1601)  # the 401st of the commuters
    assert commuter["captured_at"].dt.date().n_unique() >= 4
    morning = commuter.filter(pl.col("captured_at").dt.hour().is_between(6, 9))
    evening = commuter.filter(pl.col("captured_at").dt.hour().is_between(14, 20))
    regular = set(morning["site"].value_counts().filter(pl.col("count") >= 4)["site"])
    assert len(regular) == 3
    assert regular <= set(evening["site"])


def test_some_vehicles_pass_all_day_and_many_only_once() -> None:
    reads_each = every_read(Scenario(days=5, reads_per_day=10_000, distinct=0.3)).group_by("vehicle").len()["len"]
    assert reads_each.max() >= 100  # type: ignore[operator]
    assert (reads_each == 1).mean() > 0.2  # type: ignore[operator]


def test_no_two_cameras_share_a_triple_though_their_numbers_repeat() -> None:
    made = every_read(Scenario(cameras=100, reads_per_day=5_000))
    cameras = made.select("site", "feed", "source", "camera").unique()
    assert cameras.select("feed", "source", "camera").is_unique().all()
    assert cameras["site"].is_unique().all()
    assert not cameras["camera"].is_unique().all()


def test_the_october_day_has_25_hours_and_ambiguous_local_times() -> None:
    scenario = Scenario(first=date(2026, 10, 25), days=1, reads_per_day=40_000)
    (made,) = reads(scenario)
    assert made["captured_utc"].max() - made["captured_utc"].min() > timedelta(hours=24, minutes=45)  # type: ignore[operator]
    twice = made.filter(pl.col("captured_at").dt.hour() == 1)
    assert twice["captured_utc"].dt.hour().unique().sort().to_list() == [0, 1]
    assert not made["captured_at"].is_sorted()


def test_the_repeated_hour_can_be_left_empty() -> None:
    (made,) = reads(Scenario(first=date(2026, 10, 25), days=1, reads_per_day=40_000, repeated_hour=False))
    assert made.height == 40_000
    assert made.filter(pl.col("captured_at").dt.hour() == 1).is_empty()


def test_the_march_day_has_no_missing_local_times() -> None:
    (made,) = reads(Scenario(first=date(2026, 3, 29), days=1, reads_per_day=40_000))
    assert made.filter(pl.col("captured_at").dt.hour() == 1).is_empty()


@pytest.mark.parametrize("zone", ["Europe/London", "America/Los_Angeles", "UTC"])
def test_local_times_are_the_utc_ones_in_the_zone(zone: str) -> None:
    made = every_read(Scenario(first=date(2026, 10, 24), days=9, reads_per_day=500, zone=zone))
    assert made["captured_utc"].dt.convert_time_zone(zone).dt.replace_time_zone(None).equals(made["captured_at"])


def test_a_day_holds_its_own_reads_only() -> None:
    for number, frame in enumerate(reads(Scenario(first=date(2026, 10, 23), days=4, reads_per_day=5_000))):
        assert frame["captured_at"].dt.date().unique().to_list() == [date(2026, 10, 23) + timedelta(days=number)]


# Two forces


def test_two_forces_share_the_part_of_their_vehicles_that_was_asked_for() -> None:
    first, second = (
        every_read(replace(SMALL, seed=force, force=force, shared=0.3, messy=False, misread_rate=0)) for force in (0, 1)
    )
    common = set(first["plate"]) & set(second["plate"])
    assert len(common) / first["plate"].n_unique() == pytest.approx(0.3, abs=0.05)


def test_forces_share_nothing_if_so_asked() -> None:
    first, second = (every_read(replace(SMALL, force=force, shared=0, messy=False, misread_rate=0)) for force in (0, 1))
    assert not set(first["plate"]) & set(second["plate"])


def test_forces_of_different_worlds_share_next_to_nothing() -> None:
    first, second = (every_read(replace(SMALL, world_seed=world, messy=False)) for world in (1, 2))
    assert len(set(first["plate"]) & set(second["plate"])) < 5


# Targets


def vrms(log: pl.DataFrame) -> set[str | None]:
    cells = log["vrm"].drop_nulls().str.replace_all("[;,\n]", "/").str.split("/").explode()
    return {canonicalise(cell).vrm for cell in cells}


def seen(scenario: Scenario) -> set[str | None]:
    return set(canonicalise_series(every_read(scenario)["plate"])["vrm"])


@pytest.mark.parametrize("found", [0, 7, 40])
def test_as_many_targets_occur_in_the_reads_as_were_asked_for(found: int) -> None:
    log = targets(SMALL, TargetPlan(rows=40, found=found, found_by_both=0))
    assert len(vrms(log) & seen(SMALL)) == found


def test_two_forces_can_have_targets_in_common() -> None:
    plan = TargetPlan(rows=40, found=20, found_by_both=12, several=0)
    first, second = (replace(SMALL, force=force, seed=force) for force in (0, 1))
    common = vrms(targets(first, plan)) & vrms(targets(second, plan))
    assert len(common) == 12
    assert common <= seen(first) & seen(second)


def test_a_log_has_missing_plates_several_plates_victims_and_both_handling_codes() -> None:
    log = targets(SMALL, TargetPlan(rows=400, found=100, missing=0.2, several=0.2, victims=0.25, handling_c=0.5))
    assert tuple(log.columns) == COLUMNS
    assert 30 < log["vrm"].null_count() < 90
    for separator in (";", ",", "/", "\n"):
        assert log["vrm"].str.contains(separator, literal=True).any()
    assert (log["person_category"] == "victim").mean() == pytest.approx(0.25, abs=0.07)
    assert (log["handling"] == "C").mean() == pytest.approx(0.5, abs=0.08)
    assert set(log["person_category"]) == {"suspect", "convicted", "victim", "witness"}
    assert (log["convicted_on"].is_not_null() == (log["person_category"] == "convicted")).all()


def test_dates_of_a_log_are_in_order_and_not_in_the_future() -> None:
    log = targets(SMALL, TargetPlan(rows=300, found=50))
    last = (SMALL.first + timedelta(days=SMALL.days - 1)).isoformat()
    assert (log["offence_from"] <= log["offence_to"]).drop_nulls().all()
    assert (log["offence_to"] <= log["convicted_on"]).drop_nulls().all()
    for column in ("offence_from", "offence_to", "convicted_on"):
        assert (log[column].drop_nulls() <= last).all()


def test_a_log_is_the_same_each_time() -> None:
    assert targets(SMALL).equals(targets(SMALL))


@pytest.mark.parametrize(
    "wrong", [{"found": 70}, {"found": 5, "found_by_both": 6}, {"victims": 1.5}, {"missing": -0.1}]
)
def test_a_plan_that_contradicts_itself_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        replace(TargetPlan(), **wrong)  # type: ignore[arg-type]


def test_more_targets_than_vehicles_are_refused() -> None:
    with pytest.raises(UsageError, match="vehicles"):
        targets(Scenario(days=1, reads_per_day=20), TargetPlan(rows=100, found=100, found_by_both=0))


# Files


def test_the_plain_layout_has_a_header_and_local_times(tmp_path: Path) -> None:
    path = tmp_path / "reads.csv"
    assert write_reads_csv(path, SMALL) == SMALL.rows
    lines = path.read_text().splitlines()
    assert lines[0] == "vrm,camera,captured_at"
    assert len(lines) == SMALL.rows + 1
    made = every_read(SMALL)
    cells = lines[1].split(",")
    assert cells[1] == made["site"][0]
    assert datetime.strptime(cells[2], "%Y-%m-%dT%H:%M:%S") == made["captured_at"][0]  # noqa: DTZ007


def test_the_compact_capture_has_fifteen_fields_and_no_header(tmp_path: Path) -> None:
    path = tmp_path / "reads.psv"
    write_reads_csv(path, SMALL, "nas-compact")
    lines = path.read_text().splitlines()
    assert len(lines) == SMALL.rows
    assert {line.count("|") for line in lines} == {14}
    made = every_read(SMALL)
    signature, user, _, feed, source, camera, captured, *_ = lines[0].split("|")
    assert (signature, user) == ("00000000", "anpr-feed")
    assert (int(feed), int(source), int(camera)) == made.select("feed", "source", "camera").row(0)
    assert datetime.fromisoformat(captured) == made["captured_utc"].dt.replace_time_zone(None)[0]


def test_free_text_is_in_the_log_to_be_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "targets.csv"
    write_targets_csv(path, SMALL)
    assert any(text in path.read_text() for text in FREE_TEXT)


def test_the_register_names_the_cameras_of_the_reads_in_words_of_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "cameras.csv"
    write_cameras_csv(path, SMALL)
    register = pl.read_csv(path)
    assert set(every_read(SMALL)["site"]) <= set(register["camera"])
    assert register.columns == ["kind", "road_class", "area_type", "location", "camera"]
    report = check_extract([path], load_profile("plain-cameras"), now=datetime(2026, 12, 1, tzinfo=UTC))
    assert report.ok


def test_cameras_along_one_road_share_its_class_and_vans_stand_on_none() -> None:
    register = cameras(Scenario(cameras=600))
    numbered = register.with_row_index().filter(kind="fixed")
    roads = numbered.group_by(pl.col("index") // CORRIDOR).agg(pl.col("road_class").n_unique())
    assert set(roads["road_class"]) == {1}
    assert numbered["road_class"].n_unique() == 5
    assert register.filter(kind="mobile").select("road_class", "area_type").unique().rows() == [(None, None)]
    assert register.filter(kind="fixed")["area_type"].null_count() > 0
    assert register.equals(cameras(Scenario(cameras=600)))
    assert not register.equals(cameras(Scenario(cameras=600, force=1)))


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("mine")
    with pytest.raises(StorageError):
        write_reads_csv(path, SMALL)
    with pytest.raises(StorageError):
        write_targets_csv(path, SMALL)
    with pytest.raises(StorageError):
        write_cameras_csv(path, SMALL)
    assert path.read_text() == "mine"


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layout"):
        write_reads_csv(tmp_path / "reads.csv", SMALL, "fancy")
    assert not list(tmp_path.iterdir())
