"""The k rule for the context of cameras: every combination that leaves is held by at least k cameras, or none leaves.

Guarantees: a value leaves as it came or not at all; what leaves depends on how many cameras hold each combination, and
on nothing else, the order of rows and the cameras' names included; where k cameras hold every combination, nothing is
lost. An unknown value is a value like any other, so that nobody can tell it from one that was taken out.

The rule: area type goes first, then class of road, then kind. Whatever fewer than k cameras hold loses that column;
what is left may then be held by more. Cameras that lose all of it must be k among themselves too: if they are fewer,
the smallest other combination, the first by its words if there are several, loses everything with them. So a column is
lost only where fewer than k cameras would have been alike in it, but for those last ones. No camera is left out alone:
the reads would show which it is.

k-anonymity is Sweeney's (2002); that whoever knows the rule may learn from what was lost, Wong and others (2007). See
docs/threats.md for what it does not protect from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from anpr_share.risk.figures import Context

CONTEXT: Final = ("kind", "road_class", "area_type")
"""The columns of context, the coarsest first."""
_LEN: Final = "len"


@dataclass(frozen=True, slots=True)
class Distinct:
    """One row for each camera. ``repeated`` rows said the same again; ``contradicting`` rows, all of such a camera's,
    are left out.
    """

    frame: pl.DataFrame
    repeated: int
    contradicting: int


@dataclass(frozen=True, slots=True)
class Coarsened:
    """What may leave, the columns and the order of the rows unchanged, and what it cost."""

    frame: pl.DataFrame
    figures: Context


def one_row_each(rows: pl.DataFrame) -> Distinct:
    """Take each camera once, and none of which the rows disagree.

    Args:
        rows: ``camera`` (of any type, no null) and columns of `CONTEXT` (String or null), a camera in any number of
            rows; an unknown value disagrees with a known one.
    """
    different = rows.unique(maintain_order=True)
    frame = different.filter(different["camera"].is_unique())
    agreeing = int(rows["camera"].is_in(frame["camera"].implode()).sum())
    return Distinct(frame, agreeing - frame.height, rows.height - agreeing)


def context_of(columns: Sequence[str]) -> tuple[str, ...]:
    """Which of these columns are context, the coarsest first, whatever their order."""
    return tuple(name for name in CONTEXT if name in columns)


def combinations(cameras: pl.DataFrame) -> pl.DataFrame:
    """The combinations of context, the rarest first, then by their words.

    Args:
        cameras: one row for each camera, with at least one column of `CONTEXT` (String or null).

    Returns:
        Those columns, and ``len`` (UInt32): how many cameras hold the combination.
    """
    columns = context_of(cameras.columns)
    return cameras.group_by(columns).len(_LEN).sort(_LEN, *columns, nulls_last=True)


def coarsened(cameras: pl.DataFrame, k: int) -> Coarsened:
    """Apply the k rule, which the top of this module states.

    Args:
        cameras: one row for each camera, with at least one column of `CONTEXT` (String or null) beside any others.
        k: how many cameras are to be alike, at least 1.

    Returns:
        ``frame`` has no rows if there are fewer than k cameras in all.
    """
    columns = context_of(cameras.columns)
    frame = cameras
    for column in reversed(columns):
        frame = frame.with_columns(pl.when(pl.len().over(columns) >= k).then(column).alias(column))
    bare = pl.all_horizontal(pl.col(columns).is_null())
    if 0 < frame.filter(bare).height < k:
        smallest = combinations(frame.filter(~bare)).head(1)
        # One is enough, for it has k.
        joins = pl.all_horizontal(pl.col(name).eq_missing(smallest[name].first()) for name in columns)
        kept = frame.with_columns(pl.when(~joins).then(name).alias(name) for name in columns)
        frame = kept if smallest.height else frame.clear()
    before, after = combinations(cameras), combinations(frame)
    lost = [frame[name].is_null() & cameras[name].is_not_null() for name in columns if frame.height]
    figures = Context(
        k=k,
        cameras=cameras.height,
        before=before.height,
        rare=int(before.filter(pl.col(_LEN) < k)[_LEN].sum()),
        after=after.height,
        smallest=after.item(0, _LEN) if after.height else 0,
        coarser=int(pl.select(pl.any_horizontal(lost)).to_series().sum()) if lost else 0,
        left_out=cameras.height - frame.height,
    )
    return Coarsened(frame, figures)
