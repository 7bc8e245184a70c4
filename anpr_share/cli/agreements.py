"""Commands about agreements and linkage keys: ``agreement``, ``key``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import asking, document, opened


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    agreement = group("agreement", "Agreements: what may be shared, with whom, how fine and how long.")
    command(agreement, "draft")(agreement_draft)
    command(agreement, "sign")(agreement_sign)
    command(agreement, "accept")(agreement_accept)
    command(agreement, "show")(agreement_show)
    program.add_typer(agreement, rich_help_panel="Exchange")
    key = group("key", "Linkage keys, which only police sites hold.")
    command(key, "accept")(key_accept)
    command(key, "list")(key_list)
    program.add_typer(key, rich_help_panel="Exchange")


def agreement_draft(
    invocation: Invocation,
    *,
    party: Annotated[list[Path], typer.Option(metavar="IDENTITY", help="The identity.json of a party; once for each.")],
) -> Outcome:
    """Print a commented draft of an agreement between these parties; needs no site.

    Write it to a file, fill it in, have it read by those who decide, then sign it.
    """
    from zoneinfo import ZoneInfo

    from anpr_share.documents.draft import draft_toml
    from anpr_share.documents.identity import Identity

    identities = [Identity.parse(document(path)) for path in party]
    today = invocation.clock().astimezone(ZoneInfo("Europe/London")).date()
    text = draft_toml(identities, today, None)
    return Outcome({"text": text}, lines=[text.rstrip("\n")])


def agreement_sign(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A draft (TOML), or an agreement that others signed.")],
    out: Annotated[Path, typer.Option("-o", metavar="OUT", help="Where to write the signed agreement.")],
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked: the terms were read before.")] = False,
) -> Outcome:
    """Show the terms and every fingerprint, ask once, pin the parties, and sign."""
    from anpr_share.work import agreements

    with opened(invocation) as site:
        result = agreements.sign(
            site, document(file), out, asking(invocation, instead="give --yes, after reading the terms", yes=yes)
        )
    lines = [f"signed {result.agreement} version {result.version}: {out}"]
    if result.missing:
        lines.append(f"next: {', '.join(result.missing)} to sign it in the same way")
    else:
        lines.append("every party has signed; next, at each site: anpr-share agreement accept FILE")
    return Outcome(result, lines=lines)


def agreement_accept(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The agreement, signed by every party.")],
) -> Outcome:
    """Put a fully signed agreement in force at this site.

    The first police party makes the linkage key, and a key share for each other force in outbox/.
    """
    from anpr_share.work import agreements

    with opened(invocation) as site:
        result = agreements.accept(site, document(file))
    lines = [f"{result.agreement} version {result.version} is in force here"]
    if result.key_made:
        lines.append("made its linkage key: back up vault.db")
    lines += [f"key share for another force: {path}" for path in result.shares]
    return Outcome(result, lines=lines)


def agreement_show(
    invocation: Invocation,
    *,
    agreement: Annotated[str | None, typer.Argument(metavar="[ID]", help="One agreement; else all.")] = None,
) -> Outcome:
    """Show the terms of the agreements in force."""
    from anpr_share.work import agreements

    with opened(invocation, unlock=False) as site:
        found = agreements.listed(site, agreement)
    lines = [line for item in found for line in (*item.lines, f"digest       {item.digest}", "")]
    return Outcome(found, lines=lines or ["no agreement yet: anpr-share agreement accept FILE"])


def key_accept(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key share from the first force.")],
) -> Outcome:
    """Take the linkage key of an agreement out of a key share; never for a university."""
    from anpr_share.work import agreements

    with opened(invocation) as site:
        result = agreements.accept_key(site, document(file))
    return Outcome(result, lines=[f"holds the linkage key of {result.agreement} now (check {result.check})"])


def key_list(invocation: Invocation) -> Outcome:
    """List the linkage keys held here, by their checks; two forces' checks must agree."""
    from anpr_share.work import agreements

    with opened(invocation) as site:
        result = agreements.list_keys(site)
    lines = [f"{item.agreement}  check {item.check}" for item in result]
    return Outcome(result, lines=lines or ["no linkage key is held here"])
