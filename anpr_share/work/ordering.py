"""Rows put into the order of their tokens by sorting one integer a row.

A row's columns are packed into the digits of one integer, widest-ranging first, that sorts as the rows do and holds all
of them: sorting such integers is several times as fast as sorting rows by several columns, and what comes out is
unpacked, not looked up. Tokens stand in it by their rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Ranked:
    """The ``rank`` (UInt32) of each of some tokens among the distinct ones, and for each rank ``one`` that has it."""

    rank: pl.Series
    one: pl.Series


def ranked(tokens: pl.Series) -> Ranked:
    """Rank tokens, given as numbers (UInt128; nulls come last and count as one), as their hexadecimal digits sort."""
    # A token's place goes into its last bits, of which it has more than enough: so one sort of integers does it.
    places = 1 << len(tokens).bit_length()
    row = pl.int_range(pl.len(), dtype=pl.UInt32).cast(pl.UInt128)
    placed = tokens.to_frame("token").select(pl.col("token") // places * places + row).to_series().drop_nulls().sort()
    order = placed.to_frame("placed").select((pl.col("placed") % places).cast(pl.UInt32)).to_series()
    order = pl.concat([order, tokens.is_null().arg_true()])
    ordered = tokens.gather(order)
    starts = ordered.ne_missing(ordered.shift())
    if len(starts):
        starts[0] = True
    rank = pl.repeat(0, len(tokens), dtype=pl.UInt32, eager=True)
    return Ranked(rank.scatter(order, (starts.cum_sum() - 1).cast(pl.UInt32)), order.filter(starts))


def numbers(tokens: pl.Series) -> pl.Series:
    """Tokens (String, 32 hexadecimal digits) as the numbers (UInt128) that these digits write."""
    return tokens.str.decode("hex").bin.reinterpret(dtype=pl.UInt128, endianness="big")


class Packing:
    """How the columns of a frame of non-negative integers are packed into one Series, first column first."""

    def __init__(self, highest: dict[str, int]) -> None:
        self._bits = {name: max(value, 1).bit_length() for name, value in highest.items()}
        total = sum(self._bits.values())
        assert total <= 128
        self._dtype = pl.UInt64() if total <= 64 else pl.UInt128()

    def pack(self, frame: pl.DataFrame) -> pl.Series:
        """One integer for each row, which sorts as the rows do. Values must not pass the ``highest`` given."""
        packed = pl.lit(0, dtype=self._dtype)
        for name, bits in self._bits.items():
            packed = packed * (1 << bits) + pl.col(name).cast(self._dtype)
        return frame.select(packed.alias("packed")).to_series()

    def unpack(self, packed: pl.Series) -> pl.DataFrame:
        """The rows again: every column UInt64."""
        columns = {}
        rest = pl.col("packed")
        for name, bits in reversed(self._bits.items()):
            columns[name] = (rest % (1 << bits)).cast(pl.UInt64)
            rest = rest // (1 << bits)
        return packed.to_frame("packed").select(**dict(reversed(columns.items())))
