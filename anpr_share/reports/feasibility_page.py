"""A feasibility check as one page of A4 for people who decide: what may be shared of it, and nothing else.

Guarantees: the page is made of `Shared` alone, so no exact small count can be on it; every count of it is there; what
is left out is said to be left out, never shown as none. The page is as `anpr_share.reports.html` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Final

from anpr_share import __version__
from anpr_share.feasibility.base_rate import LINES, SENSITIVITY, predictive_value, specificity_needed
from anpr_share.feasibility.figures import Shared, SharedPoint, SharedReason, SharedStep
from anpr_share.periods import Duration
from anpr_share.reports.charts import Axis, Chart, Line, Point, chart, share_axis, short, whole_ticks
from anpr_share.reports.feasibility_words import (
    BASES,
    CONDITIONS,
    STEPS,
    false_to_one,
    headline,
    reason,
    untold,
    verdict_word,
)
from anpr_share.reports.html import environment, number
from anpr_share.risk.figures import wilson
from anpr_share.words import brief_percent, count

if TYPE_CHECKING:
    from jinja2 import Environment

FALSE_SHARES: Final = tuple(Fraction(1, 10**power) for power in range(1, 6))
"""1 - specificity: one false alert in so many vehicles that are not sought."""
_NAMES: Final = {"vans-2019": "vans", "live-cases": "live cases"}
SHOWN_OFFENCES: Final = 4
_LOOKS: Final = {"go": "good", "go-if": "doubtful", "stop": "bad"}


@dataclass(frozen=True, slots=True)
class _Row:
    """One step of the funnel in words.

    ``width`` is the share of the greatest number in per cent, None where it is not told; ``reasons`` are how many fall
    out, and why.
    """

    name: str
    vehicles: int | None
    rows: int | None
    width: float | None
    reasons: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Sought:
    """A prevalence to reckon with: what it is called in the chart, and where it comes from."""

    name: str
    source: str
    share: Fraction


@dataclass(frozen=True, slots=True)
class _Worth:
    """What alerts are worth at one specificity, for each prevalence: how many are right, and false ones to a true."""

    false_share: str
    specificity: str
    cells: tuple[tuple[str, str], ...]


def page(shared: Shared) -> str:
    """What may be shared of a feasibility check as one HTML document."""
    sought = _sought(shared)
    unknown = untold(shared.settings.small_below)
    return (
        _environment()
        .get_template("feasibility.html.jinja")
        .render(
            shared=shared,
            version=__version__,
            headline=headline(shared.code, shared.conditions),
            word=verdict_word(shared.code, shared.conditions),
            look=_LOOKS[shared.code],
            conditions=[CONDITIONS[item] for item in shared.conditions],
            basis=BASES[shared.basis],
            retention=Duration.parse(shared.settings.retention).words,
            offences=_offences(shared.settings.offences),
            today=_today(shared, unknown),
            rows=_funnel(shared),
            race=_race(shared),
            left=_left(shared.points, unknown),
            race_told=_race_told(shared.points, unknown),
            sought=sought,
            worth=_worths(sought),
            needed=[_needed(item.share) for item in sought],
            alerts=_alerts(sought),
            alerts_told=_alerts_told(sought),
            found=_found_told(shared),
            unknown=unknown,
        )
    )


@cache
def _environment() -> Environment:
    made = environment()
    made.filters["told"] = lambda value: number(value, "not told")
    return made


def _offences(named: Sequence[str] | None) -> str:
    if named is None:
        return "every offence is in scope"
    shown = ", ".join(named[:SHOWN_OFFENCES])
    more = len(named) - SHOWN_OFFENCES
    return f"offences in scope: {shown}{f' and {more:,} more' if more > 0 else ''}"


def _today(shared: Shared, unknown: str) -> str:
    """The numbers that the verdict goes by."""
    settings = shared.settings
    told = {point.days: number(point.vehicles, unknown) for point in shared.points}
    told.setdefault(0, unknown)
    later = told.get(settings.paperwork_days) if settings.paperwork_days else None
    left = "" if later is None else f" Left of them after {settings.paperwork_days:,} days of paperwork: {later}."
    when = "" if left else f" after {count(settings.paperwork_days, 'day')} of paperwork"
    return f"Vehicles that pass every step today: {told[0]}.{left} Needed{when}: {settings.vehicles_needed:,}."


def _funnel(shared: Shared) -> list[_Row]:
    most = max((value for value in (shared.vehicles, *(step.vehicles for step in shared.steps)) if value), default=1)

    def width(vehicles: int | None) -> float | None:
        return None if vehicles is None else round(100 * vehicles / most, 1)

    first = _Row("in the extract", shared.vehicles, shared.rows, width(shared.vehicles), ())
    return [
        first,
        *(
            _Row(_step(step, shared.settings.min_reads), step.vehicles, step.rows, width(step.vehicles), _why(step))
            for step in shared.steps
        ),
    ]


def _step(step: SharedStep, min_reads: int) -> str:
    phrase = STEPS[step.name]
    return f"{phrase}: {count(min_reads, 'read')} or more" if step.name == "often" else phrase


def _why(step: SharedStep) -> tuple[tuple[str, str], ...]:
    if not step.judged:
        return (("", "not judged: the extract does not tell"),)
    return tuple((_counted(item), reason(item.code)) for item in step.reasons) or (("", "none"),)


def _counted(item: SharedReason) -> str:
    """Vehicles, and rows in brackets."""
    if item.vehicles is None and item.rows is None:
        return "not told"
    return f"{number(item.vehicles, 'not told')} ({number(item.rows, 'not told')})"


def _race(shared: Shared) -> Chart | None:
    """The vehicles left against days; None if there is nothing to draw."""
    known = [point.vehicles for point in shared.points if point.vehicles is not None]
    if not known or not max(known):
        return None
    needed = shared.settings.vehicles_needed
    # A need far above all there is would press the line to the floor, and one far below lies on the floor itself.
    comparable = max(known) <= 50 * needed <= 150 * max(known)
    ticks = whole_ticks(max(*known, needed) if comparable else max(known))
    line = Line("", tuple(Point(point.days, point.vehicles) for point in shared.points))
    return chart(
        [line],
        Axis("days of paperwork from today", 0, max(point.days for point in shared.points) or 1, _days(shared.points)),
        Axis("vehicles left", 0, ticks[-1], tuple((tick, short(tick)) for tick in ticks)),
        across=(needed, f"needed {needed:,}") if comparable else None,
    )


def _days(points: Sequence[SharedPoint]) -> tuple[tuple[float, str], ...]:
    return tuple((point.days, "today" if point.days == 0 else f"{point.days}") for point in points)


def _left(points: Sequence[SharedPoint], unknown: str) -> list[tuple[str, str, str]]:
    """Days, the vehicles left after them, and their share of today's."""
    today = points[0].vehicles if points else None
    return [
        (
            "today" if point.days == 0 else count(point.days, "day"),
            number(point.vehicles, unknown),
            brief_percent(point.vehicles / today) if today and point.vehicles is not None else "",
        )
        for point in points
    ]


