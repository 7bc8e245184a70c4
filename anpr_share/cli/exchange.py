"""Commands that move data: ``request``, ``export``, ``inspect``, ``verify``, ``load``, ``receipt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import document, identity, opened

Out = Annotated[Path, typer.Option("-o", metavar="OUT", help="A new file to write.")]


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    example = (
        "anpr-share request msv-example --to northshire-police \\\n"
        "    --from 2026-10-01 --until 2026-12-31 --every P7D -o request.json"
    )
    command(program, "request", panel="Exchange", example=example)(request)
    example = (
        "anpr-share export --request request.json --reads '2026-10-*.csv' \\\n"
        "    --profile my-reads.toml -o october.anpr.zip"
    )
    command(program, "export", panel="Exchange", example=example)(export)
    command(program, "inspect", panel="Exchange", example="anpr-share inspect october.anpr.zip")(inspect)
    example = "anpr-share verify october.anpr.zip --sender north-identity.json"
    command(program, "verify", panel="Exchange", example=example)(verify)
    example = "anpr-share load october.anpr.zip --receipt receipt.json"
    command(program, "load", panel="Exchange", example=example)(load)
    receipt = group("receipt", "Receipts: what a university loaded, refused and deleted.")
    example = "anpr-share receipt create --to northshire-police -o receipt.json"
    command(receipt, "create", example=example)(receipt_create)
    command(receipt, "accept", example="anpr-share receipt accept receipt.json")(receipt_accept)
    command(receipt, "list", example="anpr-share receipt list")(receipt_list)
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
        str | None,
        typer.Option(metavar="P7D", help="A standing request: P7D is a window a week, P1M one a month."),
    ] = None,
) -> Outcome:
    """Ask a force for capture days.

    The request holds a one-time key for each window, which is destroyed once the answer is loaded.
    """
    from anpr_share.cli.parsing import day, duration
    from anpr_share.reports.exchange import request_lines
    from anpr_share.work import requesting

    with opened(invocation) as site:
        result = requesting.request(
            site, agreement, to, day(first), day(last), None if every is None else duration(every), out
        )
    return Outcome(result, lines=request_lines(result))


def export(
    invocation: Invocation,
    *,
    request: Annotated[Path, typer.Option(metavar="FILE", help="The university's request.")],
    reads: Annotated[
        list[str], typer.Option(metavar="FILE", help="Reads: a file or a pattern in quotes; repeat it for more.")
    ],
    profile: Annotated[
        str, typer.Option(metavar="PROFILE", help="The reads' profile: a bundled name, or a TOML file.")
    ],
    out: Out,
    targets: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Targets, likewise.")] = None,
    targets_profile: Annotated[str | None, typer.Option(metavar="PROFILE", help="The targets' profile.")] = None,
    cameras: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Cameras, likewise.")] = None,
    cameras_profile: Annotated[str | None, typer.Option(metavar="PROFILE", help="The cameras' profile.")] = None,
    window: Annotated[
        str | None, typer.Option(metavar="DAY", help="The window with this day; else the oldest open one.")
    ] = None,
    authority: Annotated[
        str | None, typer.Option(metavar="REF", help="Who authorised reads older than the agreement says.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new CSV file for the numbers and rules of rejected reads.")
    ] = None,
    engine: Annotated[
        Literal["local", "spark"], typer.Option(metavar="local|spark", help="local; spark is not in this version.")
    ] = "local",
    master: Annotated[str | None, typer.Option(metavar="URL", help="Of spark: not in this version.")] = None,
) -> Outcome:
    """Answer a request with a bundle: checked, hashed, sealed.

    Only what the agreement lists leaves. Rejected rows are counted and left out. Exit code 1, and nothing written,
    if no row is left.
    """
    from anpr_share.cli.parsing import day, given, if_given
    from anpr_share.errors import UsageError
    from anpr_share.reports.exchange import export_lines
    from anpr_share.work import exporting

    if engine == "spark" or master is not None:
        raise UsageError(
            "Apache Spark is not in this version", hint="leave out --engine and --master: one machine will do"
        )
    source = given(reads, profile)
    log = if_given("targets", targets, targets_profile)
    register = if_given("cameras", cameras, cameras_profile)
    with opened(invocation) as site, invocation.progress() as progress:
        result = exporting.export(
            site,
            document(request),
            source,
            out,
            targets=log,
            cameras=register,
            window=None if window is None else day(window),
            authority=authority,
            rejects=rejects,
            progress=progress,
        )
    return Outcome(result, lines=export_lines(result))


def inspect(
    invocation: Invocation,  # noqa: ARG001 # every command takes it
    *,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle, or a certificate of destruction.")],
) -> Outcome:
    """Show what a bundle says of itself; proves nothing.

    Also what a certificate of destruction says. Needs no key and no site.
    """
    from anpr_share.reports.exchange import inspect_lines
    from anpr_share.reports.retention import read_certificate_lines
    from anpr_share.work import inspecting

    if inspecting.is_document(bundle):
        certificate = inspecting.certificate(document(bundle))
        return Outcome(certificate, lines=read_certificate_lines(certificate))
    result = inspecting.inspect(bundle)
    return Outcome(result, lines=inspect_lines(result))


def verify(
    invocation: Invocation,
    *,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle, or a certificate of destruction.")],
    sender: Annotated[
        Path | None,
        typer.Option(metavar="IDENTITY", help="The sender's identity.json, to check without a site."),
    ] = None,
) -> Outcome:
    """Verify a bundle, without loading it.

    All eight steps at the recipient's site; elsewhere those that need no secret. Of a certificate of destruction its
    signature. Exit code 1 if the sender is not known, and so the signature was not checked.
    """
    from anpr_share.cli.opening import has_site
    from anpr_share.reports.exchange import verify_lines
    from anpr_share.reports.retention import read_certificate_lines
    from anpr_share.work import inspecting, loading

    known = None if sender is None else identity(sender)
    if inspecting.is_document(bundle):
        data = document(bundle)
        if known is None and has_site(invocation):
            with opened(invocation, unlock=False) as site:
                known = inspecting.signer(site, data)
        certificate = inspecting.certificate(data, known)
        return Outcome(certificate, lines=read_certificate_lines(certificate), answer=certificate.signed_by is not None)
    if has_site(invocation):
        with opened(invocation) as site:
            result = loading.verify(site, bundle, known)
    else:
        result = loading.verify_alone(bundle, known)
    return Outcome(result, lines=verify_lines(result), answer=2 in result.steps)


def load(
    invocation: Invocation,
    *,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle file.")],
    receipt: Annotated[
        Path | None, typer.Option(metavar="OUT", help="A new file for the receipt; else one in outbox/.")
    ] = None,
) -> Outcome:
    """Verify a bundle, take it into the store, write a receipt.

    The data are encrypted anew, and the bundle's one-time key is destroyed: no copy of the file opens any more.
    """
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
        str | None, typer.Option(metavar="ID", help="The agreement's id; needed where the site has several.")
    ] = None,
) -> Outcome:
    """Sign a receipt for all that was not yet reported.

    What was loaded, refused or deleted since the last receipt of this command.
    """
    from anpr_share.reports.exchange import receipt_lines
    from anpr_share.work import receipting

    with opened(invocation) as site:
        result = receipting.create(site, agreement, to, out)
    return Outcome(result, lines=receipt_lines(result))


def receipt_accept(
    invocation: Invocation, *, file: Annotated[Path, typer.Argument(metavar="FILE", help="A university's receipt.")]
) -> Outcome:
    """Record a receipt and compare it with what was exported.

    Exit code 1 if they disagree.
    """
    from anpr_share.reports.exchange import receipt_lines
    from anpr_share.work import receipting

    with opened(invocation) as site:
        result = receipting.accept(site, document(file))
    return Outcome(result, lines=receipt_lines(result), answer=not result.discrepancies)


def receipt_list(invocation: Invocation) -> Outcome:
    """List receipts, compared with what was exported.

    Exit code 1 if any disagrees.
    """
    from anpr_share.reports.exchange import receipts_lines
    from anpr_share.work import receipting

    with opened(invocation) as site:
        result = receipting.listed(site)
    return Outcome(result, lines=receipts_lines(result), answer=not any(item.discrepancies for item in result))
