"""Commands for researchers: ``link``. Frames are for the library: see ``anpr_share.Site``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from anpr_share.cli.common import Invocation, Outcome, command
from anpr_share.cli.opening import opened


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    example = 'anpr-share link --purpose "regularity of journeys" --format csv > linked.csv'
    command(program, "link", panel="Research", example=example)(link)


def link(
    invocation: Invocation,
    *,
    purpose: Annotated[str, typer.Option(metavar="TEXT", help="What this look is for; it is logged.")],
    agreement: Annotated[
        str | None, typer.Argument(metavar="AGREEMENT", help="Its id; needed where the site has several.")
    ] = None,
    output: Annotated[
        Literal["table", "csv", "parquet", "arrow"],
        typer.Option("--format", metavar="table|csv|parquet|arrow", help="How rows are printed; table unless told."),
    ] = "table",
) -> Outcome:
    """Print the reads of target vehicles.

    One row for each read of a target vehicle and target row. Rows go to standard output and are personal data:
    whoever redirects them answers for their deletion.
    """
    from anpr_share.reports.frames import write_frame
    from anpr_share.work import reading

    with opened(invocation) as site:
        frame = reading.link(site, agreement, purpose=purpose).collect(engine="streaming")
        frame = frame.sort(frame.columns)
        if reading.nothing_loaded(site, agreement):
            invocation.say("nothing is loaded yet: anpr-share load BUNDLE takes in what a force sent")
    if invocation.json:
        return Outcome({"rows": frame.height, "columns": frame.columns})
    write_frame(frame, output)
    return Outcome()
