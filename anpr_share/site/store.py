"""Reading the parts of a store: nothing unauthenticated, nothing expired, nothing in the clear on disk.

Guarantees: the parts, their keys and the time are taken when a frame is *collected*, not when it is made; a part is
read only if its magic, size and digest are those of its authenticated record; a day that expires while a frame is taken
batch by batch is not handed on, though it was read ahead; days that a predicate on day, source or time of capture rules
out are not opened, their keys not unwrapped, and columns that are not asked for are not decrypted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import polars as pl
from polars.io.plugins import register_io_source

from anpr_share.errors import StorageError, UsageError, VerificationError
from anpr_share.files import storage_errors
from anpr_share.memory import ran_out_of_memory
from anpr_share.parquet import scan_open

GROUP_ROWS = 4_000_000
"""Rows that are read at once, beside those of the group before, which the query is still at work on."""
GROUP_PARTS = 64
BATCH_ROWS = 20_000
_verified: set[tuple[str, int, int, int, int, int]] = set()
StillLive = Callable[["Sequence[LivePart]"], "Sequence[LivePart]"]

DAY = pl.Date()
SOURCE = pl.String()
TIME = "captured_at"
# As polars writes an expression as JSON. What is written in another way prunes nothing.
_ORDERINGS = ("Lt", "LtEq", "Gt", "GtEq")
_BETWEEN = [{"Boolean": {"IsBetween": {"closed": closed}}} for closed in ("Both", "Left", "Right", "None")]


@dataclass(frozen=True, slots=True)
class LivePart:
    """One part that may be read now. ``day`` is its capture day, or the day that an undated table counts from.

    ``key`` unwraps its key, which is in memory only while the part is read.
    """

    path: Path
    key: Callable[[], bytes]
    source: str
    day: date
    rows: int
    bytes: int
    sha256: str

    def __repr__(self) -> str:
        return f"<LivePart {self.day} (secret)>"


def lazy_table(
    schema: dict[str, pl.DataType],
    collect: Callable[[], Sequence[LivePart]],
    name: str,
    still_live: StillLive = list,
) -> pl.LazyFrame:
    """A LazyFrame of a table's agreed columns, then ``source`` (String) and ``day`` (Date).

    ``collect`` is called each time the frame is collected: it takes the clock, the live keys and the ledger entry.
    """
    columns = {**schema, "source": SOURCE, "day": DAY}

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from read_parts(collect(), columns, with_columns, predicate, n_rows, still_live)

    return register_io_source(source, schema=columns, is_pure=False, explain_name=name)


def read_parts(
    parts: Sequence[LivePart],
    columns: dict[str, pl.DataType],
    wanted: Sequence[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None,
    still_live: StillLive = list,
) -> Iterator[pl.DataFrame]:
    """Frames of the wanted columns of the rows that pass the predicate.

    A column that a part has not, because it was agreed after the part came, is null in all of its rows.
    A group of parts is read while the query works on the one before. ``still_live`` is asked before a group is handed
    on: a frame that is taken batch by batch, with days in between, ends where the days do.
    """
    wanted = list(columns) if wanted is None else list(wanted)
    left = n_rows
    stored = {name: dtype for name, dtype in columns.items() if name not in {"source", "day"}}
    read = partial(_read_group, columns=stored, wanted=wanted, predicate=predicate, n_rows=n_rows)
    for found in _read_ahead(_groups(prune(parts, predicate)), read, still_live):
        if left is not None:
            found = found.head(left)  # noqa: PLW2901 - the rest of it is for nobody
            left -= found.height
        yield from _batches(found)
        if left == 0:
            return


def _read_ahead(
    groups: Iterator[list[LivePart]],
    read: Callable[[Sequence[LivePart]], pl.DataFrame],
    still_live: StillLive,
) -> Iterator[pl.DataFrame]:
    """The rows of each group, or of those of its parts that are live when its turn comes."""
    executor = ThreadPoolExecutor(1)
    turn: tuple[list[LivePart], Future[pl.DataFrame]] | None = None
    try:
        for group in chain(groups, (None,)):
            following = None if group is None else (group, executor.submit(read, group))
            if turn is not None:
                live = still_live(turn[0])
                if len(live) == len(turn[0]):
                    yield turn[1].result()
                elif live:
                    yield read(live)
            turn = following
    finally:
        executor.shutdown(cancel_futures=True)


def _batches(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The pieces that a frame was read in, small ones together: a query does not work on one piece with two cores."""
    if not frame.width:
        yield frame
        return
    start = size = 0
    for length in frame.to_series(0).chunk_lengths():
        size += length
        if size >= BATCH_ROWS:
            yield frame.slice(start, size)
            start, size = start + size, 0
    if size:
        yield frame.slice(start, size)


