"""Deletions as lines for a terminal: days, rows and files by name, never what was in them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from anpr_share.reports.terminal import Table, Verbatim
from anpr_share.reports.words import count, moment, others

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anpr_share.reports.terminal import Line
    from anpr_share.work.purging import DueDay, PurgeResult
    from anpr_share.work.scheduling import Schedule

_LATER_SHOWN = 6


def purge_lines(result: PurgeResult) -> list[Line]:
    """What a purge destroyed, or would, and when the rest goes."""
    done = "would be destroyed" if result.dry_run else "destroyed"
    lines: list[Line] = []
    if result.days:
        rows = sum(item.rows for item in result.days)
        lines += [f"{done}: {rows:,} rows of", _table(result.days)]
    if result.windows:
        lines.append(f"{done}: one-time keys of {count(result.windows, 'window')} that nobody can answer any more")
    lines += [f"{'would be deleted' if result.dry_run else 'deleted'}: {name}" for name in result.files]
    if not lines:
        lines.append("nothing has expired here")
    lines += [f"overdue: {name} lies outside of this site: delete it yourself" for name in result.elsewhere]
    return [*lines, *_later(result.later)]


def _table(days: Sequence[DueDay]) -> Table:
    return Table(
        ("day", "table", "from", "rows", "delete by"),
        [(item.day, item.table, item.source, item.rows, moment(item.due, item.timezone)) for item in days],
    )


def _later(days: Sequence[DueDay]) -> list[Line]:
    if not days:
        return []
    times = Counter((item.due, item.timezone) for item in days)
    shown = sorted(times)[:_LATER_SHOWN]
    rows = [(moment(due, zone), times[due, zone]) for due, zone in shown]
    table = Table(("goes next", "days of a table and force"), rows)
    return ["", table, *others(len(times), len(shown), "more times")]


def schedule_lines(result: Schedule) -> list[Line]:
    """Each way to run the purge every night, with where it goes."""
    return [
        "cron: add this line with crontab -e, as the user whom the site belongs to",
        Verbatim(result.cron),
        "",
        "systemd: two files in /etc/systemd/system, then systemctl enable --now anpr-share-purge.timer",
        "anpr-share-purge.service",
        Verbatim(result.service.rstrip("\n")),
        "anpr-share-purge.timer",
        Verbatim(result.timer.rstrip("\n")),
        "",
        "Windows: run this once",
        Verbatim(result.windows),
    ]
