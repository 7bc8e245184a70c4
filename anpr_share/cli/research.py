"""Commands for researchers: ``link``. Frames are for the library: see ``anpr_share.Site``."""

from __future__ import annotations

import itertools
import shutil
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anpr_share.cli.common import Invocation, Outcome, command
from anpr_share.cli.opening import opened
from anpr_share.pseudonyms import TOKEN_BYTES
from anpr_share.reports.terminal import Table

if TYPE_CHECKING:
    import polars as pl


SHOWN_ROWS = 20


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    command(program, "link", panel="Research")(link)


def link(
    invocation: Invocation,
    *,
    purpose: Annotated[str, typer.Option(metavar="TEXT", help="What this look is for; it is logged.")],
    agreement: Annotated[
        str | None, typer.Argument(metavar="[AGREEMENT]", help="Needed where there are several.")
    ] = None,
    output: Annotated[
        Literal["table", "csv", "parquet", "arrow"],
        typer.Option("--format", help="What is written to standard output."),
    ] = "table",
) -> Outcome:
    """Link reads to targets: one row for each read of a target vehicle and target row.

    Rows go to standard output and are personal data: whoever redirects them answers for their deletion.
    """
    from anpr_share.work import reading

    with opened(invocation) as site:
        frame = reading.collect(reading.link(site, agreement, purpose=purpose))
    if invocation.json:
        return Outcome({"rows": frame.height, "columns": frame.columns})
    write_frame(frame, output)
    return Outcome()


def write_frame(frame: pl.DataFrame, output: str) -> None:
    """Write a frame to standard output; nothing touches a disk here."""
    from anpr_share.reports.terminal import show

    if output == "table":
        show(_glance(frame))
        return
    stream = sys.stdout.buffer
    if output == "csv":
        frame.write_csv(stream, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    elif output == "parquet":
        frame.write_parquet(stream)
    else:
        frame.write_ipc_stream(stream)
    stream.flush()


def _glance(frame: pl.DataFrame) -> list[str | Table]:
    """The first rows and as many columns as fit a terminal, and what is not shown."""
    shown = [[_cell(cell) for cell in row] for row in frame.head(SHOWN_ROWS).iter_rows()]
    widths = [max(len(cell) for cell in column) + 2 for column in zip(frame.columns, *shown, strict=True)]
    fitting = sum(1 for total in itertools.accumulate(widths) if total <= shutil.get_terminal_size().columns)
    content: list[str | Table] = [Table(frame.columns[:fitting], [row[:fitting] for row in shown])]
    if hidden := frame.columns[fitting:]:
        content.append(f"and the columns {', '.join(hidden)}")
    content.append(f"{frame.height:,} rows; --format csv prints them all")
    return content


def _cell(value: object) -> str:
    """A cell as a person reads it: a token by its beginning, a time without its zone, which is UTC."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, str) and len(value) == 2 * TOKEN_BYTES and not value.strip("0123456789abcdef"):
        return f"{value[:6]}…"
    return "" if value is None else str(value)
