"""The k rule for cameras' context: cases whose answer can be seen at a glance."""

from __future__ import annotations

import polars as pl
import pytest

from anpr_share.risk.contexts import CONTEXT, coarsened, one_row_each
from anpr_share.risk.figures import Context

Combination = tuple[str | None, str | None, str | None]
MOTORWAY: Combination = ("fixed", "motorway", "rural")
TOWN: Combination = ("fixed", "a-road", "urban")
SUBURB: Combination = ("fixed", "a-road", "suburban")
VAN: Combination = ("mobile", None, None)
NOTHING: Combination = (None, None, None)


def of(*held: tuple[int, Combination]) -> pl.DataFrame:
    """So many cameras of each combination, numbered through."""
    rows = [combination for count, combination in held for _ in range(count)]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(CONTEXT, pl.String), orient="row")
    return frame.with_row_index("camera")


def told(frame: pl.DataFrame) -> dict[Combination, int]:
    """How many cameras hold each combination."""
    return {row[:3]: row[3] for row in frame.group_by(CONTEXT).len().iter_rows()}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([(10, TOWN), (12, VAN)], {TOWN: 10, VAN: 12}, id="k of each: nothing is lost"),
        pytest.param(
            [(6, TOWN), (7, SUBURB), (20, MOTORWAY)],
            {("fixed", "a-road", None): 13, MOTORWAY: 20},
            id="the area goes, and what is left is held by enough",
        ),
        pytest.param(
            [(6, TOWN), (20, SUBURB), (9, MOTORWAY)],
            {("fixed", None, None): 15, SUBURB: 20},
            id="then the class of road",
        ),
        pytest.param(
            [(6, TOWN), (4, ("fixed", "a-road", None)), (10, VAN)],
            {("fixed", "a-road", None): 10, VAN: 10},
            id="what was never known is alike to what was taken out",
        ),
        pytest.param(
            [(6, ("fixed", None, "urban")), (6, ("fixed", None, "rural"))],
            {("fixed", None, None): 12},
            id="an unknown column in the middle",
        ),
        pytest.param(
            [(4, TOWN), (6, VAN), (30, MOTORWAY)],
            {NOTHING: 10, MOTORWAY: 30},
            id="the last of them lose everything together",
        ),
        pytest.param(
            [(3, VAN), (12, TOWN), (11, SUBURB), (30, MOTORWAY)],
            {NOTHING: 14, TOWN: 12, MOTORWAY: 30},
            id="too few without anything: the smallest other joins them",
        ),
        pytest.param(
            [(3, VAN), (12, TOWN), (12, SUBURB)],
            {NOTHING: 15, TOWN: 12},
            id="of two alike in size, the first by its words",
        ),
        pytest.param([(3, VAN), (12, TOWN)], {NOTHING: 15}, id="everything is lost rather than nothing left"),
        pytest.param([(4, NOTHING), (12, TOWN)], {NOTHING: 16}, id="cameras that never had any count as well"),
        pytest.param([(4, NOTHING), (3, TOWN), (2, VAN)], {}, id="fewer than k in all: none leaves"),
        pytest.param([], {}, id="no camera"),
    ],
)
def test_the_k_rule_for_ten(before: list[tuple[int, Combination]], after: dict[Combination, int]) -> None:
    given = of(*before)

    found = coarsened(given, 10).frame

    assert told(found) == after
    if after:
        assert found["camera"].to_list() == given["camera"].to_list()


def test_the_columns_that_are_not_agreed_need_not_be_there() -> None:
    frame = of((6, TOWN), (7, SUBURB), (3, VAN)).select("camera", "area_type", "kind")

    found = coarsened(frame, 6)

    assert found.frame.columns == ["camera", "area_type", "kind"]
    # Vans are three, and join the smallest, which are the six in town.
    assert found.frame.group_by("kind", "area_type").len().sort("len").rows() == [
        ("fixed", "suburban", 7),
        (None, None, 9),
    ]


def test_the_figures_say_what_the_rule_cost() -> None:
    found = coarsened(of((3, VAN), (12, TOWN), (11, SUBURB), (30, MOTORWAY)), 10)

    assert found.figures == Context(
        k=10, cameras=56, before=4, rare=3, after=3, smallest=12, coarser=3 + 11, left_out=0
    )


def test_cameras_without_context_are_not_called_coarser() -> None:
    assert coarsened(of((10, NOTHING), (10, VAN)), 10).figures.coarser == 0


def test_where_none_leaves_all_are_left_out() -> None:
    found = coarsened(of((3, VAN), (4, TOWN)), 10)

    assert found.figures == Context(k=10, cameras=7, before=2, rare=7, after=0, smallest=0, coarser=0, left_out=7)
    assert found.frame.schema == of().schema


def test_a_camera_in_two_rows_is_taken_once_or_where_they_disagree_not_at_all() -> None:
    rows = pl.DataFrame(
        {
            "camera": ["a", "b", "a", "c", "b", "d", "a"],
            "kind": ["fixed", "fixed", "fixed", None, "mobile", None, "fixed"],
            "area_type": ["urban", "urban", "urban", "rural", "urban", None, "urban"],
        }
    )

    found = one_row_each(rows)

    assert found.frame.rows() == [("a", "fixed", "urban"), ("c", None, "rural"), ("d", None, None)]
    assert (found.repeated, found.contradicting) == (2, 2)


def test_an_unknown_context_contradicts_a_known_one() -> None:
    found = one_row_each(pl.DataFrame({"camera": ["a", "a"], "kind": ["fixed", None]}))

    assert (found.frame.height, found.repeated, found.contradicting) == (0, 0, 2)
