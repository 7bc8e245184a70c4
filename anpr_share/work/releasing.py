"""A day's reads as they leave: at the agreed resolution, in the order of all their columns, under tokens.

Guarantees: nothing of the source's order is left; what only looks at what leaves (`Named.released`) sees the very rows,
as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from functools import cached_property
from zoneinfo import ZoneInfo

import polars as pl

from anpr_share import periods
from anpr_share.tables import schema
from anpr_share.tables.times import UTC_TIME
from anpr_share.vrm import FAMILIES
from anpr_share.work.ordering import Packing, Ranked, numbers, ranked

_SECOND = 1_000_000  # microseconds
_LONGEST_DAY = 26 * 3600 * _SECOND
_BANDS = 15  # the most that there could be


class Named:
    """What stands for the numbers of vehicles and cameras.

    Row by number, ``tokens`` has ``vehicle``, ``family`` and, if wanted, ``vehicle_alike`` (and ``order``, if that is
    worked out already), and ``cameras`` (String) the cameras' tokens.
    """

    def __init__(self, tokens: pl.DataFrame, cameras: pl.Series) -> None:
        self.tokens, self.cameras = tokens, cameras

    def by_rank(self) -> tuple[Named, Ranked, Ranked]:
        """The same row by rank, and the ranks of the vehicles and of the cameras: tokens sort as their ranks do."""
        plates, cameras = ranked(self._vehicle_numbers), ranked(self._camera_numbers)
        return Named(self.tokens.select(pl.all().gather(plates.one)), self.cameras.gather(cameras.one)), plates, cameras

    @cached_property
    def _vehicle_numbers(self) -> pl.Series:
        return self.tokens["order"] if "order" in self.tokens.columns else numbers(self.tokens["vehicle"])

    @cached_property
    def _camera_numbers(self) -> pl.Series:
        return numbers(self.cameras)

    @cached_property
    def ids(self) -> pl.Series:
        """The first half of each vehicle's token as a number: UInt64, the same whatever the numbering."""
        return _first_half(self._vehicle_numbers)

    @cached_property
    def _places(self) -> pl.Series:
        return _first_half(self._camera_numbers)

    @cached_property
    def _kinds(self) -> pl.Series:
        return self.tokens["family"].cast(pl.Enum(FAMILIES)).to_physical().cast(pl.UInt8)

    def released(self, rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
        """The rows without a token: ``vehicle``, ``at``, and, as far as they are released, ``camera`` and ``kind``.

        ``rows`` has ``plate`` and ``camera``, which are numbers, and ``captured_at``.
        """
        found = [self.ids.gather(rows["plate"]).alias("vehicle"), rows["captured_at"].alias("at")]
        if "camera" in columns:
            found.append(self._places.gather(rows["camera"]).alias("camera"))
        if "vrm_family" in columns:
            found.append(self._kinds.gather(rows["plate"]).alias("kind"))
        return pl.DataFrame(found)

    @cached_property
    def _vehicles(self) -> pl.DataFrame:
        return self.tokens.rename({"family": "vrm_family"}).with_columns(pl.col(pl.Enum).cast(pl.String))

    def written(self, rows: pl.DataFrame, columns: Sequence[str], part_rows: int) -> Iterator[pl.DataFrame]:
        """The rows as they are written, in frames of at most ``part_rows`` rows."""
        vehicles = self._vehicles.select(name for name in self._vehicles.columns if name in columns)
        frame = pl.DataFrame(
            [
                *vehicles.select(pl.all().gather(rows["plate"])),
                self.cameras.gather(rows["camera"]).alias("camera"),
                rows["captured_at"],
                _band_names(rows["band"]),
            ]
        )
        return frame.select(columns).iter_slices(part_rows)


def ordered(rows: pl.DataFrame, named: Named, day: date, resolution: str, zone: ZoneInfo) -> tuple[pl.DataFrame, int]:
    """The rows of a day in the order in which they are released, which is that of all their columns, and how many of
    them are duplicates of another at the finest resolution.

    ``rows`` has ``plate`` and ``camera``, which are ranks, ``captured_at`` and ``band``; so has what comes out.
    """
    start = pl.lit(periods.day_start(day, zone)).cast(UTC_TIME)
    past = rows.select((pl.col("captured_at") - start).dt.total_microseconds()).to_series()
    unit = _SECOND if (past % _SECOND == 0).all() else 1
    highest = {
        "plate": named.tokens.height,
        "time": _LONGEST_DAY // unit,
        "camera": len(named.cameras),
        "band": _BANDS,
    }
    packing = Packing(highest)
    packed = packing.pack(rows.with_columns(time=past // unit)).sort()
    duplicates = int((packed == packed.shift()).sum())
    at = (start + pl.duration(microseconds=pl.col("time").cast(pl.Int64) * unit)).alias("captured_at")
    if resolution != "1s" or unit != _SECOND:
        coarse = periods.floored(pl.col("captured_at"), resolution, day, zone)
        rows = packing.unpack(packed).with_columns(at).with_columns(captured_at=coarse)
        since = (pl.col("captured_at") - start).dt.total_microseconds()
        packed = packing.pack(rows.with_columns(time=since // unit)).sort()
    return packing.unpack(packed).with_columns(at), duplicates


def band() -> pl.Expr:
    """Per cent (``confidence``) as the number of its band, from 1; no reading, 0."""
    percent = pl.col("confidence")
    reached = [(percent >= float(name.split("-")[0])).cast(pl.UInt8) for name in _band_labels()]
    return pl.sum_horizontal(reached, ignore_nulls=True)


def _band_names(bands: pl.Series) -> pl.Series:
    names = pl.Series([None, *_band_labels()], dtype=pl.String)
    return names.gather(bands).alias("confidence")


def _band_labels() -> tuple[str, ...]:
    """The bands that the schema lists, each by the per cent at which it begins."""
    return schema.load("release", "reads").field("confidence").enum or ()


def _first_half(found: pl.Series) -> pl.Series:
    """The first 64 bits of tokens given as numbers (UInt128)."""
    return found.to_frame("number").select((pl.col("number") // (1 << 64)).cast(pl.UInt64)).to_series()
