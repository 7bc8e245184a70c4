"""The results of a feasibility check, exact and as they may be shared.

Guarantees: no plate, no reference and no name in any of them: counts, dates and the names of steps and reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Final, Literal

from anpr_share.tables.profile import StepName

Basis = Literal["reads", "offence-dates"]
"""What says that there are data of a vehicle: its reads, or, without any, that its offence lies in the window."""

Code = Literal["go", "go-if", "stop"]

Condition = Literal["more-forces", "longer-window", "sooner", "look-at-reads", "victims-unknown", "scope-unknown"]
"""Under what a start makes sense: more forces; a longer window; less paperwork; the reads must be looked at; it must be
known which vehicles are victims'; it must be known which rows are about convictions in scope."""

MILESTONES: Final = (30, 60, 90, 120, 180)
"""Days of paperwork that people ask about."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows, and vehicles with them, fall out at a step."""

    code: str
    rows: int
    vehicles: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what is left after it, and what fell out, each row and vehicle under the first reason that holds.

    ``judged`` is False where the extract does not tell: then nothing falls out. What was left before the step is what
    is left after it and what fell out together.
    """

    name: StepName
    judged: bool
    rows: int
    vehicles: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Funnel:
    """Every row of the targets, step by step.

    A row is left while one of its plates is (or, before plates are asked for, the row itself); a vehicle while one of
    the rows that name it is. ``several`` cells hold several plates, ``plates`` together.
    """

    rows: int
    vehicles: int
    several: int
    plates: int
    steps: tuple[Step, ...]

    @property
    def eligible(self) -> int:
        """The vehicles that pass every step."""
        return self.steps[-1].vehicles if self.steps else self.vehicles


@dataclass(frozen=True, slots=True)
class Loss:
    """The day of paperwork that costs most: how many days from today, its date, the vehicles that it loses."""

    after: int
    on: date
    vehicles: int


@dataclass(frozen=True, slots=True)
class Race:
    """What deletion leaves while papers are written.

    ``left[d]`` is how many of the vehicles that are eligible today would still be after ``d`` days, counting what the
    extracts hold now; it ends at the first 0, or after 366 days. ``reads`` is how many reads of them a start today
    keeps, None where no reads were looked at; ``first_loss`` is when the first vehicle goes.
    """

    basis: Basis
    left: tuple[int, ...]
    reads: int | None
    worst: Loss | None
    first_loss: date | None

    def after(self, days: int) -> int:
        """The vehicles left after so many days."""
        return self.left[days] if days < len(self.left) else 0


@dataclass(frozen=True, slots=True)
class Prevalence:
    """One vehicle sought in so many: ``found`` here, or a line to compare with."""

    name: Literal["found", "vans-2019", "live-cases"]
    share: Fraction
    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """What an alert is worth: the chance that it is right, and the false alerts for each true one."""

    prevalence: str
    sensitivity: Fraction
    specificity: Fraction
    ppv: Fraction
    false_per_true: Fraction


@dataclass(frozen=True, slots=True)
class Needed:
    """The specificity at which every second alert is right."""

    prevalence: str
    sensitivity: Fraction
    specificity: Fraction


@dataclass(frozen=True, slots=True)
class BaseRate:
    """Alerts over a grid of prevalence, sensitivity and specificity."""

    vehicles: int | None
    """The vehicles in the reads."""
    prevalences: tuple[Prevalence, ...]
    alerts: tuple[Alert, ...]
    needed: tuple[Needed, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to start. ``conditions`` hold no number; ``reasons`` and ``changes`` say exact ones, for the force."""

    code: Code
    conditions: tuple[Condition, ...]
    reasons: tuple[str, ...]
    changes: tuple[str, ...]
    """What numbers would change it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The rules that a check went by, from the profile's ``[feasibility]``."""

    steps: tuple[StepName, ...]
    offences: tuple[str, ...] | None
    min_reads: int
    retention: str
    timezone: str
    vehicles_needed: int
    paperwork_days: int
    small_below: int


@dataclass(frozen=True, slots=True)
class FeasibilityResult:
    """A feasibility check. ``first`` and ``last`` are the first and the last day of the retention window today.

    ``reads`` is how many reads were looked at, None if none were given, from ``reads_first`` to ``reads_last``; of them
    ``expired`` are older than the window. Rows that fail the checks of reads are no reads: ``rejected`` of them.
    ``during`` is how many eligible vehicles have a read during their offence.
    """

    at: datetime
    first: date
    last: date
    settings: Settings
    reads: int | None
    during: int | None
    funnel: Funnel
    race: Race
    base_rate: BaseRate
    verdict: Verdict
    expired: int = 0
    rejected: int = 0
    reads_first: date | None = None
    reads_last: date | None = None


@dataclass(frozen=True, slots=True)
class SharedReason:
    """A `Reason` as it may be shared: None where a count is suppressed."""

    code: str
    rows: int | None
    vehicles: int | None


@dataclass(frozen=True, slots=True)
class SharedStep:
    """A `Step` as it may be shared."""

    name: StepName
    judged: bool
    rows: int | None
    vehicles: int | None
    reasons: tuple[SharedReason, ...]


@dataclass(frozen=True, slots=True)
class SharedPoint:
    """Vehicles left after so many days of paperwork; None where the count is suppressed."""

    days: int
    vehicles: int | None


@dataclass(frozen=True, slots=True)
class Shared:
    """What may be shared of a feasibility check: no count from 1 to ``settings.small_below`` - 1, and none from which
    such a count could be worked out. ``points`` are today (0) and the milestones; empty if today's count is suppressed.
    """

    at: datetime
    first: date
    last: date
    settings: Settings
    reads: int | None
    vehicles_in_reads: int | None
    rows: int | None
    vehicles: int | None
    steps: tuple[SharedStep, ...]
    basis: Basis
    points: tuple[SharedPoint, ...]
    code: Code
    conditions: tuple[Condition, ...]
