"""Commands about deletion: ``purge``."""

from __future__ import annotations

from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command
from anpr_share.cli.opening import opened


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    command(program, "purge", panel="Site", example="anpr-share purge --dry-run --site university")(purge)


def purge(
    invocation: Invocation,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; list what would go, and when the rest goes.")
    ] = False,
    confirm_date: Annotated[
        str | None, typer.Option(metavar="DAY", help="Today's date, where the clock is far past the last line.")
    ] = None,
) -> Outcome:
    """Destroy what has expired: keys, then files; safe at any time.

    Needs no passphrase, so that it can run every night. Exit code 1 if files past their time lie where only a person
    may delete them.
    """
    from anpr_share.cli.parsing import day
    from anpr_share.reports.retention import purge_lines
    from anpr_share.work import purging

    confirmed = None if confirm_date is None else day(confirm_date)
    with opened(invocation, unlock=False) as site:
        result = purging.preview(site) if dry_run else purging.purge(site, confirmed=confirmed)
    return Outcome(result, lines=purge_lines(result), answer=not result.elsewhere)
