"""Commands that move data: ``request``, ``export``, ``inspect``, ``verify``, ``load``, ``receipt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import document, opened

Out = Annotated[Path, typer.Option("-o", metavar="OUT", help="Where to write it; it must not exist yet.")]


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    command(program, "request", panel="Exchange")(request)
    command(program, "export", panel="Exchange")(export)
    command(program, "inspect", panel="Exchange")(inspect)
    command(program, "verify", panel="Exchange")(verify)
    command(program, "load", panel="Exchange")(load)
    receipt = group("receipt", "Receipts: what a university loaded, refused and deleted.")
    command(receipt, "create")(receipt_create)
    command(receipt, "accept")(receipt_accept)
    command(receipt, "list")(receipt_list)
    program.add_typer(receipt, rich_help_panel="Exchange")


def request(
    invocation: Invocation,
    *,
    agreement: Annotated[str, typer.Argument(metavar="AGREEMENT", help="The agreement's id.")],
    to: Annotated[str, typer.Option(metavar="FORCE", help="The force's id.")],
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="First capture day, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--until", metavar="DAY", help="Last capture day, included.")],
    out: Out,
    every: Annotated[
        str | None, typer.Option(metavar="P7D", help="A standing request: a window for each such period.")
    ] = None,
) -> Outcome:
    """Ask one force for capture days, with a one-time key for each window."""
    from anpr_share.cli.parsing import day, duration
    from anpr_share.work import requesting

    with opened(invocation) as site:
        result = requesting.request(
            site, agreement, to, day(first), day(last), None if every is None else duration(every), out
        )
    windows = f"{len(result.windows)} windows" if len(result.windows) > 1 else "one window"
    return Outcome(
        result,
        lines=[
            f"wrote {result.path}: a request to {result.recipient} with {windows}, {first} to {last}",
            f"it can be answered, and the answer loaded, until {result.expires:%Y-%m-%d %H:%M} UTC",
            f"next: send it to {result.recipient}, which answers with: anpr-share export --request FILE …",
        ],
    )


def export(
    invocation: Invocation,
    *,
    request: Annotated[Path, typer.Option(metavar="R", help="The university's request.")],
    reads: Annotated[list[str], typer.Option(metavar="E", help="Files or patterns of reads; repeat it for more.")],
    profile: Annotated[str, typer.Option(metavar="P", help="Profile of the reads: a bundled name, or a TOML file.")],
    out: Out,
    targets: Annotated[list[str] | None, typer.Option(metavar="E", help="Files of targets.")] = None,
    targets_profile: Annotated[str | None, typer.Option(metavar="P", help="Profile of the targets.")] = None,
    window: Annotated[
        str | None, typer.Option(metavar="DAY", help="The window that holds this day; else the oldest open one.")
    ] = None,
    authority: Annotated[
        str | None, typer.Option(metavar="REF", help="Who authorised older reads; kept with the data.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Row numbers and rules of rejected reads; stays in the force.")
    ] = None,
    engine: Annotated[
        Literal["local", "spark"], typer.Option(metavar="local|spark", help="local; spark is not in this version.")
    ] = "local",
    master: Annotated[str | None, typer.Option(metavar="URL", help="Of spark: not in this version.")] = None,
) -> Outcome:
    """Answer a request: check, minimise, pseudonymise, seal and sign into one bundle.

    Rejected rows are counted and left out. Exit code 1, and nothing written, if no row is left.
    """
    from anpr_share.cli.parsing import day
    from anpr_share.errors import UsageError
    from anpr_share.reports.exchange import export_lines
    from anpr_share.tables.profile import load_profile
    from anpr_share.work import exporting

    if engine == "spark" or master is not None:
        raise UsageError(
            "Apache Spark is not in this version", hint="leave out --engine and --master: one machine will do"
        )
    if (targets is None) != (targets_profile is None):
        raise UsageError("--targets and --targets-profile go together")
    source = exporting.Input(tuple(reads), load_profile(profile))
    others = None
    if targets is not None and targets_profile is not None:
        others = exporting.Input(tuple(targets), load_profile(targets_profile))
    with opened(invocation) as site, invocation.progress() as progress:
        result = exporting.export(
            site,
            document(request),
            source,
            out,
            targets=others,
            window=None if window is None else day(window),
            authority=authority,
            rejects=rejects,
            progress=progress,
        )
    return Outcome(result, lines=export_lines(result))


def inspect(
    invocation: Invocation,  # noqa: ARG001 # every command takes it
    *,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle file.")],
) -> Outcome:
    """Show what a bundle says of itself; needs no key and no site, and proves nothing."""
    from anpr_share.reports.exchange import inspect_lines
    from anpr_share.work import inspecting

    result = inspecting.inspect(bundle)
    return Outcome(result, lines=inspect_lines(result))


def verify(
    invocation: Invocation,
    *,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle file.")],
    sender: Annotated[
        Path | None,
        typer.Option(metavar="IDENTITY", help="The sender's identity, to check the signature without a site."),
    ] = None,
) -> Outcome:
    """Verify a bundle: all eight steps at the recipient's site, elsewhere those that need no secret.

    Exit code 1 if the sender is not known, and so the signature was not checked.
    """
    from anpr_share.cli.opening import has_site
    from anpr_share.documents.identity import Identity
    from anpr_share.reports.exchange import verify_lines
    from anpr_share.work import loading

    identity = None if sender is None else Identity.parse(document(sender))
    if has_site(invocation):
        with opened(invocation) as site:
            result = loading.verify(site, bundle, identity)
    else:
        result = loading.verify_alone(bundle, identity)
    return Outcome(result, lines=verify_lines(result), answer=2 in result.steps)


def load(
    invocation: Invocation,
    *,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle file.")],
    receipt: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Where to write the receipt; else into outbox/.")
    ] = None,
) -> Outcome:
    """Verify a bundle, take it into the store under fresh keys, destroy its one-time key, write a receipt."""
    from anpr_share.reports.exchange import load_lines
    from anpr_share.work import loading

    with opened(invocation) as site, invocation.progress() as progress:
        result = loading.load(site, bundle, receipt, progress)
    return Outcome(result, lines=load_lines(result))


def receipt_create(
    invocation: Invocation,
    *,
    to: Annotated[str, typer.Option(metavar="FORCE", help="The force's id.")],
    out: Out,
    agreement: Annotated[
        str | None, typer.Option(metavar="ID", help="The agreement, where the site has several.")
    ] = None,
) -> Outcome:
    """Sign a receipt for everything loaded, refused or deleted since the last one."""
    from anpr_share.reports.exchange import receipt_lines
    from anpr_share.work import receipting

    with opened(invocation) as site:
        result = receipting.create(site, agreement, to, out)
    return Outcome(result, lines=receipt_lines(result))


def receipt_accept(
    invocation: Invocation, *, file: Annotated[Path, typer.Argument(metavar="FILE", help="A university's receipt.")]
) -> Outcome:
    """Record a receipt and compare it with what was exported. Exit code 1 if they disagree."""
    from anpr_share.reports.exchange import receipt_lines
    from anpr_share.work import receipting

    with opened(invocation) as site:
        result = receipting.accept(site, document(file))
    return Outcome(result, lines=receipt_lines(result), answer=not result.discrepancies)


def receipt_list(invocation: Invocation) -> Outcome:
    """List the receipts made or received, compared with what was exported. Exit code 1 if any disagrees."""
    from anpr_share.reports.exchange import receipt_lines
    from anpr_share.work import receipting

    with opened(invocation) as site:
        result = receipting.listed(site)
    lines = [line for item in result for line in receipt_lines(item)]
    answer = not any(item.discrepancies for item in result)
    return Outcome(result, lines=lines or ["no receipt yet"], answer=answer)
