"""Commands over a force's own files: ``check``, ``profile show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import opened
from anpr_share.reports.terminal import Table


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    command(program, "check", panel="Extracts")(check)
    command(program, "pseudonymise", panel="Extracts")(pseudonymise)
    profile = group("profile", "Profiles: how an extract's columns, dates and time zone map onto our tables.")
    command(profile, "show")(profile_show)
    program.add_typer(profile, rich_help_panel="Extracts")


def check(
    invocation: Invocation,
    *,
    extract: Annotated[list[str], typer.Argument(metavar="EXTRACT", help="The files, or patterns such as 'x*.csv'.")],
    profile: Annotated[str, typer.Option(metavar="P", help="A bundled profile's name, or a TOML file.")],
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each rejected row's number and rule here (CSV).")
    ] = None,
) -> Outcome:
    """Check an extract: rows counted by rule, with row numbers, never a value.

    Exit code 1 if any row is rejected. The rejects file holds no values either, and stays in the force.
    """
    from anpr_share.reports.checking import check_lines
    from anpr_share.tables.check import check_extract
    from anpr_share.tables.profile import load_profile

    report = check_extract(extract, load_profile(profile), now=invocation.clock(), rejects=rejects)
    lines = check_lines(report)
    if rejects is not None:
        lines.append(f"rejects written to {rejects}")
    return Outcome(report, lines=lines, answer=report.ok)


def pseudonymise(
    invocation: Invocation,
    *,
    extract: Annotated[list[str], typer.Argument(metavar="EXTRACT", help="The files, or patterns such as 'x*.csv'.")],
    profile: Annotated[str, typer.Option(metavar="P", help="A bundled profile's name, or a TOML file.")],
    agreement: Annotated[str, typer.Option(metavar="ID", help="The agreement whose terms and key apply.")],
    out: Annotated[Path, typer.Option("-o", metavar="OUT", help="A new file: .csv or .parquet.")],
    authority: Annotated[str | None, typer.Option(metavar="REF", help="Who authorised older reads.")] = None,
) -> Outcome:
    """Pseudonymise an extract for use inside the force: the same checks and hashing, and no bundle.

    The output is personal data in the clear but for its tokens; it is registered and falls due like its extract.
    """
    from anpr_share.reports.exchange import account
    from anpr_share.tables.profile import load_profile
    from anpr_share.work import pseudonymising

    loaded = load_profile(profile)
    with opened(invocation) as site, invocation.progress() as progress:
        result = pseudonymising.pseudonymise(
            site, tuple(extract), loaded, agreement, out, authority=authority, progress=progress
        )
    lines: list[str | Table] = [
        f"wrote {result.path}",
        Table(("table", "rows", ""), account(result.account)),
        *(f"note: {warning}" for warning in result.warnings),
        f"it must be deleted by {result.delete_by:%Y-%m-%d %H:%M} UTC",
    ]
    return Outcome(result, lines=lines)


def profile_show(
    invocation: Invocation,  # noqa: ARG001 # every command takes it
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of the bundled profiles.")],
) -> Outcome:
    """Print a bundled profile to start from.

    Write it to a file, change the column names to those of your extract, and give that file to --profile.
    """
    from anpr_share.tables.profile import bundled_profiles, profile_text

    text = profile_text(name)
    return Outcome({"name": name, "text": text, "bundled": bundled_profiles()}, lines=[text.rstrip("\n")])
