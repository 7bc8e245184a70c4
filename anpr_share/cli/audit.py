"""The command ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command
from anpr_share.cli.opening import document, site_root
from anpr_share.wording import spoken_name

if TYPE_CHECKING:
    from anpr_share.audit.evidence import Evidence


def register(program: typer.Typer) -> None:
    """Add the command to the program."""
    example = "anpr-share audit university northshire.ledger.jsonl \\\n    --agreement agreement.json --html audit.html"
    command(program, "audit", panel="Audit", example=example)(audit)


def audit(
    invocation: Invocation,
    *,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="SITE_OR_LEDGER", help="Sites, or ledgers that they exported; else the site here."),
    ] = None,
    agreement: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The signed agreement, to hold the sites against.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="A new file for the report, as one page.")] = None,
) -> Outcome:
    """Judge what was held, moved, destroyed and logged.

    Several sites are also checked against one another. Needs no passphrase; with --passphrase-file, or its variable,
    records of sites that it opens are proved too. Changes nothing. Exit code 1 if anything must be explained.
    """
    from anpr_share.errors import LockedError
    from anpr_share.reports.audit import audit_lines
    from anpr_share.reports.terminal import near
    from anpr_share.site.files import new_file
    from anpr_share.work import auditing

    passphrase = invocation.passphrase() if invocation.passphrase_path() is not None else None
    evidence = [_evidence(invocation, path, passphrase) for path in sources or (None,)]
    looked_at = [item.disk for item in evidence if item.disk is not None]
    if passphrase is not None and looked_at and not any(disk.proved for disk in looked_at):
        raise LockedError(
            "the passphrase opens none of these sites",
            hint="give the right one, or none: then nothing is said of records that were altered without it",
        )
    result = auditing.audit(evidence, invocation.clock(), None if agreement is None else document(agreement))
    lines = audit_lines(result)
    if html is not None:
        from anpr_share.reports.audit_page import page

        new_file(html, [page(result).encode("utf-8")])
        lines += ["", f"wrote {near(html)}: open it in a browser, or print it"]
    return Outcome(result, lines=lines, answer=result.verdict == "clean")


def _evidence(invocation: Invocation, path: Path | None, passphrase: bytes | None) -> Evidence:
    """The evidence of one source: a site, or a file that one exported; without a path, of the site here."""
    from anpr_share.site.layout import require_site
    from anpr_share.work import auditing

    if path is not None and not path.is_dir():
        return auditing.read_export(path)
    root = site_root(invocation) if path is None else require_site(path, f"{spoken_name(path)} is no site")
    return auditing.look(root, invocation.clock, passphrase)
