"""Tables over made-up batches give the tokens of single cells; netstrings are read in one way."""

from __future__ import annotations

import hashlib
import hmac

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.pseudonyms import FieldKey, LinkageKey, netstring
from anpr_share.token_tables import CameraTable, PlateTable
from anpr_share.vrm import canonicalise

KEY = LinkageKey(bytes(range(32)), "msv-2026")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CELLS = st.none() | TEXT | st.text("AB01OI -?\0é", max_size=10)


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary(max_size=200)))
def test_copied_states_are_hmac(secret: bytes, messages: list[bytes]) -> None:
    expected = [hmac.new(secret, message, hashlib.sha256).digest() for message in messages]
    assert FieldKey(secret).digests(messages) == expected


@given(st.lists(st.lists(CELLS, max_size=30), max_size=5), st.integers(1, 40))
def test_a_table_gives_the_tokens_of_its_cells(batches: list[list[str | None]], capacity: int) -> None:
    table = PlateTable(KEY, alike=False, sample=None, capacity=capacity)
    for batch in batches:
        ids = table.ids(pl.Series(batch, dtype=pl.String))
        found = pl.DataFrame([table.facts["status"], table.tokens["vehicle"]])[ids].rows()
        canonical = [canonicalise(cell) for cell in batch]
        assert found == [(c.status, KEY.vrm(c.vrm) if c.vrm else None) for c in canonical]
        if table.full:
            table.clear()


@given(st.lists(st.lists(st.tuples(CELLS, CELLS), max_size=20), max_size=4))
def test_a_camera_table_gives_the_tokens_of_its_cameras(batches: list[list[tuple[str | None, str | None]]]) -> None:
    table = CameraTable(KEY, "lancashire")
    for batch in batches:
        frame = pl.DataFrame(batch, schema={"feed": pl.String, "camera": pl.String}, orient="row")
        ids = table.ids(frame)
        found = table.frame["camera"].gather(ids)
        for parts, token in zip(batch, found, strict=True):
            if token is not None:
                assert token == KEY.camera("lancashire", parts)
            else:
                assert not "".join(part or "" for part in parts).strip()


@given(st.lists(st.binary(max_size=12), max_size=5), st.lists(st.binary(max_size=12), max_size=5))
def test_other_parts_give_other_netstrings(one: list[bytes], other: list[bytes]) -> None:
    assert (netstring(*one) == netstring(*other)) == (one == other)
