"""An audit as one page for a data protection officer: whole in itself, on a screen and on paper.

Guarantees: the page fetches nothing, runs nothing and links to nothing outside itself; every text of the audit is
escaped, its control and direction characters written out; every finding, day, exchange and account of the audit is in
it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Final

from anpr_share import __version__
from anpr_share.audit.findings import (
    SEVERITIES,
    Account,
    AuditResult,
    Exchange,
    Finding,
    Rule,
    Severity,
    SiteAudit,
)
from anpr_share.documents.identity import spoken
from anpr_share.reports.audit import HEADLINES, by_rule, counted, ledger_lines, severity_count
from anpr_share.reports.audit_calendar import STATES, Month, holdings, month_of
from anpr_share.reports.html import environment
from anpr_share.words import count

if TYPE_CHECKING:
    from jinja2 import Environment

FOLD_BEYOND: Final = 40
"""Rows of a table, beyond which a reader unfolds it; on paper nothing is folded."""

_MEANS: Final[dict[Severity, str]] = {
    "breach": "a rule broken, or evidence tampered with",
    "question": "something that must be explained",
    "note": "something to know, and no fault",
}
_LOOKS: Final = {"breaches": "bad", "questions": "doubtful", "clean": "good"}
"""How the page colours each verdict, which it says in words too."""
_EVENTS: Final[dict[str, tuple[str, str]]] = {
    "request": ("asked for data from", "was asked for data by"),
    "export": ("exported data to", "exported data to"),
    "load": ("loaded data from", "loaded data from"),
    "refusal": ("refused data from", "refused data from"),
    "receipt": ("wrote a receipt for", "accepted a receipt from"),
    "notice": ("applied a notice from", "wrote a notice for"),
    "destruction": ("destroyed data from", "destroyed data from"),
    "close": ("closed the agreement with", "closed the agreement with"),
}
"""What each event is in a university's ledger, and in a force's; the last word leads to the partner."""
_COLUMNS: Final = ("exported", "loaded", "not_kept", "live", "destroyed")
_NOUNS: Final = {"refusal": "refused bundle", "close": "closing"}


@dataclass(frozen=True, slots=True)
class _Ruled:
    """All findings under one rule."""

    rule: Rule
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Graded:
    """All findings of one severity, in words."""

    severity: Severity
    means: str
    number: int
    rules: tuple[_Ruled, ...]


@dataclass(frozen=True, slots=True)
class _Steps:
    """One month of the timeline."""

    name: str
    told: str
    steps: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class _Total:
    """The rows of one table that went from one site to another; sums as text, since some may be known in part."""

    agreement: str
    sender: str
    recipient: str
    table: str
    bundles: int
    sums: tuple[str, ...]
    unbalanced: int
    told: str


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is compared with paper: a fingerprint or a digest, and at which sites it was found."""

    subject: str
    value: str
    found: tuple[str, ...]
    differs: bool


def page(result: AuditResult) -> str:
    """The audit as one HTML document."""
    names = {site.site: site.name for site in result.sites}
    roles = {site.site: site.role for site in result.sites}

    def name(site: str) -> str:
        return names.get(site, site)

    return (
        _environment()
        .get_template("audit.html.jinja")
        .render(
            result=result,
            version=__version__,
            headline=HEADLINES[result.verdict],
            look=_LOOKS[result.verdict],
            graded=_graded(result.findings),
            holdings=holdings(result.days),
            states=STATES,
            months=_timeline(result.exchanges),
            agreements=sorted({item.agreement for item in result.exchanges if item.agreement is not None}),
            folded=len(result.exchanges) > FOLD_BEYOND,
            fold_beyond=FOLD_BEYOND,
            totals=_totals(result.accounts),
            unbalanced=[item for item in result.accounts if not item.balanced],
            fingerprints=_fingerprints(result.sites),
            digests=_digests(result.sites),
            name=name,
            told=lambda item: _told(item, roles, name),
        )
    )


def _imbalance(item: Account) -> str:
    """Whether the rows of an account add up, and if not, by how many."""
    told = []
    if item.exported is not None and item.loaded is not None and item.not_kept is not None:
        told.append(_off(item.exported - item.loaded - item.not_kept, "between export and load"))
    if item.loaded is not None and item.live is not None and item.destroyed is not None:
        told.append(_off(item.loaded - item.live - item.destroyed, "since the load"))
    off = [text for text in told if text]
    if item.balanced:
        return "adds up" if len(told) == 2 else "what is known adds up"
    return f"does not add up: {'; '.join(off)}" if off else "does not add up"


