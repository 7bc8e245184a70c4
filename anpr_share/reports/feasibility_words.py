"""What the steps, reasons, conditions and verdicts of a feasibility check are called, for people.

The names are for programs and stay; these phrases may get better. A reason that has no phrase is told by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from anpr_share.feasibility.figures import Basis, Code, Condition
from anpr_share.tables.phrases import PHRASES
from anpr_share.tables.profile import StepName

HEADLINES: Final[Mapping[Code, str]] = {
    "go": "go ahead: there will be enough to link when the papers are signed",
    "go-if": "go ahead, but only if what stands below is so",
    "stop": "stop as things are: there will be too little to link",
}
"""The verdict in a sentence."""

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
    "readable": "can be read",
    "offence": "the offence is in scope",
    "convicted": "somebody was convicted",
    "has-vrm": "a plate is named",
    "whole-vrm": "the plate is whole and well formed",
    "victim": "not a victim's vehicle",
    "window": "the offence falls in the days of which reads are kept",
    "seen": "a camera saw the vehicle in these days",
    "often": "seen often enough",
}
"""What a row, or a vehicle, must be to pass a step."""

BASES: Final[Mapping[Basis, str]] = {
    "reads": "the reads that a force holds of these vehicles",
    "offence-dates": "the dates of the offences alone, because no reads were looked at",
}
"""What says that there are data of a vehicle."""

_REASONS: Final[Mapping[str, str]] = {
    "out-of-scope": "another offence",
    "not-convicted": "no conviction",
    "victim": "a victim's vehicle",
    "category-missing": "it is not said whose vehicle it is",
    "no-dates": "no date of the offence",
    "ended-before": "the offence ended before",
    "end-unknown": "it began before, and its end is not known",
    "begins-later": "the offence begins later",
    "dates-reversed": "the offence ends before it begins",
    "not-in-reads": "in no read",
    "expired-reads": "all its reads are too old to keep",
    "few-reads": "too few reads",
}


def reason(code: str) -> str:
    """Why rows or vehicles fall out, in words."""
    if code in _REASONS:
        return _REASONS[code]
    return PHRASES[code].meaning if code in PHRASES else code.replace("-", " ")


def untold(small_below: int) -> str:
    """What stands where a count is left out."""
    return f"fewer than {small_below:,}, or not told"