def _race_told(points: Sequence[SharedPoint], unknown: str) -> str:
    told = "; ".join(
        f"{'today' if point.days == 0 else f'after {point.days} days'} {number(point.vehicles, unknown)}"
        for point in points
    )
    return f"Line of vehicles left: {told}"


def _sought(shared: Shared) -> list[_Sought]:
    found = _found(shared)
    own = [] if found is None else [_Sought("found here", f"1 in {_one_in(Fraction(*found))}", Fraction(*found))]
    return [
        *own,
        *(_Sought(_NAMES[line.name], f"1 in {_one_in(line.share)}", line.share) for line in LINES),
    ]


def _found(shared: Shared) -> tuple[int, int] | None:
    """Vehicles sought, and vehicles seen in all, where both are published and neither is none."""
    today = shared.points[0].vehicles if shared.points and shared.basis == "reads" else None
    seen = shared.vehicles_in_reads
    return None if not today or not seen or today > seen else (today, seen)


def _found_told(shared: Shared) -> str:
    found = _found(shared)
    if found is None:
        return "How many of the vehicles on the road are sought is not known here, or not told."
    today, seen = found
    interval = wilson(today, seen)
    low, high = (_one_in(Fraction(bound)) for bound in (interval.low, interval.high))
    return (
        f"Found here: {today:,} of {count(seen, 'vehicle')} in the reads, 1 in {_one_in(Fraction(today, seen))} (95% "
        f"interval 1 in {low} to 1 in {high}, if these reads are a fair sample)."
    )


def _one_in(share: Fraction) -> str:
    return f"{round(1 / share):,}" if share < Fraction(1, 10) else f"{float(1 / share):.1f}".removesuffix(".0")


def _worths(sought: Sequence[_Sought]) -> list[_Worth]:
    return [
        _Worth(
            f"1 in {round(1 / false):,}",
            f"{float(100 * (1 - false)):g}%",
            tuple(_worth(item.share, false) for item in sought),
        )
        for false in FALSE_SHARES
    ]


def _worth(prevalence: Fraction, false_share: Fraction) -> tuple[str, str]:
    right = predictive_value(prevalence, SENSITIVITY, 1 - false_share)
    return brief_percent(float(right)), false_to_one(1 / right - 1)


def _needed(prevalence: Fraction) -> tuple[str, str]:
    """How rare false alerts must be for every second alert to be right, and that as a specificity, rounded up."""
    false = 1 - specificity_needed(prevalence, SENSITIVITY)
    if false == 1:  # even if every vehicle that is not sought raises one
        return "any", ""
    digits = max(0, math.ceil(-math.log10(100 * false))) + 1
    return f"1 in {_one_in(false)}", f"{100 - math.floor(100 * false * 10**digits) / 10**digits:.{digits}f}%"


def _alerts(sought: Sequence[_Sought]) -> Chart:
    lines = [
        Line(
            item.name,
            tuple(
                Point(power, float(predictive_value(item.share, SENSITIVITY, 1 - false)))
                for power, false in enumerate(FALSE_SHARES, 1)
            ),
        )
        for item in sought
    ]
    ticks = tuple((power, f"{round(1 / false):,}") for power, false in enumerate(FALSE_SHARES, 1))
    return chart(
        lines,
        Axis("one false alert in so many vehicles that are not sought", 1, len(FALSE_SHARES), ticks),
        share_axis("alerts that are right"),
    )


def _alerts_told(sought: Sequence[_Sought]) -> str:
    told = "; ".join(
        f"{item.name} ({item.source}) " + ", ".join(_worth(item.share, false)[0] for false in FALSE_SHARES)
        for item in sought
    )
    return (
        f"Lines of the share of alerts that are right, with one false alert in 10, 100, 1,000, 10,000, 100,000: {told}"
    )