def _read_group(
    group: Sequence[LivePart],
    columns: Mapping[str, pl.DataType],
    wanted: Sequence[str],
    predicate: pl.Expr | None,
    n_rows: int | None,
) -> pl.DataFrame:
    """The rows of some parts, read from the very files whose digests were compared; no more than are asked for."""
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(part)) for part in group]
        marks = [_mark(part, file) for part, file in zip(group, files, strict=True)]
        asked_for = {*wanted, *(() if predicate is None else predicate.meta.root_names())}
        scans = [
            scan_open(file, part.key(), columns).with_columns(_of_all_rows(part, asked_for))
            for part, file in zip(group, files, strict=True)
        ]
        frame = pl.union(scans) if len(scans) > 1 else scans[0]
        asked = frame if predicate is None else frame.filter(predicate)
        try:
            chosen = asked.select(wanted)
            found = (chosen if n_rows is None else chosen.head(n_rows)).collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            if ran_out_of_memory(error):
                raise
            _blame(frame, predicate)
        # Whoever writes to a file while it is read, in place, changes its time of change.
        if marks != [_mark(part, file) for part, file in zip(group, files, strict=True)]:
            raise VerificationError(
                "a part of the store was written to while it was read",
                hint="let no other program touch the store, and collect again",
            )
        return found


def _of_all_rows(part: LivePart, asked_for: Collection[str]) -> list[pl.Expr]:
    """``source`` and ``day`` of a part, where they are asked for."""
    known = []
    if "source" in asked_for:
        known.append(pl.lit(part.source, dtype=SOURCE).alias("source"))
    if "day" in asked_for:
        known.append(pl.lit(part.day, dtype=DAY).alias("day"))
    return known


def _blame(frame: pl.LazyFrame, predicate: pl.Expr | None) -> NoReturn:
    """Say whose fault a failed query is: the parts', or the question's. polars' own text may hold data."""
    if predicate is not None and _is_readable(frame):
        raise UsageError(
            "the filter of this query fails on some rows", hint="collect a few rows first, and try it on those"
        ) from None
    raise VerificationError(
        "a part of the store cannot be read", hint="it was damaged; ask for its days anew with a new request"
    ) from None


def _is_readable(frame: pl.LazyFrame) -> bool:
    try:
        frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError):
        return False
    return True


def prune(parts: Sequence[LivePart], predicate: pl.Expr | None) -> list[LivePart]:
    """The parts that can hold a row for which the predicate is true, judged by day, source and time of capture."""
    conjuncts = list(_conjuncts(predicate))
    known = [item for item in conjuncts if set(item.meta.root_names()) <= {"day", "source"}]
    bounds = [bound for item in conjuncts for bound in _time_bounds(item)]
    if not parts or not (known or bounds):
        return list(parts)
    frame = pl.DataFrame(
        {"day": [part.day for part in parts], "source": [part.source for part in parts]},
        schema={"day": DAY, "source": SOURCE},
    )
    # A part was loaded only with times of its day, whichever zone that is in: no zone is a day away from UTC.
    midnight = pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    early, late = (frame.with_columns((midnight + timedelta(days=n)).alias(TIME)) for n in (-1, 2))
    tests = [frame.select(pl.all_horizontal(*known).alias("keep"))["keep"]] if known else []
    # What compares a time with a constant is true of one in between only if it is true of either end.
    tests += [early.select(bound).to_series() | late.select(bound).to_series() for bound in bounds]
    if any(len(test) != len(parts) for test in tests):
        return list(parts)
    keep = [test.fill_null(value=False) for test in tests]
    return [part for part, *kept in zip(parts, *keep, strict=True) if all(kept)]


