"""What the commands about a site say to a person."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from anpr_share.documents.identity import spoken
from anpr_share.reports.terminal import Table, near
from anpr_share.words import count, moment, others

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from anpr_share.reports.terminal import Line
    from anpr_share.site.ledger import Entry, LedgerCheck
    from anpr_share.work.auditing import LedgerExport
    from anpr_share.work.clock import ResetResult
    from anpr_share.work.partners import PartnerResult
    from anpr_share.work.setup import SetupResult
    from anpr_share.work.status import AgreementStatus, FileStatus, HeldStatus, RequestStatus, StatusResult


_WINDOWS_SHOWN = 6
_FILES_SHOWN = 6
_HELD_SHOWN = 6
_OVERDUE_SHOWN = 6
_DAYS_AGO = 3
"""From how many days on it is said how long ago a purge was."""


def init_lines(result: SetupResult) -> list[Line]:
    """A new site, and what to hand to partners."""
    return [
        f"made the site {result.site} ({result.role}): {near(result.identity.parent)}",
        f"its identity, to hand to partners: {near(result.identity)}",
        "its fingerprint, to read out to them:",
        f"  {spoken(result.fingerprint, indent=2)}",
        "keep the passphrase safe: nobody can open the site without it",
        "next: draft an agreement: anpr-share agreement draft --party IDENTITY --party IDENTITY",
        "next: or sign one that you were sent: anpr-share agreement sign FILE -o OUT",
    ]


def pinned_lines(result: PartnerResult) -> list[Line]:
    """A partner that is trusted from now on."""
    return [
        f"pinned {result.name} ({result.id}, {result.role}): what it signs is accepted here from now on",
        "next: an agreement with it: anpr-share agreement draft, or agreement sign FILE -o OUT",
    ]


def replaced_lines(result: PartnerResult) -> list[Line]:
    """A partner's new identity."""
    return [
        f"pinned the new identity of {result.name} ({result.id})",
        "next: a new version of each agreement with it, which lists its identity whole",
    ]


def revoked_lines(result: PartnerResult) -> list[Line]:
    """A partner that is trusted no more."""
    return [f"revoked {result.id}", "next: tell the other parties of your agreements, whose sites do not learn of it"]


def partner_lines(found: Sequence[PartnerResult]) -> list[Line]:
    """All partners with their fingerprints."""
    lines: list[Line] = []
    for item in found:
        lines += [f"{item.id}  {item.name} ({item.role}, {item.status})", f"  {spoken(item.fingerprint, indent=2)}"]
    return lines or [
        "no partner yet",
        "next: anpr-share partner add FILE, or sign an agreement, which pins its parties",
    ]


def status_lines(result: StatusResult) -> list[Line]:
    """One screen about a site."""
    lines: list[Line] = [
        f"{result.name} ({result.site}, {result.role})",
        f"at {result.now:%Y-%m-%d %H:%M} UTC",
        f"{count(result.partners, 'partner')}, {count(result.ledger_lines, 'ledger line')}",
        f"last purge: {_last_purge(result)}",
    ]
    if not result.agreements:
        lines += ["", "no agreement is in force here yet"]
    for agreement in result.agreements:
        lines += ["", *_agreement_lines(agreement, result.role, result.now)]
    if result.requests:
        lines += ["", *_request_lines(result.requests, "from" if result.role == "police" else "to")]
    if result.files:
        lines += ["", *_file_lines(result.files)]
    if result.overdue or result.warnings:
        lines.append("")
    lines += [f"overdue: {text}" for text in result.overdue[:_OVERDUE_SHOWN]]
    lines += others(len(result.overdue), _OVERDUE_SHOWN, "more are overdue")
    lines += [f"warning: {text}" for text in result.warnings]
    if result.next:
        lines += ["", *(f"next: {text}" for text in result.next)]
    return lines


def _last_purge(result: StatusResult) -> str:
    if result.last_purge is None:
        return "never"
    ago = (result.now - result.last_purge).days
    return f"{result.last_purge:%Y-%m-%d %H:%M} UTC{f', {ago:,} days ago' if ago >= _DAYS_AGO else ''}"


def _agreement_lines(item: AgreementStatus, role: str, now: datetime) -> list[Line]:
    state = "in force," if item.in_force else "NOT in force,"
    if item.closed_on is not None:
        state = f"closed on {item.closed_on}; was to run"
    lines: list[Line] = [
        f"{item.agreement} version {item.version}: {item.title}",
        f"  {state} {item.starts} to {item.ends}, days as in {item.timezone}",
    ]
    if role == "police":
        lines.append(f"  {count(item.bundles, 'bundle')} exported")
        if item.key_destroyed_on is not None:
            lines.append(f"  the linkage key was destroyed here on {item.key_destroyed_on}")
        else:
            lines.append(f"  the linkage key is {'' if item.linkage_key else 'NOT '}here")
        return lines
    live = [found for found in item.held if found.next_deletion is not None]
    if not live:
        return [*lines, f"  {count(item.bundles, 'bundle')} loaded, no rows held"]
    lines.append(f"  {count(item.bundles, 'bundle')} loaded, {count(item.rows, 'row')} held")
    zone = ZoneInfo(item.timezone)
    if item.next_deletion is not None:
        left = (item.next_deletion - now).days
        lines.append(
            f"  next deletion: {_next_of(live, item.next_deletion)} on "
            f"{item.next_deletion.astimezone(zone):%Y-%m-%d %H:%M}, "
            + (f"in {count(left, 'day')}" if left else "within a day")
        )
    rows = [
        (
            f"  {found.source}",
            found.table,
            *((f"{found.days}", f"{found.first_day}", f"{found.last_day}") if found.days else ("", "", "")),
            "" if found.next_deletion is None else f"{found.next_deletion.astimezone(zone):%Y-%m-%d}",
        )
        for found in live[:_HELD_SHOWN]
    ]
    headings = ("  held from", "", "days", "first", "last", "goes next")
    return [*lines, Table(headings, rows), *others(len(live), len(rows))]


