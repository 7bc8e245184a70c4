"""Whom some points identify, by an index, against a count with sets: whatever kind of set a point's visitors are."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.risk import matching
from anpr_share.risk.figures import MOST_POINTS
from anpr_share.risk.unicity import draw, unicity

Visit = tuple[int, int]
"""A vehicle and a point."""


def frame(visits: Sequence[Visit], spread: int = 1) -> pl.DataFrame:
    """Visits as rows; ``spread`` sets the vehicles' numbers apart, as tokens are."""
    rows = [(vehicle * spread, point) for vehicle, point in visits]
    return pl.DataFrame(rows, schema={"vehicle": pl.UInt64, "point": pl.UInt64}, orient="row")


def traces(visits: Sequence[Visit]) -> dict[int, list[int]]:
    """The points of each vehicle, each once, in the order in which it was there."""
    found: dict[int, list[int]] = {}
    for vehicle, point in dict.fromkeys(visits):
        found.setdefault(vehicle, []).append(point)
    return found


def check(visits: Sequence[Visit], known: dict[int, list[int]], spread: int) -> None:
    table = [(vehicle * spread, point, n) for vehicle, own in known.items() for n, point in enumerate(own)]
    schema = {"vehicle": pl.UInt64, "point": pl.UInt64, "n": pl.Int64}
    every = [set(own) for own in traces(visits).values()]

    found = matching.alone(pl.DataFrame(table, schema=schema, orient="row"), frame(visits, spread), MOST_POINTS)

    assert [series.to_list() for series in found] == [
        [vehicle * spread for vehicle, own in known.items() if len(own) >= p and counted(own[:p], every) == 1]
        for p in range(1, MOST_POINTS + 1)
    ]


def counted(known: Sequence[int], every: Sequence[set[int]]) -> int:
    return sum(set(known) <= own for own in every)


@pytest.mark.parametrize("crowded", [1, 4, 256])
@pytest.mark.parametrize("most_bytes", [0, 2, 1 << 29])
def test_an_index_finds_whom_sets_find(crowded: int, most_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "CROWDED", crowded)
    monkeypatch.setattr(matching, "MOST_BYTES", most_bytes)
    for seed in range(6):
        random = Random(seed)
        visits = [(random.randrange(60), int(random.expovariate(1 / 5))) for _ in range(400)]
        known = {vehicle: own[:MOST_POINTS] for vehicle, own in traces(visits).items()}
        for spread in (1, 2**50):
            check(visits, known, spread)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=60), st.integers(1, 12))
def test_of_some_vehicles_too(visits: list[Visit], most: int) -> None:
    check(visits, {vehicle: own[:MOST_POINTS] for vehicle, own in list(traces(visits).items())[:most]}, 1)


def test_a_draw_made_before_is_the_draw_made_now() -> None:
    rows = frame([(vehicle % 40, vehicle % 7) for vehicle in range(200)])
    among = draw(rows["vehicle"], most=10, seed=3)

    assert (len(among.drawn), among.vehicles) == (10, 40)
    assert unicity(rows, "1h", among=among) == unicity(rows, "1h", most=10, seed=3)
