"""A Parquet extract as frames of text cells.

- Only the needed columns are decoded, a batch at a time.
- Text, numbers and the like become text; columns of times and days keep their type, for `times`. Fractions are refused
  where the text is a name and is hashed: a camera 7.0 would be another than the 7 of a CSV.
- A file of some kilobytes can decode to terabytes, and one of wrong lengths can crash the decoder. So decoding happens
  in a child process, `columnar_worker`, with a limit of time for each batch and, on Linux, of memory.
- What the child says is held to what was asked: length, columns, types, rows, sizes of cells. Not held is how far a
  stream expands that it compressed on purpose; only a child that was taken over does that (docs/threats.md).
- A damaged or encrypted file is refused without the library's words, which may quote it.
"""

from __future__ import annotations

import io
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from anpr_share.child import Child
from anpr_share.errors import AnprShareError, FormatError, InputError
from anpr_share.tables.columnar_worker import TYPED, is_oversize
from anpr_share.tables.delimited import RAGGED
from anpr_share.wording import spoken_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class ParquetLimits:
    """What a file may cost: bytes of a cell, bytes of a batch, bytes of the child's memory, seconds for a batch."""

    cell_bytes: int = 64 * 1024
    batch_bytes: int = 1024**3
    memory: int = 4 * 1024**3
    seconds: float = 60.0


_ANSWER_BYTES = 1024 * 1024
_NO_ANSWER = {"fault": "no answer"}


class ParquetReader(AbstractContextManager["ParquetReader"]):
    """Reads Parquet files, one after another, in one child process; it starts with the first file."""

    def __init__(self, limits: ParquetLimits | None = None) -> None:
        self._limits = limits or ParquetLimits()
        self._child: Child | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.close()
        self._child = None

    def check(self, path: Path, needed: Sequence[str], *, names: Collection[str] = ()) -> None:
        """Make sure that the columns are there and of types that can be read; those in ``names`` hold no fractions.

        Raises:
            FormatError: the file is damaged or encrypted.
            InputError: columns are missing, hold lists, structures or bytes, or are names and hold fractions.
        """
        for _ in self._batches(path, needed, (), None, names):
            raise AssertionError("no rows were asked for, and none are let through")

    def read(self, path: Path, needed: Sequence[str], rows: int, *, dated: Collection[str]) -> Iterator[pl.DataFrame]:
        """The rows: one column for each needed one, and `RAGGED`, which is false; ``rows`` to a frame.

        Columns in ``dated`` keep the type Date or Datetime if they have it; all others become String. Exhaust it before
        the next file.

        Raises:
            FormatError: the file is damaged, or needs more memory or time than allowed.
            InputError: a cell or a batch is too large.
        """
        for batch in self._batches(path, needed, dated, rows):
            yield batch.with_columns(pl.lit(value=False).alias(RAGGED))

    def _batches(
        self,
        path: Path,
        needed: Sequence[str],
        dated: Collection[str],
        rows: int | None,
        names: Collection[str] = (),
    ) -> Iterator[pl.DataFrame]:
        limits = {"cell_bytes": self._limits.cell_bytes, "batch_bytes": self._limits.batch_bytes}
        columns = {"needed": list(needed), "dated": sorted(dated), "names": sorted(names)}
        job = {"path": str(path.absolute()), "rows": rows, **columns, **limits}
        if self._child is None:
            self._child = Child("anpr_share.tables.columnar_worker")
            self._child.say({"memory": self._limits.memory})
        self._child.say(job)
        while True:
            with self._child.within(self._limits.seconds):
                answer = self._hear(self._child, needed, dated, rows)
            if answer is None:
                return
            if isinstance(answer, pl.DataFrame):
                yield answer
            else:
                raise _fault(spoken_name(path), answer, needed)

    def _hear(
        self, child: Child, needed: Sequence[str], dated: Collection[str], rows: int | None
    ) -> pl.DataFrame | dict[str, Any] | None:
        """The child's next answer, which a file that took it over may have chosen: a batch, a fault, or the end."""
        try:
            answer = json.loads(child.line(_ANSWER_BYTES))
        except (ValueError, RecursionError):
            return _NO_ANSWER
        match answer:
            case {"end": True, **rest} if not rest:
                return None
            case {"fault": "missing" | "unfit" | "inexact", "columns": list(columns), **rest} if not rest:
                return answer if columns and all(column in needed for column in columns) else _NO_ANSWER
            case {"fault": "oversize" | "damaged", **rest} if not rest:
                return dict(answer)
            case {"bytes": int(size), **rest} if not rest and rows and 0 <= size <= 2 * self._limits.batch_bytes:
                return self._batch(child.read(size), needed, dated, rows)
        return _NO_ANSWER

    def _batch(
        self, payload: bytes, needed: Sequence[str], dated: Collection[str], rows: int
    ) -> pl.DataFrame | dict[str, Any]:
        try:
            batch = pl.read_ipc_stream(io.BytesIO(payload))
            oversize = is_oversize(batch, self._limits.cell_bytes, self._limits.batch_bytes)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            return _NO_ANSWER
        typed = all(dtype == pl.String or (name in dated and dtype in TYPED) for name, dtype in batch.schema.items())
        asked = batch.columns == list(needed) and batch.height <= rows
        return batch if asked and typed and not oversize else _NO_ANSWER


def _fault(name: str, answer: dict[str, Any], needed: Sequence[str]) -> AnprShareError:
    columns = ", ".join(column for column in needed if column in answer.get("columns", ()))
    match answer["fault"]:
        case "missing":
            hint = "compare its columns with those in the profile"
            return InputError(f"{name} has no column {columns}", hint=hint)
        case "unfit":
            return InputError(
                f"{name} holds something other than text, numbers or times in column {columns}",
                hint="write these columns as text, numbers or times, or save the extract as CSV",
            )
        case "inexact":
            return InputError(
                f"{name} holds numbers with a fraction in column {columns}, which names plates, cameras or logs",
                hint="write them as text or as whole numbers: 7.0 would be another name than 7",
            )
        case "oversize":
            return InputError(
                f"{name} holds cells of more than 64 KiB, or too many long ones",
                hint="leave the long column out of the extract",
            )
        case "damaged":
            return FormatError(
                f"{name} is a damaged or an encrypted Parquet file", hint="write the extract anew, without encryption"
            )
    return FormatError(
        f"{name} is damaged, or needs more memory or time to decode than allowed", hint="write it as CSV"
    )
