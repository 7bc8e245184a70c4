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
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from anpr_share.errors import StorageError, VerificationError
from anpr_share.parquet import MAGIC, scan_part

GROUP_ROWS = 8_000_000
GROUP_PARTS = 64
_verified: set[tuple[str, int, int, int, str]] = set()

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


def lazy_table(schema: dict[str, pl.DataType], collect: Callable[[], Sequence[LivePart]], name: str) -> pl.LazyFrame:
    """A LazyFrame of a table's agreed columns, then ``source`` (String) and ``day`` (Date).

    ``collect`` is called each time the frame is collected: it takes the clock, the live keys and the ledger entry.
    """
    columns = {**schema, "source": SOURCE, "day": DAY}

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from read_parts(collect(), columns, with_columns, predicate, n_rows)

    return register_io_source(source, schema=columns, is_pure=False, explain_name=name)


def read_parts(
    parts: Sequence[LivePart],
    columns: dict[str, pl.DataType],
    wanted: Sequence[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None,
) -> Iterator[pl.DataFrame]:
    """Frames of the wanted columns of the rows that pass the predicate, a group of parts at a time."""
    wanted = list(columns) if wanted is None else list(wanted)
    left = n_rows
    for group in _groups(prune(parts, predicate)):
        if left == 0:
            return
        scans = []
        for part in group:
            require_unchanged(part)
            frame = scan_part(part.path, part.key).with_columns(
                pl.lit(part.source, dtype=pl.String).alias("source"), pl.lit(part.day, dtype=pl.Date).alias("day")
            )
            if predicate is not None:
                frame = frame.filter(predicate)
            scans.append(frame.select(wanted))
        found = collect_quietly(pl.union(scans) if len(scans) > 1 else scans[0])
        if left is not None:
            found = found.head(left)
            left -= found.height
        yield found


def collect_quietly(frame: pl.LazyFrame) -> pl.DataFrame:
    """Collect; an error of polars, whose text may hold data, becomes a :class:`VerificationError`."""
    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError):
        raise VerificationError(
            "a part of the store cannot be read", hint="it was damaged; ask for its days anew with a new request"
        ) from None


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


def require_unchanged(part: LivePart) -> None:
    """Raise :class:`VerificationError` unless the file is what its record says.

    A digest is computed once for each state of a file in this process; a file that is written to again is hashed again.
    """
    try:
        with part.path.open("rb") as file:
            status = os.fstat(file.fileno())
            mark = (str(part.path), status.st_size, status.st_mtime_ns, status.st_ino, part.sha256)
            if mark in _verified:
                return
            if status.st_size != part.bytes:
                raise VerificationError(f"a part of {part.day} has another size than its record")
            if file.read(len(MAGIC)) != MAGIC:
                raise VerificationError(f"a part of {part.day} is not an encrypted part")
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise StorageError(f"a part of {part.day} is missing from the store") from None
    except OSError:
        raise StorageError(f"a part of {part.day} cannot be read") from None
    if digest != part.sha256:
        raise VerificationError(f"a part of {part.day} has been changed since it was stored")
    _verified.add(mark)
