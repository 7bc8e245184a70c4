"""An audit as lines for a terminal: the verdict first, then each finding with its evidence, its rule and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from anpr_share.audit.findings import RULES, SEVERITIES, Finding, Rule, Severity, Verdict
from anpr_share.documents.identity import spoken
from anpr_share.reports.audit_calendar import STATES, holdings, spans
from anpr_share.words import count, others

if TYPE_CHECKING:
    from anpr_share.audit.findings import AuditResult, SiteAudit
    from anpr_share.reports.terminal import Line

HEADLINES: Final[dict[Verdict, str]] = {
    "breaches": "rules were broken",
    "questions": "something must be explained",
    "clean": "nothing wrong was found",
}
_SEVERITIES: Final[dict[Severity, tuple[str, str]]] = {
    "breach": ("breach", "breaches"),
    "question": ("question", "questions"),
    "note": ("note", "notes"),
}
_FINDINGS_SHOWN = 6
_SPANS_SHOWN = 10


def audit_lines(result: AuditResult) -> list[Line]:
    """The verdict, every rule that was touched, and what the verdict rests on."""
    lines: list[Line] = [
        f"{result.verdict}: {HEADLINES[result.verdict]}",
        result.summary,
        *(f"  {_site_line(site)}" for site in result.sites),
    ]
    for severity in SEVERITIES:
        for rule, items in by_rule(result.findings, severity):
            lines += ["", *_finding_lines(rule, items)]
    if result.days:
        lines += ["", "days:", *_day_lines(result)]
    if result.accounts:
        wrong = sum(not item.balanced for item in result.accounts)
        told = f"{wrong} of them DO NOT ADD UP" if wrong else "as far as they are known, all add up"
        lines += ["", f"rows: {count(len(result.accounts), 'account')} of a bundle's table; {told}"]
    lines += ["", "to compare with the signed paper:", *_paper_lines(result.sites)]
    lines += ["", "checked:", *(f"  {text}" for text in result.checked)]
    lines += ["", "not checked, or beyond any software:", *(f"  {text}" for text in result.unchecked)]
    return lines


def counted(found: Iterable[Finding]) -> dict[Severity, int]:
    """How many findings there are of each severity."""
    numbers = Counter(item.rule.severity for item in found)
    return {severity: numbers[severity] for severity in SEVERITIES}


def severity_count(severity: Severity, number: int) -> str:
    """``1 breach``, ``2 breaches``."""
    return f"{number:,} {_SEVERITIES[severity][number != 1]}"


def by_rule(found: Iterable[Finding], severity: Severity) -> list[tuple[Rule, list[Finding]]]:
    """The findings of one severity, rule by rule in the order of the rules."""
    order = list(RULES)
    own = [item for item in found if item.rule.severity == severity]
    own.sort(key=lambda item: order.index(item.rule.code))
    return [(rule, list(items)) for rule, items in groupby(own, key=lambda item: item.rule)]


def ledger_lines(numbers: Sequence[int]) -> str:
    """``ledger line 3``, ``ledger lines 3 to 5, 9``."""
    return f"ledger line{'' if len(set(numbers)) == 1 else 's'} {spans(numbers)}"


def _site_line(site: SiteAudit) -> str:
    source = "" if site.source == "site" else f", from its ledger as of {site.at:%Y-%m-%d %H:%M} UTC"
    signed = "all signed" if site.signed_to == site.lines else f"signed up to line {site.signed_to}"
    return f"{site.name} ({site.site}, {site.role}): {count(site.lines, 'line')}, {signed}{source}"


def _paper_lines(sites: Sequence[SiteAudit]) -> Iterator[str]:
    for site in sites:
        yield f"  {site.site}"
        yield f"    {spoken(site.fingerprint, indent=4)}"
    for agreement, version, digest in sorted({item for site in sites for item in site.agreements}):
        yield f"  {agreement} version {version}"
        yield f"    {spoken(digest, indent=4)}"


def _finding_lines(rule: Rule, items: Sequence[Finding]) -> Iterator[str]:
    yield f"{rule.severity}: {rule.means} ({rule.code})"
    for item in items[:_FINDINGS_SHOWN]:
        yield f"  found  {item.text}"
        yield f"         {_evidence(item)}"
    yield from (f"         {text}" for text in others(len(items), _FINDINGS_SHOWN))
    yield f"  rule   {rule.source}"
    yield f"  do     {rule.advice}"


def _evidence(item: Finding) -> str:
    if not item.lines:
        return f"at {item.site}"
    told = ledger_lines(item.lines).split(", ")
    more = [f"and {len(told) - _SPANS_SHOWN} more; --json lists them all"] if len(told) > _SPANS_SHOWN else []
    return f"at {item.site}, {', '.join([*told[:_SPANS_SHOWN], *more])}"


def _day_lines(result: AuditResult) -> Iterator[str]:
    for holding in holdings(result.days):
        for item in holding.calendars:
            told = ", ".join(f"{number:,} {STATES[state].name}" for state, number in item.counts.items() if number)
            yield f"  {item.table} from {item.source}, {item.first} to {item.last}: {told}"
        undated = Counter((item.table, item.source, item.state) for item in holding.undated)
        for table, source in sorted({(table, source) for table, source, _ in undated}):
            numbers = {words.name: undated[table, source, state] for state, words in STATES.items()}
            told = ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number)
            yield f"  {table} from {source}, of {count(sum(numbers.values()), 'bundle')}: {told}"
