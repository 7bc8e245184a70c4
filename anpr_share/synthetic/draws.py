"""Random numbers as a function: the same seed, stream and position give the same number on every machine.

There is no generator with a state. A draw is the SplitMix64 finaliser of a position, written as a polars expression,
so that any day, any block and any vehicle can be made alone and in any order.
"""

from __future__ import annotations

import hashlib

import polars as pl

GAMMA = 0x9E3779B97F4A7C15


def _u64(number: int) -> pl.Expr:
    return pl.lit(number, dtype=pl.UInt64)


def seed_of(*parts: int | str) -> int:
    """Return a 64-bit seed for a named stream: parts such as ``(7, "cameras", 3)``."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big")


def mixed(position: pl.Expr, *stream: int | str) -> pl.Expr:
    """Return one UInt64 draw for each position of the stream."""
    z = position.cast(pl.UInt64) * _u64(GAMMA) + _u64(seed_of(*stream))
    z = (z ^ (z // _u64(1 << 30))) * _u64(0xBF58476D1CE4E5B9)
    z = (z ^ (z // _u64(1 << 27))) * _u64(0x94D049BB133111EB)
    return z ^ (z // _u64(1 << 31))


def below(draw: pl.Expr, bound: int, *, skip: int = 0) -> pl.Expr:
    """Return the draw as a number below ``bound`` (under 2^32), after its first ``skip`` bits.

    32 bits are used; draws with different ``skip`` (0, 16 or 32) share bits, or none at 0 and 32.
    """
    bits = draw // _u64(1 << (32 - skip)) % _u64(1 << 32)
    return bits * _u64(bound) // _u64(1 << 32)


def chance(draw: pl.Expr, probability: float, *, skip: int = 0) -> pl.Expr:
    """Return True with the probability given, from the same bits as ``below``."""
    return below(draw, 1 << 20, skip=skip) < round(probability * (1 << 20))
