"""The command ``feasibility``: is there anything to find? And ``feasibility combine``: in several forces together?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command, command_with_more
from anpr_share.cli.feasibility_sharing import combine, share_result


def register(program: typer.Typer) -> None:
    """Add the command to the program."""
    example = (
        "anpr-share feasibility \\\n    --targets targets.csv --targets-profile my-targets.toml \\\n"
        "    --reads '2026-*.csv' --reads-profile my-reads.toml"
    )
    made = command_with_more(feasibility, "feasibility", example=example)
    example = "anpr-share feasibility combine northshire.json southshire.json"
    command(made, "combine", example=example)(combine)
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
    html: Annotated[
        Path | None, typer.Option(metavar="OUT", help="A new file: one page, small counts left out.")
    ] = None,
    share: Annotated[
        Path | None, typer.Option(metavar="OUT", help="A new file: the same, signed by this site, to be combined.")
    ] = None,
) -> Outcome:
    """Find out whether there is anything to find.

    Row by row, why targets fall out; how many are left after the papers; what an alert is worth. Exact figures, for
    use inside the force; what may be shared is in the files. Only --share needs a site. Exit code 1 if the answer is
    to stop.
    """
    from anpr_share.errors import UsageError
    from anpr_share.reports.feasibility import feasibility_lines
    from anpr_share.reports.terminal import near
    from anpr_share.site.files import new_file, require_free
    from anpr_share.tables.profile import load_profile
    from anpr_share.work.feasibility import Source, check

    if (not reads) != (reads_profile is None):
        raise UsageError("--reads and --reads-profile go together", hint="give both, or neither")
    if html is not None:
        if html == share:
            raise UsageError("--html and --share name one file", hint="they write two: give each a name of its own")
        require_free(html)
    given = Source(tuple(targets), load_profile(targets_profile))
    seen = None if reads_profile is None else Source(tuple(reads or ()), load_profile(reads_profile))
    with invocation.progress() as progress:
        result = check(given, seen, now=invocation.clock(), progress=progress)
    lines = feasibility_lines(result)
    if html is not None:
        from anpr_share.feasibility.suppression import suppress
        from anpr_share.reports.feasibility_page import page

        new_file(html, [page(suppress(result)).encode("utf-8")])
    # Last, for a summary that was signed is in the ledger, and no site should make two.
    if share is not None:
        try:
            lines += ["", *share_result(invocation, result, share)]
        except BaseException:
            if html is not None:
                html.unlink(missing_ok=True)
            raise
    if html is not None:
        lines += ["", f"wrote {near(html)}: open it in a browser, or print it; it holds no small count"]
    return Outcome(result, lines=lines, answer=result.verdict.code != "stop")
