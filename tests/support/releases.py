"""Small releases of reads as the rules of disclosure risk take them, and what to draw them from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import strategies as st

LONDON = ZoneInfo("Europe/London")
FIRST = date(2026, 10, 1)

Row = tuple[int, int, int, int, int]
"""Vehicle, camera, day, minute of the day and kind of plate."""

rows_of_reads = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 4), st.integers(0, 3), st.integers(0, 6), st.integers(0, 1)),
    min_size=1,
    max_size=50,
)


def release(rows: Sequence[Row], *left_out: str) -> pl.DataFrame:
    """Such rows as a frame at the resolution of a minute; numbers of vehicles and cameras are hashes, as tokens are."""
    table = [
        (7919 * vehicle + 2**63, 104_729 * camera + 2**62, at(day, minute), FIRST + timedelta(days=day), kind)
        for vehicle, camera, day, minute, kind in rows
    ]
    schema = {
        "vehicle": pl.UInt64(),
        "camera": pl.UInt64(),
        "at": pl.Datetime("us", "UTC"),
        "day": pl.Date(),
        "kind": pl.UInt8(),
    }
    return pl.DataFrame(table, schema=schema, orient="row").drop(left_out)


def at(day: int, minute: int) -> datetime:
    """The minute of a day in London, in summer."""
    return datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=LONDON).astimezone(UTC) + timedelta(
        days=day, minutes=minute
    )
