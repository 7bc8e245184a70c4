"""Commands over a force's own files: ``check``, ``profile show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import opened
from anpr_share.reports.terminal import Verbatim, near


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    command(program, "check", panel="Extracts", example="anpr-share check reads.csv --profile plain-reads")(check)
    example = "anpr-share pseudonymise reads.csv --profile plain-reads \\\n    --agreement msv-example -o reads.parquet"
    command(program, "pseudonymise", panel="Extracts", example=example)(pseudonymise)
    profile = group("profile", "Profiles: how an extract's columns map onto our tables.")
    command(profile, "show", example="anpr-share profile show plain-reads > my-reads.toml")(profile_show)
    program.add_typer(profile, rich_help_panel="Extracts")


def check(
    invocation: Invocation,
    *,
    extract: Annotated[
        list[str], typer.Argument(metavar="EXTRACT", help="Files, or patterns in quotes such as '2026-10-*.csv'.")
    ],
    profile: Annotated[str, typer.Option(metavar="PROFILE", help="A bundled profile's name, or a TOML file.")],
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new CSV file for the numbers and rules of rejected rows.")
    ] = None,
) -> Outcome:
    """Check an extract: what would be rejected, and why.

    Counts by rule with row numbers, never a value. Exit code 1 if any row is rejected. The rejects file holds no
    values either, and stays in the force.
    """
    from anpr_share.reports.checking import check_lines
    from anpr_share.tables.check import check_extract
    from anpr_share.tables.profile import load_profile

    report = check_extract(extract, load_profile(profile), now=invocation.clock(), rejects=rejects)
    lines = check_lines(report)
    if rejects is not None:
        lines.append(f"wrote {near(rejects)}: it stays in the force")
    return Outcome(report, lines=lines, answer=report.ok)


def pseudonymise(
    invocation: Invocation,
    *,
    extract: Annotated[
        list[str], typer.Argument(metavar="EXTRACT", help="Files, or patterns in quotes such as '2026-10-*.csv'.")
    ],
    profile: Annotated[str, typer.Option(metavar="PROFILE", help="A bundled profile's name, or a TOML file.")],
    agreement: Annotated[str, typer.Option(metavar="ID", help="The agreement whose terms and key apply.")],
    out: Annotated[Path, typer.Option("-o", metavar="OUT", help="A new file, .csv or .parquet.")],
    authority: Annotated[
        str | None, typer.Option(metavar="REF", help="Who authorised reads older than the agreement says.")
    ] = None,
) -> Outcome:
    """Pseudonymise an extract for use inside the force.

    The same checks and hashing as export, and no bundle. The output is personal data in the clear but for its
    tokens; it is registered and falls due like its extract.
    """
    from anpr_share.reports.exchange import pseudonymise_lines
    from anpr_share.tables.profile import load_profile
    from anpr_share.work import pseudonymising

    loaded = load_profile(profile)
    with opened(invocation) as site, invocation.progress() as progress:
        result = pseudonymising.pseudonymise(
            site, tuple(extract), loaded, agreement, out, authority=authority, progress=progress
        )
    return Outcome(result, lines=pseudonymise_lines(result))


def profile_show(
    invocation: Invocation,  # noqa: ARG001 # every command takes it
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="nas-compact, plain-reads, plain-targets or plain-cameras.")
    ],
) -> Outcome:
    """Print a bundled profile to start from.

    Write it to a file, change the column names to those of your extract, and give that file to --profile.
    """
    from anpr_share.tables.profile import bundled_profiles, profile_text

    text = profile_text(name)
    return Outcome({"name": name, "text": text, "bundled": bundled_profiles()}, lines=[Verbatim(text.rstrip("\n"))])