def _next_of(live: Sequence[HeldStatus], due: datetime) -> str:
    """What is deleted at this moment; the table says whose it is."""
    going = [item for item in live if item.next_deletion == due]
    days = sum(item.next_deletion_days for item in going)
    reads = [f"{count(days, 'day')} of reads"] if days else []
    return " and ".join([*reads, *sorted({item.table for item in going if not item.days})])


def _file_lines(found: Sequence[FileStatus]) -> list[Line]:
    """The registered files that must be deleted first, and how many others there are."""
    rows = [(item.name, item.kind, moment(item.delete_by, item.timezone)) for item in found[:_FILES_SHOWN]]
    return [Table(("file under retention", "", "delete by"), rows), *others(len(found), len(rows))]


def _request_lines(found: Sequence[RequestStatus], way: str) -> list[Line]:
    """The windows that can still be answered, the nearest end first, and how many others there are."""
    live = [(request, window) for request in found for window in request.windows if window.state in {"open", "waiting"}]
    live.sort(key=lambda item: item[1].until)
    states = Counter(window.state for request in found for window in request.windows)
    lost = f", {states['lost']} lost" if states["lost"] else ""
    windows = f"{states['answered']} answered, {len(live)} open, {states['expired']} expired{lost}"
    lines: list[Line] = [f"{count(len(found), 'request')}; windows: {windows}"]
    if live:
        rows = [
            (
                f"{window.first} to {window.last}",
                request.partner,
                f"{window.until.astimezone(ZoneInfo(request.timezone)):%Y-%m-%d %H:%M}",
                "" if window.state == "open" else "not over yet",
            )
            for request, window in live[:_WINDOWS_SHOWN]
        ]
        lines.append(Table(("open window", way, "answer, load by", ""), rows))
    return [*lines, *others(len(live), _WINDOWS_SHOWN)]


def ledger_lines(entries: Sequence[Entry], head: int) -> list[Line]:
    """Lines of a ledger as a table."""
    shown = Table(
        ("line", "time (UTC)", "who", "event", "subject"),
        [
            (entry.seq, f"{entry.time:%Y-%m-%d %H:%M:%S}", entry.actor or entry.account, entry.event, entry.subject)
            for entry in entries
        ],
    )
    more = [f"  line {entry.seq}: {said}" for entry in entries if (said := "; ".join(_said(entry)))]
    return [shown, *(["", *more] if more else []), "", f"{len(entries)} of {head} lines; --json has more"]


def _said(entry: Entry) -> Iterator[str]:
    """What a line says of who had what from whom, and why."""
    found = entry.details
    if isinstance(found.get("recipient"), str):
        yield f"to {found['recipient']}"
    if isinstance(found.get("sender"), str):
        yield f"from {found['sender']}"
    if isinstance(found.get("first"), str):
        yield f"{found['first']} to {found.get('last')}"
    rows = found.get("rows")
    if isinstance(rows, dict):
        yield ", ".join(f"{number} {table}" for table, number in rows.items())
    for key in ("purpose", "reason", "authority"):
        if isinstance(found.get(key), str):
            yield f"{key}: {found[key]}"


def _numbers(lines: Sequence[int]) -> str:
    """The numbers of some lines, the first few of many."""
    shown = ", ".join(str(number) for number in lines[:10])
    return shown if len(lines) <= 10 else f"{shown} and {len(lines) - 10:,} more"


def reset_lines(result: ResetResult) -> list[Line]:
    """A clock that was put back, and what follows from it."""
    lines: list[Line] = [
        f"the clock was put back: from {result.before:%Y-%m-%d %H:%M} to {result.now:%Y-%m-%d %H:%M} UTC",
        "what was destroyed meanwhile stays so; what was only hidden, and may still be held, can be seen again",
        "every check of the ledger says from now on that this was done",
    ]
    if result.ahead:
        lines.append(
            f"next: partners refuse {count(result.ahead, 'document')} of this site, made meanwhile and so of a later "
            "time than now: have the days of these requests and bundles asked for anew"
        )
    return lines


def export_lines(result: LedgerExport) -> list[Line]:
    """What was written, and what it is for."""
    return [
        f"wrote {near(result.path)}: {count(result.lines, 'line')} of the ledger and what proves them",
        "next: whoever audits does: anpr-share audit FILE",
    ]


def check_lines(check: LedgerCheck) -> list[Line]:
    """What verifying a ledger found."""
    lines: list[Line] = [f"{check.lines} lines in an unbroken chain, signed up to line {check.signed_to}"]
    if check.unsigned_tail:
        lines.append(f"{count(check.unsigned_tail, 'line')} after that not signed yet")
    unsigned = [seq for seq in check.out_of_place if seq > check.signed_to]
    adopted = [seq for seq in check.out_of_place if seq <= check.signed_to]
    if unsigned:
        lines.append(
            f"{count(len(unsigned), 'line')} of these out of place ({_numbers(unsigned)}): only a command that signs "
            "writes such events, so it was killed, or somebody without the passphrase wrote them"
        )
    if adopted:
        lines.append(
            f"{count(len(adopted), 'line')} signed as out of place ({_numbers(adopted)}): no command with the "
            "passphrase wrote them; find out who can write to the site's directory"
        )
    if check.clock_resets:
        lines.append(f"{count(check.clock_resets, 'line')} in all put the clock back: find out who did so and why")
    lines.append(
        "what this cannot see: an end that was cut off, signatures and all. Commands with the passphrase refuse that"
    )
    return lines
