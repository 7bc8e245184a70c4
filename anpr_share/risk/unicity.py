"""Unicity: the share of vehicles that a few random points identify (de Montjoye et al., 2013).

A point is a place and a time as they are released. An attacker knows ``p`` points of a vehicle, drawn at random from
its distinct points; it is identified if no other vehicle of the release has them all.

Guarantees: vehicles are drawn at random, by a hash of their numbers, so that the same frame gives the same figures;
every vehicle of the release counts as one to be mistaken for. Memory is bounded by ``most`` and ``pairs``, however many
rows pass: a release is seen twice, first for the points of the vehicles drawn, then for who else has been there.

    rows of a release ──▶ admit, add ──▶ draw ──▶ the same rows ──▶ match ──▶ result
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from anpr_share.risk.figures import MOST_POINTS, Identified, Unicity, wilson
from anpr_share.risk.matching import alone

MOST_MEASURED: Final = 2_000
"""Vehicles drawn: an interval of at most 2.2 per cent to either side."""
MOST_PAIRS: Final = 20_000_000
_HASHES: Final = 1 << 64
_VISITS: Final = {"vehicle": pl.UInt64, "point": pl.UInt64}


def points(rows: pl.DataFrame) -> pl.Series:
    """The point of each row: UInt64, named ``point``.

    ``rows`` has ``at`` (Datetime) and, as far as they are released, ``camera`` (UInt32 or UInt64) and ``kind`` (UInt8,
    the kind of plate, which whoever sees a vehicle knows). Points are hashes: among ten million, two are taken for one
    with a chance of 3 in a million.
    """
    columns = [name for name in ("camera", "at", "kind") if name in rows.columns]
    return rows.select(pl.struct(columns).hash(seed=1).alias("point")).to_series()


def visits(rows: pl.DataFrame) -> pl.DataFrame:
    """The ``vehicle`` and the ``point`` of each row; ``rows`` has ``vehicle`` and what `points` takes."""
    return pl.DataFrame([rows["vehicle"], points(rows)])


@dataclass(frozen=True, slots=True)
class Draw:
    """The vehicles of some rows: how many, and which were drawn with this seed."""

    vehicles: int
    drawn: pl.Series
    seed: int


def draw(vehicles: pl.Series, *, most: int = MOST_MEASURED, seed: int = 0) -> Draw:
    """Draw ``most`` of the vehicles (unsigned integer) that rows have.

    Rows with the same vehicles give the same draw, whatever else they tell.
    """
    every = vehicles.unique().cast(pl.UInt64).alias("vehicle")
    lots = every.to_frame().with_columns(lot=pl.col("vehicle").hash(seed)).bottom_k(most, by="lot")
    return Draw(len(every), lots["vehicle"], seed)


def unicity(
    rows: pl.DataFrame, resolution: str, *, most: int = MOST_MEASURED, seed: int = 0, among: Draw | None = None
) -> Unicity:
    """Unicity of the rows of a release: ``vehicle`` (unsigned integer) and ``point`` (UInt64), in any order.

    ``among`` is the draw of the very vehicles of the rows, where it was made before.
    """
    among = among or draw(rows["vehicle"], most=most, seed=seed)
    sample = UnicitySample(resolution, most=most, seed=among.seed)
    sample.admit(among.drawn)
    sample.add(rows)
    sample.draw()
    return replace(sample.matched(rows), vehicles=among.vehicles)


class UnicitySample:
    """Measures the unicity of rows that pass by twice; frames have ``vehicle`` (unsigned integer) and ``point``."""

    def __init__(self, resolution: str, *, most: int = MOST_MEASURED, seed: int = 0, pairs: int = MOST_PAIRS) -> None:
        self._resolution, self._most, self._seed, self._pairs = resolution, most, seed, pairs
        self._kept = pl.DataFrame(schema={"vehicle": pl.UInt64, "lot": pl.UInt64})
        self._left_out = False
        self._seen: list[pl.DataFrame] = []
        self._drawn = pl.DataFrame()
        self._found: list[pl.DataFrame] = []
        self._rows = 0

    def admit(self, vehicles: pl.Series) -> None:
        """Take these vehicles into the draw, before their rows are added; each may be there many times."""
        everybody = pl.concat([self._kept["vehicle"], vehicles.cast(pl.UInt64)])
        found = draw(everybody, most=self._most, seed=self._seed)
        self._left_out |= found.vehicles > self._most
        lots = found.drawn.to_frame("vehicle").with_columns(lot=pl.col("vehicle").hash(self._seed))
        self._kept = lots.sort("lot", "vehicle")

    def wants(self, vehicles: pl.Series) -> pl.Series:
        """Whether each vehicle is among those drawn: Boolean."""
        return vehicles.cast(pl.UInt64).is_in(self._kept["vehicle"].implode())

    def add(self, rows: pl.DataFrame) -> None:
        """First pass: remember the points of the vehicles that are drawn so far."""
        own = rows.select(pl.col("vehicle").cast(pl.UInt64), "point").filter(self.wants(rows["vehicle"])).unique()
        self._seen.append(own)

    def draw(self) -> None:
        """Between the passes: draw the points that are known of each vehicle."""
        every = pl.concat(self._seen) if self._seen else pl.DataFrame(schema=_VISITS)
        every = every.filter(self.wants(every["vehicle"])).unique()
        chance = pl.struct("vehicle", "point").hash(self._seed + 1)
        shuffled = every.with_columns(chance=chance).sort("vehicle", "chance", "point")
        numbered = shuffled.with_columns(n=pl.int_range(pl.len()).over("vehicle"))
        self._drawn = numbered.filter(pl.col("n") < MOST_POINTS).select("vehicle", "point", "n")
        self._seen.clear()

    def match(self, rows: pl.DataFrame) -> None:
        """Second pass: remember who has been at the points that were drawn."""
        there = rows.filter(pl.col("point").is_in(self._drawn["point"].unique().implode()))
        pairs = there.select(pl.col("vehicle").cast(pl.UInt64), "point").unique()
        self._found.append(pairs)
        self._rows += pairs.height
        if self._rows > self._pairs:
            self._gather()
            while self._rows > self._pairs and self._kept.height > 1:
                self._halve()

    def result(self) -> Unicity:
        """The share identified by 1 to `MOST_POINTS` points."""
        self._gather()
        return self.matched(self._found[0] if self._found else pl.DataFrame(schema=_VISITS))

    def matched(self, rows: pl.DataFrame) -> Unicity:
        """As `match` and `result`, of all rows at once: what has been matched is not looked at."""
        each = self._drawn.group_by("vehicle").len("points").sort("vehicle")
        curve, before = [], pl.Series("vehicle", [], dtype=pl.UInt64)
        for p, identified in enumerate(alone(self._drawn, rows, MOST_POINTS), 1):
            knows = each.filter(pl.col("points") >= p)["vehicle"]
            fewer = each.filter(pl.col("points") < p)["vehicle"]
            # Whoever has given all its points stays as identified as it was.
            before = pl.concat([identified, before.filter(before.is_in(fewer.implode()))])
            known = wilson(len(identified), len(knows)) if len(knows) else None
            curve.append(Identified(p, wilson(len(before), each.height), known))
        return Unicity(self._resolution, self._vehicles(), each.height, tuple(curve))

    def _vehicles(self) -> int:
        """All vehicles; where some were left out of the draw, estimated from how densely the smallest lots lie."""
        if not self._left_out:
            return self._kept.height
        highest = self._kept["lot"].max()
        assert isinstance(highest, int)
        return round((self._kept.height - 1) * _HASHES / max(highest, 1))

    def _gather(self) -> None:
        if len(self._found) > 1:
            self._found = [pl.concat(self._found).unique()]
        self._rows = sum(frame.height for frame in self._found)

    def _halve(self) -> None:
        self._kept = self._kept.head(self._kept.height // 2)
        self._left_out = True
        self._drawn = self._drawn.filter(self.wants(self._drawn["vehicle"]))
        points = self._drawn["point"].unique().implode()
        self._found = [frame.filter(pl.col("point").is_in(points)) for frame in self._found]
        self._rows = sum(frame.height for frame in self._found)
