"""Commands for researchers: ``link``. Frames are for the library: see ``anpr_share.Site``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anpr_share.cli.common import Invocation, Outcome, command
from anpr_share.cli.opening import opened

if TYPE_CHECKING:
    import polars as pl


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    command(program, "link", panel="Research")(link)


def link(
    invocation: Invocation,
    *,
    purpose: Annotated[str, typer.Option(metavar="TEXT", help="What this look is for; it is logged.")],
    agreement: Annotated[str | None, typer.Argument(metavar="[AGREEMENT]", help="Needed where there are several.")] = None,
    output: Annotated[
        Literal["table", "csv", "parquet", "arrow"], typer.Option("--format", help="What is written to standard output.")
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
    from anpr_share.reports.terminal import Table, show

    if output == "table":
        shown = frame.head(40)
        show([Table(frame.columns, [["" if cell is None else str(cell) for cell in row] for row in shown.iter_rows()])])
        if frame.height > shown.height:
            show([f"… {frame.height - shown.height:,} rows more: --format csv prints them all"])
        return
    stream = sys.stdout.buffer
    if output == "csv":
        frame.write_csv(stream, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    elif output == "parquet":
        frame.write_parquet(stream)
    else:
        frame.write_ipc_stream(stream)
    stream.flush()
