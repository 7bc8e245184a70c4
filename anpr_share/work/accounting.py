"""Every row of an extract, in one account that adds up: see :class:`anpr_share.documents.manifest.TableQuality`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import cast

from anpr_share.documents.agreement import Agreement
from anpr_share.documents.manifest import DayCount, TableName, TableQuality
from anpr_share.errors import InputError, PolicyError
from anpr_share.periods import Window
from anpr_share.tables.phrases import PHRASES, Phrase

OUTSIDE_WINDOW = "outside-window"
EXPIRED = "expired"
NEEDS_AUTHORITY = "needs-authority"
NOT_SAMPLED = "not-sampled"
VICTIM = "victim"
CATEGORY_MISSING = "category-missing"
HANDLING = "handling"
REPEATED = "repeated"
CONTRADICTING = "contradicting"
TOO_FEW = "too-few"


WITHHELD: Mapping[str, Phrase] = {
    OUTSIDE_WINDOW: Phrase(
        "captured on a day that the window does not ask for",
        "the extract holds other days than the request asks for: compare the two, or name --window DAY",
    ),
    EXPIRED: Phrase("older than the agreement keeps", "ask for, and extract, later days"),
    NEEDS_AUTHORITY: Phrase(
        "older than may leave without an authority", "name who authorised these reads with --authority REF"
    ),
    NOT_SAMPLED: Phrase("of vehicles outside the agreed sample", "the agreement keeps a share of the vehicles only"),
    VICTIM: Phrase("a victim's vehicle", "the agreement keeps victims' vehicles in the force"),
    CATEGORY_MISSING: Phrase(
        "without a person category, so perhaps a victim's", "complete person_category in the extract"
    ),
    HANDLING: Phrase("with a handling code that may not leave", "anpr-share agreement show lists the codes that may"),
    REPEATED: Phrase("of a camera that an earlier row describes in the same words", "nothing is to be done"),
    CONTRADICTING: Phrase(
        "of a camera that two rows describe differently", "see which is right, and leave the other out"
    ),
    TOO_FEW: Phrase(
        "of cameras that are fewer than the agreement wants alike", "anpr-share agreement show says how many are needed"
    ),
}
"""Why a row that passes the checks stays in the force, and what to do if it should not."""


@dataclass(slots=True)
class Tally:
    """The running account of one table: ``rows_in + split = rows_out + rejected + withheld``.

    A row that fails several checks is rejected under the first of them; one that passes them is withheld under the
    first reason that keeps it in the force. ``split`` counts rows added by cells that hold several plates, ``resolved``
    the local times, of all rows read, that the profile's settings resolved.
    """

    rows_in: int = 0
    rows_out: int = 0
    split: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    resolved: Counter[str] = field(default_factory=Counter)
    families: Counter[str] = field(default_factory=Counter)
    ambiguous: int = 0
    duplicates: int = 0
    day_rows: Counter[date] = field(default_factory=Counter)
    day_rejected: Counter[date] = field(default_factory=Counter)


def account(table: str, tally: Tally, window: Window | None) -> TableQuality:
    """The closed account of a table; rejected rows count by day where their day was readable and inside the window."""
    inside = {day for day in tally.day_rejected if window is not None and window.contains(day)}
    return TableQuality(
        table=cast("TableName", table),
        rows_in=tally.rows_in,
        split=tally.split,
        rows_out=tally.rows_out,
        rejected=dict(+tally.rejected),
        withheld=dict(+tally.withheld),
        resolved=dict(+tally.resolved),
        families=dict(+tally.families),
        ambiguous=tally.ambiguous,
        duplicates=tally.duplicates,
        days=tuple(
            DayCount(day=day, rows=tally.day_rows[day], rejected=tally.day_rejected[day])
            for day in sorted(set(tally.day_rows) | inside)
        ),
    )


def _why_none(tally: Tally) -> str:
    """Where all the rows went, in words."""
    reasons = [f"{count:,} {name}" for name, count in (tally.rejected + tally.withheld).most_common()]
    return ", ".join(reasons) or "the extract holds no rows"


def _hint_none(tally: Tally, agreement: Agreement, table: str, now: datetime) -> str:
    """What to do about it: about the rows that were asked for, if any passed the checks, else about most rows."""
    asked = Counter({reason: count for reason, count in tally.withheld.items() if reason != OUTSIDE_WINDOW})
    reasons = [reason for reason, _ in (+asked or tally.rejected + tally.withheld).most_common()]
    if not reasons:
        return "see whether this is the right file, and whether the profile's skip_rows skips too much"
    if set(reasons) == {EXPIRED, NEEDS_AUTHORITY}:
        return f"{expired_text(agreement, table, now)}; {WITHHELD[NEEDS_AUTHORITY].advice}"
    if reasons[0] == EXPIRED:
        return expired_text(agreement, table, now)
    if reasons[0] in WITHHELD:
        return WITHHELD[reasons[0]].advice
    return f"{PHRASES[reasons[0]].meaning}; anpr-share check EXTRACT --profile PROFILE shows where"


def expired_text(agreement: Agreement, table: str, now: datetime) -> str:
    """Which limit has made rows expire, and from which day on rows are within it.

    This goes into the quality record, where what might be a plate is refused: so no id, and no ``P1M``.
    """
    limit = agreement.retention(table).words
    return (
        f"the agreement keeps {table} for {limit}, so only those from "
        f"{agreement.oldest_kept(table, now)} on may be shared now ({agreement.zone.key})"
    )


def none_left(tally: Tally, agreement: Agreement, table: str, now: datetime) -> InputError | PolicyError:
    """The refusal where no row is left: the agreement's alone if its limits keep every row that passed the checks."""
    reasons = set(+tally.withheld)
    kind = PolicyError if reasons and reasons <= {EXPIRED, NEEDS_AUTHORITY} else InputError
    return kind(f"no row is left: {_why_none(tally)}", hint=_hint_none(tally, agreement, table, now))


def notes_on_authority(tally: Tally) -> list[str]:
    """What a person is told about reads that stayed for want of an authority, and could leave with one."""
    count = tally.withheld[NEEDS_AUTHORITY]
    return [f"withheld for want of an authority: {count:,} reads; --authority REF names one"] if count else []
