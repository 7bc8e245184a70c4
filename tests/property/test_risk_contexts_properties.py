"""Properties of the k rule, and the same rule written a second time, a class after another."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.risk.contexts import CONTEXT, coarsened, combinations, one_row_each

Row = tuple[str | None, ...]
KINDS, ROADS, AREAS = ("fixed", "mobile", None), ("motorway", "a-road", "b-road", None), ("urban", "rural", None)
ROWS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(ROADS), st.sampled_from(AREAS)), max_size=40)
KS = st.integers(1, 8)


def numbered(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(CONTEXT, pl.String), orient="row").with_row_index("camera")


def contexts(frame: pl.DataFrame) -> list[Row]:
    return frame.select(CONTEXT).rows()


def by_hand(rows: list[Row], k: int) -> list[Row]:
    """The rule once more: the finest classes first, and each that is too small as a whole."""
    classes: dict[Row, set[int]] = {}
    for number, row in enumerate(rows):
        classes.setdefault(row, set()).add(number)
    for depth in (2, 1, 0):
        for row in list(classes):
            if row[depth] is not None and len(classes[row]) < k:
                coarser = (*row[:depth], None, *row[depth + 1 :])
                classes.setdefault(coarser, set()).update(classes.pop(row))
    nothing: Row = (None, None, None)
    if len(rows) < k:
        return []
    if 0 < len(classes.get(nothing, ())) < k:
        others = sorted(classes.keys() - {nothing}, key=lambda row: (len(classes[row]), [(v is None, v) for v in row]))
        classes[nothing] |= classes.pop(others[0])
    return [row for _, row in sorted((number, row) for row, numbers in classes.items() for number in numbers)]


@given(ROWS, KS)
def test_every_combination_that_leaves_is_held_by_k(rows: list[Row], k: int) -> None:
    found = coarsened(numbered(rows), k)

    assert all(count >= k for count in Counter(contexts(found.frame)).values())
    assert found.frame.height in {0, len(rows)}
    assert (found.frame.height == 0) == (len(rows) < k or not rows)


@given(ROWS, KS)
def test_a_value_leaves_as_it_came_or_not_at_all(rows: list[Row], k: int) -> None:
    for before, after in zip(rows, contexts(coarsened(numbered(rows), k).frame), strict=False):
        assert all(new in {old, None} for old, new in zip(before, after, strict=True))


@given(ROWS, KS)
def test_nothing_is_lost_where_k_hold_every_combination(rows: list[Row], k: int) -> None:
    whole = [row for row in rows if rows.count(row) >= k]

    assert contexts(coarsened(numbered(whole), k).frame) == whole


@given(ROWS, KS, st.randoms(use_true_random=False))
def test_the_order_of_the_cameras_changes_nothing(rows: list[Row], k: int, random: object) -> None:
    frame = numbered(rows)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=random.randrange(1 << 30))  # type: ignore[attr-defined]

    first, second = coarsened(frame, k), coarsened(shuffled, k)

    assert first.frame.sort("camera").equals(second.frame.sort("camera"))
    assert first.figures == second.figures


@given(ROWS, KS)
def test_it_is_the_rule_as_one_would_go_through_it_by_hand(rows: list[Row], k: int) -> None:
    assert [tuple(row) for row in contexts(coarsened(numbered(rows), k).frame)] == by_hand(rows, k)


@given(ROWS, KS)
def test_no_column_is_lost_that_k_cameras_could_have_kept(rows: list[Row], k: int) -> None:
    after = contexts(coarsened(numbered(rows), k).frame)
    for depth, name in enumerate(CONTEXT):
        # Those that are alike up to this column, all of which leaves, and have lost this one and what follows. Those
        # that have nothing left may have joined others, so that these are not so few.
        lost = Counter(
            (kept[:depth], came[depth])
            for came, kept in zip(rows, after, strict=False)
            if came[depth] is not None and any(kept) and kept == came[:depth] + (None,) * (len(CONTEXT) - depth)
        )
        assert all(count < k for count in lost.values()), name


@given(ROWS, KS)
def test_the_figures_add_up(rows: list[Row], k: int) -> None:
    found = coarsened(numbered(rows), k)
    figures, after = found.figures, contexts(found.frame)

    assert figures.cameras == len(rows) == found.frame.height + figures.left_out
    assert (figures.before, figures.after) == (len(set(rows)), len(set(after)))
    assert figures.rare == sum(1 for row in rows if rows.count(row) < k)
    assert figures.coarser == sum(1 for came, kept in zip(rows, after, strict=False) if came != kept)
    assert figures.smallest == min(Counter(after).values(), default=0)
    assert combinations(numbered(rows))["len"].sum() == len(rows)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(KINDS)), max_size=12))
def test_rows_of_cameras_add_up(rows: list[tuple[str, str | None]]) -> None:
    found = one_row_each(pl.DataFrame(rows, schema={"camera": pl.String, "kind": pl.String}, orient="row"))
    said: dict[str, set[str | None]] = {}
    for camera, kind in rows:
        said.setdefault(camera, set()).add(kind)

    agreeing = {camera: kinds for camera, kinds in said.items() if len(kinds) == 1}

    assert dict(found.frame.iter_rows()) == {camera: next(iter(kinds)) for camera, kinds in agreeing.items()}
    assert found.contradicting == sum(1 for camera, _ in rows if camera not in agreeing)
    assert found.frame.height + found.repeated + found.contradicting == len(rows)
