"""Commands about the ledger: ``ledger show``, ``ledger verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import opened


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    ledger = group("ledger", "The log: who did what, when and why, chained and signed.")
    command(ledger, "show", example="anpr-share ledger show --last 200")(ledger_show)
    command(ledger, "verify", example="anpr-share ledger verify")(ledger_verify)
    program.add_typer(ledger, rich_help_panel="Audit")


def ledger_show(
    invocation: Invocation,
    *,
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many lines; 50 unless told.")] = 50,
) -> Outcome:
    """Show the latest lines of the ledger."""
    from anpr_share.reports.site import ledger_lines

    with opened(invocation, unlock=False) as site:
        head = site.ledger.head().seq
        entries = list(site.ledger.lines(max(1, head - last + 1)))
    return Outcome(entries, lines=ledger_lines(entries, head))


def ledger_verify(invocation: Invocation) -> Outcome:
    """Check every line of the ledger and every signature.

    Exit code 3 if it was tampered with, 1 if lines need explaining.
    """
    from anpr_share.reports.site import check_lines

    with opened(invocation, unlock=False) as site:
        check = site.ledger.verify(site.identity.signing, site.identity.site)
    return Outcome(check, lines=check_lines(check), answer=check.ok)
