"""Whether to start, why, and what numbers would change it.

- ``stop``: no vehicle is eligible.
- ``go``: as many vehicles as are needed will be left when the papers are done, the reads were looked at, and every step
  that is asked for could be judged.
- ``go-if``: anything else, under conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from anpr_share.feasibility.figures import Condition, Verdict
from anpr_share.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from anpr_share.feasibility.figures import Race, Settings, Step
    from anpr_share.feasibility.funnel import Passage

_UNJUDGED: Final[dict[str, tuple[Condition, str]]] = {
    "convicted": (
        "scope-unknown",
        "the profile maps neither convicted_on nor person_category, so nobody knows which rows are about convictions",
    ),
    "victim": (
        "victims-unknown",
        "the profile does not map person_category, so nobody knows which vehicles are victims'",
    ),
    "window": (
        "scope-unknown",
        "the profile maps no date of the offence, so nobody knows whether it is within the retention",
    ),
}
_COSTS: Final = {
    "offence": "naming more offences in the profile's [feasibility] would change that",
    "convicted": "taking suspects as well as convicted persons would change that, if the purpose allows it",
    "victim": "these stay out; complete person_category where it is missing",
    "window": "a longer retention, or later offences, would change that",
    "seen": "reads of more days, cameras or forces would change that",
    "often": "a smaller min_reads would change that, if so few reads are of use",
    "readable": "anpr-share check says what is wrong with these rows",
}


@dataclass(frozen=True, slots=True)
class Case:
    """What a verdict is about. ``reads`` says whether they were looked at."""

    passage: Passage
    race: Race
    settings: Settings
    today: date
    reads: bool

    @property
    def eligible(self) -> int:
        """The vehicles that pass every step."""
        return self.passage.funnel.eligible

    @property
    def left(self) -> int:
        """The vehicles that will be left when the papers are done."""
        return self.race.after(self.settings.paperwork_days)

    @property
    def window_costs(self) -> bool:
        """Whether a longer window would give more vehicles, today or when the papers are done."""
        expired = any(
            reason.code in {"ended-before", "end-unknown", "expired-only"} and reason.vehicles
            for step in self.passage.funnel.steps
            for reason in step.reasons
        )
        return expired or self.left < self.race.after(0)


def judge(case: Case) -> Verdict:
    """The verdict on a case."""
    if not case.eligible:
        return Verdict("stop", (), tuple(_why_nothing(case)), tuple(_changes(case)))
    conditions = tuple(dict.fromkeys(_conditions(case)))
    return Verdict("go-if" if conditions else "go", conditions, tuple(_reasons(case)), tuple(_changes(case)))


def _conditions(case: Case) -> Iterator[Condition]:
    needed = case.settings.vehicles_needed
    if case.left < needed:
        if case.left:
            yield "more-forces"
        if case.window_costs:
            yield "longer-window"
        if case.race.after(0) > case.left:
            yield "sooner"
        elif not case.left:
            yield "longer-window"
    if not case.reads:
        yield "look-at-reads"
    for step in _unjudged(case):
        if step.name in _UNJUDGED:
            yield _UNJUDGED[step.name][0]


def _unjudged(case: Case) -> list[Step]:
    return [step for step in case.passage.funnel.steps if not step.judged]


def _why_nothing(case: Case) -> Iterator[str]:
    funnel = case.passage.funnel
    yield f"no vehicle is left of {count(funnel.vehicles, 'vehicle')} in {count(funnel.rows, 'row')}"
    before = funnel.vehicles
    for step in funnel.steps:
        if before and not step.vehicles:
            yield f"the last of them fall out at the step {step.name}"
        before = step.vehicles


def _reasons(case: Case) -> Iterator[str]:
    settings, left = case.settings, case.left
    yield (
        f"{count(case.eligible, 'vehicle')} can be studied today, and after {count(settings.paperwork_days, 'day')} of "
        f"paperwork {left:,} will be left; {settings.vehicles_needed:,} are needed"
    )
    if not case.reads:
        yield "no reads were looked at, so nobody knows whether a camera saw these vehicles"
    for step in _unjudged(case):
        if step.name in _UNJUDGED:
            yield _UNJUDGED[step.name][1]


def _changes(case: Case) -> Iterator[str]:
    settings, left = case.settings, case.left
    needed = settings.vehicles_needed
    if case.eligible and left >= needed:
        yield _last_day(case, needed)
        return
    if left:
        forces = -(-needed // left)
        yield f"{forces:,} forces like this one would have {forces * left:,} vehicles left, and {needed:,} are needed"
    if case.race.after(0) > left:
        yield _last_day(case, needed if case.race.after(0) >= needed else 1)
    if case.eligible and not left and case.race.after(0) == 0:
        yield "no vehicle has data even today; reads of other days or cameras would change that"
    yield from _costliest(case)
    if rows := case.passage.nameless:
        yield (
            f"{count(rows, 'row')} would pass but for the plate, which is missing or not whole: "
            "completing plates gives more vehicles without any more rows"
        )


def _last_day(case: Case, vehicles: int) -> str:
    """Until when papers must be done for so many vehicles to be left; the race never gains any."""
    days = sum(1 for left in case.race.left if left >= vehicles) - 1
    if days + 1 == len(case.race.left):
        return f"{count(vehicles, 'vehicle')} will be left for more than {count(days, 'day')}"
    day = case.today + timedelta(days=days)
    what = f"{vehicles:,} vehicles" if vehicles > 1 else "any vehicle"
    return f"papers must be done by {day}, in {count(days, 'day')}, for {what} to be left"


def _costliest(case: Case) -> Iterator[str]:
    """The step at which most vehicles fall out, and what there would be without it."""
    judged = [step for step in case.passage.funnel.steps if step.judged]
    lost = {step.name: sum(reason.vehicles for reason in step.reasons) for step in judged}
    name = max(lost, key=lambda step: lost[step], default=None)
    if name is not None and lost[name]:
        advice = f"; {_COSTS[name]}" if name in _COSTS else ""
        yield (
            f"the step {name} costs most: {count(lost[name], 'vehicle')}; without it "
            f"{case.passage.without[name]:,} would be left today{advice}"
        )
