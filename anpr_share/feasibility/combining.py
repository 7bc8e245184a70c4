"""What several forces have shared of their checks, added up; and what the published figures of one or of many prove.

Guarantees: the true sum lies in every span, if each force's figures are true: a suppressed running total lies between
its published neighbours, and no guess is made. A vehicle that several forces seek or see is counted once by each, so a
sum may be more than there are vehicles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from anpr_share.feasibility.figures import MILESTONES, Code, Condition, Settings, Shared
from anpr_share.tables.profile import StepName

ALIKE: Final = ("steps", "offences", "min_reads", "retention", "timezone")
"""The settings that say what is counted: figures under different ones are not added."""


@dataclass(frozen=True, slots=True)
class Span:
    """A count that lies from ``low`` to ``high``, both included; ``high`` is None where nothing bounds it."""

    low: int
    high: int | None

    @property
    def exact(self) -> bool:
        """Whether there is one value that it can have."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class CombinedStep:
    """What is left after a step; ``judged`` is how many forces' extracts tell."""

    name: StepName
    judged: int
    rows: Span
    vehicles: Span


@dataclass(frozen=True, slots=True)
class CombinedPoint:
    """Vehicles left after so many days of paperwork."""

    days: int
    vehicles: Span


@dataclass(frozen=True, slots=True)
class PrevalenceSpan:
    """How many vehicles of how many that were seen are eligible: the least and the greatest share."""

    low: tuple[int, int]
    high: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Combined:
    """The sums over ``forces`` summaries, made from ``first_made`` to ``last_made``.

    ``needed`` vehicles must be left after ``paperwork_days``: the most that any of them asks for. ``after`` is how many
    are.
    """

    forces: int
    first_made: datetime
    last_made: datetime
    first: date
    last: date
    needed: int
    paperwork_days: int
    rows: Span
    vehicles: Span
    steps: tuple[CombinedStep, ...]
    curve: tuple[CombinedPoint, ...]
    after: Span
    reads: Span | None
    vehicles_in_reads: Span | None
    prevalence: PrevalenceSpan | None
    code: Code
    conditions: tuple[Condition, ...]


_UNKNOWN: Final = Span(0, None)


def verdict_on(shared: Shared) -> tuple[Code, tuple[Condition, ...]]:
    """The verdict that the published figures prove, whatever ``code`` and ``conditions`` say, but for ``stop``."""
    return _verdict([shared], shared.settings.vehicles_needed, shared.settings.paperwork_days)


def differing(settings: Sequence[Settings]) -> tuple[str, ...]:
    """The names of the settings that say what is counted, and are not the same in all."""
    return tuple(name for name in ALIKE if len({_meant(item, name) for item in settings}) > 1)


def _meant(settings: Settings, name: str) -> object:
    """A setting as it is gone by: offences in any order and case are the same."""
    if name == "offences" and settings.offences is not None:
        return frozenset(offence.casefold() for offence in settings.offences)
    return getattr(settings, name)


def combine(shared: Sequence[Shared]) -> Combined:
    """Add up what forces have shared, under settings that do not differ, and on one basis."""
    needed = max(item.settings.vehicles_needed for item in shared)
    days = max(item.settings.paperwork_days for item in shared)
    runs = [_left(item) for item in shared]
    code, conditions = _verdict(shared, needed, days)
    seen = _looked_at([item.vehicles_in_reads for item in shared], shared)
    return Combined(
        forces=len(shared),
        first_made=min(item.at for item in shared),
        last_made=max(item.at for item in shared),
        first=min(item.first for item in shared),
        last=max(item.last for item in shared),
        needed=needed,
        paperwork_days=days,
        rows=_sum(_known(item.rows) for item in shared),
        vehicles=_sum(_known(item.vehicles) for item in shared),
        steps=tuple(
            CombinedStep(
                step.name,
                sum(item.steps[place].judged for item in shared),
                _sum(run[place][0] for run in runs),
                _sum(run[place][1] for run in runs),
            )
            for place, step in enumerate(shared[0].steps)
        ),
        curve=tuple(CombinedPoint(day, _sum(_after(item, day) for item in shared)) for day in (0, *MILESTONES)),
        after=_sum(_after(item, days) for item in shared),
        reads=_looked_at([item.reads for item in shared], shared),
        vehicles_in_reads=seen,
        prevalence=_prevalence(_sum(_eligible(item) for item in shared), seen),
        code=code,
        conditions=conditions,
    )


