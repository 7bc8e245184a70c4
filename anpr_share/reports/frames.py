"""Frames on standard output: the first rows for a person to read, or all of them for another program."""

from __future__ import annotations

import io
import itertools
import shutil
import sys
from datetime import datetime
from typing import IO, TYPE_CHECKING, cast

from anpr_share.pseudonyms import TOKEN_BYTES
from anpr_share.reports.terminal import Table, show

if TYPE_CHECKING:
    import polars as pl
    from _typeshed import ReadableBuffer

SHOWN_ROWS = 20


def write_frame(frame: pl.DataFrame, output: str) -> None:
    """Write a frame to standard output; nothing touches a disk here."""
    if output == "table":
        show(glance(frame))
        return
    target = _Output()
    stream = cast("IO[bytes]", target)
    try:
        if output == "csv":
            frame.write_csv(stream, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        elif output == "parquet":
            frame.write_parquet(stream)
        else:
            frame.write_ipc_stream(stream)
    except Exception:
        if target.refusal is not None:
            raise target.refusal from None
        raise
    sys.stdout.buffer.flush()


class _Output(io.RawIOBase):
    """Standard output, as polars may write to it: why the system refused, polars would not say."""

    refusal: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        try:
            return sys.stdout.buffer.write(data)
        except OSError as error:
            self.refusal = error
            raise


def glance(frame: pl.DataFrame) -> list[str | Table]:
    """The first rows and as many columns as fit a terminal, and what is not shown."""
    shown = [[_cell(cell) for cell in row] for row in frame.head(SHOWN_ROWS).iter_rows()]
    widths = [max(len(cell) for cell in column) + 2 for column in zip(frame.columns, *shown, strict=True)]
    fitting = sum(1 for total in itertools.accumulate(widths) if total <= shutil.get_terminal_size().columns)
    content: list[str | Table] = [Table(frame.columns[:fitting], [row[:fitting] for row in shown])]
    if hidden := frame.columns[fitting:]:
        content.append(f"and the columns {', '.join(hidden)}")
    content.append(f"{frame.height:,} rows; --format csv prints them all" if frame.height else "no row")
    return content


def _cell(value: object) -> str:
    """A cell as a person reads it: a token by its beginning, a time without its zone, which is UTC."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, str) and len(value) == 2 * TOKEN_BYTES and not value.strip("0123456789abcdef"):
        return f"{value[:6]}..."
    return "" if value is None else str(value)
