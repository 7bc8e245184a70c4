"""vrm-1 over made-up text: total, idempotent, and the same by column, by cell and by brute force."""

from __future__ import annotations

import itertools
import re

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from anpr_share import vrm
from anpr_share.vrm import FAMILIES, STATUSES, Canonical, canonicalise, canonicalise_series

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=14)
NEAR_PLATES = st.text("OI01ABCDJXZQU259 -?é\n", max_size=9)
TWO_FACED = st.text("OI01BJDXZQU9", min_size=2, max_size=7)
CELLS = st.lists(st.none() | ANY_TEXT | NEAR_PLATES | TWO_FACED, max_size=60)
FACES = {"O": "O0", "0": "O0", "I": "I1", "1": "I1"}


def brute_force(written: str) -> dict[str, str]:
    legal = {}
    for reading in map("".join, itertools.product(*(FACES.get(c, c) for c in written))):
        for family, pattern in vrm._PATTERNS.items():
            if re.fullmatch(pattern, reading):
                legal[reading] = family
                break
    return legal


@given(CELLS)
def test_a_column_gives_what_its_cells_give(raw: list[str | None]) -> None:
    frame = canonicalise_series(pl.Series(raw, dtype=pl.String))
    assert [Canonical(*row) for row in frame.rows()] == [canonicalise(cell) for cell in raw]


@given(st.none() | st.text())
@example("\ud800")
@example("\ud800A1")
def test_every_text_has_an_answer(raw: str | None) -> None:
    found = canonicalise(raw)
    assert found.status in STATUSES
    assert (found.status == "ok") == (found.vrm is not None) == (found.family in FAMILIES)
    assert found.vrm is None or re.fullmatch("[A-Z0-9]{2,10}", found.vrm)
    assert found.status == "ok" or not found.ambiguous


@given(ANY_TEXT | NEAR_PLATES | TWO_FACED)
def test_an_answer_is_its_own_answer(raw: str) -> None:
    found = canonicalise(raw)
    if found.vrm is not None:
        assert canonicalise(found.vrm) == found


@given(
    TWO_FACED
    | st.from_regex("|".join(vrm._PATTERNS.values()), fullmatch=True, alphabet=st.characters(max_codepoint=127))
)
def test_the_layouts_find_every_legal_reading(written: str) -> None:
    assert vrm._legal_readings(written) == brute_force(written)


@given(NEAR_PLATES)
def test_what_is_dropped_does_not_matter(raw: str) -> None:
    assert canonicalise(f" {raw}\t") == canonicalise(raw)
    assert canonicalise(raw.lower()) == canonicalise(raw.upper())
