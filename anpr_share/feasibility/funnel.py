"""What falls out of a targets extract on the way to vehicles that can be studied, and why.

An *entry* is a row of the extract with one of its plates, or the row itself if it has none. Each step removes entries;
a row falls out with its last entry, a vehicle with the last entry that names it, under the first of the step's reasons
that hold for those.

Guarantees:

- Rows and vehicles add up: what is left before a step is what is left after it and what fell out at it, by reason.
- Whichever order the steps are taken in, the same entries are left at the end.
- What the extract does not tell removes nothing, and the step says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from anpr_share.feasibility.figures import Funnel, Reason, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from anpr_share.periods import Window
    from anpr_share.tables.profile import StepName

REASONS: Final[Mapping[StepName, tuple[str, ...]]] = {
    "readable": ("cells", "log-missing", "offence-form", "date-unreadable", "category-unknown", "grade-unknown"),
    "offence": ("offence-missing", "offence-other"),
    "convicted": ("nobody-convicted",),
    "has-vrm": ("vrm-missing",),
    "whole-vrm": ("vrm-partial", "vrm-malformed"),
    "victim": ("victim", "category-missing"),
    "window": ("dates-missing", "dates-reversed", "ended-before", "end-unknown", "begins-later"),
    "seen": ("not-in-reads", "expired-only"),
    "often": ("too-few-reads",),
}
"""Why entries fall out at each step, in the order in which the reasons are tried."""

_NEEDS: Final[Mapping[StepName, tuple[str, ...]]] = {
    "convicted": ("convicted_on", "person_category"),
    "victim": ("person_category",),
    "window": ("offence_from", "offence_to"),
    "seen": ("live",),
    "often": ("live",),
}
"""The columns of which a step needs one; a step that is not here needs none."""

_TEXTS: Final = ("person_category",)
_READS_STEPS: Final = frozenset({"seen", "often"})
_PLATE_STEPS: Final = frozenset({"has-vrm", "whole-vrm"})
_BASE: Final = 32  # more than a step has reasons


@dataclass(frozen=True, slots=True)
class Rules:
    """What the steps go by.

    ``offences`` are in scope, None for all; ``window`` runs from the oldest day that is kept to today.
    """

    steps: tuple[StepName, ...]
    offences: tuple[str, ...] | None
    min_reads: int
    window: Window


@dataclass(frozen=True, slots=True)
class Passage:
    """What came of it.

    ``eligible`` are the entries that pass every step, with the columns that they came with. ``without`` says how many
    vehicles would pass if a step were not asked for; for ``seen``, if none were asked of reads. ``nameless`` rows fail
    nothing but that they have no whole plate.
    """

    funnel: Funnel
    eligible: pl.DataFrame
    without: Mapping[StepName, int]
    nameless: int


def pass_through(entries: pl.DataFrame, rules: Rules) -> Passage:
    """Take every entry through the steps.

    Args:
        entries: ``row`` (UInt64, another for each row of the extract), ``status`` and ``vehicle`` (String: what vrm-1
            says of the plate; vehicle is null unless the status is ``ok``), ``unread`` (String: why the row cannot be
            read, null if it can) and ``offence`` (String, null where missing). What the extract has of
            ``convicted_on``, ``offence_from``, ``offence_to`` (Date) and ``person_category`` (String); and, if reads
            were looked at, ``live`` and ``expired`` (integers): the vehicle's reads within the window, and before it.
        rules: the steps, and what they go by.
    """
    judged = tuple(step for step in rules.steps if _is_judged(step, entries.columns))
    failed = entries.select(
        "row", "vehicle", *(_reason(step, entries.columns, rules).alias(f"step:{step}") for step in judged)
    )
    passes = {step: pl.col(f"step:{step}").is_null() for step in judged}
    funnel = _count(failed, rules.steps, judged)
    several = entries.group_by("row").len("plates").filter(pl.col("plates") > 1)["plates"]
    return Passage(
        Funnel(funnel.rows, funnel.vehicles, several.len(), int(several.sum()), funnel.steps),
        entries.filter(failed.select(_all(passes.values())).to_series()),
        {step: _without(failed, passes, step) for step in judged},
        _nameless(failed, passes),
    )


def _is_judged(step: StepName, columns: Sequence[str]) -> bool:
    return step not in _NEEDS or not set(_NEEDS[step]).isdisjoint(columns)


def _count(failed: pl.DataFrame, steps: Sequence[StepName], judged: Sequence[StepName]) -> Funnel:
    """The funnel but for the cells with several plates."""
    # An entry falls at its first step that fails; what it belongs to falls at the last of these, under the first reason
    # that its entries have there. One number says both: the step counts up, the reason down.
    numbers = {
        step: {reason: _BASE * (at + 1) - rank for rank, reason in enumerate(REASONS[step])}
        for at, step in enumerate(judged)
    }
    never = _BASE * (len(judged) + 1)
    falls = [
        pl.col(f"step:{step}").replace_strict(found, default=None, return_dtype=pl.UInt16)
        for step, found in numbers.items()
    ]
    fallen = failed.select("row", "vehicle", at=pl.coalesce(*falls, pl.lit(never, dtype=pl.UInt16)))
    rows, vehicles = _fall(fallen, "row"), _fall(fallen, "vehicle")
    left = all_rows, all_vehicles = sum(rows.values()), sum(vehicles.values())
    taken = []
    for step in steps:
        reasons = tuple(
            Reason(reason, rows.get(number, 0), vehicles.get(number, 0))
            for reason, number in numbers.get(step, {}).items()
            if number in rows or number in vehicles
        )
        left = (
            left[0] - sum(reason.rows for reason in reasons),
            left[1] - sum(reason.vehicles for reason in reasons),
        )
        taken.append(Step(step, step in judged, left[0], left[1], reasons))
    return Funnel(all_rows, all_vehicles, 0, 0, tuple(taken))


def _fall(fallen: pl.DataFrame, of: str) -> dict[int, int]:
    """How many rows or vehicles fall, by the number of where and why."""
    each = fallen.filter(pl.col(of).is_not_null()).group_by(of).agg(pl.col("at").max())
    return dict(each["at"].value_counts().iter_rows())


def _without(failed: pl.DataFrame, passes: Mapping[StepName, pl.Expr], step: StepName) -> int:
    left_out = _READS_STEPS if step == "seen" else {step}
    kept = _all(found for name, found in passes.items() if name not in left_out)
    return failed.filter(kept)["vehicle"].drop_nulls().n_unique()


def _nameless(failed: pl.DataFrame, passes: Mapping[StepName, pl.Expr]) -> int:
    """The rows of which no entry passes, and one fails only for its plate: unnamed, it is in no reads either."""
    unnamed = _all(found for name, found in passes.items() if name in _PLATE_STEPS).not_()
    otherwise = _all(found for name, found in passes.items() if name not in _PLATE_STEPS | _READS_STEPS)
    passing = failed.filter(_all(passes.values()))["row"]
    return failed.filter(unnamed & otherwise & ~pl.col("row").is_in(passing.unique().implode()))["row"].n_unique()


def _all(conditions: Iterable[pl.Expr]) -> pl.Expr:
    return pl.all_horizontal(pl.lit(value=True), *conditions)


def _reason(step: StepName, columns: Sequence[str], rules: Rules) -> pl.Expr:
    """Why an entry falls out at a step: String, null where it does not."""
    if step == "readable":
        return pl.col("unread")

    def column(name: str) -> pl.Expr:
        return pl.col(name) if name in columns else pl.lit(None, dtype=pl.String if name in _TEXTS else pl.Date)

    cases: dict[str, pl.Expr] = {}
    if step == "offence":
        cases["offence-missing"] = pl.col("offence").is_null()
        if rules.offences is not None:
            cases["offence-other"] = ~folded(pl.col("offence")).is_in(_folded_all(rules.offences))
    elif step == "convicted":
        convicted = column("convicted_on").is_not_null() | column("person_category").eq_missing("convicted")
        cases["nobody-convicted"] = ~convicted
    elif step in _PLATE_STEPS:
        cases = {reason: pl.col("status") == reason.removeprefix("vrm-") for reason in REASONS[step]}
    elif step == "victim":
        cases = {
            "victim": pl.col("person_category") == "victim",
            "category-missing": column("person_category").is_null(),
        }
    elif step == "window":
        cases = _dates(column("offence_from"), column("offence_to"), rules.window)
    elif step == "seen":
        cases = {
            "not-in-reads": (pl.col("live") == 0) & (pl.col("expired") == 0),
            "expired-only": pl.col("live") == 0,
        }
    else:
        cases["too-few-reads"] = pl.col("live") < rules.min_reads
    return pl.coalesce(pl.when(cases[reason]).then(pl.lit(reason)) for reason in REASONS[step] if reason in cases)


def _dates(begins: pl.Expr, ends: pl.Expr, window: Window) -> dict[str, pl.Expr]:
    """Why an offence is not known to overlap the window. One date alone is judged where the other cannot matter."""
    return {
        "dates-missing": begins.is_null() & ends.is_null(),
        "dates-reversed": begins > ends,
        "ended-before": ends < window.first,
        "end-unknown": ends.is_null() & (begins < window.first),
        "begins-later": (begins > window.last) | (begins.is_null() & (ends > window.last)),
    }


def folded(offence: pl.Expr) -> pl.Expr:
    """An offence as it is compared: without case, and without the blanks around it."""
    return offence.str.strip_chars().str.to_lowercase()


def _folded_all(offences: Sequence[str]) -> list[str]:
    return pl.DataFrame({"offence": offences}).select(folded(pl.col("offence"))).to_series().to_list()
