"""A made-up register of cameras: what sort of place each of the made-up traffic's cameras stands at.

As in real registers a few combinations are common and many are rare, and some cells are empty. Cameras along one road
share its class. The location is there because real registers have it; it must never leave a force.
"""

from __future__ import annotations

import polars as pl

from anpr_share.synthetic.draws import below, mixed
from anpr_share.synthetic.scenario import Scenario
from anpr_share.synthetic.traffic import CORRIDOR, camera_table

MOBILE_PER_CENT = 5  # vans, which stand at no one place
UNKNOWN_PER_CENT = 6  # areas that nobody has entered
# Of 100: motorways are out of town, and a bypass is a bypass.
ROADS = {"motorway": 18, "a-road": 52, "b-road": 16, "unclassified": 10, "classified-unnumbered": 4}
AREAS = {
    "motorway": {"rural": 85, "suburban": 15},
    "a-road": {"urban": 55, "suburban": 30, "rural": 15},
    "b-road": {"rural": 60, "suburban": 35, "urban": 5},
    "unclassified": {"urban": 70, "suburban": 25, "rural": 5},
    "classified-unnumbered": {"suburban": 60, "urban": 40},
}


def cameras(scenario: Scenario) -> pl.DataFrame:
    """Return the register, a row for each camera in the order of the made-up traffic's, null where empty.

    Columns: ``site`` String, the camera's name in the layout ``plain``; ``feed``, ``source``, ``camera`` UInt32, the
    same camera in ``nas-compact``; ``kind``, ``road_class`` and ``area_type`` String, in the vocabulary of the profile
    ``plain-cameras``; ``location`` String.
    """
    index = pl.int_range(pl.len(), dtype=pl.UInt64)
    stream = (scenario.seed, scenario.force, "register")
    road, own = mixed(index // CORRIDOR, *stream, "road"), mixed(index, *stream, "place")
    mobile, unknown = below(own, 100) < MOBILE_PER_CENT, below(own, 100) >= 100 - UNKNOWN_PER_CENT
    frame = camera_table(scenario).with_columns(road_class=_drawn(road, ROADS))
    area = pl.coalesce(pl.when(pl.col("road_class") == name).then(_drawn(own, of)) for name, of in AREAS.items())
    return frame.with_columns(area_type=area).select(
        "site", "feed", "source", "camera",
        kind=pl.when(mobile).then(pl.lit("mobile")).otherwise(pl.lit("fixed")),
        road_class=pl.when(~mobile).then("road_class"),
        area_type=pl.when(~mobile & ~unknown).then("area_type"),
        location=pl.format("Milestone {}, lane 1, northbound", index + 1),
    )  # fmt: skip


def _drawn(draw: pl.Expr, weights: dict[str, int]) -> pl.Expr:
    """One of the words for each draw, as often in a hundred as its weight says."""
    words = pl.Series([word for word, weight in weights.items() for _ in range(weight)])
    return pl.lit(words).gather(below(draw, len(words), skip=32))