def _known(count: int | None) -> Span:
    return _UNKNOWN if count is None else Span(count, count)


def _sum(spans: Iterable[Span]) -> Span:
    found = list(spans)
    highs = [span.high for span in found if span.high is not None]
    return Span(sum(span.low for span in found), sum(highs) if len(highs) == len(found) else None)


def _between(counts: Sequence[int | None]) -> list[Span]:
    """Counts that never rise: one that is None lies between the known ones before and after it."""
    spans, high = [], None
    for count in counts:
        high = count if count is not None else high
        spans.append(high)
    low, result = 0, []
    for count, top in zip(reversed(counts), reversed(spans), strict=True):
        low = count if count is not None else low
        result.append(Span(low, top))
    return result[::-1]


def _left(shared: Shared) -> list[tuple[Span, Span]]:
    """Rows and vehicles left after each step."""
    rows = _between([shared.rows, *(step.rows for step in shared.steps)])[1:]
    vehicles = _between([shared.vehicles, *(step.vehicles for step in shared.steps)])[1:]
    return list(zip(rows, vehicles, strict=True))


def _eligible(shared: Shared) -> Span:
    """The vehicles that pass every step: none exactly where the verdict says so."""
    if shared.code == "stop":
        return Span(0, 0)
    span = _left(shared)[-1][1] if shared.steps else _known(shared.vehicles)
    return Span(max(1, span.low), span.high)


def _after(shared: Shared, days: int) -> Span:
    """The vehicles left after so many days of paperwork."""
    if shared.points:
        spans = _between([point.vehicles for point in shared.points])
        low = next((span.low for point, span in zip(shared.points, spans, strict=True) if point.days >= days), 0)
        high = [span.high for point, span in zip(shared.points, spans, strict=True) if point.days <= days][-1]
        return Span(low, _eligible(shared).high if high is None else high)
    return Span(0, _eligible(shared).high)


def _looked_at(counts: Sequence[int | None], shared: Sequence[Shared]) -> Span | None:
    """The sum of what was looked at in reads; None if nobody looked at any."""
    used = [count for count, item in zip(counts, shared, strict=True) if item.basis == "reads"]
    return _sum(_known(count) for count in used) if used else None


def _prevalence(eligible: Span, seen: Span | None) -> PrevalenceSpan | None:
    if seen is None or not seen.low or seen.high is None or eligible.high is None:
        return None
    return PrevalenceSpan((eligible.low, seen.high), (min(eligible.high, seen.low), seen.low))


def _verdict(shared: Sequence[Shared], needed: int, days: int) -> tuple[Code, tuple[Condition, ...]]:
    if _sum(_eligible(item) for item in shared).high == 0:
        return "stop", ()
    after = _sum(_after(item, days) for item in shared)
    today = _sum(_after(item, 0) for item in shared)
    conditions: list[Condition] = []
    if after.high is not None and after.high < needed:
        goes = today.low > after.high
        conditions += ["more-forces"] if after.high else []
        conditions += ["longer-window"] if goes or any(_falls_out(item, "window") for item in shared) else []
        conditions += ["sooner"] if goes else []
    if any(item.basis == "offence-dates" for item in shared):
        conditions.append("look-at-reads")
    untold = {step.name for item in shared for step in item.steps if not step.judged}
    if untold & {"convicted", "window"}:
        conditions.append("scope-unknown")
    if "victim" in untold:
        conditions.append("victims-unknown")
    return "go" if after.low >= needed and not conditions else "go-if", tuple(conditions)


def _falls_out(shared: Shared, name: StepName) -> bool:
    """Whether the published figures show that vehicles fall out at this step."""
    place = next((i for i, step in enumerate(shared.steps) if step.name == name), None)
    if place is None:
        return False
    left = [shared.vehicles, *(step.vehicles for step in shared.steps)]
    before, after = left[place], left[place + 1]
    return before is not None and after is not None and before > after
