"""One body of reads as it would be released: all figures of it, at the agreed resolution and coarser ones.

Frames have ``vehicle`` and, where it is released, ``camera`` (unsigned integers), ``at`` (Datetime("us", "UTC"), at the
agreed resolution), ``day`` (Date) and, where it is released, ``kind`` (UInt8, the family of the plate).
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, cast

import polars as pl

from anpr_share import periods
from anpr_share.periods import RESOLUTIONS
from anpr_share.risk.figures import Scope, Unicity
from anpr_share.risk.rejoining import rejoined
from anpr_share.risk.standing_out import scarce, volume
from anpr_share.risk.unicity import unicity, visits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    from anpr_share.risk.unicity import Draw


def and_coarser(resolution: str) -> tuple[str, ...]:
    """A resolution and those that are coarser, in this order."""
    every = tuple(RESOLUTIONS)
    return every[every.index(resolution) :]


def coarsened(rows: pl.DataFrame, resolution: str, zone: ZoneInfo) -> pl.DataFrame:
    """The rows, in order of their days, with ``at`` as an export would floor it at this resolution."""
    return pl.concat(
        some.with_columns(periods.floored(pl.col("at"), resolution, day, zone).alias("at"))
        for day, some in by_day(rows)
    )


def by_day(rows: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """The rows of each day, in order."""
    for (day,), some in sorted(rows.partition_by("day", as_dict=True).items()):
        yield cast("date", day), some


def numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with numbers from 0 (UInt32) for their vehicles and cameras, whatever these were: half as large."""
    names = [name for name in ("vehicle", "camera") if name in rows.columns]
    return rows.with_columns(rows[name].unique().sort().search_sorted(rows[name]).alias(name) for name in names)


def measured(rows: pl.DataFrame, resolution: str, among: Draw | None = None) -> Unicity:
    """Unicity of rows that are at this resolution, for the vehicles drawn ``among`` theirs, if they were."""
    return unicity(visits(rows), resolution, among=among)


def scope(rows: pl.DataFrame, curves: tuple[Unicity, ...], *, k: int) -> Scope:
    """All figures of these rows, of which there is one at least; ``k`` is how many vehicles are enough.

    ``curves`` are what was `measured` of them, from the agreed resolution on.
    """
    first, last = rows["day"].min(), rows["day"].max()
    by_camera = volume(rows, "camera") if "camera" in rows.columns else None
    return Scope(
        reads=rows.height,
        vehicles=rows["vehicle"].n_unique(),
        cameras=None if by_camera is None else by_camera.count,
        days=rows["day"].n_unique(),
        first=cast("date", first),
        last=cast("date", last),
        curves=curves,
        by_camera=by_camera,
        by_vehicle=volume(rows, "vehicle"),
        scarce=scarce(rows, k),
        rejoined=rejoined(rows, curves[0].resolution),
    )
