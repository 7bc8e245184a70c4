"""The verdict: when it is go, when it is stop, under which conditions otherwise, and the numbers that it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from anpr_share.feasibility.figures import Funnel, Race, Reason, Settings, Step
from anpr_share.feasibility.funnel import Passage
from anpr_share.feasibility.verdict import Case, judge
from anpr_share.tables.profile import STEPS, StepName

TODAY = date(2026, 10, 20)
SETTINGS = Settings(STEPS, None, 2, "P12M", "Europe/London", 30, 90, 10)


def case(
    left: Mapping[int, int],
    *,
    eligible: int | None = None,
    fallen: tuple[tuple[StepName, str, int], ...] = (),
    unjudged: tuple[StepName, ...] = (),
    without: Mapping[StepName, int] | None = None,
    reads: bool = True,
    nameless: int = 0,
    during: int | None = None,
) -> Case:
    """``left`` says how many vehicles are left from a day of paperwork on; ``fallen`` what fell before."""
    eligible = left[0] if eligible is None else eligible
    total = remaining = eligible + sum(number for _, _, number in fallen)
    steps = []
    for name in STEPS:
        reasons = tuple(Reason(code, number, number) for step, code, number in fallen if step == name)
        remaining -= sum(reason.vehicles for reason in reasons)
        steps.append(Step(name, name not in unjudged, remaining, remaining, reasons))
    curve = [left[max(day for day in left if day <= after)] for after in range(367)]
    curve = curve[: curve.index(0) + 1] if 0 in curve else curve
    gains = dict.fromkeys(STEPS, eligible) | dict(without or {})
    return Case(
        Passage(Funnel(total, total, 0, 0, tuple(steps)), pl.DataFrame(), gains, nameless),
        Race("reads" if reads else "offence-dates", tuple(curve), 100 if reads else None, None, None),
        SETTINGS,
        TODAY,
        reads=reads,
        during=during,
    )


def test_enough_left_after_the_papers_is_go_and_the_last_day_is_told() -> None:
    verdict = judge(case({0: 50, 80: 30, 101: 29, 200: 0}))

    assert (verdict.code, verdict.conditions) == ("go", ())
    assert verdict.reasons == (
        "50 vehicles of the log can be studied; after 90 days of paperwork 30 will be left, and 30 are needed",
    )
    assert verdict.changes == ("for 30 vehicles to be left, papers must be done by 2027-01-28: 100 days",)


def test_one_vehicle_fewer_than_needed_is_not_go() -> None:
    assert judge(case({0: 29})).code == "go-if"
    assert judge(case({0: 30})).code == "go"


def test_without_reads_it_is_never_a_plain_go() -> None:
    verdict = judge(case({0: 1000}, reads=False, unjudged=("seen", "often")))

    assert (verdict.code, verdict.conditions) == ("go-if", ("look-at-reads",))
    assert any("no reads were looked at" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("step", "condition"),
    [("victim", "victims-unknown"), ("convicted", "scope-unknown"), ("window", "scope-unknown")],
)
def test_a_step_that_could_not_be_judged_is_a_condition(step: StepName, condition: str) -> None:
    verdict = judge(case({0: 1000}, unjudged=(step,)))

    assert (verdict.code, verdict.conditions) == ("go-if", (condition,))
    assert any("nobody knows" in reason for reason in verdict.reasons)


def test_too_few_ask_for_so_many_forces() -> None:
    verdict = judge(case({0: 7}))

    assert (verdict.code, verdict.conditions) == ("go-if", ("more-forces",))
    assert verdict.changes == ("5 forces like this one would have 35 vehicles left, and 30 are needed",)


def test_what_goes_meanwhile_asks_for_less_paperwork_or_a_longer_window() -> None:
    verdict = judge(case({0: 40, 31: 12}))

    assert verdict.conditions == ("more-forces", "sooner", "longer-window")
    assert verdict.changes[0] == "3 forces like this one would have 36 vehicles left, and 30 are needed"
    assert verdict.changes[1] == "for 30 vehicles to be left, papers must be done by 2026-11-19: 30 days"


def test_where_nothing_is_left_after_the_papers_forces_do_not_help() -> None:
    verdict = judge(case({0: 12, 31: 0}))

    assert (verdict.code, verdict.conditions) == ("go-if", ("sooner", "longer-window"))
    assert verdict.changes == ("for any vehicle to be left, papers must be done by 2026-11-19: 30 days",)


def test_vehicles_without_any_data_are_told_where_the_steps_do_not_ask_for_reads() -> None:
    verdict = judge(case({0: 0}, eligible=4))

    assert (verdict.code, verdict.conditions) == ("go-if", ("longer-window",))
    assert verdict.reasons[0].startswith("4 vehicles of the log can be studied, 0 with data today; after 90 days")


def test_reads_at_other_times_than_the_offence_are_told() -> None:
    told = "none of them was read during its offence: there is only where they drove at other times"

    assert told in judge(case({0: 50}, during=0)).reasons
    assert told not in judge(case({0: 50}, during=1)).reasons
    assert judge(case({0: 50}, during=0)).code == "go"


def test_offences_that_are_over_ask_for_a_longer_window() -> None:
    verdict = judge(case({0: 12}, fallen=(("window", "ended-before", 60),), without={"window": 45}))

    assert verdict.conditions == ("more-forces", "longer-window")
    assert verdict.changes[1] == (
        "the step window costs most, 60 vehicles; without it 45 would be left today: a longer retention or later "
        "offences would bring them in"
    )
    assert verdict.changes[2].startswith("what there is of 60 vehicles is older than the retention")


def test_no_vehicle_is_stop_and_where_the_last_fell_is_told() -> None:
    fallen: tuple[tuple[StepName, str, int], ...] = (
        ("convicted", "nobody-convicted", 5),
        ("window", "ended-before", 3),
        ("seen", "not-in-reads", 2),
    )

    verdict = judge(case({0: 0}, fallen=fallen, nameless=4, without={"seen": 2}))

    assert (verdict.code, verdict.conditions) == ("stop", ())
    assert verdict.reasons == (
        "no vehicle is left of 10 vehicles in 10 rows",
        "the last of them fall out at the step seen",
    )
    assert verdict.changes == (
        "the step convicted costs most, 5 vehicles; without it 0 would be left all the same, for they fail others too",
        "without the step seen 2 would be left today: reads of more days, cameras or forces would bring them in",
        "what there is of 3 vehicles is older than the retention: a longer one may bring them in",
        "4 rows would go on if the plate were there and whole: their logs may be worth a look",
    )


def test_targets_without_any_vehicle_are_stop() -> None:
    verdict = judge(case({0: 0}))

    assert verdict.code == "stop"
    assert verdict.reasons == ("no vehicle is left of 0 vehicles in 0 rows",)
    assert verdict.changes == ()


def test_the_settings_decide_what_is_enough() -> None:
    given = case({0: 12, 31: 5})

    for needed, days, code in ((12, 30, "go"), (12, 31, "go-if"), (5, 31, "go"), (13, 30, "go-if")):
        settings = replace(SETTINGS, vehicles_needed=needed, paperwork_days=days)
        assert judge(replace(given, settings=settings)).code == code
