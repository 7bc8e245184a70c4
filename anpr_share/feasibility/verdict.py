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
    from anpr_share.tables.profile import StepName

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
_ADVICE: Final = {
    "readable": "anpr-share check says what is wrong with these rows",
    "offence": "more offences in the profile's [feasibility] would bring them in",
    "convicted": "whether suspects may be studied too is for the purpose to say",
    "victim": "victims stay out, but person_category can be completed where it is missing",
    "window": "a longer retention or later offences would bring them in",
    "seen": "reads of more days, cameras or forces would bring them in",
    "often": "a smaller min_reads would bring them in, if so few reads are of use",
}
_OLD: Final = frozenset({"ended-before", "end-unknown", "expired-only"})
"""Reasons that a longer window would end."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a verdict is about.

    ``reads`` says whether they were looked at, and ``during`` how many eligible vehicles have one during their offence,
    None if nothing tells.
    """

    passage: Passage
    race: Race
    settings: Settings
    today: date
    reads: bool
    during: int | None

    @property
    def eligible(self) -> int:
        """The vehicles that pass every step."""
        return self.passage.funnel.eligible

    @property
    def left(self) -> int:
        """The vehicles that will be left when the papers are done."""
        return self.race.after(self.settings.paperwork_days)

    @property
    def too_old(self) -> int:
        """The vehicles that fall out because what there is of them is older than the window."""
        reasons = (reason for step in self.passage.funnel.steps for reason in step.reasons)
        return sum(reason.vehicles for reason in reasons if reason.code in _OLD)


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
        if case.race.after(0) > case.left:
            yield "sooner"
        if case.too_old or case.race.after(0) > case.left or not case.left:
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
    today = case.race.after(0)
    there = "" if today == case.eligible else f", {today:,} with data today"
    yield (
        f"{count(case.eligible, 'vehicle')} of the log can be studied{there}; after "
        f"{count(settings.paperwork_days, 'day')} of paperwork {left:,} will be left, and {settings.vehicles_needed:,} "
        "are needed"
    )
    if not case.reads:
        yield "no reads were looked at, so nobody knows whether a camera saw these vehicles"
    if case.during == 0:
        yield "none of them was read during its offence: there is only where they drove at other times"
    for step in _unjudged(case):
        if step.name in _UNJUDGED:
            yield _UNJUDGED[step.name][1]


def _changes(case: Case) -> Iterator[str]:
    left, needed = case.left, case.settings.vehicles_needed
    if case.eligible and left >= needed:
        yield _last_day(case, needed)
        return
    if left:
        forces = -(-needed // left)
        yield f"{forces:,} forces like this one would have {forces * left:,} vehicles left, and {needed:,} are needed"
    if case.race.after(0) > left:
        yield _last_day(case, needed if case.race.after(0) >= needed else 1)
    yield from _steps(case)
    if old := case.too_old:
        yield f"what there is of {count(old, 'vehicle')} is older than the retention: a longer one may bring them in"
    if rows := case.passage.nameless:
        yield f"{count(rows, 'row')} would go on if the plate were there and whole: their logs may be worth a look"


def _last_day(case: Case, vehicles: int) -> str:
    """Until when papers must be done for so many vehicles to be left; the race never gains any."""
    days = sum(1 for left in case.race.left if left >= vehicles) - 1
    what = f"{vehicles:,} vehicles" if vehicles > 1 else "any vehicle"
    if days + 1 == len(case.race.left):
        return f"nothing here says when {what} will be gone"
    return f"for {what} to be left, papers must be done by {case.today + timedelta(days=days)}: {count(days, 'day')}"


def _steps(case: Case) -> Iterator[str]:
    """The step that costs most vehicles, and the one without which most would be left."""
    judged = [step for step in case.passage.funnel.steps if step.judged]
    lost = {step.name: sum(reason.vehicles for reason in step.reasons) for step in judged}
    without = case.passage.without
    costliest = max(lost, key=lambda name: lost[name])
    best = max(lost, key=lambda name: without[name])
    if lost[costliest]:
        yield (
            f"the step {costliest} costs most, {count(lost[costliest], 'vehicle')}; "
            f"without it {_left_without(case, costliest)}"
        )
    if best != costliest and without[best] > max(case.eligible, without[costliest]):
        yield f"without the step {best} {_left_without(case, best)}"


def _left_without(case: Case, step: StepName) -> str:
    vehicles = case.passage.without[step]
    if vehicles == case.eligible:
        return f"{vehicles:,} would be left all the same, for they fail others too"
    advice = f": {_ADVICE[step]}" if step in _ADVICE else ""
    return f"{vehicles:,} would be left today{advice}"
