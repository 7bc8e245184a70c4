"""A force's signed summary of a feasibility check: what may be shared of it, for other forces to add up.

Guarantees: a parsed summary was signed by the police identity that it holds, which proves nothing about the
organisation until its fingerprint is compared; each of its counts is 0 or at least its ``small_below``, and so is each
difference between published totals, and what published reasons leave of one; what is published whole adds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from anpr_share.documents import envelope as dsse
from anpr_share.documents.identity import Identity
from anpr_share.documents.model import (
    Base64,
    BundleId,
    Count,
    Day,
    Document,
    DurationText,
    FormatVersion,
    Identifier,
    ShortText,
    UtcTime,
    ZoneName,
    read,
)
from anpr_share.errors import FormatError
from anpr_share.wording import may_identify

KIND = "feasibility-summary"
_MAX_BYTES = 1024 * 1024

StepName = Literal["readable", "offence", "convicted", "has-vrm", "whole-vrm", "victim", "window", "seen", "often"]
Condition = Literal["more-forces", "longer-window", "sooner", "look-at-reads", "victims-unknown", "scope-unknown"]
Milestone = Literal[0, 30, 60, 90, 120, 180]
MILESTONES: tuple[Milestone, ...] = (0, 30, 60, 90, 120, 180)


def _sayable(value: str) -> str:
    if may_identify(value):
        raise ValueError("holds what may be a plate or a token")
    return value


class SummarySettings(Document):
    """The rules that the check went by. ``offences`` is null where all are in scope."""

    steps: Annotated[tuple[StepName, ...], Field(min_length=1, max_length=9)]
    offences: (
        Annotated[tuple[Annotated[ShortText, AfterValidator(_sayable)], ...], Field(min_length=1, max_length=100)]
        | None
    )
    min_reads: Annotated[int, Field(ge=1, le=1000)]
    retention: DurationText
    timezone: ZoneName
    vehicles_needed: Annotated[int, Field(ge=1, le=1_000_000)]
    paperwork_days: Annotated[int, Field(ge=0, le=365)]
    small_below: Annotated[int, Field(ge=5, le=1000)]


class SummaryReason(Document):
    """Why rows, and vehicles with them, fall out at a step; null where a count is suppressed."""

    code: Identifier
    rows: Count | None
    vehicles: Count | None


class SummaryStep(Document):
    """What is left after a step, and what fell out; ``judged`` is false where the extract does not tell."""

    name: StepName
    judged: bool
    rows: Count | None
    vehicles: Count | None
    reasons: Annotated[tuple[SummaryReason, ...], Field(max_length=32)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({reason.code for reason in self.reasons}) < len(self.reasons):
            raise ValueError("a reason is listed twice")
        if not self.judged and any(reason.rows != 0 or reason.vehicles != 0 for reason in self.reasons):
            raise ValueError("something falls out at a step that was not judged")
        return self


class SummaryPoint(Document):
    """Vehicles left after so many days of paperwork; null where the count is suppressed."""

    days: Milestone
    vehicles: Count | None


class FeasibilitySummary(Document):
    """The payload of a feasibility summary. ``at`` is the time of the check, ``created`` that of the summary."""

    format: FormatVersion
    id: BundleId
    identity: Base64
    created: UtcTime
    at: UtcTime
    first: Day
    last: Day
    settings: SummarySettings
    reads: Count | None
    vehicles_in_reads: Count | None
    rows: Count | None
    vehicles: Count | None
    steps: tuple[SummaryStep, ...]
    basis: Literal["reads", "offence-dates"]
    points: tuple[SummaryPoint, ...]
    code: Literal["go", "go-if", "stop"]
    conditions: tuple[Condition, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.first > self.last or self.at > self.created:
            raise ValueError("must not end before it begins, nor be made before the check")
        names = tuple(step.name for step in self.steps)
        if names != self.settings.steps or len(set(names)) < len(names):
            raise ValueError("steps are not those of the settings, each once")
        if self.basis != "reads" and (self.reads is not None or self.vehicles_in_reads is not None):
            raise ValueError("reads are counted where none were looked at")
        if len(set(self.conditions)) < len(self.conditions):
            raise ValueError("a condition is listed twice")
        if any(0 < count < self.settings.small_below for count in self._counts()):
            raise ValueError("a small count is published")
        self._check_reads()
        self._check_funnel()
        self._check_points()
        return self

    def _counts(self) -> Iterator[int]:
        items = [self, *self.steps, *(reason for step in self.steps for reason in step.reasons)]
        found = [self.reads, self.vehicles_in_reads, *(point.vehicles for point in self.points)]
        for item in items:
            found += [item.rows, item.vehicles]  # type: ignore[attr-defined] # each of them has both
        return (count for count in found if count is not None)

    def _check_reads(self) -> None:
        """Reads are told where they bound no vehicles, and no vehicle is left that no read was of."""
        least = max(self.vehicles or 0, 2 * self.settings.small_below)
        if 0 < (self.vehicles_in_reads or least) < least:
            raise ValueError("fewer vehicles are in the reads than may be told")
        if 0 < (self.reads or least * self.settings.min_reads) < least * self.settings.min_reads:
            raise ValueError("fewer reads are there than may be told")
        if self.reads is not None and (self.vehicles_in_reads or 0) > self.reads:
            raise ValueError("more vehicles are in the reads than there are reads")

    def _check_funnel(self) -> None:
        if (self.code == "stop") is not (self.steps[-1].vehicles == 0):
            raise ValueError("the verdict is stop exactly where no vehicle is left")
        if (self.rows is None) is not (self.vehicles is None):
            raise ValueError("rows and vehicles are published together, or neither")
        self._check_sums(
            [self.rows, *(step.rows for step in self.steps)], [[r.rows for r in s.reasons] for s in self.steps]
        )
        self._check_sums(
            [self.vehicles, *(step.vehicles for step in self.steps)],
            [[reason.vehicles for reason in step.reasons] for step in self.steps],
        )

    def _check_sums(self, totals: Sequence[int | None], fallen: Sequence[Sequence[int | None]]) -> None:
        """Between two published totals falls out what the reasons say, or what they suppress is not small."""
        if totals[0] is None:
            if any(count is not None for count in totals[:-1]) or totals[-1] or any(fallen):
                raise ValueError("something is published of a check that is too small for its totals")
            return
        before, told, hidden = totals[0], 0, False
        for after, reasons in zip((*totals[1:], None), (*fallen, ()), strict=True):
            told += sum(count for count in reasons if count is not None)
            hidden = hidden or None in reasons
            if after is None:
                continue
            self._check_rest(before - after - told, hidden=hidden)
            before, told, hidden = after, 0, False
        if totals[-1] is None:
            self._check_rest(before - told, hidden=True)

    def _check_rest(self, rest: int, *, hidden: bool) -> None:
        if rest < 0 or (rest > 0) is not hidden or 0 < rest < self.settings.small_below:
            raise ValueError("totals and what falls out do not add up, or leave a small count")

    def _check_points(self) -> None:
        if not self.points:
            return
        if tuple(point.days for point in self.points) != MILESTONES:
            raise ValueError("points are not those of the milestones")
        left = [self.steps[-1].vehicles, *(point.vehicles for point in self.points)]
        if left[0] is None:
            raise ValueError("points are published, and today's vehicles are not")
        known = [count for count in left if count is not None]
        if any(before < after or 0 < before - after < self.settings.small_below for before, after in pairwise(known)):
            raise ValueError("points rise, or differ by a small count")


def parse(data: bytes) -> tuple[FeasibilitySummary, Identity, dsse.Envelope]:
    """Parse a summary and check its signature by the identity that it holds.

    Raises :class:`FormatError`, and :class:`VerificationError` if the signature does not hold.
    """
    envelope = dsse.parse(data, KIND, limit=_MAX_BYTES)
    document = read(FeasibilitySummary, envelope)
    identity = Identity.parse(dsse.from_base64(document.identity))
    dsse.verify(envelope, identity.signing)
    if identity.role != "police":
        raise FormatError("the summary was not made by a force", hint="only forces make feasibility summaries")
    return document, identity, envelope
