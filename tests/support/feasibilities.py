"""Feasibility checks as they may be shared: as they come in practice, and at their ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final

from anpr_share.feasibility.figures import (
    MILESTONES,
    Settings,
    Shared,
    SharedPoint,
    SharedReason,
    SharedStep,
)
from anpr_share.tables.profile import STEPS, StepName

SETTINGS: Final = Settings(
    steps=STEPS,
    offences=("modern slavery", "holding in slavery", "human trafficking"),
    min_reads=2,
    retention="P12M",
    timezone="Europe/London",
    vehicles_needed=30,
    paperwork_days=90,
    small_below=10,
)
_Counted = tuple[str, int | None, int | None]


def step(name: StepName, vehicles: int | None, rows: int | None, *reasons: _Counted) -> SharedStep:
    return SharedStep(name, True, rows, vehicles, tuple(SharedReason(code, r, v) for code, v, r in reasons))


def points(*vehicles: int | None) -> tuple[SharedPoint, ...]:
    return tuple(SharedPoint(days, number) for days, number in zip((0, *MILESTONES), vehicles, strict=True))


def usual() -> Shared:
    """One force with reads: enough today, too few after the papers, some counts left out."""
    return Shared(
        at=datetime(2026, 11, 30, 9, 12, tzinfo=UTC),
        first=date(2025, 12, 1),
        last=date(2026, 11, 30),
        settings=SETTINGS,
        reads=48_211_904,
        vehicles_in_reads=1_204_377,
        rows=1_460,
        vehicles=1_118,
        steps=(
            step("readable", 1_096, 1_431, ("date-unreadable", 12, 17), ("category-unknown", None, 12)),
            step("offence", 812, 1_040, ("offence-other", 261, 364), ("offence-missing", 23, 27)),
            step("convicted", 407, 533, ("nobody-convicted", 405, 507)),
            step("has-vrm", 407, 421, ("vrm-missing", 0, 112)),
            step("whole-vrm", 388, 402, ("vrm-partial", None, None), ("vrm-malformed", None, None)),
            step("victim", 329, 341, ("victim", 44, 46), ("category-missing", 15, 15)),
            step(
                "window",
                96,
                101,
                ("ended-before", 188, 193),
                ("dates-missing", 21, 22),
                ("end-unknown", 13, 14),
                ("begins-later", None, None),
                ("dates-reversed", None, None),
            ),
            step("seen", 64, 67, ("not-in-reads", 32, 34)),
            step("often", 51, 53, ("too-few-reads", 13, 14)),
        ),
        basis="reads",
        points=points(51, 43, 34, 27, 19, None),
        code="go-if",
        conditions=("more-forces", "sooner"),
    )


def going() -> Shared:
    """Enough, now and later."""
    return replace(usual(), points=points(341, 322, 297, 260, 212, 131), code="go", conditions=())


def without_reads() -> Shared:
    """Only the targets were looked at: nothing is known of the reads, and much is not judged."""
    found = usual()
    steps = (
        found.steps[0],
        *(SharedStep(name, False, 1_431, 1_096, ()) for name in ("offence", "convicted")),
        step("has-vrm", 1_096, 1_187, ("vrm-missing", 0, 244)),
        step("whole-vrm", 1_051, 1_133, ("vrm-partial", 34, 41), ("vrm-malformed", 11, 13)),
        SharedStep("victim", False, 1_133, 1_051, ()),
        step("window", 96, 101, ("ended-before", 921, 996), ("dates-missing", 21, 22), ("end-unknown", 13, 14)),
    )
    return replace(
        found,
        reads=None,
        vehicles_in_reads=None,
        steps=steps,
        settings=replace(SETTINGS, offences=None, steps=tuple(item.name for item in steps)),
        basis="offence-dates",
        points=points(96, 84, 71, 52, 40, 22),
        conditions=("look-at-reads", "victims-unknown", "scope-unknown", "longer-window"),
    )


def nothing() -> Shared:
    """What the study of 2019 found: no vehicle at all."""
    found = usual()
    steps = tuple(
        replace(item, rows=0, vehicles=0, reasons=()) if item.name in {"window", "seen", "often"} else item
        for item in found.steps
    )
    return replace(found, steps=steps, points=points(0, 0, 0, 0, 0, 0), code="stop", conditions=("longer-window",))


def silent() -> Shared:
    """Everything is left out."""
    found = usual()
    steps = tuple(
        SharedStep(
            item.name, True, None, None, tuple(replace(reason, rows=None, vehicles=None) for reason in item.reasons)
        )
        for item in found.steps
    )
    return replace(
        found,
        reads=None,
        vehicles_in_reads=None,
        rows=None,
        vehicles=None,
        steps=steps,
        points=(),
        code="stop",
        conditions=("more-forces",),
    )


def huge() -> Shared:
    """The greatest numbers, every condition, and as many offences as a profile may name."""
    found = usual()
    codes = (
        ("cells", "log-missing", "offence-form", "date-unreadable", "category-unknown", "grade-unknown"),
        ("offence-missing", "offence-other"),
        ("nobody-convicted",),
        ("vrm-missing",),
        ("vrm-partial", "vrm-malformed"),
        ("victim", "category-missing"),
        ("dates-missing", "ended-before", "end-unknown", "begins-later", "dates-reversed"),
        ("not-in-reads", "expired-only"),
        ("too-few-reads",),
    )
    steps = tuple(
        step(name, 41_000_000 - place, 987_654_321 - place, *((code, 12_345_678, 123_456_789) for code in own))
        for place, (name, own) in enumerate(zip(STEPS, codes, strict=True))
    )
    return replace(
        found,
        reads=999_999_999_999,
        vehicles_in_reads=41_000_000,
        rows=999_999_999,
        vehicles=41_000_001,
        steps=steps,
        points=points(40_999_992, 31_234_567, 31_234_567, None, None, 12_345_678),
        settings=replace(
            SETTINGS,
            offences=tuple(f"offence of the kind {number}" for number in range(100)),
            min_reads=1000,
            small_below=1000,
            paperwork_days=365,
        ),
        conditions=(
            "more-forces",
            "longer-window",
            "sooner",
            "look-at-reads",
            "victims-unknown",
            "scope-unknown",
        ),
    )


def one_vehicle() -> Shared:
    """One vehicle in the reads, and it is sought: as many as there are."""
    return replace(
        usual(), vehicles_in_reads=10, points=points(10, 10, 10, 10, 10, 0), settings=replace(SETTINGS, small_below=5)
    )


def unknown_words() -> Shared:
    """Reasons that this version has no words for, and texts that would break a page."""
    found = usual()
    strange = SharedReason("<script>alert(1)</script>", 12, 11)
    steps = (
        SharedStep("readable", True, 77, 66, (strange,)),
        SharedStep("seen", True, 77, 66, (SharedReason("not-yet-known", 15, 14),)),
    )
    settings = replace(SETTINGS, offences=("</style><script>x</script>", "{{ 7 * 7 }}", "<b>not-yet\u202e</b>"))
    return replace(found, steps=steps, settings=settings)


STORIES: Final = {
    "usual": usual,
    "going": going,
    "without-reads": without_reads,
    "nothing": nothing,
    "silent": silent,
    "huge": huge,
    "one-vehicle": one_vehicle,
    "unknown-words": unknown_words,
}
