"""Blocks of delimited text as frames of text cells.

- A cell is the text between its delimiters, without the quotes around it: never a number, never trimmed.
- A row with more or fewer cells than the header is marked ragged and its cells are null: no cell is ever taken for its
  neighbour. So is a row that repeats the header, where files were joined.
- Rows count from 1 after the header; blank lines are no rows.

Most blocks are read by polars. One end-of-row cell of our own, added to every line, shows where each row ended: polars
itself fills up short rows and cuts long ones without a word. A block whose quoting runs over lines, or is irregular,
goes through the standard library's ``csv`` instead, which decides what such a file means; a test holds the two to the
same answers.
"""

from __future__ import annotations

import csv
import io
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from anpr_share.errors import InputError
from anpr_share.tables.blocks import BLOCK_BYTES, MAX_ROW_BYTES, TextBlocks
from anpr_share.tables.profile import MAX_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anpr_share.tables.profile import FileFormat

RAGGED = "__ragged__"

_MARK = "\x1e"  # "record separator": the end-of-row cell; a block that holds one goes through csv
_BLOCKS_TO_A_FRAME = 16  # a frame has a bound in bytes, too
_LIMIT_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the needed columns are: ``width`` cells to a row, of which the last ``optional`` may be left out."""

    names: tuple[str, ...]
    positions: tuple[int, ...]
    width: int
    optional: int
    has_header: bool


def find_columns(name: str, blocks: TextBlocks, form: FileFormat, needed: Sequence[str]) -> Layout:
    """Read the header, if the file has one, off the first block, and find the needed columns.

    Raises:
        InputError: columns are missing or doubled.
    """
    if form.header is not None:
        optional = form.optional_header or ()
        cells = [*form.header, *optional]
        blocks.give_back(_skip_lines(blocks, form.skip_rows))
    else:
        optional = ()
        cells = _take_header(name, blocks, form)
    missing = [column for column in needed if column not in cells]
    if missing:
        hint = "write the names of its header line into the profile, and take out what it does not have"
        if len(cells) == 1:
            hint = "the header line has one cell: the delimiter under [file] may be wrong"
        if cells[0].lower().startswith("sep=") and len(cells) <= 2:  # a delimiter that is its own divides it
            hint = f"the first line is Excel's sep=: set skip_rows = {form.skip_rows + 1} under [file]"
        raise InputError(f"{name} has no column {', '.join(missing)}", hint=hint)
    doubled = [column for column in needed if cells.count(column) > 1]
    if doubled:
        raise InputError(
            f"{name} has more than one column {', '.join(doubled)}", hint="take one out, or rename it, in the extract"
        )
    return Layout(
        tuple(needed),
        tuple(cells.index(column) for column in needed),
        len(cells),
        len(optional),
        has_header=form.header is None,
    )


def read_rows(name: str, blocks: TextBlocks, form: FileFormat, layout: Layout, rows: int) -> Iterator[pl.DataFrame]:
    """The rows after the header: one String column for each needed one, and `RAGGED`; about ``rows`` to a frame.

    Raises:
        InputError: the file's bytes or its quoting cannot be read.
    """
    regular = _regular_line(form)
    frames: list[pl.DataFrame] = []
    while block := blocks.next():
        if _MARK.encode() not in block and (not form.quote or b'"' not in block or _all_lines_match(block, regular)):
            frame = _read_regular(block, form, layout)
        else:
            frame, rest = _read_irregular(block, form, layout)
            if rest and blocks.final:
                raise InputError(
                    f"a quotation mark is left open in {name} after row {blocks.rows + frame.height}",
                    hint='set quote = "" under [file] if the file quotes nothing',
                )
            blocks.give_back(rest)
        blocks.rows += frame.height
        frames.append(_mark_repeated_header(frame, layout))
        if sum(part.height for part in frames) >= rows or len(frames) == _BLOCKS_TO_A_FRAME:
            yield pl.concat(frames, rechunk=True)
            frames = []
    if frames:
        yield pl.concat(frames, rechunk=True)


def _read_regular(block: bytes, form: FileFormat, layout: Layout) -> pl.DataFrame:
    names = [f"c{position}" for position in range(layout.width)]
    header = form.delimiter.join(names).encode() + b"\n"
    ended = (header + block).replace(b"\n", f"{form.delimiter}{_MARK}\n".encode())
    ends = [*(f"c{position}" for position in range(layout.width - layout.optional, layout.width)), _MARK]
    wanted = [f"c{position}" for position in layout.positions]
    frame = pl.read_csv(
        ended,
        columns=list(dict.fromkeys([*wanted, *ends])),
        separator=form.delimiter,
        quote_char=form.quote or None,
        infer_schema=False,
        empty_string_is_null=False,
        truncate_ragged_lines=True,
    )
    ragged = frame.select(~pl.any_horizontal(pl.col(end) == _MARK for end in ends)).to_series().alias(RAGGED)
    # A blank line is ragged, too, but where a row may be one cell: only then are they looked for, which takes long.
    if (layout.width - layout.optional == 1 or ragged.any()) and (block.startswith(b"\n") or b"\n\n" in block):
        return _read_regular(re.sub(rb"\n+", b"\n", block).removeprefix(b"\n"), form, layout)
    cells = [
        pl.when(pl.col(cell) != _MARK).then(pl.col(cell)).otherwise(pl.lit("")) if cell in ends else pl.col(cell)
        for cell in wanted
    ]
    return _null_where_ragged(
        frame.select(*(cell.alias(name) for cell, name in zip(cells, layout.names, strict=True)), ragged)
    )


def _null_where_ragged(frame: pl.DataFrame) -> pl.DataFrame:
    if not frame[RAGGED].any():
        return frame
    return frame.with_columns(pl.when(~pl.col(RAGGED)).then(pl.exclude(RAGGED)))


def _read_irregular(block: bytes, form: FileFormat, layout: Layout) -> tuple[pl.DataFrame, bytes]:
    """The rows that end in this block, and the lines of the one that does not."""
    lines = list(io.StringIO(block.decode(), newline="\n"))
    columns: list[list[str | None]] = [[] for _ in layout.positions]
    places = list(zip(columns, layout.positions, strict=True))
    ragged: list[bool] = []
    shortest = layout.width - layout.optional
    whole = 0
    for row, lines_read in _csv_rows([*lines, _MARK], form):
        if lines_read > len(lines):  # the mark: alone if the last row had ended, inside it if a quotation is open
            break
        whole = lines_read
        if not row:
            continue
        fits = shortest <= len(row) <= layout.width
        ragged.append(not fits)
        for column, position in places:
            column.append((row[position] if position < len(row) else "") if fits else None)
    data = dict(zip(layout.names, columns, strict=True))
    frame = pl.DataFrame({**data, RAGGED: ragged}, schema={**dict.fromkeys(data, pl.String), RAGGED: pl.Boolean})
    return frame, "".join(lines[whole:]).encode()


def _csv_rows(lines: list[str], form: FileFormat) -> Iterator[tuple[list[str], int]]:
    """Each row, and how many lines were read by then."""
    with _LIMIT_LOCK:  # the limit is the whole process's
        before = csv.field_size_limit(MAX_ROW_BYTES + 2 * BLOCK_BYTES)  # more than a block can be
        try:
            reader = csv.reader(
                lines,
                delimiter=form.delimiter,
                quotechar=form.quote or None,
                quoting=csv.QUOTE_MINIMAL if form.quote else csv.QUOTE_NONE,
            )
            for row in reader:
                yield row, reader.line_num
        finally:
            csv.field_size_limit(before)


def _all_lines_match(block: bytes, pattern: str) -> bool:
    return bool(pl.read_lines(io.BytesIO(block)).select(pl.col("line").str.contains(pattern).all()).item())


def _regular_line(form: FileFormat) -> str:
    """A line on which polars and csv cannot differ: every quotation begins and ends with its cell, on this line."""
    delimiter = f"\\x{ord(form.delimiter):02x}"
    cell = f'(?:[^"{delimiter}]*|"(?:[^"]|"")*")'
    return rf"\A{cell}(?:{delimiter}{cell})*\z"


def _mark_repeated_header(frame: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    first = layout.names[0]
    if not layout.has_header or not (frame[first] == first).any():
        return frame
    repeated = pl.all_horizontal(pl.col(name) == name for name in layout.names).fill_null(value=False)
    return _null_where_ragged(frame.with_columns((pl.col(RAGGED) | repeated).alias(RAGGED)))


def _take_header(name: str, blocks: TextBlocks, form: FileFormat) -> list[str]:
    block = _skip_lines(blocks, form.skip_rows)
    lines = list(io.StringIO(block.decode(), newline="\n"))
    for row, lines_read in _csv_rows(lines, form):
        if row:
            blocks.give_back("".join(lines[lines_read:]).encode())
            if len(row) > MAX_COLUMNS:
                raise InputError(
                    f"the header line of {name} has more than {MAX_COLUMNS:,} cells",
                    hint="compare the delimiter in the profile with the file",
                )
            return [cell.strip() for cell in row]
    raise InputError(f"{name} has no header line", hint="the file is empty, or skip_rows under [file] is too many")


def _skip_lines(blocks: TextBlocks, lines: int) -> bytes:
    block = blocks.next()
    while lines and block:
        here = min(lines, block.count(b"\n"))
        block = block.split(b"\n", here)[here]
        lines -= here
        block = block or blocks.next()
    return block
