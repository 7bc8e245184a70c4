"""The commands ``feasibility``, is there anything to find?, and ``feasibility combine``, in several forces together?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome, command, command_with_more
from anpr_share.cli.opening import document, has_site, opened

if TYPE_CHECKING:
    from anpr_share.feasibility.figures import Shared
    from anpr_share.reports.terminal import Line


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
    from anpr_share.cli.parsing import given, if_given
    from anpr_share.errors import UsageError
    from anpr_share.feasibility.suppression import suppress
    from anpr_share.reports.feasibility import feasibility_lines
    from anpr_share.reports.terminal import near
    from anpr_share.site.files import new_file, require_free
    from anpr_share.work.feasibility import check

    if html is not None:
        if html == share:
            raise UsageError("--html and --share name one file", hint="they write two: give each a name of its own")
        require_free(html)
    log, seen = given(targets, targets_profile), if_given("reads", reads, reads_profile)
    with invocation.progress() as progress:
        result = check(log, seen, now=invocation.clock(), progress=progress)
    lines = feasibility_lines(result)
    shared = None if html is None and share is None else suppress(result)
    if html is not None and shared is not None:
        from anpr_share.reports.feasibility_page import page

        new_file(html, [page(shared).encode("utf-8")])
        lines += ["", f"wrote {near(html)}: open it in a browser, or print it; it holds no small count"]
    # Last, for a summary that was signed is in the ledger, and no site should make two.
    if share is not None and shared is not None:
        try:
            lines += ["", *share_result(invocation, shared, share)]
        except BaseException:
            if html is not None:
                html.unlink(missing_ok=True)
            raise
    return Outcome(result, lines=lines, answer=result.verdict.code != "stop")


def share_result(invocation: Invocation, shared: Shared, out: Path) -> list[Line]:
    """Sign what may be shared with the key of this call's site, write it to a new file, and say so."""
    from anpr_share.reports.feasibility_combined import share_lines
    from anpr_share.work import feasibility_sharing

    with opened(invocation) as site:
        return share_lines(feasibility_sharing.share(site, shared, out), shared)


def combine(
    invocation: Invocation,
    *,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Forces' summaries, of --share: two or more.")],
) -> Outcome:
    """Add up what several forces have shared.

    Checks each signature; at a site also says which forces are known. Needs no passphrase. Exit code 1 if the answer
    is to stop.
    """
    from anpr_share.reports.feasibility_combined import combine_lines
    from anpr_share.work import feasibility_sharing

    documents = [document(path) for path in files]
    if has_site(invocation):
        with opened(invocation, unlock=False) as site:
            result = feasibility_sharing.combine(documents, site)
    else:
        result = feasibility_sharing.combine(documents)
    return Outcome(result, lines=combine_lines(result), answer=result.combined.code != "stop")
