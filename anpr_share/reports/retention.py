"""Deletions as lines for a terminal: days, rows and files by name, never what was in them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from anpr_share.reports.terminal import Table, Verbatim, near
from anpr_share.words import count, moment, others

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anpr_share.documents.certificate import Certificate
    from anpr_share.reports.terminal import Line
    from anpr_share.work.closing import CloseResult
    from anpr_share.work.inspecting import CertificateResult
    from anpr_share.work.purging import DueDay, PurgeResult
    from anpr_share.work.scheduling import Schedule

_LATER_SHOWN = 6


def purge_lines(result: PurgeResult) -> list[Line]:
    """What a purge destroyed, or would, and when the rest goes."""
    lines = gone_lines(result)
    if not (result.days or result.windows or result.files):
        lines.insert(0, "nothing has expired here")
    return [*lines, *_later(result.later)]


def gone_lines(result: PurgeResult) -> list[Line]:
    """What was destroyed, or would be, and what a person must delete."""
    done = "would be destroyed" if result.dry_run else "destroyed"
    lines: list[Line] = []
    if result.days:
        rows = sum(item.rows for item in result.days)
        lines += [f"{done}: {rows:,} rows of", _table(result.days)]
    if result.windows:
        lines.append(f"{done}: one-time keys of {count(result.windows, 'window')} that nobody can answer any more")
    lines += [f"{'would be deleted' if result.dry_run else 'deleted'}: {name}" for name in result.files]
    return [*lines, *_elsewhere(result.elsewhere)]


def _elsewhere(names: Sequence[str]) -> list[Line]:
    return [f"overdue: {name} lies outside of this site: delete it yourself" for name in names]


def certificate_lines(said: Certificate, digest: str) -> list[Line]:
    """A certificate of destruction in words."""
    verb = _taken(said)
    lines: list[Line] = [
        f"  digest     {digest}",
        f"  by         {said.site} ({said.role}), {said.person.actor or said.person.account}",
        f"  witness    {said.witness or 'none named'}",
    ]
    span = f", capture days {said.first} to {said.last}" if said.first is not None else ""
    lines.append(f"  bundles    {len(said.bundles):,} {verb}{span}")
    for table in said.tables:
        gone = f"; destroyed before: {table.destroyed_before:,}, now: {table.destroyed_now:,}"
        lines.append(f"  {table.table:<10} {table.rows:,} rows {verb}{gone if said.role == 'university' else ''}")
    keys = said.keys
    return [
        *lines,
        f"  keys       {count(keys.day_keys, 'day key')}, {count(keys.onetime_keys, 'one-time key')} destroyed"
        + (", and the linkage key" if keys.linkage_key else ""),
        f"  files      {said.files.deleted:,} deleted, {said.files.elsewhere:,} elsewhere",
        f"  method     {said.method}",
        f"  backups    {said.backups or 'nothing said; anything in them is still to be destroyed'}",
    ]


def _taken(said: Certificate) -> str:
    return "loaded" if said.role == "university" else "exported"


def read_certificate_lines(result: CertificateResult) -> list[Line]:
    """A certificate that somebody handed over, and whether its signature was checked."""
    said = result.certificate
    proof = f"signed by {result.signed_by}" if result.signed_by else "nothing of this is proved"
    return [
        f"certificate of destruction: {said.agreement_id} version {said.version}, {said.created:%Y-%m-%d %H:%M} UTC",
        *certificate_lines(said, result.digest),
        proof,
        *([] if result.signed_by else ["next: anpr-share verify FILE --sender IDENTITY, of the site that made it"]),
    ]


def close_lines(result: CloseResult) -> list[Line]:
    """The certificate in words, and what is left for a person to do."""
    said = result.certificate
    early = f", before its end ({result.ends})" if result.closed_on <= result.ends else ""
    how = "was closed here" if result.again else "closed"
    lines: list[Line] = [
        f"{said.agreement_id} version {said.version}: {how} on {result.closed_on}{early}",
        f"certificate of destruction: {near(result.path)}",
        *certificate_lines(said, result.digest),
    ]
    lines += _elsewhere(result.elsewhere)
    if said.role == "university":
        lines.append("next: tell each force: anpr-share receipt create --to FORCE -o OUT; and send it the certificate")
    else:
        lines.append(
            "next: delete key shares that lie about, and copies of vault.db in backups: they hold the key still"
        )
    return lines


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
