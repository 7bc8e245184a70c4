"""What the commands that move data say to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.documents.identity import spoken
from anpr_share.reports.terminal import Table, near
from anpr_share.tables.phrases import PHRASES
from anpr_share.words import count, moment, percent, size
from anpr_share.work.accounting import WITHHELD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anpr_share.documents.manifest import TableQuality
    from anpr_share.reports.terminal import Line
    from anpr_share.work.exporting import ExportResult
    from anpr_share.work.inspecting import InspectResult
    from anpr_share.work.loading import LoadResult, VerifyResult
    from anpr_share.work.notifying import ApplyResult, NoticeResult
    from anpr_share.work.pseudonymising import PseudonymiseResult
    from anpr_share.work.receipting import ReceiptResult
    from anpr_share.work.requesting import RequestResult


def request_lines(result: RequestResult) -> list[Line]:
    """What was asked for, until when it can be answered, and by whom."""
    windows = "one window" if len(result.windows) == 1 else f"{len(result.windows)} windows"
    return [
        f"wrote {near(result.path)}: a request to {result.recipient}",
        f"{windows}, {result.windows[0].first} to {result.windows[-1].last}",
        f"the last answer must be loaded by {moment(result.expires, result.timezone)}",
        f"next: send it to {result.recipient}, which does: anpr-share export --request FILE",
    ]


def pseudonymise_lines(result: PseudonymiseResult) -> list[Line]:
    """The accounting of an extract, and when the output must be gone."""
    return [
        f"wrote {near(result.path)}",
        Table(("table", "rows", ""), account(result.account)),
        *(f"note: {warning}" for warning in result.warnings),
        f"it is personal data, and must be deleted by {moment(result.delete_by, result.timezone)}",
    ]


def export_lines(result: ExportResult) -> list[Line]:
    """The accounting of an export: every row of the extract is in one of its lines."""
    lines: list[Line] = [
        f"wrote {near(result.path)} ({size(result.bytes)})",
        f"days {result.first} to {result.last}, for {result.recipient}",
        Table(("table", "rows", ""), [row for table in result.tables for row in account(table)]),
        _risk_line(result.disclosure_risk),
        f"delete the file here by {moment(result.delete_by, result.timezone)}",
    ]
    lines += [f"note: {warning}" for warning in result.warnings]
    lines.append(f"next: send it to {result.recipient}; when its receipt comes: anpr-share receipt accept FILE")
    return lines


def _risk_line(risk: Mapping[str, str]) -> str:
    share, known = float(risk["unicity4"]), float(risk.get("known4", "0"))
    more = f", and {percent(known)} of those seen so often" if known > share else ""
    return f"risk: four reads single out {percent(share)} of the vehicles{more}; so the quality record says"


def account(table: TableQuality) -> list[tuple[str | int, ...]]:
    """The rows of one table, each with where it went; they add up to the rows read."""
    rows: list[tuple[str | int, ...]] = [(table.table, table.rows_in, "rows in the extract")]
    if table.split:
        rows.append(("", table.split, "more, from cells with several plates"))
    rows.append(("", table.rows_out, "released"))
    rows += [("", number, f"rejected: {rule}{_meaning(rule)}") for rule, number in sorted(table.rejected.items())]
    rows += [("", number, f"withheld: {why}{_meaning(why)}") for why, number in sorted(table.withheld.items())]
    if table.ambiguous:
        rows.append(("", table.ambiguous, "of those released have an ambiguous plate"))
    if table.duplicates:
        rows.append(("", table.duplicates, "of those released are duplicates"))
    rows += [("", count, f"local times resolved: {rule}") for rule, count in sorted(table.resolved.items())]
    return rows


def _meaning(rule: str) -> str:
    phrase = PHRASES.get(rule) or WITHHELD.get(rule)
    return f", {phrase.meaning}" if phrase is not None else ""


def inspect_lines(result: InspectResult) -> list[Line]:
    """A manifest in short."""
    return [
        f"bundle      {result.bundle}",
        f"agreement   {result.agreement}",
        f"window      {result.first} to {result.last}",
        f"made        {result.created:%Y-%m-%d %H:%M} UTC, plates by {result.normaliser}, key check {result.key_check}",
        f"sender      {spoken(result.sender, indent=12)}",
        f"recipient   {spoken(result.recipient, indent=12)}",
        Table(
            ("table", "days", "parts", "rows", "size", "columns"),
            [
                (
                    item.table,
                    item.days,
                    item.parts,
                    "sealed" if item.rows is None else f"{item.rows:,}",
                    size(item.bytes),
                    ", ".join(item.columns),
                )
                for item in result.tables
            ],
        ),
        "nothing of this is proved",
        "next: anpr-share verify BUNDLE",
    ]


def verify_lines(result: VerifyResult) -> list[Line]:
    """How far a bundle was verified."""
    steps = "all eight steps" if len(result.steps) == 8 else f"steps {', '.join(str(step) for step in result.steps)}"
    lines: list[Line] = [f"bundle {result.bundle}", f"{steps} passed"]
    if result.sender is not None:
        lines.append(f"signed by {result.sender}")
    if result.note is not None:
        lines.append(f"note: {result.note}")
    return lines


def load_lines(result: LoadResult) -> list[Line]:
    """What a load took into the store."""
    if result.again:
        return [
            f"bundle {result.bundle} was loaded before; nothing was changed",
            *(f"note: {note}" for note in result.notes),
            f"wrote its receipt again: {near(result.receipt)}",
        ]
    lines: list[Line] = [
        f"loaded bundle {result.bundle} of {result.sender}",
        ", ".join(f"{number:,} {table}" for table, number in sorted(result.rows.items())),
    ]
    if result.expired:
        lines.append(f"not kept: {count(result.expired, 'row')}")
    if result.disclosure_risk is not None and "unicity4" in result.disclosure_risk:
        lines.append(_risk_line(result.disclosure_risk))
    lines += [f"note: {note}" for note in result.notes]
    lines += [
        "its one-time key is destroyed: no copy of the bundle file can be opened any more",
        f"wrote a receipt: {near(result.receipt)}",
        f"next: send the receipt to {result.sender}, which does: anpr-share receipt accept FILE",
    ]
    return lines


def receipt_lines(result: ReceiptResult) -> list[Line]:
    """One receipt, and where it disagrees."""
    lines: list[Line] = [
        f"receipt of {result.at:%Y-%m-%d %H:%M} UTC, {result.agreement}, {result.partner}",
        f"  bundles loaded: {result.loaded}, refused: {result.refused}; deletions: {result.deleted}"
        + (f"; notices applied: {result.notices}" if result.notices else ""),
    ]
    if result.path is not None:
        lines.append(f"wrote {near(result.path)}")
        lines.append(f"next: send it to {result.partner}, which does: anpr-share receipt accept FILE")
    lines += [f"  refused: {refusal}" for refusal in result.refusals]
    if result.discrepancies:
        lines += [f"  disagrees: {fault}" for fault in result.discrepancies]
        lines.append(f"next: ask {result.partner} about it before more is exported")
    elif result.compared and result.refusals:
        lines.append(f"next: ask {result.partner} why, and see what the step means in the specification of bundles")
    elif result.compared:
        lines.append("  agrees with what this site exported")
    return lines


def receipts_lines(found: Sequence[ReceiptResult]) -> list[Line]:
    """All receipts."""
    return [line for item in found for line in receipt_lines(item)] or ["no receipt yet"]


def notice_lines(result: NoticeResult) -> list[Line]:
    """What a notice recalls, and what happens next."""
    return [
        f"wrote {near(result.path)}: a notice to {result.recipient}",
        f"recalled: {_days(result.table, result.days)}",
        f"next: send it to {result.recipient}, which does: anpr-share notice apply FILE",
        "next: when its receipt comes: anpr-share receipt accept FILE",
    ]


def applied_lines(result: ApplyResult) -> list[Line]:
    """What a notice destroyed."""
    if result.again:
        return [
            f"notice {result.notice[:16]} of {result.sender} was applied before; nothing was changed",
            f"wrote its receipt again: {near(result.receipt)}",
        ]
    lines: list[Line] = [
        f"{result.sender} recalls {_days(result.table, result.days)}",
        f"  because: {result.reason}",
    ]
    if result.destroyed:
        lines.append(f"destroyed: {_days(result.table, result.destroyed)}, {count(result.rows, 'row')}")
    if left := len(result.days) - len(result.destroyed):
        lines.append(f"not held, so nothing to destroy: {count(left, 'day')}")
    lines += [
        "what you wrote to files or derived from them yourself is yours to delete",
        f"wrote a receipt: {near(result.receipt)}",
        f"next: send the receipt to {result.sender}, which does: anpr-share receipt accept FILE",
    ]
    if result.table == "reads":
        lines.append(f"next: ask for the days anew: anpr-share request {result.agreement} --to {result.sender} ...")
    return lines


def _days(table: str, days: Sequence[str]) -> str:
    if table != "reads":
        return table
    if len(days) == 1:
        return f"{table} of {days[0]}"
    return f"{table} of {len(days)} days, {days[0]} to {days[-1]}"
