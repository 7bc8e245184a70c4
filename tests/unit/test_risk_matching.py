"""Rows in memory, matched by an index, give what they give as a stream: whatever kind of set a point's visitors are."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.risk import matching
from anpr_share.risk.unicity import UnicitySample, draw, unicity


def frame(visits: list[tuple[int, int]], spread: int = 1) -> pl.DataFrame:
    """Visits as rows; ``spread`` sets the vehicles' numbers apart, as tokens are."""
    rows = [(vehicle * spread, point) for vehicle, point in visits]
    return pl.DataFrame(rows, schema={"vehicle": pl.UInt64, "point": pl.UInt64}, orient="row")


def streamed(rows: pl.DataFrame, seed: int, most: int = 2_000) -> object:
    sample = UnicitySample("1h", most=most, seed=seed)
    for start in range(0, rows.height, 7):
        sample.admit(rows.slice(start, 7)["vehicle"].unique())
        sample.add(rows.slice(start, 7))
    sample.draw()
    for start in range(0, rows.height, 7):
        sample.match(rows.slice(start, 7))
    return replace(sample.result(), vehicles=rows["vehicle"].n_unique())


@pytest.mark.parametrize("crowded", [1, 4, 256])
@pytest.mark.parametrize("most_bytes", [0, 2, 1 << 29])
def test_an_index_gives_what_a_stream_gives(crowded: int, most_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "CROWDED", crowded)
    monkeypatch.setattr(matching, "MOST_BYTES", most_bytes)
    for seed in range(6):
        random = Random(seed)
        visits = [(random.randrange(60), int(random.expovariate(1 / 5))) for _ in range(400)]
        for spread in (1, 2**50):
            rows = frame(visits, spread)
            assert unicity(rows, "1h", seed=seed) == streamed(rows, seed)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=60), st.integers(1, 12))
def test_of_some_vehicles_too(visits: list[tuple[int, int]], most: int) -> None:
    rows = frame(visits)

    assert unicity(rows, "1h", most=most) == streamed(rows, 0, most)


def test_a_draw_made_before_is_the_draw_made_now() -> None:
    rows = frame([(vehicle % 40, vehicle % 7) for vehicle in range(200)])
    among = draw(rows["vehicle"], most=10, seed=3)

    assert len(among.drawn) == 10
    assert (among.vehicles, among.highest) == (40, 39)
    assert unicity(rows, "1h", among=among) == unicity(rows, "1h", most=10, seed=3)
