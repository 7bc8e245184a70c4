"""What the commands about a site say to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.reports.terminal import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anpr_share.site.ledger import Entry, LedgerCheck
    from anpr_share.work.status import AgreementStatus, StatusResult


def status_lines(result: StatusResult) -> list[str | Table]:
    """One screen about a site."""
    lines: list[str | Table] = [
        f"{result.name} ({result.site}, {result.role}) at {result.now:%Y-%m-%d %H:%M} UTC",
        f"{count(result.partners, 'partner')}, {count(result.ledger_lines, 'ledger line')}",
    ]
    if not result.agreements:
        lines.append("no agreement is in force here yet: anpr-share agreement accept FILE")
    for agreement in result.agreements:
        lines += ["", *_agreement_lines(agreement)]
    if result.requests:
        lines += [
            "",
            Table(
                ("request", "agreement", "partner", "answered", "open", "expired"),
                [
                    (item.request[:12], item.agreement, item.partner, item.used, item.open, item.expired)
                    for item in result.requests
                ],
            ),
        ]
    lines += ["", *(f"overdue: {text}" for text in result.overdue)] if result.overdue else []
    lines += [f"warning: {text}" for text in result.warnings]
    return lines


def _agreement_lines(item: AgreementStatus) -> list[str]:
    state = "in force" if item.in_force else "NOT in force"
    lines = [f"{item.agreement} version {item.version}: {item.title}", f"  {state}, {item.starts} to {item.ends}"]
    if item.days:
        lines.append(
            f"  {count(item.bundles, 'bundle')}; holds {item.rows:,} rows of {count(item.days, 'day')}, "
            f"{item.first_day} to {item.last_day}"
        )
    else:
        lines.append(f"  {count(item.bundles, 'bundle')}; holds no days")
    if item.next_deletion is not None:
        lines.append(
            f"  next due for deletion: {count(item.next_deletion_days, 'day')}, "
            f"hidden from {item.next_deletion:%Y-%m-%d %H:%M} UTC on"
        )
    return lines


def count(number: int, noun: str) -> str:
    """``1 day``, ``2 days``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def ledger_lines(entries: Sequence[Entry], head: int) -> list[str | Table]:
    """Lines of a ledger as a table."""
    shown = Table(
        ("line", "time (UTC)", "who", "event", "subject"),
        [
            (entry.seq, f"{entry.time:%Y-%m-%d %H:%M:%S}", entry.actor or entry.account, entry.event, entry.subject)
            for entry in entries
        ],
    )
    reasons = [
        f"  line {entry.seq}: {key}: {entry.details[key]}"
        for entry in entries
        for key in ("purpose", "reason", "authority")
        if isinstance(entry.details.get(key), str)
    ]
    return [shown, *(["", "why:", *reasons] if reasons else []), "", f"{len(entries)} of {head} lines; --json has more"]


def _numbers(lines: Sequence[int]) -> str:
    """The numbers of some lines, the first few of many."""
    shown = ", ".join(str(number) for number in lines[:10])
    return shown if len(lines) <= 10 else f"{shown} and {len(lines) - 10:,} more"


def check_lines(check: LedgerCheck) -> list[str | Table]:
    """What verifying a ledger found."""
    lines: list[str | Table] = [f"{check.lines} lines in an unbroken chain, signed up to line {check.signed_to}"]
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
    lines.append("what this cannot see: an end that was cut off. Partners' records of this site's documents show that")
    return lines
