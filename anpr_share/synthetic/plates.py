"""Made-up plates: a number below ``CAPACITY`` names one plate, and no two numbers name the same.

Every plate has a legal layout of vrm-1 (docs/spec), most of them the current one; a few are foreign, of family
``other``. Within a family the numbers are scattered, so that neighbours do not look alike. A plate is a head and a
tail, each from a table, which is what makes a million of them cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import gcd

import polars as pl

from anpr_share.synthetic.draws import below, chance, mixed, seed_of

# Letters as vrm-1 allows them: no I, Q (and Z, outside the tail of a current plate).
AREA = "ABCDEFGHJKLMNOPRSTUVWXY"
TAIL = AREA + "Z"
YEAR = "ABCDEFGHJKLMNPRSTVWXY"
COUNTIES = ("C", "L", "G", "KK", "LH", "WX")
IRISH = tuple(f"{year}{half}{county}" for year in range(13, 27) for half in (1, 2) for county in COUNTIES)
NORTHERN = (*(f"I{letter}" for letter in "ABGJLW"), *(f"{letter}Z" for letter in AREA))
PER_CENT = 100
SCATTER = 37  # coprime with 100: the shares of the families are met by any hundred neighbours

# What a camera takes a character for. O and 0, I and 1 are one glyph on a UK plate and so are no misreading.
CONFUSIONS = {
    "A": "4R", "B": "8R", "C": "G6", "D": "OP", "E": "FB", "F": "EP", "G": "6C", "H": "MN", "I": "TL", "J": "UL",
    "K": "XH", "L": "EU", "M": "HN", "N": "MH", "O": "DC", "P": "FR", "Q": "OG", "R": "PB", "S": "5B", "T": "YF",
    "U": "VJ", "V": "YU", "W": "VM", "X": "KY", "Y": "VT", "Z": "2T", "0": "8D", "1": "7L", "2": "Z7", "3": "89",
    "4": "A9", "5": "S6", "6": "G5", "7": "T2", "8": "B3", "9": "83",
}  # fmt: skip


@dataclass(frozen=True)
class _Family:
    name: str
    share: int  # in each hundred plates
    heads: tuple[str, ...]
    tails: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.heads) * len(self.tails)


def _words(*alphabets: str) -> tuple[str, ...]:
    return tuple(map("".join, product(*alphabets)))


def _numbers(first: int, last: int) -> tuple[str, ...]:
    return tuple(map(str, range(first, last + 1)))


@cache
def _families() -> tuple[_Family, ...]:
    ages = tuple(f"{age:02}" for age in (*range(2, 27), *range(51, 76)))
    northern = (*NORTHERN, *(letter + code for letter in AREA for code in NORTHERN))
    current_heads = tuple(area + age for area in _words(AREA, AREA) for age in ages)
    not_ending_0 = tuple(number for number in _numbers(101, 999) if not number.endswith("0"))
    return (
        _Family("current", 84, current_heads, _words(TAIL, TAIL, TAIL)),
        _Family("prefix", 6, tuple(y + n for y in YEAR for n in _numbers(1, 999)), _words(AREA, AREA, AREA)),
        _Family("suffix", 1, _words(AREA, AREA, AREA), tuple(n + y for y in YEAR for n in _numbers(1, 999))),
        _Family("northern_ireland", 2, northern, _numbers(1, 9999)),
        _Family("dateless", 3, _words(AREA, AREA, AREA), _numbers(1, 999)),
        # Ireland; France, but for the numbers that would read as a current plate; Germany
        _Family("other", 2, IRISH, _numbers(1000, 99999)),
        _Family("other", 1, _words("ABCDEFG", AREA), tuple(n + w for n in not_ending_0 for w in _words(AREA, AREA))),
        _Family("other", 1, _words("BFHKM", AREA, "ACEGHKL"), _numbers(1000, 9999)),
    )


CAPACITY = 300_000_000  # every family can fill its share of so many plates; a test counts


@cache
def _tables(seed: int) -> tuple[pl.Series, pl.Series, pl.DataFrame]:
    """Return all heads, all tails, and for each of a hundred slots how its plates are numbered."""
    heads: list[str] = []
    tails: list[str] = []
    slots: list[dict[str, int]] = []
    for number, family in enumerate(_families()):
        step = seed_of(seed, "step", number) % family.size
        while gcd(step, family.size) != 1:
            step += 1
        start = seed_of(seed, "start", number) % family.size
        slot = {
            "family": number, "share": family.share, "step": step, "start": start,
            "size": family.size, "width": len(family.heads), "head": len(heads), "tail": len(tails),
        }  # fmt: skip
        slots += [{**slot, "rank": rank} for rank in range(family.share)]
        heads += family.heads
        tails += family.tails
    order = [slot * SCATTER % PER_CENT for slot in range(PER_CENT)]
    table = pl.DataFrame([slots[slot] for slot in order], schema=dict.fromkeys(slots[0], pl.UInt64))
    return pl.Series(heads), pl.Series(tails), table


def _slot(table: pl.DataFrame, column: str) -> pl.Expr:
    return pl.lit(table[column]).gather(pl.col("number") % PER_CENT)


def plates(numbers: pl.Series, seed: int, *, gap: str = "") -> pl.Series:
    """Return the plate of each number (UInt64, below ``CAPACITY``) in the world of this seed, as String.

    ``gap`` is written where a plate has its space: ``AB12 CDE``.
    """
    heads, tails, table = _tables(seed)
    frame = numbers.cast(pl.UInt64).to_frame("number")
    place = (pl.col("number") // PER_CENT * _slot(table, "share") + _slot(table, "rank")) * _slot(table, "step")
    place = (place + _slot(table, "start")) % _slot(table, "size")
    frame = frame.with_columns(place=place, width=_slot(table, "width"))
    frame = frame.select(
        head=pl.lit(heads).gather(pl.col("place") % pl.col("width") + _slot(table, "head")),
        tail=pl.lit(tails).gather(pl.col("place") // pl.col("width") + _slot(table, "tail")),
    )
    return frame.select(plate=pl.concat_str("head", "tail", separator=gap)).to_series()


def families(numbers: pl.Series, seed: int) -> pl.Series:
    """Return the vrm-1 family of each number's plate, as String."""
    names = pl.Series([family.name for family in _families()])
    table = _tables(seed)[2]
    chosen = numbers.cast(pl.UInt64).to_frame("number")
    return chosen.select(family=pl.lit(names).gather(_slot(table, "family"))).to_series()


