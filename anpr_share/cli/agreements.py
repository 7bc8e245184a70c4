"""Commands about agreements and linkage keys: ``agreement``, ``key``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import asking, destroy_expired, document, identity, opened
from anpr_share.reports.terminal import Verbatim


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    agreement = group("agreement", "Agreements: what is shared, with whom, how exact, how long.")
    command(
        agreement,
        "draft",
        example="anpr-share agreement draft --party north.json \\\n    --party university.json > draft.toml",
    )(agreement_draft)
    command(agreement, "sign", example="anpr-share agreement sign draft.toml -o signed.json")(agreement_sign)
    command(agreement, "accept", example="anpr-share agreement accept agreement.json")(agreement_accept)
    command(agreement, "show", example="anpr-share agreement show msv-example")(agreement_show)
    command(agreement, "amend", example="anpr-share agreement amend msv-example > next.toml")(agreement_amend)
    program.add_typer(agreement, rich_help_panel="Exchange")
    key = group("key", "Linkage keys, which only police sites hold.")
    example = "anpr-share key accept msv-example-1-southshire-police.keyshare.json"
    command(key, "accept", example=example)(key_accept)
    command(key, "list", example="anpr-share key list")(key_list)
    command(key, "destroy", example="anpr-share key destroy msv-example --site north")(key_destroy)
    program.add_typer(key, rich_help_panel="Exchange")


def agreement_draft(
    invocation: Invocation,
    *,
    party: Annotated[
        list[Path] | None, typer.Option(metavar="IDENTITY", help="The identity.json of a party; once for each.")
    ] = None,
) -> Outcome:
    """Print a draft of an agreement, to be filled in.

    Needs no site. Write it to a file, fill it in, have it read by those who decide, then sign it. Without parties it is
    for trying terms out: anpr-share risk --agreement FILE.
    """
    from zoneinfo import ZoneInfo

    from anpr_share.documents.draft import draft_toml

    identities = [identity(path) for path in party or ()]
    today = invocation.clock().astimezone(ZoneInfo("Europe/London")).date()
    text = draft_toml(identities, today, None)
    return Outcome({"text": text}, lines=[Verbatim(text.rstrip("\n"))])


def agreement_sign(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A draft (TOML), or an agreement that others signed.")],
    out: Annotated[Path, typer.Option("-o", metavar="OUT", help="Where to write the signed agreement.")],
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked: the terms were read before.")] = False,
) -> Outcome:
    """Show the terms and every fingerprint, ask, and sign.

    Also pins the other parties. The next party signs what this one wrote; when all have signed, each accepts it.
    """
    from anpr_share.reports.agreements import sign_lines
    from anpr_share.work import agreements

    with opened(invocation) as site:
        result = agreements.sign(
            site, document(file), out, asking(invocation, instead="give --yes, after reading the terms", yes=yes)
        )
    return Outcome(result, lines=sign_lines(result))


def agreement_accept(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The agreement, signed by every party.")],
) -> Outcome:
    """Put a fully signed agreement in force at this site.

    The first police party makes the linkage key, and a key share for each other force in outbox/. What is held past
    the limits of a new version is destroyed at once.
    """
    from dataclasses import replace

    from anpr_share.reports.agreements import accept_lines
    from anpr_share.work import agreements

    with opened(invocation) as site:
        result = agreements.accept(site, document(file))
        result = replace(result, expired=destroy_expired(site))
    return Outcome(result, lines=accept_lines(result))


def agreement_show(
    invocation: Invocation,
    *,
    agreement: Annotated[str | None, typer.Argument(metavar="ID", help="One agreement's id; else all.")] = None,
) -> Outcome:
    """Show the terms of the agreements in force."""
    from anpr_share.reports.agreements import terms_lines
    from anpr_share.work import agreements

    with opened(invocation, unlock=False) as site:
        found = agreements.listed(site, agreement)
    return Outcome(found, lines=terms_lines(found))


def agreement_amend(
    invocation: Invocation,
    *,
    agreement: Annotated[str, typer.Argument(metavar="ID", help="The agreement's id.")],
    party: Annotated[
        list[Path], typer.Option(metavar="IDENTITY", help="The identity.json of a party that joins; once for each.")
    ] = [],  # noqa: B006 # typer reads it, and nobody changes it
) -> Outcome:
    """Print a draft of the next version of an agreement.

    More parties, a shorter limit, an earlier end; tokens stay. Edit it, have every party sign and accept it. Needs no
    passphrase.
    """
    from anpr_share.work import amending

    with opened(invocation, unlock=False) as site:
        result = amending.amend(site, agreement, [identity(path) for path in party])
    for name in result.replaced:
        invocation.say(f"{name} is listed with the new identity that is pinned here")
    return Outcome(result, lines=[Verbatim(result.text.rstrip("\n"))])


def key_accept(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key share from the first force.")],
) -> Outcome:
    """Take in the linkage key that the first force shared.

    Police only: a university never holds one.
    """
    from anpr_share.reports.agreements import key_lines
    from anpr_share.work import agreements

    with opened(invocation) as site:
        result = agreements.accept_key(site, document(file))
    return Outcome(result, lines=key_lines([result]))


def key_list(invocation: Invocation) -> Outcome:
    """List the linkage keys held here, by their checks.

    Police only. The checks of two forces must be the same.
    """
    from anpr_share.reports.agreements import key_lines
    from anpr_share.work import agreements

    with opened(invocation) as site:
        result = agreements.list_keys(site)
    return Outcome(result, lines=key_lines(result))


def key_destroy(
    invocation: Invocation,
    *,
    agreement: Annotated[str, typer.Argument(metavar="AGREEMENT", help="The agreement's id.")],
) -> Outcome:
    """Destroy an agreement's linkage key here, for good.

    Police only. Nothing more can be exported or pseudonymised under it at this site; what was shared stays as it is.
    Does not ask.
    """
    from anpr_share.reports.agreements import destroyed_lines
    from anpr_share.work import closing

    with opened(invocation) as site:
        result = closing.destroy_key(site, agreement)
    return Outcome(result, lines=destroyed_lines(result))
