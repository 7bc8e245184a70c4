"""Commands about a site itself: ``init``, ``status``, ``partner``, ``passphrase``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group, read_passphrase
from anpr_share.cli.opening import asking, document, opened

_FINGERPRINT = "give --fingerprint, with what the partner read out"


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    command(program, "init", panel="Start")(init)
    command(program, "status", panel="Site")(status)
    partner = group("partner", "Partners: other sites, known by their fingerprints.")
    command(partner, "add")(partner_add)
    command(partner, "list")(partner_list)
    command(partner, "replace")(partner_replace)
    command(partner, "revoke")(partner_revoke)
    program.add_typer(partner, rich_help_panel="Site")
    passphrase = group("passphrase", "The passphrase that opens this site.")
    command(passphrase, "change")(passphrase_change)
    program.add_typer(passphrase, rich_help_panel="Site")


def init(
    invocation: Invocation,
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    role: Annotated[Literal["police", "university"], typer.Option(help="What this organisation is.")],
    name: Annotated[str, typer.Option(help="The organisation's name, for people.")],
    identifier: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its short id; else made from the name.")
    ] = None,
) -> Outcome:
    """Make a new site: its keys, its ledger, and an identity to hand to partners."""
    from anpr_share.documents.identity import spoken
    from anpr_share.work import setup

    result = setup.create(
        directory,
        role=role,
        name=name,
        site_id=identifier,
        passphrase=invocation.new_passphrase(),
        clock=invocation.clock,
        actor=invocation.actor,
    )
    return Outcome(
        result,
        lines=[
            f"made the site {result.site} ({result.role}) in {directory}",
            f"its identity, to hand to partners: {result.identity}",
            f"its fingerprint, to read out to them: {spoken(result.fingerprint)}",
            "next: anpr-share partner add FILE, with the identity of each partner",
        ],
    )


def status(invocation: Invocation) -> Outcome:
    """Show one screen: agreements, requests, days held, what is deleted next, warnings.

    Needs no passphrase and changes nothing. Exit code 1 if something is overdue.
    """
    from anpr_share.reports.site import status_lines
    from anpr_share.work.status import status as read

    with opened(invocation, unlock=False) as site:
        result = read(site)
    return Outcome(result, lines=status_lines(result), answer=not result.overdue)


def partner_add(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The partner's identity.json.")],
    fingerprint: Annotated[
        str | None, typer.Option(metavar="F", help="What the partner read out; else it is shown and you are asked.")
    ] = None,
) -> Outcome:
    """Pin another site's identity by its fingerprint.

    Compare the fingerprint over the telephone or on signed paper, never by the way that the file came.
    """
    from anpr_share.documents.identity import Identity
    from anpr_share.work import partners

    identity = Identity.parse(document(file))
    with opened(invocation) as site:
        result = partners.pin(site, identity, fingerprint, asking(invocation, instead=_FINGERPRINT))
    return Outcome(result, lines=[f"pinned {result.name} ({result.id}, {result.role})"])


def partner_list(invocation: Invocation) -> Outcome:
    """List the partners and their fingerprints."""
    from anpr_share.documents.identity import spoken
    from anpr_share.work import partners

    with opened(invocation, unlock=False) as site:
        result = partners.listed(site)
    if not result:
        return Outcome(result, lines=["no partner yet: anpr-share partner add FILE"])
    lines = []
    for item in result:
        lines += [f"{item.id}  {item.name} ({item.role}, {item.status})", f"  {spoken(item.fingerprint)}"]
    return Outcome(result, lines=lines)


def partner_replace(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The partner's new identity.json.")],
    fingerprint: Annotated[
        str | None, typer.Option(metavar="F", help="What the partner read out; else it is shown and you are asked.")
    ] = None,
) -> Outcome:
    """Pin a partner's new identity in place of the old one, compared anew.

    Agreements list identities whole, so a new version of each must be signed before data can move again.
    """
    from anpr_share.documents.identity import Identity
    from anpr_share.work import partners

    identity = Identity.parse(document(file))
    with opened(invocation) as site:
        result = partners.replace(site, identity, fingerprint, asking(invocation, instead=_FINGERPRINT))
    return Outcome(result, lines=[f"pinned the new identity of {result.name} ({result.id})"])


def partner_revoke(
    invocation: Invocation, *, partner: Annotated[str, typer.Argument(metavar="ID", help="The partner's id.")]
) -> Outcome:
    """Trust a partner no more: nothing it signs is accepted, nothing is exported to it."""
    from anpr_share.work import partners

    with opened(invocation) as site:
        result = partners.revoke(site, partner)
    return Outcome(result, lines=[f"revoked {result.id}: tell the other parties of your agreements"])


def passphrase_change(
    invocation: Invocation,
    *,
    new_passphrase_file: Annotated[Path, typer.Option(metavar="FILE", help="A file that holds the new passphrase.")],
) -> Outcome:
    """Change the passphrase. Data and keys stay as they are."""
    from anpr_share.work.setup import change_passphrase

    new = read_passphrase(new_passphrase_file)
    with opened(invocation) as site:
        change_passphrase(site, new)
        site_id = site.identity.site
    return Outcome({"site": site_id}, lines=["the passphrase was changed; the old one opens nothing any more"])
