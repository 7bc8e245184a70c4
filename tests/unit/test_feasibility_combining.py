"""The sum of what forces have shared: the truth lies in every span, and the verdict says no more than the spans."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anpr_share.feasibility import combining
from anpr_share.feasibility.combining import PrevalenceSpan, Span, combine, differing
from anpr_share.feasibility.figures import MILESTONES, Shared
from anpr_share.feasibility.suppression import suppress
from anpr_share.tables.profile import STEPS
from tests.support import suppressing
from tests.support.suppressing import Table, any_tables, losing, race, real


def lies_in(count: int, span: Span) -> bool:
    return span.low <= count and (span.high is None or count <= span.high)


@given(st.lists(any_tables(), min_size=2, max_size=3), st.integers(0, 365))
def test_the_true_sums_lie_in_their_spans(truths: list[Table], paperwork: int) -> None:
    results = [replace(truth, paperwork=paperwork).result() for truth in truths]
    found = combine([suppress(result) for result in results])
    funnels = [result.funnel for result in results]

    assert lies_in(sum(funnel.rows for funnel in funnels), found.rows)
    assert lies_in(sum(funnel.vehicles for funnel in funnels), found.vehicles)
    for place, step in enumerate(found.steps):
        assert lies_in(sum(funnel.steps[place].rows for funnel in funnels), step.rows)
        assert lies_in(sum(funnel.steps[place].vehicles for funnel in funnels), step.vehicles)
        assert step.judged == sum(funnel.steps[place].judged for funnel in funnels)
    for point in found.curve:
        assert lies_in(sum(result.race.after(point.days) for result in results), point.vehicles)
    assert lies_in(sum(result.race.after(paperwork) for result in results), found.after)


@given(st.lists(any_tables(), min_size=2, max_size=3), st.integers(1, 600))
def test_the_verdict_is_what_the_true_sums_say_or_leaves_it_open(truths: list[Table], needed: int) -> None:
    results = [replace(truth, needed=needed).result() for truth in truths]
    results = [replace(result, race=replace(result.race, basis="reads")) for result in results]
    found = combine([suppress(result) for result in results])
    left = sum(result.race.after(90) for result in results)

    assert (found.code == "stop") is (sum(result.funnel.eligible for result in results) == 0)
    if found.code == "go":
        assert left >= needed
    if {"more-forces", "sooner"} & set(found.conditions):
        assert left < needed


def shared(*losses: int, reads: int | None = 10_000, **changes: int) -> Shared:
    """A summary with so many vehicles to lose before each milestone, and after all of them."""
    truth = replace(real(left_0=(400, sum(losses))), left=race(losses), **changes)  # type: ignore[arg-type]
    result = truth.result()
    return suppress(suppressing.result(result.funnel, result.race.left, result.settings, reads))


def test_exact_figures_add_up_exactly() -> None:
    found = combine([shared(10, 20, 30, 0, 40, 50), shared(0, 0, 50, 0, 0, 50)])

    assert [(point.days, point.vehicles) for point in found.curve] == [
        (days, Span(count, count)) for days, count in zip((0, *MILESTONES), (250, 240, 220, 140, 140, 100), strict=True)
    ]
    assert (found.forces, found.after, found.code, found.conditions) == (2, Span(140, 140), "go", ())
    assert found.prevalence == PrevalenceSpan((250, 10_000), (250, 10_000))
    assert (found.reads, found.vehicles_in_reads) == (Span(20_000, 20_000), Span(10_000, 10_000))


def test_a_suppressed_point_lies_between_its_neighbours() -> None:
    found = combine([shared(10, 3, 30, 0, 40, 50), shared(0, 0, 50, 0, 0, 50)])

    assert found.curve[1].vehicles == Span(120 + 100, 133 + 100)


def test_the_most_demanding_force_decides_how_many_are_needed_and_when() -> None:
    found = combine(
        [
            shared(10, 20, 30, 0, 40, 50, needed=10, paperwork=180),
            shared(0, 0, 50, 0, 0, 50, needed=101, paperwork=30),
        ]
    )

    assert (found.needed, found.paperwork_days, found.after) == (101, 180, Span(100, 100))
    assert (found.code, found.conditions) == ("go-if", ("more-forces", "longer-window", "sooner"))


def test_what_is_needed_between_milestones_is_proved_by_the_next_one() -> None:
    found = combine([shared(10, 20, 30, 0, 40, 50, paperwork=45), shared(0, 0, 50, 0, 0, 50, paperwork=45)])

    assert found.after == Span(120 + 100, 140 + 100)


def test_one_that_shares_nothing_leaves_the_sum_open_above() -> None:
    small = Table((("window", 0),), ((3, 3), (4, 2)), STEPS, 10)
    found = combine([shared(10, 20, 30, 0, 40, 50), suppress(replace(small.result(), reads=None))])

    assert found.rows.high is None
    assert found.rows.low > 0
    assert found.curve[0].vehicles == Span(150, None)
    assert found.conditions == ("look-at-reads",)


def test_none_left_anywhere_is_a_stop() -> None:
    nothing = real(left_0=(0, 0)).shared()

    assert combine([nothing, nothing]).code == "stop"
    assert combine([nothing, real().shared()]).code == "go-if"


@pytest.mark.parametrize("name", combining.ALIKE)
def test_settings_that_say_what_is_counted_are_compared(name: str) -> None:
    rules = suppressing.settings(STEPS, 10)
    other = {"steps": STEPS[1:], "offences": ("x",), "min_reads": 3, "retention": "P6M", "timezone": "UTC"}

    assert differing([rules, rules, replace(rules, **{name: other[name]})]) == (name,)  # type: ignore[arg-type]
    assert differing([rules, replace(rules, vehicles_needed=5, paperwork_days=5, small_below=20)]) == ()


def test_offences_in_another_order_or_case_are_the_same() -> None:
    rules = replace(losing(0, 0, 50, 0, 0, 50).result().settings, offences=("Forced labour", "debt bondage"))

    assert differing([rules, replace(rules, offences=("Debt Bondage", "forced labour"))]) == ()
    assert differing([rules, replace(rules, offences=("debt bondage",))]) == ("offences",)
    assert differing([rules, replace(rules, offences=None)]) == ("offences",)


@given(any_tables())
def test_a_verdict_worked_out_again_is_the_same(truth: Table) -> None:
    found = truth.shared()
    assume(found.code != "stop")

    assert combining.verdict_on(replace(found, code="go-if", conditions=())) == (found.code, found.conditions)
