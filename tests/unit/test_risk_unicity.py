"""Unicity against a brute-force count, written with sets and nothing of the library's, and against planted answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.risk.figures import MOST_POINTS, Unicity, wilson
from anpr_share.risk.unicity import UnicitySample, points, unicity

Visit = tuple[int, int]
"""A vehicle and a point."""


def frame(visits: Sequence[Visit]) -> pl.DataFrame:
    return pl.DataFrame(visits, schema={"vehicle": pl.UInt64, "point": pl.UInt64}, orient="row")


def traces(visits: Sequence[Visit]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for vehicle, point in visits:
        found.setdefault(vehicle, set()).add(point)
    return found


def expected(visits: Sequence[Visit], p: int) -> tuple[float, float | None]:
    """The mean, over all vehicles and all sets of p points of each (or the one set of all it has), of being alone; and
    of those that have p points.
    """
    found = traces(visits)
    alone: dict[int, float] = {}
    for vehicle, own in found.items():
        sets = [set(known) for known in combinations(sorted(own), min(p, len(own)))]
        hits = [sum(known <= other for other in found.values()) == 1 for known in sets]
        alone[vehicle] = sum(hits) / len(hits)
    rich = [share for vehicle, share in alone.items() if len(found[vehicle]) >= p]
    return sum(alone.values()) / len(alone), sum(rich) / len(rich) if rich else None


def many(seed: int, vehicles: int, places: int, most: int) -> list[Visit]:
    random = Random(seed)
    return [(v, random.randrange(places)) for v in range(vehicles) for _ in range(random.randint(1, most))]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=30))
def test_where_every_set_of_points_is_the_same_it_is_the_brute_force_count(visits: list[Visit]) -> None:
    result = unicity(frame(visits), "1m")

    most = max(map(len, traces(visits).values()))
    assert result.vehicles == result.measured == len(traces(visits))
    for item in result.curve:
        if item.points >= most:  # all of its points: there is nothing to draw
            everybody, rich = expected(visits, item.points)
            assert item.vehicles.share == pytest.approx(everybody)
            assert (item.known is None) == (rich is None)
            assert item.known is None or item.known.share == pytest.approx(rich)


def test_over_many_draws_it_is_the_brute_force_mean() -> None:
    visits = many(7, vehicles=40, places=12, most=8)
    draws = [unicity(frame(visits), "1h", seed=2 * seed).curve for seed in range(200)]

    for p in range(1, MOST_POINTS + 1):
        everybody, rich = expected(visits, p)
        found = [curve[p - 1] for curve in draws]
        assert sum(item.vehicles.share for item in found) / 200 == pytest.approx(everybody, abs=0.015)
        assert rich is not None
        assert sum(item.known.share for item in found if item.known) / 200 == pytest.approx(rich, abs=0.02)


def test_a_planted_answer_is_found_at_every_number_of_points() -> None:
    # Vehicle n < 50 has a place of its own; the 100 twins share both of theirs with their twin; 50 were seen once, all
    # of them at the same place.
    own = [(n, 1000 + n) for n in range(50)] + [(n, 0) for n in range(50)]
    twins = [(100 + n, 2000 + 2 * (n // 2) + k) for n in range(100) for k in (0, 1)]
    once = [(300 + n, 0) for n in range(50)]

    result = unicity(frame(own + twins + once), "1m")

    assert result.measured == 200
    one, two = result.curve[0].vehicles.share, result.curve[1].vehicles.share
    assert 0 < one < 50 / 200
    assert two == 50 / 200
    assert [item.vehicles.share for item in result.curve[1:]] == [50 / 200] * 5
    known = result.curve[1].known
    assert known is not None
    assert (known.of, known.share) == (150, 50 / 150)
    assert result.curve[2].known is None
    assert result.four.share == 50 / 200


def test_more_points_never_identify_fewer_vehicles() -> None:
    result = unicity(frame(many(3, vehicles=300, places=40, most=10)), "1m")

    shares = [item.vehicles.share for item in result.curve]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_a_sample_of_the_vehicles_lies_in_its_interval_and_all_others_are_there_to_be_mistaken_for() -> None:
    visits = many(5, vehicles=3000, places=600, most=6)
    everything = unicity(frame(visits), "1m", most=10_000)
    missed = 0
    for seed in range(40):
        result = unicity(frame(visits), "1m", most=300, seed=10 + seed)
        assert (result.vehicles, result.measured) == (3000, 300)
        for some, whole in zip(result.curve, everything.curve, strict=True):
            missed += not some.vehicles.low <= whole.vehicles.share <= some.vehicles.high

    assert missed <= 40 * MOST_POINTS * 0.12


def test_rows_in_any_order_and_pieces_give_the_same_figures() -> None:
    rows = frame(many(11, vehicles=400, places=60, most=9))
    whole = unicity(rows, "1m", most=100)
    shuffled = rows.sample(fraction=1, shuffle=True, seed=4)

    assert unicity(shuffled, "1m", most=100) == whole
    assert streamed(shuffled, pieces=7, most=100).curve == whole.curve


def streamed(rows: pl.DataFrame, *, pieces: int, most: int, pairs: int = 1_000_000) -> Unicity:
    parts = list(rows.iter_slices(-(-rows.height // pieces)))
    sample = UnicitySample("1m", most=most, pairs=pairs)
    for part in parts:
        sample.admit(part["vehicle"].unique())
        sample.add(part)
    sample.draw()
    for part in parts:
        sample.match(part)
    return sample.result()


def test_a_stream_tells_about_how_many_vehicles_there_are() -> None:
    rows = frame(many(2, vehicles=5000, places=100, most=3)).sample(fraction=1, shuffle=True, seed=1)

    assert streamed(rows, pieces=5, most=10_000).vehicles == 5000
    assert streamed(rows, pieces=5, most=1000).vehicles == pytest.approx(5000, rel=0.1)


def test_where_memory_is_short_fewer_vehicles_are_measured_and_as_well() -> None:
    rows = frame(many(13, vehicles=2000, places=80, most=6))
    whole = unicity(rows, "1m", most=2000)
    short = streamed(rows, pieces=10, most=1500, pairs=3000)

    assert 1 <= short.measured < 1500
    assert all(
        some.vehicles.low - 0.05 <= full.vehicles.share <= some.vehicles.high + 0.05
        for some, full in zip(short.curve, whole.curve, strict=True)
    )


def test_nothing_has_no_unicity() -> None:
    result = unicity(frame([]), "1m")

    assert (result.vehicles, result.measured, result.four.share) == (0, 0, 0.0)
    assert result.curve[0].vehicles.of == 0


def test_the_ceiling_is_held_against_the_greater_of_the_two_figures() -> None:
    # Ten regular vehicles that stand out among ninety that were seen once, at one place.
    regular = [(n, 10 * n + k) for n in range(1, 11) for k in range(5)]
    once = [(100 + n, 0) for n in range(90)]

    result = unicity(frame(regular + once), "1m")

    assert result.curve[3].vehicles.share == 0.1
    assert (result.four.share, result.four.of) == (1.0, 10)


def test_a_point_is_place_time_and_kind_as_far_as_they_are_released() -> None:
    start = datetime(2026, 10, 1, tzinfo=UTC)
    rows = pl.DataFrame(
        {
            "vehicle": [1, 2, 3, 4, 5],
            "camera": [7, 7, 8, 7, 7],
            "at": [start, start, start, start + timedelta(minutes=1), start],
            "kind": [0, 0, 0, 0, 1],
        },
        schema_overrides={"camera": pl.UInt64, "kind": pl.UInt8},
    )

    found = points(rows)
    assert found.dtype == pl.UInt64
    assert [found[0] == other for other in found] == [True, True, False, False, False]
    assert points(rows.drop("kind"))[0] == points(rows.drop("kind"))[4]
    assert points(rows.drop("camera"))[0] == points(rows.drop("camera"))[2]


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # By hand, from the roots of (p - h/n)^2 = z^2 p (1 - p) / n.
    [(50, 100, 0.4038, 0.5962), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 2000, 0.0001, 0.0028)],
)
def test_the_interval_is_wilsons(hits: int, of: int, low: float, high: float) -> None:
    found = wilson(hits, of)

    assert (found.share, found.of) == (hits / of, of)
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)
    for bound in (found.low, found.high):
        if 0 < bound < 1:
            assert abs(bound - hits / of) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / of), rel=1e-5)


@pytest.mark.parametrize("times", [1, 3, 40])
def test_how_often_a_vehicle_is_named_does_not_change_the_draw(times: int) -> None:
    vehicles = pl.Series(range(1, 501), dtype=pl.UInt64)
    often = pl.concat([vehicles.head(3)] * (100 * times) + [vehicles] * times).shuffle(seed=times)
    once, many_times = UnicitySample("1m", most=20), UnicitySample("1m", most=20)
    once.admit(vehicles)
    many_times.admit(often)

    wanted = once.wants(vehicles)
    assert wanted.sum() == 20
    assert many_times.wants(vehicles).to_list() == wanted.to_list()
    assert once._left_out
    assert many_times._left_out
    all_of_them = UnicitySample("1m", most=500)
    all_of_them.admit(often)
    assert all_of_them.wants(vehicles).all()
    assert not all_of_them._left_out
