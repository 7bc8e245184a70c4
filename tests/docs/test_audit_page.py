"""The page on audits explains every finding, in the words that the audit uses."""

from __future__ import annotations

import re
from pathlib import Path

from anpr_share.audit.exchange import NOTICE_PATIENCE, PATIENCE
from anpr_share.audit.findings import RULES, SEVERITIES
from anpr_share.periods import PURGE_GRACE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")


def test_every_finding_has_its_row_and_nothing_else_has() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (\w+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert rows == [(item.code, item.severity, item.means, item.source, item.advice) for item in RULES.values()]


def test_rules_are_worded_as_messages_are() -> None:
    for item in RULES.values():
        assert item.severity in SEVERITIES
        for text in (item.means, item.advice):
            assert text[0].islower()
            assert not text.endswith(".")


def test_the_page_states_the_times_that_the_audit_goes_by() -> None:
    assert f"more than {PURGE_GRACE.days * 24} hours after its time" in PAGE.replace("\n", " ")
    assert f"{PATIENCE.days} days to" in PAGE
    assert f"and {NOTICE_PATIENCE.days} to answer a notice" in PAGE