def _off(number: int, when: str) -> str:
    return f"{count(abs(number), 'row')} {'missing' if number > 0 else 'too many'} {when}" if number else ""


@cache
def _environment() -> Environment:
    made = environment()
    made.filters.update(
        days=_days,
        spoken=lambda value: spoken(value).split("\n"),
        ledger_lines=ledger_lines,
        imbalance=_imbalance,
        severity_count=severity_count,
        state_name=lambda state: STATES[state].name,
    )
    made.tests.update(month=lambda value: isinstance(value, Month))
    return made


def _graded(found: Sequence[Finding]) -> list[_Graded]:
    number = counted(found)
    return [
        _Graded(
            severity,
            means=_MEANS[severity],
            number=number[severity],
            rules=tuple(_Ruled(rule, tuple(items)) for rule, items in by_rule(found, severity)),
        )
        for severity in SEVERITIES
    ]


def _timeline(exchanges: Sequence[Exchange]) -> list[_Steps]:
    ordered = sorted(exchanges, key=lambda item: (item.at, item.site, item.line or 0))
    months = groupby(ordered, key=lambda item: month_of(item.at.astimezone(UTC).date()))
    return [_month(name, tuple(items)) for name, items in months]


def _month(name: str, steps: tuple[Exchange, ...]) -> _Steps:
    counted = Counter(item.event for item in steps)
    return _Steps(name, ", ".join(count(number, _NOUNS.get(event, event)) for event, number in counted.items()), steps)


def _told(item: Exchange, roles: Mapping[str, str], name: Callable[[str], str]) -> str:
    """``loaded data from Lancashire Police``."""
    words = _EVENTS.get(item.event, (f"{item.event} with",) * 2)[roles.get(item.site) == "police"]
    return words.rpartition(" ")[0] if item.partner is None else f"{words} {name(item.partner)}"


def _days(item: Exchange) -> str:
    if item.first is None or item.first == item.last:
        return "" if item.first is None else f"{item.first}"
    return f"{item.first} to {item.last}"


def _totals(accounts: Sequence[Account]) -> list[_Total]:
    groups = defaultdict[tuple[str, str, str, str], list[Account]](list)
    for item in accounts:
        groups[item.agreement, item.sender, item.recipient, item.table].append(item)
    return [_total(key, items) for key, items in sorted(groups.items())]


def _total(key: tuple[str, str, str, str], items: Sequence[Account]) -> _Total:
    columns = [[getattr(item, name) for item in items] for name in _COLUMNS]
    wrong = sum(not item.balanced for item in items)
    if wrong:
        told = f"{count(wrong, 'bundle')} {'does' if wrong == 1 else 'do'} not"
    else:
        told = "what is known does" if any(None in column for column in columns) else "all do"
    bundles = len({item.bundle for item in items})
    return _Total(*key, bundles, tuple(_sum(column) for column in columns), wrong, told)


def _sum(values: Sequence[int | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "not known"
    return f"{'' if len(known) == len(values) else 'at least '}{sum(known):,}"


def _fingerprints(sites: Sequence[SiteAudit]) -> list[_Mark]:
    found = defaultdict[str, dict[str, list[str]]](dict)
    for site in sites:
        found[site.site].setdefault(site.fingerprint, []).append("itself")
    for site in sites:
        for partner, fingerprint in site.partners:
            found[partner].setdefault(fingerprint, []).append(site.name)
    names = {site.site: f"{site.name} ({site.site})" for site in sites}
    return [
        _Mark(names.get(subject, subject), value, tuple(where), len(values) > 1)
        for subject, values in found.items()
        for value, where in values.items()
    ]


def _digests(sites: Sequence[SiteAudit]) -> list[_Mark]:
    found = defaultdict[tuple[str, int], dict[str, list[str]]](dict)
    for site in sites:
        for agreement, version, digest in site.agreements:
            found[agreement, version].setdefault(digest, []).append(site.name)
    return [
        _Mark(f"{agreement}, version {version}", value, tuple(where), len(values) > 1)
        for (agreement, version), values in sorted(found.items())
        for value, where in values.items()
    ]
