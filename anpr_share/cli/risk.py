"""The command ``risk``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command
from anpr_share.cli.opening import document, has_site, opened
from anpr_share.pseudonyms import is_identifier


def register(program: typer.Typer) -> None:
    """Add the command to the program."""
    example = "anpr-share risk --reads 'week-*.csv' --profile my-reads.toml \\\n    --agreement draft.toml"
    command(program, "risk", panel="Extracts", example=example)(risk)


def risk(
    invocation: Invocation,
    *,
    reads: Annotated[
        list[str], typer.Option(metavar="FILE", help="Reads: a file or a pattern in quotes; repeat it for more.")
    ],
    profile: Annotated[
        str, typer.Option(metavar="PROFILE", help="The reads' profile: a bundled name, or a TOML file.")
    ],
    agreement: Annotated[
        str,
        typer.Option(
            metavar="FILE_OR_ID",
            help="A filled-in draft, a signed agreement, or the id of one in force at this force's site.",
        ),
    ],
    cameras: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Cameras and their context.")] = None,
    cameras_profile: Annotated[str | None, typer.Option(metavar="PROFILE", help="The cameras' profile.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="A new file for the report, as a page.")] = None,
) -> Outcome:
    """Measure how identifying a release of reads would be.

    Counts and shares of the reads as the agreement would let them out, and never a value. For a draft see anpr-share
    agreement draft. Needs a site only for an agreement by its id: then what was exported under it counts too. Exit code
    1 if the agreement's ceiling is passed.
    """
    from anpr_share.cli.parsing import given, if_given
    from anpr_share.errors import StorageError
    from anpr_share.reports.risk import risk_lines
    from anpr_share.reports.terminal import near
    from anpr_share.site.files import new_file, require_free
    from anpr_share.work import risk as work

    if html is not None:
        require_free(html)
    source, register = given(reads, profile), if_given("cameras", cameras, cameras_profile)
    file = Path(agreement)
    if file.is_file() or not is_identifier(agreement):
        basis = work.of_file(document(file), invocation.clock())
    elif not has_site(invocation):
        raise StorageError(
            "there is no file of that name here, and no site whose agreement could have that id",
            hint="check the name, such as draft.toml; or name the site with --site",
        )
    else:
        with opened(invocation) as site:
            basis = work.of_site(site, agreement)
    with invocation.progress() as progress:
        result = work.look(basis, source, register, progress=progress)
    lines = risk_lines(result)
    if html is not None:
        from anpr_share.reports.risk_page import page

        new_file(html, [page(result).encode("utf-8")])
        lines += ["", f"wrote {near(html)}: open it in a browser, or print it"]
    return Outcome(result, lines=lines, answer=not result.over_ceiling)
