"""Commands about a site itself: ``init``, ``status``, ``partner``, ``passphrase``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group, read_passphrase, type_twice
from anpr_share.cli.opening import asking, identity, opened
from anpr_share.errors import UsageError

_FINGERPRINT = "give --fingerprint, with what the partner read out"


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    example = 'anpr-share init north --role police --name "Northshire Police"'
    command(program, "init", panel="Start", example=example)(init)
    command(program, "status", panel="Site", example="anpr-share status --site university")(status)
    partner = group("partner", "Partners: other sites, known by their fingerprints.")
    command(partner, "add", example="anpr-share partner add south-identity.json")(partner_add)
    command(partner, "list", example="anpr-share partner list")(partner_list)
    command(partner, "replace", example="anpr-share partner replace south-identity.json")(partner_replace)
    command(partner, "revoke", example="anpr-share partner revoke southshire-police")(partner_revoke)
    program.add_typer(partner, rich_help_panel="Site")
    passphrase = group("passphrase", "The passphrase that opens this site.")
    example = "anpr-share passphrase change --new-passphrase-file new"
    command(passphrase, "change", example=example)(passphrase_change)
    program.add_typer(passphrase, rich_help_panel="Site")
    clock = group("clock", "The clock that this site goes by.")
    example = 'anpr-share clock reset --reason "the year was set wrong"'
    command(clock, "reset", example=example)(clock_reset)
    program.add_typer(clock, rich_help_panel="Site")


def init(
    invocation: Invocation,
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    role: Annotated[
        Literal["police", "university"], typer.Option(metavar="police|university", help="What this organisation is.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="The organisation's name, for people.")],
    identifier: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Its short id; else made from the name, lower case with hyphens."),
    ] = None,
) -> Outcome:
    """Make a new site: its keys, its ledger, its identity.

    Writes the site into DIR and prints the fingerprint to read out to partners. It is opened by a passphrase of at
    least twelve characters, which is asked for or read from a file.
    """
    from anpr_share.reports.site import init_lines
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
    return Outcome(result, lines=init_lines(result))


def status(invocation: Invocation) -> Outcome:
    """Show what is agreed, asked for, held and due for deletion.

    Also what to do next, and warnings. Needs no passphrase and changes nothing. Exit code 1 if something is overdue.
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
        str | None, typer.Option(metavar="TEXT", help="What the partner read out; else it is shown, and you are asked.")
    ] = None,
) -> Outcome:
    """Pin another site's identity by its fingerprint.

    Compare the fingerprint over the telephone or on signed paper, never by the way that the file came.
    """
    from anpr_share.reports.site import pinned_lines
    from anpr_share.work import partners

    given = identity(file)
    with opened(invocation) as site:
        result = partners.pin(site, given, fingerprint, asking(invocation, instead=_FINGERPRINT))
    return Outcome(result, lines=pinned_lines(result))


def partner_list(invocation: Invocation) -> Outcome:
    """List the partners and their fingerprints."""
    from anpr_share.reports.site import partner_lines
    from anpr_share.work import partners

    with opened(invocation, unlock=False) as site:
        result = partners.listed(site)
    return Outcome(result, lines=partner_lines(result))


def partner_replace(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The partner's new identity.json.")],
    fingerprint: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the partner read out; else it is shown, and you are asked.")
    ] = None,
) -> Outcome:
    """Pin a partner's new identity in place of the old one.

    Its fingerprint is compared anew. Agreements list identities whole, so a new version of each must be signed
    before data can move again.
    """
    from anpr_share.reports.site import replaced_lines
    from anpr_share.work import partners

    given = identity(file)
    with opened(invocation) as site:
        result = partners.replace(site, given, fingerprint, asking(invocation, instead=_FINGERPRINT))
    return Outcome(result, lines=replaced_lines(result))


def partner_revoke(
    invocation: Invocation, *, partner: Annotated[str, typer.Argument(metavar="ID", help="The partner's id.")]
) -> Outcome:
    """Trust a partner no more.

    Nothing it signs is accepted, and nothing is exported to it.
    """
    from anpr_share.reports.site import revoked_lines
    from anpr_share.work import partners

    with opened(invocation) as site:
        result = partners.revoke(site, partner)
    return Outcome(result, lines=revoked_lines(result))


def passphrase_change(
    invocation: Invocation,
    *,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the new passphrase; else you are asked, twice.")
    ] = None,
) -> Outcome:
    """Change the passphrase; data and keys stay as they are.

    Copies of the old vault.db still open with the old one.
    """
    from anpr_share.work.setup import change_passphrase

    if new_passphrase_file is None and not sys.stdin.isatty():
        raise UsageError("--new-passphrase-file is missing", hint="nobody can be asked here: name a file that holds it")
    with opened(invocation) as site:
        change_passphrase(site, type_twice() if new_passphrase_file is None else read_passphrase(new_passphrase_file))
        site_id = site.identity.site
    return Outcome({"site": site_id}, lines=["the passphrase was changed; the old one opens this site no more"])


def clock_reset(
    invocation: Invocation,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="What was wrong with the clock; for the ledger.")],
) -> Outcome:
    """Go by this machine's clock again, though it is behind the ledger.

    For a site that was used while its clock was wrong. Set the clock right first. Destroys nothing. Never goes
    behind what a partner has signed, and stays a finding of every check of the ledger.
    """
    from anpr_share.reports.site import reset_lines
    from anpr_share.work import clock

    with opened(invocation, expire=False) as site:
        result = clock.reset(site, reason)
    return Outcome(result, lines=reset_lines(result))
