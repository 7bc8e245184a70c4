"""The command ``feasibility``: is there anything to find?"""

from __future__ import annotations

from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command_with_more


def register(program: typer.Typer) -> None:
    """Add the command to the program."""
    example = (
        "anpr-share feasibility \\\n    --targets targets.csv --targets-profile my-targets.toml \\\n"
        "    --reads '2026-*.csv' --reads-profile my-reads.toml"
    )
    made = command_with_more(feasibility, "feasibility", example=example)
    program.add_typer(made, rich_help_panel="Extracts")


def feasibility(
    invocation: Invocation,
    *,
    targets: Annotated[
        list[str], typer.Option(metavar="FILE", help="Targets: a file or a pattern in quotes; repeat it for more.")
    ],
    targets_profile: Annotated[
        str, typer.Option(metavar="PROFILE", help="Their profile: a bundled name, or a TOML file.")
    ],
    reads: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Reads, likewise.")] = None,
    reads_profile: Annotated[str | None, typer.Option(metavar="PROFILE", help="The reads' profile.")] = None,
) -> Outcome:
    """Find out whether there is anything to find.

    Row by row, why targets fall out; how many are left after the papers; what an alert is worth. Nothing leaves, and
    no site is needed. Exit code 1 if the answer is to stop.
    """
    from anpr_share.errors import UsageError
    from anpr_share.reports.feasibility import feasibility_lines
    from anpr_share.tables.profile import load_profile
    from anpr_share.work.feasibility import Source, check

    if (not reads) != (reads_profile is None):
        raise UsageError("--reads and --reads-profile go together", hint="give both, or neither")
    given = Source(tuple(targets), load_profile(targets_profile))
    seen = None if reads_profile is None else Source(tuple(reads or ()), load_profile(reads_profile))
    with invocation.progress() as progress:
        result = check(given, seen, now=invocation.clock(), progress=progress)
    return Outcome(result, lines=feasibility_lines(result), answer=result.verdict.code != "stop")
