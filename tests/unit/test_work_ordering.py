"""Ranks and packed rows sort as tokens and columns do."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from anpr_share.work.ordering import Packing, numbers, ranked

SOME = [f"{n * 2**123:032x}" for n in range(8)]
TOKENS = st.lists(st.none() | st.sampled_from(SOME) | st.uuids().map(lambda uuid: uuid.hex))
HIGHEST = {"plate": 2**24, "time": 93_600_000_000, "camera": 300, "band": 5}
ROWS = st.lists(st.tuples(*(st.integers(0, highest) for highest in HIGHEST.values())))


@given(TOKENS)
def test_ranks_sort_as_tokens_do_with_nulls_last(tokens: list[str | None]) -> None:
    found = ranked(numbers(pl.Series(tokens, dtype=pl.String)))

    distinct = [*sorted({token for token in tokens if token is not None}), *([None] if None in tokens else [])]
    assert [distinct[rank] for rank in found.rank.to_list()] == tokens
    assert [tokens[one] for one in found.one.to_list()] == distinct


@given(ROWS)
def test_packed_rows_sort_as_rows_do_and_come_out_whole(rows: list[tuple[int, ...]]) -> None:
    packing = Packing(HIGHEST)
    frame = pl.DataFrame(rows, schema=dict.fromkeys(HIGHEST, pl.Int64), orient="row")

    assert packing.unpack(packing.pack(frame).sort()).rows() == sorted(rows)


def test_few_values_fit_into_64_bits() -> None:
    frame = pl.DataFrame({"plate": [3], "time": [86_399]})

    assert Packing({"plate": 2**24, "time": 86_400}).pack(frame).dtype == pl.UInt64
    assert Packing({"plate": 2**24, "time": 2**41}).pack(frame).dtype == pl.UInt128
