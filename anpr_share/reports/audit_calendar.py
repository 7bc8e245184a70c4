"""Days of an audit put in order for people: calendars by month, counts, and the days that need attention.

Guarantees: every record of a day is in exactly one calendar or one list; where several bundles hold one day of a table
from one force, the worst state counts, in the calendar and in the counts alike.
"""

from __future__ import annotations

from calendar import month_name, monthrange
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Final

from anpr_share.audit.findings import DayRecord, DayState
from anpr_share.periods import UNDATED


@dataclass(frozen=True, slots=True)
class StateWords:
    """How a state is shown: a letter in the calendar, a name, and what it means."""

    letter: str
    name: str
    means: str


STATES: Final[Mapping[DayState, StateWords]] = {
    "held": StateWords("H", "held", "the data are here, and may be"),
    "due": StateWords("N", "due now", "its time is up: nobody can see it, and the next purge destroys it"),
    "overdue": StateWords("O", "overdue", "kept too long: its time was up more than a day ago, and it is still here"),
    "destroyed": StateWords(
        "D", "destroyed in time", "gone when its time was up or before, or lost with a disk before a restore"
    ),
    "late": StateWords("L", "destroyed late", "destroyed, but more than a day after its time was up"),
    "unlogged": StateWords("G", "gone without a line", "gone, and no line of the ledger says that it was destroyed"),
}
"""Every state, in the order of a day's life."""

_FROM_BEST: Final[Sequence[DayState]] = ("destroyed", "held", "due", "late", "overdue", "unlogged")
_HERE: Final = frozenset[DayState]({"held", "due", "overdue"})
_IN_ORDER: Final = frozenset[DayState]({"held", "destroyed"})


@dataclass(frozen=True, slots=True)
class Month:
    """One month: how many cells to leave free before its first day, the state of each day, and all that in words."""

    name: str
    skip: int
    cells: tuple[DayState | None, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Months without a day of data."""

    summary: str


@dataclass(frozen=True, slots=True)
class SourceCalendar:
    """All dated days of one table from one force, at one site under one agreement."""

    source: str
    table: str
    first: date
    last: date
    months: tuple[Month | Gap, ...]
    counts: Mapping[DayState, int]
    days: int
    rows: int
    """Of the days that are here."""
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Holding:
    """What one site holds, or held, under one agreement."""

    site: str
    agreement: str
    calendars: tuple[SourceCalendar, ...]
    attention: tuple[DayRecord, ...]
    """Days that are neither held within their limit nor destroyed in time."""
    undated: tuple[DayRecord, ...]


def holdings(days: Iterable[DayRecord]) -> tuple[Holding, ...]:
    """The days of an audit by site and agreement."""
    groups = defaultdict[tuple[str, str], list[DayRecord]](list)
    for item in days:
        groups[item.site, item.agreement].append(item)
    return tuple(_holding(site, agreement, groups[site, agreement]) for site, agreement in sorted(groups))


def spans(numbers: Iterable[int]) -> str:
    """Whole numbers as people list them: ``3``, ``1 to 12, 14``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join(
        str(run[0]) if len(run) == 1 else f"{run[0]}{' to ' if run[1] - run[0] > 1 else ', '}{run[1]}" for run in runs
    )


def month_of(day: date) -> str:
    """``June 2026``."""
    return f"{month_name[day.month]} {day.year}"


def _holding(site: str, agreement: str, found: Sequence[DayRecord]) -> Holding:
    ordered = sorted(found, key=lambda item: (item.table, item.source, item.day, item.bundle))
    undated = tuple(sorted((item for item in ordered if item.day == UNDATED), key=lambda item: item.due))
    dated = [item for item in ordered if item.day != UNDATED]
    calendars = [
        _calendar(source, table, list(items))
        for (table, source), items in groupby(dated, key=lambda item: (item.table, item.source))
    ]
    attention = sorted(
        (item for item in dated if item.state not in _IN_ORDER), key=lambda item: (item.day, item.table, item.source)
    )
    return Holding(site, agreement, tuple(calendars), tuple(attention), undated)


def _calendar(source: str, table: str, found: Sequence[DayRecord]) -> SourceCalendar:
    states: dict[date, DayState] = {}
    for item in found:
        day = date.fromisoformat(item.day)
        states[day] = max(states.get(day, item.state), item.state, key=_FROM_BEST.index)
    counts = Counter(states.values())
    here = [item for item in found if item.state in _HERE]
    return SourceCalendar(
        source=source,
        table=table,
        first=min(states),
        last=max(states),
        months=tuple(_months(states)),
        counts={state: counts[state] for state in STATES},
        days=len(states),
        rows=sum(item.rows for item in here),
        next_due=min((item.due for item in here), default=None),
    )


def _months(states: Mapping[date, DayState]) -> Iterable[Month | Gap]:
    before: date | None = None
    for first in sorted({day.replace(day=1) for day in states}):
        if before is not None and (missing := _between(before, first)) is not None:
            yield Gap(missing)
        skip, length = monthrange(first.year, first.month)
        cells = tuple(states.get(first.replace(day=number)) for number in range(1, length + 1))
        yield Month(month_of(first), skip, cells, f"{month_of(first)}: {_in_words(cells)}")
        before = first


def _between(before: date, after: date) -> str | None:
    """The months between two months, in words, if there are any."""
    start, end = before.year * 12 + before.month, after.year * 12 + after.month - 2
    if start > end:
        return None
    first, last = (month_of(date(month // 12, month % 12 + 1, 1)) for month in (start, end))
    return f"{first}: no data" if first == last else f"{first} to {last}: no data"


def _in_words(cells: Sequence[DayState | None]) -> str:
    told = [
        f"{words.name} {spans(number for number, cell in enumerate(cells, 1) if cell == state)}"
        for state, words in STATES.items()
        if state in cells
    ]
    if None in cells:
        told.append(f"no data {spans(number for number, cell in enumerate(cells, 1) if cell is None)}")
    return "; ".join(told)
