"""The report of ``feasibility`` for a person: the verdict, and then why, in exact figures for use inside the force."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from anpr_share.feasibility.base_rate import SENSITIVITY, SPECIFICITIES
from anpr_share.feasibility.figures import MILESTONES
from anpr_share.periods import Duration
from anpr_share.reports.feasibility_words import STEPS, false_to_one, verdict_lines
from anpr_share.reports.feasibility_words import reason as reason_text
from anpr_share.reports.terminal import Table
from anpr_share.words import brief_percent, count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from anpr_share.feasibility.figures import BaseRate, FeasibilityResult
    from anpr_share.reports.terminal import Line

_BAR: Final = 40
_CURVE_DAYS: Final = (0, 15, *MILESTONES, 240, 300, 366)
_MANY: Final = 10
"""From this part of all rows on, rows that cannot be read say that the profile is wrong, rather than the rows."""


def feasibility_lines(result: FeasibilityResult) -> list[Line]:
    """The verdict, the funnel, the race against deletion, and what an alert is worth."""
    return [
        *_verdict(result),
        "",
        *_funnel(result),
        "",
        *_race(result),
        "",
        *_worth(result.base_rate),
        "",
        "exact figures, for use inside the force: small ones can point at a person",
    ]


def specificity_text(specificity: Fraction) -> str:
    """A specificity with as many digits as tell it from 1, rounded up: ``0.9978``, ``0.999967``."""
    short = 1 - specificity
    digits = 1 - math.floor(math.log10(short)) if short else 0
    return f"{math.ceil(specificity * 10**digits) / 10**digits:.{digits}f}"


def _verdict(result: FeasibilityResult) -> Iterator[Line]:
    verdict = result.verdict
    yield from verdict_lines(verdict.code, verdict.conditions)
    for reason in verdict.reasons:
        yield f"  why     {reason}"
    for change in verdict.changes:
        yield f"  change  {change}"
    unreadable = sum(reason.rows for reason in result.funnel.steps[0].reasons)
    unread = {
        "targets": (unreadable, result.funnel.rows),
        "reads": (result.rejected, result.rejected + (result.reads or 0)),
    }
    for table, (rows, of) in unread.items():
        if rows * _MANY > of:
            yield (
                f"note: {rows:,} of {count(of, 'row')} of the {table} cannot be read: does the profile fit? anpr-share "
                "check says what is wrong"
            )


def _funnel(result: FeasibilityResult) -> Iterator[Line]:
    funnel, looked_at = result.funnel, result.settings
    rows: list[tuple[str | int, ...]] = [("targets", funnel.rows, funnel.vehicles)]
    for number, step in enumerate(funnel.steps, 1):
        rows += [(f"    {reason_text(reason.code)}", -reason.rows, -reason.vehicles) for reason in step.reasons]
        name = f"{number} {STEPS[step.name]}" + ("" if step.judged else " (cannot be told)")
        rows.append((name, step.rows, step.vehicles))
    yield Table(("step, and above it what falls out", "rows", "vehicles"), rows)
    if funnel.several:
        cells = f"{count(funnel.several, 'cell')} with {funnel.plates:,} plates in all"
        yield f"{cells} were split, so vehicles may outnumber rows"
    kept = Duration.parse(looked_at.retention).words
    yield f"retention: {kept}, so from {result.first} to {result.last} ({looked_at.timezone})"
    if result.reads is not None:
        expired = f", {result.expired:,} of them expired" if result.expired else ""
        span = f" of {result.reads_first} to {result.reads_last}" if result.reads_first is not None else ""
        yield f"reads: {result.reads:,}{span}{expired}; enough are {looked_at.min_reads:,} of a vehicle"
        if result.rejected:
            yield f"{count(result.rejected, 'row')} more failed the checks of reads, and anpr-share check says why"
    if result.during is not None:
        yield f"vehicles with a read during the offence: {result.during:,}"
    yield (
        f"needed: {count(looked_at.vehicles_needed, 'vehicle')} after {count(looked_at.paperwork_days, 'day')} of "
        "paperwork; [feasibility] in the targets' profile sets this, retention and steps"
    )


def _race(result: FeasibilityResult) -> Iterator[Line]:
    race = result.race
    by = "their reads" if race.basis == "reads" else "the dates of the offences alone"
    yield f"vehicles left after days of paperwork, by {by}"
    most = race.after(0)
    if most == 0:
        yield "    none even today"
        return
    papers = result.settings.paperwork_days
    for days in sorted({*_CURVE_DAYS, papers}):
        vehicles = race.after(days)
        bar = "#" * -(-vehicles * _BAR // most)
        mark = "  signed" if days == papers else ""
        yield f"{days:>5}  {result.last + timedelta(days=days)}  {bar:<{_BAR}}  {vehicles:>9,}{mark}"
    if race.first_loss is not None and race.worst is not None:
        yield (
            f"the first is lost on {race.first_loss}; most are lost on {race.worst.on}, "
            f"in {count(race.worst.after, 'day')}: {count(race.worst.vehicles, 'vehicle')}"
        )
    if race.reads is not None:
        yield f"a start today keeps {count(race.reads, 'read')} of these vehicles"


def _worth(found: BaseRate) -> Iterator[Line]:
    yield "what an alert is worth if a method finds 90% of those sought (--json has more)"
    rows: list[tuple[str, ...]] = []
    for line in found.prevalences:
        alerts = [alert for alert in found.alerts if alert.prevalence == line.name and alert.sensitivity == SENSITIVITY]
        (needed,) = (
            item.specificity
            for item in found.needed
            if item.prevalence == line.name and item.sensitivity == SENSITIVITY
        )
        rows.append(
            (f"{line.name}: right", *(brief_percent(float(alert.ppv)) for alert in alerts), specificity_text(needed))
        )
        rows.append(("    false for a true one", *(false_to_one(alert.false_per_true) for alert in alerts), ""))
    yield Table(("specificity", *(str(float(item)) for item in SPECIFICITIES), "half right at"), rows)
    yield "specificity: the share of the vehicles not sought that the method leaves alone"
    for line in found.prevalences:
        yield f"{line.name}: {line.text}"
