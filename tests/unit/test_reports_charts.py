"""Charts that are read without colour, and that never draw what is not told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.reports.charts import BOTTOM, LEFT, LOOKS, RIGHT, TOP, Axis, Line, Point, chart, short, whole_ticks

X = Axis("days", 0, 180, ((0, "today"), (180, "180")))
Y = Axis("share", 0, 1, ((0, "0%"), (1, "100%")))
HEIGHTS = st.one_of(st.none(), st.floats(0, 1))
LINES = st.lists(st.lists(HEIGHTS, min_size=1, max_size=6), min_size=1, max_size=len(LOOKS))


def lines(*heights: Sequence[float | None]) -> list[Line]:
    return [
        Line(f"line {number}", tuple(Point(30.0 * place, height) for place, height in enumerate(own)))
        for number, own in enumerate(heights)
    ]


def test_no_two_lines_share_their_dashes_or_their_marker() -> None:
    for one, other in combinations(LOOKS, 2):
        assert one.dash != other.dash
        assert one.marker != other.marker


def test_more_lines_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="6 lines"):
        chart(lines(*([0.5] for _ in range(7))), X, Y)


def test_a_value_that_is_not_told_is_a_gap_and_a_column_and_no_point() -> None:
    drawn = chart(lines([0.9, 0.8, None, 0.4]), X, Y)

    assert [len(piece.split("L")) for piece in drawn.lines[0].path[1:].split("M")] == [2, 1]
    assert len(drawn.lines[0].marks) == 3
    middle = LEFT + 14 + (RIGHT - LEFT - 28) * 60 / 180
    assert drawn.untold == (round(middle - 11, 1),)
    assert {up for _, up in drawn.lines[0].marks} == {round(BOTTOM - (BOTTOM - TOP) * y, 1) for y in (0.9, 0.8, 0.4)}


def test_a_line_of_which_nothing_is_told_is_not_drawn() -> None:
    assert chart(lines([None, None]), X, Y).lines == ()


def test_none_and_all_lie_at_the_ends_of_the_axis_and_bars_span_their_interval() -> None:
    one = Line("one", (Point(0, 0.0, 0.0, 0.25), Point(180, 1.0, 0.75, 1.0)))
    drawn = chart([one], X, Y, across=(0.5, "half")).lines[0]

    assert [up for _, up in drawn.marks] == [BOTTOM, TOP]
    assert [(bar.top, bar.bottom) for bar in drawn.bars] == [(158.0, 206.0), (14.0, 62.0)]


@given(LINES)
def test_names_stand_beside_the_field_and_never_on_each_other(heights: list[list[float | None]]) -> None:
    drawn = chart(lines(*heights), X, Y)
    names = sorted(line.name.y for line in drawn.lines)

    assert all(after - before >= 14.8 for before, after in pairwise(names))
    assert all(TOP <= height <= BOTTOM for height in names)
    assert [line.name.text for line in drawn.lines] == [
        f"line {number}" for number, own in enumerate(heights) if any(height is not None for height in own)
    ]
    for line in drawn.lines:
        assert line.marks[-1] == line.end
        assert len(re.findall("[ML]", line.path)) == len(line.marks)


@given(st.integers(0, 10**12))
def test_an_axis_of_counts_reaches_its_greatest_in_few_whole_steps(most: int) -> None:
    ticks = whole_ticks(most)

    assert ticks[0] == 0
    assert ticks[-1] >= max(most, 1)
    assert 2 <= len(ticks) <= 7
    assert len({after - before for before, after in pairwise(ticks)}) == 1


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0"), (500, "500"), (2_000, "2,000"), (20_000, "20k"), (1_500_000, "1.5M"), (40_000_000, "40M")],
)
def test_round_numbers_fit_beside_an_axis(number: int, told: str) -> None:
    assert short(number) == told