def misread(plates_read: pl.Series, seeds: pl.Series) -> pl.Series:
    """Return each plate as a camera habitually misreads it: one character taken for another, or the last one lost.

    ``seeds`` (UInt64) decides how, so that the same plate and seed are always misread alike.
    """
    frame = pl.DataFrame({"plate": plates_read, "seed": seeds}).with_columns(
        draw=mixed(pl.col("seed"), "misread"), length=pl.col("plate").str.len_bytes().cast(pl.UInt64)
    )
    at = (pl.col("draw") // (1 << 20)) % pl.col("length")
    frame = frame.with_columns(at=at, second=chance(pl.col("draw"), 0.5, skip=32))
    character = pl.col("plate").str.slice(pl.col("at"), 1)
    taken_for = (
        pl.when("second")
        .then(character.replace_strict({one: two[1] for one, two in CONFUSIONS.items()}, return_dtype=pl.String))
        .otherwise(character.replace_strict({one: two[0] for one, two in CONFUSIONS.items()}, return_dtype=pl.String))
    )
    confused = pl.concat_str(
        pl.col("plate").str.slice(0, pl.col("at")), taken_for, pl.col("plate").str.slice(pl.col("at") + 1)
    )
    lost = (pl.col("draw") % 20 == 0) & (pl.col("length") > 3)
    return frame.select(plate=pl.when(lost).then(pl.col("plate").str.head(-1)).otherwise(confused)).to_series()


def respelt(frame: pl.DataFrame, seed: int) -> pl.Series:
    """Return the plates of ``frame`` (plate, number, misread, spelling) as careless systems write them, String.

    ``spelling`` (UInt8): 0 as it is, 1 with its space, 2 in lower case, 3 hyphen and lower case, 4 padded with spaces,
    5 with the letter O for the digit 0 and I for 1 (only where the layout says which is meant). A misread plate is
    only put in lower case. No spelling changes what vrm-1 makes of a plate.
    """
    spaced = frame["spelling"].is_in([1, 3]) & ~frame["misread"]
    frame = frame.with_columns(family=families(frame["number"], seed), spaced=frame["plate"])
    if spaced.any():
        gaps = plates(frame["number"].filter(spaced), seed, gap=" ")
        frame = frame.with_columns(spaced=frame["plate"].scatter(spaced.arg_true(), gaps))
    spelling, plate = pl.col("spelling"), pl.col("plate")
    glyphs = plate.str.replace_all("0", "O", literal=True).str.replace_all("1", "I", literal=True)
    # YR04OOF and YRO400F are both legal: a plate with the letter O of its own is left alone.
    by_place = (pl.col("family") == "current") & ~pl.col("misread") & ~plate.str.contains("O", literal=True)
    return frame.select(
        pl.when(spelling == 1)
        .then("spaced")
        .when(spelling == 2)
        .then(plate.str.to_lowercase())
        .when(spelling == 3)
        .then(pl.col("spaced").str.to_lowercase().str.replace(" ", "-", literal=True))
        .when(spelling == 4)
        .then(pl.concat_str(pl.lit(" "), plate, pl.lit("  ")))
        .when((spelling == 5) & by_place)
        .then(glyphs)
        .otherwise(plate)
    ).to_series()


def unreadable(draws: pl.Series) -> pl.Series:
    """Return what cameras and clerks write where no plate was read: null, a placeholder, or a plate in part."""
    area = pl.lit(pl.Series(_words(AREA, AREA)))
    age = pl.lit(pl.Series(_numbers(51, 75)))
    start = area.gather(below(pl.col("draw"), len(AREA) ** 2))
    partial = pl.concat_str(start, pl.lit("?"), age.gather(below(pl.col("draw"), 25, skip=16)), pl.lit("?"))
    kind = below(pl.col("draw"), 4, skip=32)
    words = pl.lit(pl.Series([None, "NOPLATE", "UNKNOWN", None], dtype=pl.String))
    return draws.to_frame("draw").select(pl.when(kind < 3).then(words.gather(kind)).otherwise(partial)).to_series()
