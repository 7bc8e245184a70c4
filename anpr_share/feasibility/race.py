"""How many vehicles deletion leaves, day by day, while papers are written.

Guarantees: only what the extracts hold now is counted, never what cameras will still record; and a day is gone when
`anpr_share.periods` says so, months' ends and leap days included.
"""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from anpr_share import periods
from anpr_share.feasibility.figures import Basis, Loss, Race

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from anpr_share.periods import Duration

LONGEST: Final = 366
"""Days of paperwork that are looked at: after so many, nothing that is there today is left."""


def of_reads(days: pl.DataFrame, today: date, limit: Duration, zone: ZoneInfo, *, min_reads: int) -> Race:
    """The race while reads expire: a vehicle is left while ``min_reads`` of its reads are.

    Args:
        days: ``vehicle``, ``day`` (Date) and ``reads`` (integer): how many reads of each eligible vehicle each day of
            the window has, a row for each vehicle and day.
        today: the day that papers are begun.
        limit: how long a read is kept.
        zone: whose days these are.
        min_reads: how many reads are enough.
    """
    later = pl.col("reads").cum_sum().over("vehicle", order_by="day", descending=True)
    last = days.filter(later >= min_reads).group_by("vehicle").agg(pl.col("day").max())["day"]
    return _race("reads", last, today, limit, zone, reads=int(days["reads"].sum()))


def of_offences(entries: pl.DataFrame, today: date, limit: Duration, zone: ZoneInfo) -> Race:
    """The race where no reads were looked at: a vehicle is left while its offence overlaps the window.

    Args:
        entries: the eligible ones, as `anpr_share.feasibility.funnel.pass_through` gives them. Of a vehicle without any
            date nothing says that it goes.
        today: as in `of_reads`, and so the others.
        limit: how long a read is kept.
        zone: whose days these are.
    """
    dates = [pl.col(name) for name in ("offence_to", "offence_from") if name in entries.columns]
    last = pl.coalesce(*dates, pl.lit(date.max)) if dates else pl.lit(date.max)
    named = entries.filter(pl.col("vehicle").is_not_null())
    days = named.select("vehicle", day=last).group_by("vehicle").agg(pl.col("day").max())["day"]
    return _race("offence-dates", days, today, limit, zone, reads=None)


def _race(basis: Basis, last: pl.Series, today: date, limit: Duration, zone: ZoneInfo, *, reads: int | None) -> Race:
    """``last`` is the last day of each vehicle: it is left until that day expires."""
    ordered = last.sort()
    left: list[int] = []
    for after in range(LONGEST + 1):
        oldest = periods.oldest_kept(periods.day_start(today + timedelta(days=after), zone), limit, zone)
        left.append(len(ordered) - int(ordered.search_sorted(oldest, side="left")))
        if left[-1] == 0:
            break
    lost = [(before - now, after) for after, (before, now) in enumerate(itertools.pairwise(left), 1)]
    worst = max(lost, key=lambda item: (item[0], -item[1]), default=(0, 0))
    first = next((after for vehicles, after in lost if vehicles), None)
    return Race(
        basis,
        tuple(left),
        reads,
        Loss(worst[1], today + timedelta(days=worst[1]), worst[0]) if worst[0] else None,
        None if first is None else today + timedelta(days=first),
    )
