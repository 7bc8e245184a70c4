"""What the steps, reasons, conditions and verdicts of a feasibility check are called, for people.

The names are for programs and stay; these phrases may get better. A reason that has no phrase is told by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

from anpr_share.feasibility.figures import Basis, Code, Condition
from anpr_share.tables.phrases import PHRASES
from anpr_share.tables.profile import StepName

VERDICTS: Final[Mapping[Code, str]] = {"go": "go", "go-if": "go, under conditions", "stop": "stop"}
HEADLINES: Final[Mapping[Code, str]] = {
    "go": "go ahead: there will be enough to link when the papers are signed",
    "go-if": "go ahead, but only if what stands below is so",
    "stop": "stop as things are: there will be too little to link",
}
"""The verdict in a word, and in a sentence."""

CONDITIONS: Final[Mapping[Condition, str]] = {
    "more-forces": "other forces join, with vehicles of their own",
    "longer-window": "reads are kept for longer, so that more offences fall within what is kept",
    "sooner": "the papers are signed sooner, before rolling deletion takes what there is today",
    "look-at-reads": "the reads are looked at, to know which of these vehicles a camera saw at all",
    "victims-unknown": "it is found out which of these vehicles are victims': the extract does not say whose they are",
    "scope-unknown": "it is found out which rows are about convictions for offences in scope: the extract does not say",
}
"""What must be so for a start to make sense, after "if"."""

STEPS: Final[Mapping[StepName, str]] = {
    "readable": "rows that can be read",
    "offence": "an offence in scope",
    "convicted": "convicted",
    "has-vrm": "has a plate",
    "whole-vrm": "whole and well formed",
    "victim": "not a victim's vehicle",
    "window": "offence within retention",
    "seen": "seen in the reads",
    "often": "seen often enough",
}
"""What is left after a step."""

BASES: Final[Mapping[Basis, str]] = {
    "reads": "the reads that a force holds of these vehicles",
    "offence-dates": "the dates of the offences alone, because no reads were looked at",
}
"""What says that there are data of a vehicle."""

REASONS: Final[Mapping[str, str]] = {
    "offence-form": "the offence is free text, or beyond 100 others",
    "date-unreadable": "a date is not written as the profile says",
    "offence-missing": "no offence is named",
    "offence-other": "another offence",
    "nobody-convicted": "no conviction, and not a convicted person's",
    "vrm-missing": "no plate",
    "vrm-partial": "part of the plate was not read",
    "vrm-malformed": "no plate of any form",
    "victim": "a victim's",
    "category-missing": "no category, so perhaps a victim's",
    "dates-missing": "no date of the offence",
    "dates-reversed": "ends before it begins",
    "ended-before": "over before the oldest day kept",
    "end-unknown": "began before it, and no end is known",
    "begins-later": "still to come",
    "not-in-reads": "no read at all",
    "expired-only": "only reads that have expired",
    "too-few-reads": "too few reads",
}
"""Each reason in a few words; rules of `check` that are not here have a phrase of their own."""


def reason(code: str) -> str:
    """Why something falls out, in a few words."""
    if code in REASONS:
        return REASONS[code]
    return PHRASES[code].meaning if code in PHRASES else code.replace("-", " ")


NEITHER: Final = "the figures that may be shared prove neither go nor stop"
"""What is said of the verdict "go, under conditions" where the conditions themselves are suppressed."""


def is_decided(code: Code, conditions: Sequence[Condition]) -> bool:
    """Whether the figures prove any verdict: under conditions, those are told."""
    return code != "go-if" or bool(conditions)


def verdict_word(code: Code, conditions: Sequence[Condition]) -> str:
    """The verdict in a word."""
    return VERDICTS[code] if is_decided(code, conditions) else "not decided"


def headline(code: Code, conditions: Sequence[Condition]) -> str:
    """The verdict in a sentence."""
    return HEADLINES[code] if is_decided(code, conditions) else NEITHER


def verdict_lines(code: Code, conditions: Sequence[Condition]) -> Iterator[str]:
    """The verdict in a word, and each condition."""
    yield f"verdict: {verdict_word(code, conditions)}"
    for condition in conditions:
        yield f"  if      {CONDITIONS[condition]}"
    if not is_decided(code, conditions):
        yield f"  {NEITHER}"


def untold(small_below: int) -> str:
    """What stands where a count is left out."""
    return f"fewer than {small_below:,}, or not told"


def false_to_one(false: Fraction) -> str:
    """How many false alerts there are for each true one: ``2,963``, ``44.3``, ``<0.1``."""
    if 0 < false < Fraction(1, 10):
        return "<0.1"
    return f"{float(false):,.1f}" if false < 100 else f"{float(false):,.0f}"
