"""The funnel: each reason by an entry of its own, rows and vehicles that fall with their last entry, other orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl
import pytest

from anpr_share.feasibility.figures import Funnel
from anpr_share.feasibility.funnel import REASONS, Passage, Rules, pass_through
from anpr_share.periods import Window
from anpr_share.tables.profile import STEPS, StepName

FIRST, TODAY = date(2025, 10, 21), date(2026, 10, 20)
RULES = Rules(STEPS, ("trafficking", "Forced Labour"), 2, Window(FIRST, TODAY))
SCHEMA: Mapping[str, Any] = {
    "row": pl.UInt64,
    "status": pl.String,
    "vehicle": pl.String,
    "unread": pl.String,
    "offence": pl.String,
    "offence_from": pl.Date,
    "offence_to": pl.Date,
    "convicted_on": pl.Date,
    "person_category": pl.String,
    "live": pl.Int64,
    "expired": pl.Int64,
}
GOOD = {
    "row": 1,
    "status": "ok",
    "vehicle": "AB12CDE",
    "unread": None,
    "offence": "Trafficking",
    "offence_from": date(2026, 5, 1),
    "offence_to": date(2026, 6, 1),
    "convicted_on": date(2026, 9, 1),
    "person_category": "suspect",
    "live": 2,
    "expired": 0,
}
DAY_BEFORE = date(2025, 10, 20)


def entries(*changes: Mapping[str, object], without: Sequence[str] = ()) -> pl.DataFrame:
    """A good entry for each of these changes of it, of a row and a vehicle of its own unless they say otherwise."""
    rows = [{**GOOD, "row": number, "vehicle": f"AB{number}CDE", **change} for number, change in enumerate(changes, 10)]
    return pl.DataFrame(rows, schema=dict(SCHEMA)).drop(without)


def fallen(funnel: Funnel) -> dict[tuple[str, str], tuple[int, int]]:
    """Rows and vehicles that fell, by step and reason."""
    return {
        (step.name, reason.code): (reason.rows, reason.vehicles) for step in funnel.steps for reason in step.reasons
    }


def taken(frame: pl.DataFrame, rules: Rules = RULES) -> Passage:
    passage = pass_through(frame, rules)
    rows, vehicles = passage.funnel.rows, passage.funnel.vehicles
    for step in passage.funnel.steps:
        rows -= sum(reason.rows for reason in step.reasons)
        vehicles -= sum(reason.vehicles for reason in step.reasons)
        assert (step.rows, step.vehicles) == (rows, vehicles)
    return passage


def test_what_fails_nothing_passes_every_step() -> None:
    passage = taken(entries({}, {"person_category": "convicted", "convicted_on": None}, {"offence": " FORCED labour "}))

    assert fallen(passage.funnel) == {}
    assert passage.funnel.eligible == passage.eligible.height == 3
    assert [step.name for step in passage.funnel.steps] == list(STEPS)


@pytest.mark.parametrize(
    ("change", "step", "reason"),
    [
        ({"unread": "cells"}, "readable", "cells"),
        ({"unread": "grade-unknown", "offence": None}, "readable", "grade-unknown"),
        ({"offence": None}, "offence", "offence-missing"),
        ({"offence": "theft"}, "offence", "offence-other"),
        ({"convicted_on": None}, "convicted", "nobody-convicted"),
        ({"convicted_on": None, "person_category": None}, "convicted", "nobody-convicted"),
        ({"status": "missing", "vehicle": None}, "has-vrm", "vrm-missing"),
        ({"status": "partial", "vehicle": None}, "whole-vrm", "vrm-partial"),
        ({"status": "malformed", "vehicle": None}, "whole-vrm", "vrm-malformed"),
        ({"person_category": "victim"}, "victim", "victim"),
        ({"person_category": None}, "victim", "category-missing"),
        ({"offence_from": None, "offence_to": None}, "window", "dates-missing"),
        ({"offence_from": date(2026, 6, 2)}, "window", "dates-reversed"),
        ({"offence_from": date(2020, 6, 2), "offence_to": DAY_BEFORE}, "window", "ended-before"),
        ({"offence_from": None, "offence_to": DAY_BEFORE}, "window", "ended-before"),
        ({"offence_from": DAY_BEFORE, "offence_to": None}, "window", "end-unknown"),
        ({"offence_from": date(2026, 10, 21), "offence_to": None}, "window", "begins-later"),
        ({"offence_from": date(2026, 10, 21), "offence_to": date(2026, 10, 22)}, "window", "begins-later"),
        ({"offence_from": None, "offence_to": date(2026, 10, 21)}, "window", "begins-later"),
        ({"live": 0}, "seen", "not-in-reads"),
        ({"live": 0, "expired": 3}, "seen", "expired-only"),
        ({"live": 1, "expired": 3}, "often", "too-few-reads"),
    ],
)
def test_an_entry_falls_out_under_its_reason(change: dict[str, object], step: str, reason: str) -> None:
    passage = taken(entries({}, change))

    assert fallen(passage.funnel) == {(step, reason): (1, 0 if "vehicle" in change else 1)}
    assert reason in REASONS[step]  # type: ignore[index] # the names above are steps


@pytest.mark.parametrize(
    "dates",
    [
        (date(2020, 1, 1), FIRST),
        (None, FIRST),
        (FIRST, None),
        (TODAY, None),
        (None, TODAY),
        (TODAY, TODAY),
        (date(2020, 1, 1), date(2030, 1, 1)),
    ],
)
def test_dates_that_touch_the_window_are_in_it(dates: tuple[date | None, date | None]) -> None:
    passage = taken(entries({"offence_from": dates[0], "offence_to": dates[1]}))

    assert passage.funnel.eligible == 1


def test_a_row_falls_with_its_last_plate_and_a_vehicle_with_its_last_row() -> None:
    frame = entries(
        {"row": 1, "vehicle": "A1"},
        {"row": 1, "status": "partial", "vehicle": None},
        {"row": 2, "vehicle": "A2", "live": 0},
        {"row": 2, "status": "malformed", "vehicle": None},
        {"row": 3, "vehicle": "A2", "person_category": "victim"},
    )

    passage = taken(frame)

    assert fallen(passage.funnel) == {("victim", "victim"): (1, 0), ("seen", "not-in-reads"): (1, 1)}
    assert (passage.funnel.rows, passage.funnel.vehicles) == (3, 2)
    assert (passage.funnel.several, passage.funnel.plates) == (2, 4)


def test_of_several_reasons_at_one_step_the_first_counts() -> None:
    frame = entries(
        {"row": 1, "status": "malformed", "vehicle": None},
        {"row": 1, "status": "partial", "vehicle": None},
        {"row": 2, "vehicle": "A2", "person_category": None},
        {"row": 3, "vehicle": "A2", "person_category": "victim"},
    )

    assert fallen(taken(frame).funnel) == {
        ("whole-vrm", "vrm-partial"): (1, 0),
        ("victim", "victim"): (1, 1),
        ("victim", "category-missing"): (1, 0),
    }


@pytest.mark.parametrize(
    ("without", "unjudged"),
    [
        ((), set()),
        (("live", "expired"), {"seen", "often"}),
        (("person_category",), {"victim"}),
        (("convicted_on",), set()),
        (("convicted_on", "person_category"), {"convicted", "victim"}),
        (("offence_from",), set()),
        (("offence_from", "offence_to"), {"window"}),
    ],
)
def test_what_the_extract_does_not_tell_removes_nothing_and_is_said(
    without: tuple[str, ...], unjudged: set[str]
) -> None:
    frame = entries({"person_category": "convicted"}, without=without)

    funnel = taken(frame).funnel

    assert {step.name for step in funnel.steps if not step.judged} == unjudged
    assert funnel.eligible == 1


def test_another_order_moves_what_falls_and_not_what_is_left() -> None:
    frame = entries({}, {"person_category": "victim", "live": 0}, {"live": 0, "offence_to": date(2001, 1, 1)})
    other: tuple[StepName, ...] = ("readable", "often", "seen", "window", "victim")

    usual, turned = taken(frame), taken(frame, Rules(other, None, 2, RULES.window))

    assert fallen(turned.funnel) == {("often", "too-few-reads"): (2, 2)}
    assert len(fallen(usual.funnel)) > 1
    assert usual.eligible.equals(turned.eligible)


def test_what_there_would_be_without_a_step_counts_those_that_fail_nothing_else() -> None:
    frame = entries(
        {},
        {"person_category": "victim"},
        {"person_category": "victim", "live": 1},
        {"live": 1},
        {"live": 0},
        {"offence_to": date(2001, 1, 1), "offence_from": None, "live": 0},
    )

    without = taken(frame).without

    assert (without["victim"], without["often"], without["window"]) == (2, 2, 1)
    assert without["seen"] == 3  # nothing is asked of reads then, and the victims and the old one stay out


def test_rows_that_lack_only_a_whole_plate_are_counted() -> None:
    nobody = {"vehicle": None, "live": 0, "expired": 0}
    frame = entries(
        {**nobody, "status": "missing"},
        {**nobody, "status": "partial"},
        {**nobody, "status": "missing", "person_category": "victim"},
        {**nobody, "row": 1, "status": "partial"},
        {"row": 1},
        {"live": 0},
    )

    assert taken(frame).nameless == 2


def test_no_entry_at_all_is_a_funnel_of_zeros() -> None:
    passage = taken(entries())

    assert (passage.funnel.rows, passage.funnel.vehicles, passage.funnel.eligible) == (0, 0, 0)
