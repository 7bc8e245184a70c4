"""Commands about deletion: ``purge``, ``schedule``, ``close``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command
from anpr_share.cli.opening import opened


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    command(program, "purge", panel="Site", example="anpr-share purge --dry-run --site university")(purge)
    command(program, "schedule", panel="Site", example="anpr-share schedule --site university")(schedule)
    command(program, "close", panel="Site", example="anpr-share close msv-example --site university")(close)


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
        result = purging.preview(site, confirmed=confirmed) if dry_run else purging.purge(site, confirmed=confirmed)
    return Outcome(result, lines=purge_lines(result), answer=not result.elsewhere)


def schedule(invocation: Invocation) -> Outcome:
    """Print how to have it purged every night.

    A line for cron, units for systemd, a command for the Windows task scheduler: take the one that your machine has.
    Installs nothing. Needs no passphrase.
    """
    from anpr_share.reports.retention import schedule_lines
    from anpr_share.site.ledger import operating_system_account
    from anpr_share.work import scheduling

    # -P: a folder that happens to be named like a package must not be run in its place.
    program = (sys.executable, "-P", "-m", "anpr_share")
    with opened(invocation, unlock=False) as site:
        result = scheduling.schedule(program, site.paths.root, site.identity.site, operating_system_account())
    return Outcome(result, lines=schedule_lines(result))


def close(
    invocation: Invocation,
    *,
    agreement: Annotated[str, typer.Argument(metavar="AGREEMENT", help="The agreement's id.")],
    certificate: Annotated[
        Path | None, typer.Option(metavar="OUT", help="The certificate; else outbox/AGREEMENT.certificate.json.")
    ] = None,
    backups: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What became of backups and other copies; is signed.")
    ] = None,
    witness: Annotated[str | None, typer.Option(metavar="NAME", help="Who saw it done; is signed.")] = None,
) -> Outcome:
    """End an agreement here: destroy its data and keys, for good.

    Does not ask. Writes the certificate of destruction, which run once more it only writes again. Exit code 1 if files
    of the agreement lie where only a person may delete them.
    """
    from anpr_share.reports.retention import close_lines
    from anpr_share.work import closing

    with opened(invocation) as site:
        result = closing.close(site, agreement, certificate, backups=backups, witness=witness)
    return Outcome(result, lines=close_lines(result), answer=not result.elsewhere)
