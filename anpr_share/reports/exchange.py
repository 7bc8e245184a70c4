"""What the commands that move data say to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.documents.identity import spoken
from anpr_share.reports.terminal import Table

if TYPE_CHECKING:
    from anpr_share.documents.manifest import TableQuality
    from anpr_share.work.exporting import ExportResult
    from anpr_share.work.inspecting import InspectResult
    from anpr_share.work.loading import LoadResult, VerifyResult
    from anpr_share.work.receipting import ReceiptResult


def export_lines(result: ExportResult) -> list[str | Table]:
    """The accounting of an export: every row of the extract is in one of its lines."""
    lines: list[str | Table] = [
        f"wrote {result.path} ({size(result.bytes)}): days {result.first} to {result.last} for {result.recipient}",
        Table(("table", "rows", ""), [row for table in result.tables for row in account(table)]),
    ]
    lines += [f"note: {warning}" for warning in result.warnings]
    lines.append(f"next: send it to {result.recipient}, and expect a receipt: anpr-share receipt accept FILE")
    return lines


def account(table: TableQuality) -> list[tuple[str | int, ...]]:
    """The rows of one table, each with where it went; they add up to the rows read."""
    rows: list[tuple[str | int, ...]] = [(table.table, table.rows_in, "rows in the extract")]
    if table.split:
        rows.append(("", table.split, "more, from cells with several plates"))
    rows.append(("", table.rows_out, "released"))
    rows += [("", count, f"rejected: {rule}") for rule, count in sorted(table.rejected.items())]
    rows += [("", count, f"withheld: {reason}") for reason, count in sorted(table.withheld.items())]
    if table.ambiguous:
        rows.append(("", table.ambiguous, "of those released have an ambiguous plate"))
    if table.duplicates:
        rows.append(("", table.duplicates, "of those released are duplicates"))
    rows += [("", count, f"local times resolved: {rule}") for rule, count in sorted(table.resolved.items())]
    return rows


def inspect_lines(result: InspectResult) -> list[str | Table]:
    """A manifest in short."""
    return [
        f"bundle      {result.bundle}",
        f"agreement   {result.agreement}",
        f"window      {result.first} to {result.last}",
        f"made        {result.created:%Y-%m-%d %H:%M} UTC, plates by {result.normaliser}, key check {result.key_check}",
        f"sender      {spoken(result.sender)}",
        f"recipient   {spoken(result.recipient)}",
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
        "nothing of this is proved: anpr-share verify BUNDLE",
    ]


def verify_lines(result: VerifyResult) -> list[str | Table]:
    """How far a bundle was verified."""
    steps = ", ".join(str(step) for step in result.steps)
    lines: list[str | Table] = [f"bundle {result.bundle}: steps {steps} passed"]
    if result.sender is not None:
        lines.append(f"signed by {result.sender}")
    if result.note is not None:
        lines.append(f"note: {result.note}")
    return lines


def load_lines(result: LoadResult) -> list[str | Table]:
    """What a load took into the store."""
    if result.again:
        return [f"bundle {result.bundle} was loaded before; its receipt is again in {result.receipt}"]
    lines: list[str | Table] = [
        f"loaded bundle {result.bundle} of {result.sender}: "
        + ", ".join(f"{count:,} {table}" for table, count in sorted(result.rows.items())),
    ]
    if result.expired:
        lines.append(f"{result.expired:,} rows had expired and were not kept")
    lines += [
        "its one-time key is destroyed: no copy of the bundle file can be opened any more",
        f"next: send the receipt to {result.sender}: {result.receipt}",
    ]
    return lines


def receipt_lines(result: ReceiptResult) -> list[str | Table]:
    """One receipt, and where it disagrees."""
    lines: list[str | Table] = [
        f"receipt of {result.at:%Y-%m-%d %H:%M} UTC, {result.agreement}, {result.partner}",
        f"  bundles loaded: {result.loaded}, refused: {result.refused}; deletions: {result.deleted}",
    ]
    if result.path is not None:
        lines.append(f"wrote {result.path}")
    if result.discrepancies:
        lines += [f"  disagrees: {fault}" for fault in result.discrepancies]
    elif result.compared:
        lines.append("  agrees with what this site exported")
    return lines


def size(count: int) -> str:
    """A number of bytes as people read it."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{count} bytes"
