"""What two releases of the same reads give away side by side, though no token of one is in the other.

The attack needs no key. Both releases say when each read was, and tokens stand for the same vehicles and cameras in
both, under other names. A read with a time that no other read has is itself in both: with it its vehicle and its camera
are known. A camera whose reads have times, all together, that are those of no other camera is known too; and then so is
each read that is the only one of such a camera at its time. Who is known by one read is known by all.

Guarantees: a vehicle that is counted is really joined, and never with another. How many *can* be joined is at least
that: a vehicle may also be known by several reads, each of which it shares with others.
"""

from __future__ import annotations

import polars as pl

from anpr_share.risk.figures import Rejoined
from anpr_share.risk.unicity import points


def rejoined(rows: pl.DataFrame, resolution: str) -> Rejoined:
    """How many of these reads can be joined again, at the resolution that they have.

    ``rows`` has ``vehicle``, ``at`` (Datetime) and, as far as they are released, ``camera`` and ``kind``; the kind of
    plate is told beside the time, and so counts as a part of it.
    """
    times = _times(rows, seed=2)
    by_time = told = times.is_unique()
    by_place = matched = 0
    if "camera" in rows.columns:
        alone = points(rows).is_unique()
        known = _matched(rows["camera"], times, _times(rows, seed=3))
        told = by_time | (alone & rows["camera"].is_in(known.implode()))
        by_place, matched = int(alone.sum()), len(known)
    vehicles = rows["vehicle"].filter(told).unique()
    reads = int(rows["vehicle"].is_in(vehicles.implode()).sum())
    return Rejoined(resolution, int(by_time.sum()), by_place, matched, len(vehicles), reads)


def _times(rows: pl.DataFrame, *, seed: int) -> pl.Series:
    """The time of each read, with the kind of plate if that is told, as a hash: two that fall together tell less."""
    told = [name for name in ("at", "kind") if name in rows.columns]
    return rows.select(pl.struct(told).hash(seed=seed)).to_series().alias("time")


def _matched(camera: pl.Series, *times: pl.Series) -> pl.Series:
    """The cameras whose times, all together, no other camera has: told by the sums of two hashes of each time."""
    sums = [series.alias(f"sum{number}") for number, series in enumerate(times)]
    each = pl.DataFrame([camera, *sums]).group_by("camera").agg(pl.all().sum(), pl.len())
    return each.filter(pl.struct(pl.exclude("camera")).is_unique())["camera"]
