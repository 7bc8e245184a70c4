"""Commands about the ledger: ``ledger show``, ``ledger verify``, ``ledger export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import opened


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    ledger = group("ledger", "The log: who did what, when and why, chained and signed.")
    command(ledger, "show", example="anpr-share ledger show --last 200")(ledger_show)
    command(ledger, "verify", example="anpr-share ledger verify")(ledger_verify)
    command(ledger, "export", example="anpr-share ledger export -o university.ledger.jsonl")(ledger_export)
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


def ledger_export(
    invocation: Invocation,
    *,
    out: Annotated[Path, typer.Option("-o", metavar="OUT", help="A new file to write.")],
) -> Outcome:
    """Write the ledger and all that proves it, for an audit elsewhere.

    The ledger's lines and signatures, agreements, identities, manifests, receipts, and which days are held. No data, no
    key. Needs no passphrase.
    """
    from anpr_share.reports.site import export_lines
    from anpr_share.work import auditing

    with opened(invocation, unlock=False) as site:
        result = auditing.export_ledger(site, out)
    return Outcome(result, lines=export_lines(result))
