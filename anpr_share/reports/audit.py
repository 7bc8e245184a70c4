"""What ``audit`` and ``ledger export`` say to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anpr_share.reports.terminal import near
from anpr_share.reports.words import count

if TYPE_CHECKING:
    from anpr_share.audit.findings import AuditResult
    from anpr_share.reports.terminal import Line
    from anpr_share.work.auditing import LedgerExport


def export_lines(result: LedgerExport) -> list[Line]:
    """What was written, and who can read it how."""
    return [
        f"wrote {near(result.path)}: {count(result.lines, 'line')} of the ledger and what proves them",
        "next: whoever audits does: anpr-share audit FILE",
    ]


def audit_lines(result: AuditResult) -> list[Line]:
    """The verdict, and what it rests on."""
    found = [f"{item.rule.severity}: {item.site}: {item.text}" for item in result.findings]
    return [f"{result.verdict}: {result.summary}", *found]
