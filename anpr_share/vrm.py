"""vrm-1: one spelling for each number plate, so that two systems' records of a vehicle agree.

Guarantees:

- ``canonicalise`` is total, deterministic and idempotent, and follows ``docs/spec/rules-v1.md`` step by step; the
  numbers in the comments are the steps of that page.
- ``canonicalise_series`` gives exactly what ``canonicalise`` gives for each cell, a column at a time.
- Nothing here is logged or raised: whatever the input, the answer is a value.

The UK font prints O and 0 alike, and I and 1 alike, so a plate read by a camera has up to 2^n spellings. A spelling is
chosen only where the rules leave one; elsewhere the text stays as written and is marked ambiguous.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

__all__ = ["FAMILIES", "PLATE_LIKE", "RULES", "STATUSES", "Canonical", "canonicalise", "canonicalise_series", "squeeze"]

RULES: Final = "vrm-1"
"""The version of these rules; it travels in manifests, and bundles made under different rules are not mixed."""

STATUSES: Final = ("ok", "missing", "partial", "malformed")

_PATTERNS: Final = {
    "current": "[A-HJ-PR-Y]{2}[0-9]{2}[A-HJ-PR-Z]{3}",
    "prefix": "[A-HJ-NPR-TV-Y][1-9][0-9]{0,2}[A-HJ-PR-Y]{3}",
    "suffix": "[A-HJ-PR-Y]{3}[1-9][0-9]{0,2}[A-HJ-NPR-TV-Y]",
    "q": "Q[1-9][0-9]{0,2}[A-HJ-PR-Y]{3}",
    "northern_ireland": "(?=.*[IZ])(?:[A-PR-Z]{2,3}[1-9][0-9]{0,3}|[1-9][0-9]{0,3}[A-PR-Z]{2,3})",
    "dateless": (
        "[A-HJ-PR-Y]{1,2}[1-9][0-9]{0,3}|[A-HJ-PR-Y]{3}[1-9][0-9]{0,2}"
        "|[1-9][0-9]{0,3}[A-HJ-PR-Y]{1,2}|[1-9][0-9]{0,2}[A-HJ-PR-Y]{3}"
    ),
    "diplomatic": "[1-9][0-9]{2}[DX][1-9][0-9]{2}",
    "military": "[A-HJ-PR-Z]{2}[0-9]{2}[A-HJ-PR-Z]{2}|[0-9]{2}[A-HJ-PR-Z]{2}[0-9]{2}",
    "jersey": "J[1-9][0-9]{0,5}",
    "digits_only": "[1-9][0-9]{1,5}",
}
FAMILIES: Final = (*_PATTERNS, "other")
"""Every family, in the order in which they are tried."""

PLATE_LIKE: Final = ("current", "prefix", "suffix", "northern_ireland", "q")
"""Families so particular that text which has one is taken to be a plate wherever it stands."""

_DATED: Final = frozenset({"current", "prefix", "suffix"})
_KEEP_AS_WRITTEN: Final = frozenset({"jersey", "digits_only"})
_PLACEHOLDERS: Final = frozenset(
    "NULL NONE NA NAN NIL UNKNOWN UNK NOPLATE NOREAD NOTREAD BLANK TBC MISSING".split()  # noqa: SIM905
)
_LEGAL: Final = re.compile("|".join(f"(?P<{family}>{pattern})" for family, pattern in _PATTERNS.items()), re.ASCII)
_WILDCARDS: Final = frozenset("?*#_%")
_MIN_LENGTH, _MAX_LENGTH = 2, 10

# Where letters (L) and digits (D) stand in a legal plate of each length: a reading of a plate over O/0 and I/1 is legal
# only if it follows one of these, and each of them admits one reading. A test compares this with all 2^n readings.
_LAYOUTS: Final = {
    length: tuple(
        sorted(
            {
                layout
                for blocks in (
                    *(("L" * n, "D" * m) for n in range(4) for m in range(7)),
                    *(("D" * m, "L" * n) for n in range(4) for m in range(7)),
                    ("LL", "DD", "LLL"), ("LL", "DD", "LL"), ("DD", "LL", "DD"), ("DDD", "L", "DDD"),
                    *(("L", "D" * m, "LLL") for m in range(1, 4)),
                    *(("LLL", "D" * m, "L") for m in range(1, 4)),
                )
                if len(layout := "".join(blocks)) == length
            }
        )
    )
    for length in range(_MIN_LENGTH, 8)
}  # fmt: skip
_AS_LETTERS: Final = str.maketrans("01", "OI")
_AS_DIGITS: Final = str.maketrans("OI", "01")
_TWO_FACED: Final = frozenset("O0I1")


@dataclass(frozen=True, slots=True)
class Canonical:
    """What vrm-1 makes of one cell: ``vrm`` and ``family`` are there exactly when ``status`` is ``ok``."""

    status: str
    vrm: str | None
    family: str | None
    ambiguous: bool


_MISSING: Final = Canonical("missing", None, None, ambiguous=False)
_PARTIAL: Final = Canonical("partial", None, None, ambiguous=False)
_MALFORMED: Final = Canonical("malformed", None, None, ambiguous=False)


def canonicalise(raw: str | None) -> Canonical:
    """The vrm-1 form of one cell. Never raises, whatever the text."""
    if raw is None:  # 1
        return _MISSING
    text = raw if raw.isascii() else unicodedata.normalize("NFKC", raw)
    written = "".join(c for c in text if c.isascii() and c.isalnum()).upper()  # 2
    if not _WILDCARDS.isdisjoint(text):  # 3
        return _PARTIAL if written else _MISSING
    if not text.isascii() and any(c.isalnum() and not c.isascii() for c in text):  # 4
        return _MALFORMED
    if written in _PLACEHOLDERS or len(set(written)) <= 1:  # 5
        return _MISSING
    if not _MIN_LENGTH <= len(written) <= _MAX_LENGTH:  # 6
        return _MALFORMED
    return _choose(written)


def _choose(written: str) -> Canonical:
    """Steps 7 and 8: one spelling out of the legal readings, or the text as written."""
    legal = _legal_readings(written)
    if not legal:
        return Canonical("ok", written, "other", ambiguous=False)
    if len(legal) == 1:
        [(reading, family)] = legal.items()
        if reading != written and family in _KEEP_AS_WRITTEN:
            return Canonical("ok", written, "other", ambiguous=False)
        return Canonical("ok", reading, family, ambiguous=False)
    dated = [reading for reading, family in legal.items() if family in _DATED]
    if len(dated) == 1:
        return Canonical("ok", dated[0], legal[dated[0]], ambiguous=False)
    return Canonical("ok", written, legal.get(written, "other"), ambiguous=True)


def _legal_readings(written: str) -> dict[str, str]:
    """Every legal reading of ``written`` over O/0 and I/1, with the first family that matches it."""
    if _TWO_FACED.isdisjoint(written):
        readings = {written}
    else:
        letters, digits = written.translate(_AS_LETTERS), written.translate(_AS_DIGITS)
        readings = {
            "".join(a if kind == "L" else b for kind, a, b in zip(layout, letters, digits, strict=True))
            for layout in _LAYOUTS.get(len(written), ())
        }
    matches = ((reading, _LEGAL.fullmatch(reading)) for reading in readings)
    return {reading: str(match.lastgroup) for reading, match in matches if match}


# The fast path. Whether and how a text is legal depends only on its *shape*: each character replaced by one of nine
# classes that hardly any rule looks inside. A column has few shapes, so each shape is put through `canonicalise` once,
# by a representative, and the answer is carried to every row of that shape. Shapes whose rows the rules do tell apart,
# and text with wildcards or beyond ASCII, which gets no shape, go to `canonicalise` row by row.
_CLASSES: Final = {
    "1": "ABCDEFGHJKLMNPRSTVWXY",
    "2": "U",
    "3": "Z",
    "4": "Q",
    "5": "O",
    "6": "I",
    "7": "0",
    "8": "1",
    "9": "23456789",
}
_CLASS_OF: Final = {member: digit for digit, members in _CLASSES.items() for member in members}
_REPRESENTATIVE: Final = str.maketrans({digit: members[0] for digit, members in _CLASSES.items()})
# J makes a jersey plate of one letter and digits, D and X a diplomatic one of a letter between digits; one character
# repeated is not a plate, nor is a placeholder, whatever their shapes.
_TOLD_APART: Final = re.compile(r"(.)\1*|1[5-9]{1,6}|[5-9]{3}1[5-9]{3}")
_PLACEHOLDER_SHAPES: Final = frozenset("".join(_CLASS_OF[c] for c in word) for word in _PLACEHOLDERS)
_LONGEST_SHAPE: Final = 18  # digits, which surely fit 64 bits

# Byte tables: a column is joined by line feeds and translated as one text, which costs some ten nanoseconds a plate.
_UPPER: Final = bytes(range(256)).upper()
_DROPPED: Final = bytes(c for c in range(128) if c != 10 and not chr(c).isalnum() and chr(c) not in _WILDCARDS)
_TO_SHAPE: Final = bytes(10 if c == 10 else ord(_CLASS_OF.get(chr(c), "x")) for c in range(256))
_TO_LETTERS: Final = bytes.maketrans(b"01", b"OI")
_TO_DIGITS: Final = bytes.maketrans(b"OI", b"01")
_BLOCK_ROWS: Final = 1 << 20  # bounds those texts to some tens of megabytes


@dataclass(frozen=True, slots=True)
class _Answer:
    """What all rows of a shape get; ``layout`` has L and D where their vrm has letters and digits, if it is respelled.

    No status means that each row must be asked.
    """

    status: str | None
    family: str | None
    ambiguous: bool
    layout: str | None


_ROW_BY_ROW: Final = _Answer(None, None, ambiguous=False, layout=None)


@lru_cache(maxsize=1 << 16)
def _answer(shape: int | None) -> _Answer:
    text = str(shape)
    if shape is None or _TOLD_APART.fullmatch(text) or text in _PLACEHOLDER_SHAPES or len(text) > _LONGEST_SHAPE:
        return _ROW_BY_ROW
    representative = text.translate(_REPRESENTATIVE)
    result = canonicalise(representative)
    layout = None
    if result.vrm is not None and result.vrm != representative:
        layout = "".join("D" if c.isdigit() else "L" for c in result.vrm)
    return _Answer(result.status, result.family, result.ambiguous, layout)


def canonicalise_series(raw: pl.Series) -> pl.DataFrame:
    """The vrm-1 form of a column of text: row for row what `canonicalise` gives.

    Takes a String series. Gives a frame of the same length and order: ``status`` (Enum of STATUSES), ``vrm`` (String),
    ``family`` (Enum of FAMILIES) and ``ambiguous`` (Boolean); vrm and family are null where status is not ``ok``.
    """
    import polars as pl

    blocks = [_block(raw.slice(start, _BLOCK_ROWS)) for start in range(0, len(raw), _BLOCK_ROWS)]
    return pl.concat(blocks, rechunk=True) if blocks else _results_frame([])


def squeeze(cells: pl.Series) -> pl.Series:
    """The cells in upper case, without the ASCII characters that vrm-1 drops: an ASCII cell canonicalises the same."""
    return _split(_joined(cells).translate(_UPPER, _DROPPED))


def _block(raw: pl.Series) -> pl.DataFrame:
    import polars as pl

    written = _joined(raw).translate(_UPPER, _DROPPED)
    shape = _split(written.translate(_TO_SHAPE)).cast(pl.UInt64, strict=False)
    shapes = shape.unique()
    answers = [_answer(n) for n in shapes.to_list()]
    table = _results_frame(answers).with_columns(
        shapes.alias("shape"), pl.Series("layout", [a.layout for a in answers], dtype=pl.String)
    )
    frame = pl.DataFrame({"shape": shape, "written": _split(written)}).join(
        table, on="shape", how="left", nulls_equal=True, maintain_order="left"
    )
    vrm = _respelled(frame["written"], frame["layout"])
    frame = frame.select("status", pl.when(pl.col("status") == "ok").then(vrm).alias("vrm"), "family", "ambiguous")
    return _row_by_row(frame, raw)


def _row_by_row(frame: pl.DataFrame, raw: pl.Series) -> pl.DataFrame:
    """Fill the rows that have no status yet."""
    rows = frame["status"].is_null().arg_true()
    if rows.is_empty():
        return frame
    results = [canonicalise(cell) for cell in raw.gather(rows).to_list()]
    return _overlaid(frame, rows, _results_frame(results))


def _respelled(written: pl.Series, layout: pl.Series) -> pl.Series:
    """The rows that have a layout, with O and I where it has L, and 0 and 1 where it has D."""
    import polars as pl

    rows = layout.is_not_null().arg_true()
    if rows.is_empty():
        return written
    text = _joined(written.gather(rows))
    parts = pl.DataFrame(
        {
            "row": rows,
            "layout": layout.gather(rows),
            "L": _split(text.translate(_TO_LETTERS)),
            "D": _split(text.translate(_TO_DIGITS)),
        }
    ).partition_by("layout", maintain_order=True)
    changed = pl.concat(part.select("row", vrm=_spelling(part["layout"][0])) for part in parts)
    return _overlaid(written.to_frame("vrm"), changed["row"], changed.select("vrm"))["vrm"]


def _spelling(layout: str) -> pl.Expr:
    import polars as pl

    runs = re.finditer("L+|D+", layout)
    return pl.concat_str(pl.col(run[0][0]).str.slice(run.start(), len(run[0])) for run in runs)


def _overlaid(frame: pl.DataFrame, rows: pl.Series, replacement: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with ``replacement`` in place of those rows."""
    import polars as pl

    order = pl.int_range(len(frame), dtype=pl.UInt32, eager=True)
    order = order.scatter(rows, pl.int_range(len(frame), len(frame) + len(rows), dtype=pl.UInt32, eager=True))
    return pl.concat([frame, replacement], rechunk=True)[order]


def _results_frame(results: Sequence[Canonical | _Answer]) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(
        {
            "status": pl.Series([r.status for r in results], dtype=pl.Enum(STATUSES)),
            "vrm": pl.Series([r.vrm if isinstance(r, Canonical) else None for r in results], dtype=pl.String),
            "family": pl.Series([r.family for r in results], dtype=pl.Enum(FAMILIES)),
            "ambiguous": pl.Series([r.ambiguous for r in results], dtype=pl.Boolean),
        }
    )


def _joined(cells: pl.Series) -> bytes:
    """The cells as one text, a line each. A line feed inside a cell becomes a space, which vrm-1 drops as well."""
    cells = cells.fill_null("")
    text = str(cells.str.join("\n").item()).encode()
    if text.count(b"\n") != len(cells) - 1:
        text = str(cells.str.replace_all("\n", " ", literal=True).str.join("\n").item()).encode()
    return text


def _split(text: bytes) -> pl.Series:
    import polars as pl

    return pl.Series([text.decode()]).str.split("\n").explode()
