"""What is shared of a feasibility check holds no small count, and none can be worked out from it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from anpr_share.feasibility.figures import MILESTONES, Shared
from anpr_share.feasibility.suppression import suppress
from anpr_share.tables.profile import STEPS, StepName
from tests.support import suppressing
from tests.support.suppressing import (
    NO_VEHICLE,
    Table,
    any_tables,
    counts,
    is_open,
    losing,
    race,
    real,
    spread,
    tables,
    told,
    witnesses,
)

SOME: tuple[StepName, ...] = ("readable", "has-vrm", "whole-vrm", "victim", "window")


@st.composite
def small_tables(draw: st.DrawFn) -> Table:
    """Checks of two or three fall-outs and few rows, where the least count that is shared is 2 or 3."""
    every = [(step, number) for step in SOME for number in range(2)]
    names = tuple(sorted(draw(st.sets(st.sampled_from(every), min_size=1, max_size=2)), key=every.index))
    several = draw(st.sampled_from([0, 0, 3]))
    cells = []
    for step, _ in [*names, ("left", 0)]:
        vehicles = 0 if step in NO_VEHICLE else draw(st.integers(0, 4))
        cells.append((draw(st.integers(0, 3)) + (0 if several else vehicles), vehicles))
    return Table(names, tuple(cells), SOME, draw(st.sampled_from([2, 3])), several)


def published(shared: Shared) -> list[int | None]:
    """Every count of a summary, but those of the race."""
    cells = [count for step in shared.steps for count in (step.rows, step.vehicles)]
    cells += [count for step in shared.steps for reason in step.reasons for count in (reason.rows, reason.vehicles)]
    return [shared.rows, shared.vehicles, shared.reads, shared.vehicles_in_reads, *cells]


@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])
@given(small_tables())
def test_a_complete_search_pins_no_suppressed_count(truth: Table) -> None:
    """Every table there is with the same published figures, under the rules: more than one, and far enough apart."""
    shared = truth.shared()
    assume(shared.rows is not None and None in published(shared)[4:])
    spreads = spread(list(tables(truth, 0)))
    for key, count in told(truth, shared).items():
        low, high = spreads[key]
        if count is None:
            assert is_open(key, low, high, truth.small, f"after {SOME[-1]}"), (key, low, high)
        else:
            assert low == high == count == counts(truth)[key], key


def test_where_nothing_is_small_everything_is_told() -> None:
    truth = real()

    assert told(truth, truth.shared()) == counts(truth)


@pytest.mark.parametrize(
    "truth",
    [
        pytest.param(real(victim_0=(3, 2)), id="one small cell"),
        pytest.param(real(has_vrm_0=(4, 0)), id="few without a plate"),
        pytest.param(real(left_0=(3, 3)), id="few left"),
        pytest.param(real(left_0=(3, 3), often_0=(2, 1)), id="few left, and few before"),
        pytest.param(real(window_0=(1, 1), window_1=(2, 2), window_2=(9, 8)), id="a step of small ones"),
        pytest.param(real(readable_0=(9, 9)), id="the first"),
        pytest.param(real(often_0=(9, 9), left_0=(0, 0)), id="none left"),
        pytest.param(real(has_vrm_0=(1, 0), whole_vrm_0=(1, 0), whole_vrm_1=(0, 0)), id="hardly any without a plate"),
        pytest.param(replace(real(seen_0=(2, 9)), several=9), id="several plates in a cell"),
    ],
)
def test_two_tables_that_differ_are_published_alike(truth: Table) -> None:
    shared = truth.shared()
    spreads = spread(witnesses(truth))
    hidden = [key for key, count in told(truth, shared).items() if count is None]
    assert hidden
    assert all(is_open(key, *spreads[key], truth.small, f"after {STEPS[-1]}") for key in hidden)


@given(any_tables())
def test_no_count_is_small_and_none_is_the_difference_of_two(truth: Table) -> None:
    shared = truth.shared()
    small = range(1, truth.small)
    assert not [count for count in published(shared) if count in small]
    for totals in (
        [shared.rows, *(step.rows for step in shared.steps)],
        [shared.vehicles, *(step.vehicles for step in shared.steps)],
        [shared.steps[-1].vehicles, *(point.vehicles for point in shared.points)],
    ):
        known = [count for count in totals if count is not None]
        assert not [a - b for a, b in pairwise(known) if a - b < 0 or a - b in small]
    assert {key: count for key, count in told(truth, shared).items() if count is not None}.items() <= counts(
        truth
    ).items()


@given(any_tables())
def test_stop_is_said_exactly_where_nothing_is_left(truth: Table) -> None:
    shared = truth.shared()

    assert (shared.code == "stop") is (truth.result().funnel.eligible == 0)
    if shared.code == "stop":
        assert shared.steps[-1].vehicles == 0
        assert {point.vehicles for point in shared.points} <= {0}


def test_of_a_check_that_is_small_as_a_whole_nothing_is_told_but_that() -> None:
    truth = Table((("window", 0),), ((3, 3), (4, 2)), STEPS, 10)
    shared = truth.shared()

    assert set(published(shared)) == {None}
    assert (shared.points, shared.code) == ((), "go-if")
    assert all(not step.reasons for step in shared.steps)


@pytest.mark.parametrize("left", [(1, 1), (0, 0)])
def test_that_nothing_is_told_pins_nothing_either(left: tuple[int, int]) -> None:
    """Every table of up to four rows and vehicles of which nothing is told, where counts from 2 on are shared."""
    truth = Table((("readable", 0), ("window", 0)), ((1, 1), (0, 0), left), ("readable", "window"), 2)
    spreads = spread(list(tables(truth, 4)))
    for key, count in told(truth, truth.shared()).items():
        assert count is not None or is_open(key, *spreads[key], 2, "after window"), (key, spreads[key])


def test_few_reads_do_not_bound_how_small_the_extract_is() -> None:
    small = Table((("window", 0),), ((3, 3), (4, 2)), STEPS, 10).result()
    for reads, expected in ((39, None), (40, 40)):
        assert suppress(suppressing.result(small.funnel, (2, 0), small.settings, reads)).reads == expected


def test_a_small_check_of_which_nothing_is_left_says_that_alone() -> None:
    shared = Table((("window", 0),), ((3, 3), (0, 0)), STEPS, 10).shared()

    assert (shared.rows, shared.vehicles, shared.steps[-1].vehicles, shared.code) == (None, None, 0, "stop")


def days(shared: Shared) -> list[int | None]:
    return [point.vehicles for point in shared.points]


def test_the_race_is_told_at_the_milestones_where_its_losses_are_not_small() -> None:
    assert days(losing(10, 20, 30, 0, 40, 50).shared()) == [150, 140, 120, 90, 90, 50]
    assert days(losing(10, 3, 30, 0, 40, 50).shared()) == [133, None, 120, 90, 90, 50]


def test_a_race_that_loses_few_vehicles_ends_where_more_than_that_are_open() -> None:
    shown = days(losing(40, 20, 30, 0, 40, 3).shared())
    assert shown[0] == 133
    assert shown[-1] is None


def test_a_race_of_few_vehicles_is_not_told_at_all() -> None:
    assert losing(0, 0, 0, 0, 12, 0).shared().points == ()


def test_vehicles_without_any_data_today_do_not_come_out_through_the_race() -> None:
    truth = replace(real(left_0=(90, 83)), left=race((20, 20, 20, 20, 0, 0)))

    assert days(truth.shared())[0] is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(st.integers(0, 14), min_size=6, max_size=6))
def test_no_loss_of_the_race_is_pinned(losses: list[int]) -> None:
    """For each loss that no two points tell, two races are found that are published alike and differ by T in it."""
    assume(sum(losses) >= 10)
    truth = losing(*losses)
    shared = days(truth.shared())
    assume(None in shared)
    found = [losses]
    full = [i for i, loss in enumerate(losses) if loss]
    for start in range(len(full)):
        for end in range(start + 2, len(full) + 1):
            some = full[start:end]
            for most in some:
                other = [1 if i in some else loss for i, loss in enumerate(losses)]
                other[most] += sum(losses) - sum(other)
                if days(losing(*other).shared()) == shared:
                    found.append(other)
    ends = [*shared, 0]
    for i in range(6):
        if None in (ends[i], ends[i + 1]) and losses[i]:
            values = [other[i] for other in found]
            assert min(values) < 10 <= max(values) - min(values), (i, values)


@given(any_tables(), st.integers(1, 400), st.sampled_from([0, 30, 45, 90, 200, 365]))
def test_how_many_are_needed_measures_nothing_that_is_not_published(truth: Table, needed: int, paperwork: int) -> None:
    """Whatever is asked for, the figures are the same; and they alone prove the verdict."""
    shared = truth.shared()
    asked = replace(truth, needed=needed, paperwork=paperwork).shared()
    assert replace(asked, settings=shared.settings, code=shared.code, conditions=shared.conditions) == shared
    if asked.code == "go":
        assert any(
            point.days >= paperwork and point.vehicles is not None and point.vehicles >= needed
            for point in asked.points
        )


def test_go_is_not_said_where_only_what_is_suppressed_would_prove_it() -> None:
    told_90 = losing(40, 20, 30, 0, 40, 30, needed=70)
    assert told_90.shared().code == "go-if"  # no reads were looked at
    with_reads = replace(told_90.result(), race=replace(told_90.result().race, basis="reads"))
    assert suppress(with_reads).code == "go"
    hidden = losing(40, 20, 3, 10, 40, 30, needed=82, paperwork=60)
    result = replace(hidden.result(), race=replace(hidden.result().race, basis="reads"))
    assert result.race.after(60) == 83
    assert suppress(result).code == "go-if"


def test_few_reads_are_not_told_nor_so_many_that_they_bound_what_is_left() -> None:
    truth = real(victim_0=(3, 2))
    vehicles = truth.result().funnel.vehicles
    funnel, rules = truth.result().funnel, suppressing.settings(STEPS, 10)
    for reads, expected in ((0, 0), (7, None), (vehicles, None), (2 * vehicles, 2 * vehicles)):
        shared = suppress(suppressing.result(funnel, (40, 0), rules, reads))
        assert (shared.reads, shared.vehicles_in_reads) == (expected, None if expected is None else expected // 2)


def test_the_milestones_are_those_of_the_race() -> None:
    assert tuple(point.days for point in losing(10, 20, 30, 0, 40, 50).shared().points) == (0, *MILESTONES)
