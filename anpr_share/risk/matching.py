"""Which vehicles some of their points identify, by an index of who has been at each of these points.

Guarantees: exact, against every vehicle of the rows. The index is in memory: four bytes for each vehicle at each of the
points, and beside that at most `MOST_BYTES`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

CROWDED: Final = 256
"""A point where one vehicle in so many was has a Boolean for each vehicle, which is many times as fast to look into."""

MOST_BYTES: Final = 1 << 29
"""What these Booleans may take, at eight to the byte."""

_CLOSE: Final = 4
_PLACE: Final = 1 << 32


def alone(drawn: pl.DataFrame, rows: pl.DataFrame, most: int) -> list[pl.Series]:
    """The vehicles, of those that have so many points, that the first 1, 2 … ``most`` points of theirs identify.

    ``drawn`` has ``vehicle``, ``point`` (UInt64) and ``n``, from 0, in order; ``rows`` has ``vehicle`` (unsigned
    integer) and ``point``, and every row that any vehicle has at these points.
    """
    there = rows.select("vehicle", "point").filter(pl.col("point").is_in(drawn["point"].unique().implode()))
    index = _Index(there)
    places = index.points.search_sorted(drawn["point"])
    each = drawn.select("vehicle", place=places).group_by("vehicle", maintain_order=True).agg("place")
    found: list[list[int]] = [[] for _ in range(most)]
    for vehicle, known in each.iter_rows():
        for p in range(index.fewest(known), len(known) + 1):
            found[p - 1].append(vehicle)
    return [pl.Series("vehicle", some, dtype=pl.UInt64) for some in found]


class _Index:
    """Who has been where. A set of vehicles is a Boolean for each there is, or the sorted numbers of a few."""

    def __init__(self, there: pl.DataFrame) -> None:
        self.points = there["point"].unique().sort()
        vehicles = there["vehicle"]
        if _span(vehicles) > _CLOSE * there.height:
            # Not numbers that lie close: they get such.
            vehicles = vehicles.rank("dense") - 1
        self._vehicles = _span(vehicles)
        packed = self.points.search_sorted(there["point"]).cast(pl.UInt64) * _PLACE + vehicles.cast(pl.UInt64)
        packed = packed.sort()
        packed = packed.filter((packed != packed.shift()).fill_null(value=True))
        self._members = (packed % _PLACE).cast(pl.UInt32)
        ends = pl.int_range(len(self.points) + 1, dtype=pl.UInt64, eager=True)
        self._starts: list[int] = (packed // _PLACE).search_sorted(ends).to_list()
        self._sets: dict[int, pl.Series] = {}
        self._left = MOST_BYTES * 8 // max(self._vehicles, 1)

    def fewest(self, places: list[int]) -> int:
        """How many of the points in this order leave one vehicle; one more than there are if all leave several."""
        if self._size(places[0]) == 1:
            return 1
        # The rarer of the first two first: whoever was not there is no candidate.
        first, *rest = [*sorted(places[:2], key=self._size), *places[2:]]
        left = self._who(first)
        for p, place in enumerate(rest, 2):
            left = _both(left, self._who(place))
            if (left.sum() if left.dtype == pl.Boolean else len(left)) == 1:
                return p
        return len(places) + 1

    def _size(self, place: int) -> int:
        return self._starts[place + 1] - self._starts[place]

    def _who(self, place: int) -> pl.Series:
        found = self._sets.get(place)
        if found is None:
            found = self._members.slice(self._starts[place], self._size(place))
            if len(found) * CROWDED >= self._vehicles and self._left > 0:
                nobody = pl.repeat(False, self._vehicles, dtype=pl.Boolean, eager=True)  # noqa: FBT003
                found = nobody.scatter(found, True)  # noqa: FBT003
                self._left -= 1
            self._sets[place] = found
        return found


def _span(numbers: pl.Series) -> int:
    """One more than the greatest of these numbers; 0 without any."""
    greatest = numbers.max()
    return greatest + 1 if isinstance(greatest, int) else 0


def _both(some: pl.Series, others: pl.Series) -> pl.Series:
    """Who is in two sets."""
    if some.dtype == pl.Boolean and others.dtype == pl.Boolean:
        return some & others
    if some.dtype == pl.Boolean:
        some, others = others, some
    if others.dtype == pl.Boolean:
        return some.filter(others.gather(some))
    places = others.search_sorted(some)
    return some.filter((others.gather(places, null_on_oob=True) == some).fill_null(value=False))
