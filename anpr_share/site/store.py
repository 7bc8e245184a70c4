"""Reading the parts of a store: nothing unauthenticated, nothing expired, nothing in the clear on disk.

Guarantees: the parts, their keys and the time are taken when a frame is *collected*, not when it is made; a part is
read only if its magic, size and digest are those of its authenticated record; days that a predicate rules out are not
opened, and columns that are not asked for are not decrypted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO, NoReturn

import polars as pl
from polars.io.plugins import register_io_source

from anpr_share.errors import StorageError, UsageError, VerificationError
from anpr_share.memory import ran_out_of_memory
from anpr_share.parquet import scan_open

GROUP_ROWS = 8_000_000
GROUP_PARTS = 64
_verified: set[tuple[str, int, int, int, int, int]] = set()
StillLive = Callable[["Sequence[LivePart]"], "Sequence[LivePart]"]

DAY = pl.Date()
SOURCE = pl.String()


@dataclass(frozen=True, slots=True)
class LivePart:
    """One part that may be read now. ``day`` is its capture day, or the day that an undated table counts from."""

    path: Path
    key: bytes
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
    """Frames of the wanted columns of the rows that pass the predicate, a group of parts at a time.

    ``still_live`` is asked before each group: a frame that is taken batch by batch, with days in between, ends where
    the days do.
    """
    wanted = list(columns) if wanted is None else list(wanted)
    left = n_rows
    for group in _groups(prune(parts, predicate)):
        if left == 0:
            return
        found = _read_group(still_live(group), wanted, predicate)
        if found is None:
            continue
        if left is not None:
            found = found.head(left)
            left -= found.height
        yield found


def _read_group(group: Sequence[LivePart], wanted: Sequence[str], predicate: pl.Expr | None) -> pl.DataFrame | None:
    """The rows of some parts, read from the very files whose digests were compared."""
    if not group:
        return None
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(part)) for part in group]
        marks = [_mark(part, file) for part, file in zip(group, files, strict=True)]
        scans = [
            scan_open(file, part.key).with_columns(
                pl.lit(part.source, dtype=pl.String).alias("source"), pl.lit(part.day, dtype=pl.Date).alias("day")
            )
            for part, file in zip(group, files, strict=True)
        ]
        frame = pl.union(scans) if len(scans) > 1 else scans[0]
        asked = frame if predicate is None else frame.filter(predicate)
        try:
            found = asked.select(wanted).collect(engine="streaming")
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
    """The parts that can hold a row for which the predicate is true, judged by ``day`` and ``source`` alone."""
    tests = [item for item in _conjuncts(predicate) if set(item.meta.root_names()) <= {"day", "source"}]
    if not parts or not tests:
        return list(parts)
    frame = pl.DataFrame(
        {"day": [part.day for part in parts], "source": [part.source for part in parts]},
        schema={"day": DAY, "source": SOURCE},
    )
    keep = frame.select(pl.all_horizontal(*tests).fill_null(value=False).alias("keep"))["keep"]
    if len(keep) != len(parts):
        return list(parts)
    return [part for part, kept in zip(parts, keep, strict=True) if kept]


def _conjuncts(predicate: pl.Expr | None) -> Iterator[pl.Expr]:
    if predicate is None:
        return
    node = json.loads(predicate.meta.serialize(format="json"))
    if isinstance(node, dict) and isinstance(inner := node.get("BinaryExpr"), dict) and inner.get("op") == "And":
        for operand in predicate.meta.pop():
            yield from _conjuncts(operand)
    else:
        yield predicate


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
    try:
        file = part.path.open("rb")
    except FileNotFoundError:
        raise StorageError(
            f"a part of {part.day} is missing from the store", hint="ask for its days anew with a new request"
        ) from None
    except OSError:
        raise StorageError(
            f"a part of {part.day} cannot be read",
            hint="see whether you may read the site's folder, and whether the disk is sound",
        ) from None
    with file:
        mark = _mark(part, file)
        if mark not in _verified:
            if mark[1] != part.bytes:
                raise VerificationError(
                    f"a part of {part.day} has another size than its record",
                    hint="it was damaged or tampered with; ask for its days anew with a new request",
                )
            try:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                raise StorageError(
                    f"a part of {part.day} cannot be read",
                    hint="see whether you may read the site's folder, and whether the disk is sound",
                ) from None
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
