"""Commands about data that must go before their time: ``notice``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from anpr_share.cli.common import Invocation, Outcome, command, group
from anpr_share.cli.opening import document, opened


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    notice = group("notice", "Notices: a force takes back what was wrong.")
    example = (
        "anpr-share notice recall msv-example --to university-of-x --table reads \\\n"
        '    --day 2026-10-02 --reason "the clock of one feed was wrong" -o notice.json'
    )
    command(notice, "recall", example=example)(recall)
    command(notice, "apply", example="anpr-share notice apply notice.json")(apply)
    program.add_typer(notice, rich_help_panel="Exchange")


def recall(
    invocation: Invocation,
    *,
    agreement: Annotated[str, typer.Argument(metavar="AGREEMENT", help="The agreement's id.")],
    to: Annotated[str, typer.Option(metavar="UNIVERSITY", help="The university's id.")],
    table: Annotated[
        Literal["reads", "targets", "cameras"], typer.Option(metavar="reads|targets|cameras", help="What was wrong.")
    ],
    day: Annotated[
        list[str],
        typer.Option(metavar="DAY", help="A capture day, YYYY-MM-DD; repeat it for more. Of others: undated."),
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, in a few words; no plate, no token.")],
    out: Annotated[Path, typer.Option("-o", metavar="OUT", help="A new file to write.")],
) -> Outcome:
    """Have a university destroy days that were wrong.

    It answers with a receipt, and asks for the days anew. Only what was exported to it can be recalled.
    """
    from anpr_share.cli.parsing import day as parsed
    from anpr_share.periods import UNDATED
    from anpr_share.reports.exchange import notice_lines
    from anpr_share.work import notifying

    days = [text if text == UNDATED else parsed(text).isoformat() for text in day]
    with opened(invocation) as site:
        result = notifying.recall(site, agreement, to, table, days, reason, out)
    return Outcome(result, lines=notice_lines(result))


def apply(
    invocation: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A force's notice.")],
    receipt: Annotated[
        Path | None, typer.Option(metavar="OUT", help="A new file for the receipt; else one in outbox/.")
    ] = None,
) -> Outcome:
    """Destroy what a force's notice names; write a receipt.

    What that force had sent of these days goes: keys, then files. A notice that was applied before only has its
    receipt written again.
    """
    from anpr_share.reports.exchange import applied_lines
    from anpr_share.work import notifying

    with opened(invocation) as site:
        result = notifying.apply(site, document(file), receipt)
    return Outcome(result, lines=applied_lines(result))
