"""What ``feasibility --share`` does with its result, and the command ``feasibility combine``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anpr_share.cli.common import Invocation, Outcome
from anpr_share.cli.opening import document, has_site, opened

if TYPE_CHECKING:
    from anpr_share.feasibility.figures import FeasibilityResult
    from anpr_share.reports.terminal import Line


def share_result(invocation: Invocation, result: FeasibilityResult, out: Path) -> list[Line]:
    """Suppress small counts, sign what is left with the key of this call's site, write it to ``out``, and say so."""
    from anpr_share.feasibility.suppression import suppress
    from anpr_share.reports.feasibility_combined import share_lines
    from anpr_share.work import feasibility_sharing

    shared = suppress(result)
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