def _conjuncts(predicate: pl.Expr | None) -> Iterator[pl.Expr]:
    if predicate is None:
        return
    inner = _node(predicate).get("BinaryExpr")
    if isinstance(inner, dict) and inner.get("op") == "And":
        for operand in predicate.meta.pop():
            yield from _conjuncts(operand)
    else:
        yield predicate


def _time_bounds(test: pl.Expr) -> Iterator[pl.Expr]:
    """What a test says of the time of capture, as comparisons with one constant each; nothing if that is not plain."""
    if set(test.meta.root_names()) != {TIME}:
        return
    node = _node(test)
    comparison, function = node.get("BinaryExpr"), node.get("Function")
    if comparison is not None:
        operands = {_kind(comparison["left"]), _kind(comparison["right"])}
        if comparison["op"] in _ORDERINGS and operands == {"column", "constant"}:
            yield test
    elif function is not None:
        inputs = [_kind(item) for item in function["input"]]
        if function["function"] in _BETWEEN and inputs == ["column", "constant", "constant"]:
            last, first, column = test.meta.pop()
            yield column >= first
            yield column <= last


def _kind(node: object) -> str:
    """What an operand is. A literal may also be a whole series, which is compared row by row."""
    if isinstance(node, dict) and node.keys() == {"Column"}:
        return "column"
    if isinstance(node, dict) and isinstance(inner := node.get("Literal"), dict) and inner.keys() == {"Scalar"}:
        return "constant"
    return "other"


def _node(expression: pl.Expr) -> dict[str, Any]:
    node = json.loads(expression.meta.serialize(format="json"))
    return node if isinstance(node, dict) else {}


def _groups(parts: Sequence[LivePart]) -> Iterator[list[LivePart]]:
    group: list[LivePart] = []
    rows = 0
    for part in parts:
        if group and (rows + part.rows > GROUP_ROWS or len(group) == GROUP_PARTS):
            yield group
            group, rows = [], 0
        group.append(part)
        rows += part.rows
    if group:
        yield group


@contextmanager
def _opened(part: LivePart) -> Iterator[BinaryIO]:
    """The file of a part, proved to be what its record says.

    A digest is computed once for each state of a file in this process; a file that is written to again is hashed again.
    """
    unreadable = f"a part of {part.day} cannot be read"
    with storage_errors(unreadable):
        try:
            file = part.path.open("rb")
        except FileNotFoundError:
            raise StorageError(
                f"a part of {part.day} is missing from the store", hint="ask for its days anew with a new request"
            ) from None
    with file:
        mark = _mark(part, file)
        if mark not in _verified:
            if mark[1] != part.bytes:
                raise VerificationError(
                    f"a part of {part.day} has another size than its record",
                    hint="it was damaged or tampered with; ask for its days anew with a new request",
                )
            with storage_errors(unreadable):
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != part.sha256:
                raise VerificationError(
                    f"a part of {part.day} has been changed since it was stored",
                    hint="it was damaged or tampered with; ask for its days anew with a new request",
                )
            _verified.add(mark)
        yield file


def _mark(part: LivePart, file: BinaryIO) -> tuple[str, int, int, int, int, int]:
    """The digest that a file should have, and by what its system knows one state of it from another."""
    status = os.fstat(file.fileno())
    return part.sha256, status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
