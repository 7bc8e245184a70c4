"""The verdict on one site or several: every check, the calendar, the timeline, the accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Final

from anpr_share import periods
from anpr_share.audit import across, exchange, retention
from anpr_share.audit.case import Case, case
from anpr_share.audit.evidence import Evidence
from anpr_share.audit.findings import (
    SEVERITIES,
    AuditResult,
    DayRecord,
    Finding,
    Severity,
    SiteAudit,
    Verdict,
    finding,
    verdict,
)
from anpr_share.documents.agreement import Agreement

_CHECKED: Final = (
    "every line of each ledger follows the one before, and every signature under it holds",
    "times never go back but at a reset by hand, and lines of a clock that was far ahead are marked",
    "every look at data names a purpose",
    "every day that was loaded is held within its limit, or a line says that it went in time, or with a lost disk",
    "one-time keys of requests died with their windows",
    "every bundle has its sender's signature, a line of the ledger, a request, agreed columns and days",
    "rows exported = rows loaded + rows not kept; rows loaded = rows held + rows destroyed",
    "where anything is under retention, the last purge is no more than seven days old",
)
_ON_DISK: Final = (
    "every file of the store is the one that was recorded, has its key, and is explained by a record",
    "registered extracts and outputs that are still where they were are within their limit",
    "nobody but their owner can read the site's files",
)
_UNSEEN: Final = (
    "rows that somebody copied out while they were live, on paper or into another program",
    "a copy of the whole site, run elsewhere under a false clock",
    "files that were moved or renamed, and backups, snapshots and spare sectors of disks",
    "what was written since a site's last exchange, if it was cut off or rewritten by one with full control of it",
    "whether what was agreed was lawful, and whether a purpose that is given is the true one",
)


def judge(found: Sequence[Evidence], at: datetime, signed: Agreement | None = None) -> AuditResult:
    """Check the evidence of one site or more; ``at`` is when, ``signed`` the agreement that somebody holds in hand."""
    every = [case(item) for item in found]
    cases = [item for item in every if not _outdated(item, every)]
    days = tuple(chain.from_iterable(retention.days(item) for item in cases))
    accounts = exchange.accounts(cases, days)
    findings = [
        *chain.from_iterable(_of_site(item, [day for day in days if day.site == item.site]) for item in cases),
        *(_ahead(item, at) for item in cases if item.now - at > periods.CLOCK_BACK_TOLERANCE),
        *exchange.unbalanced(accounts),
        *across.findings(cases),
        *chain.from_iterable(across.kept(item, every) for item in cases),
        *(() if signed is None else across.against_paper(cases, signed)),
    ]
    findings.sort(key=lambda item: (SEVERITIES.index(item.rule.severity), item.site, item.rule.code))
    timeline = sorted(chain.from_iterable(map(exchange.timeline, cases)), key=exchange.order)
    outcome = verdict(findings)
    return AuditResult(
        at,
        outcome,
        _summary(outcome, findings, len(cases)),
        tuple(map(_audited, cases)),
        tuple(findings),
        days,
        tuple(timeline),
        accounts,
        (*_CHECKED, *(_ON_DISK if any(item.evidence.disk is not None for item in cases) else ())),
        tuple(_unchecked(cases, signed)),
    )


def _outdated(item: Case, every: Sequence[Case]) -> bool:
    """An exported ledger of a site that is here too, or that exported a later one: only its history counts."""
    if item.evidence.disk is not None:
        return False
    same = [other for other in every if other.evidence.identity.fingerprint == item.evidence.identity.fingerprint]
    return item is not max(same, key=lambda other: (other.evidence.disk is not None, other.now))


def _of_site(item: Case, days: Sequence[DayRecord]) -> Iterator[Finding]:
    yield from item.book.findings
    yield from item.findings
    yield from retention.findings(item, days)
    yield from exchange.findings(item)


def _ahead(item: Case, at: datetime) -> Finding:
    """Until a clock is put right the site refuses to work, and no purge runs."""
    text = f"it stands at {item.now:%Y-%m-%d %H:%M} UTC, and this audit is made at {at:%Y-%m-%d %H:%M} UTC"
    return finding("clock-ahead", item.site, text)


def _summary(outcome: Verdict, findings: Iterable[Finding], sites: int) -> str:
    where = "this site" if sites == 1 else f"these {sites} sites"
    counts = Counter(item.rule.severity for item in findings)
    if outcome == "clean":
        return f"nothing was found at {where} that breaks a rule or needs an explanation"
    words: dict[Severity, tuple[str, str]] = {
        "breach": ("breach of the rules", "breaches of the rules"),
        "question": ("question to be answered", "questions to be answered"),
    }
    told = [f"{counts[item]} {texts[counts[item] > 1]}" for item, texts in words.items() if counts[item]]
    return f"found at {where}: {' and '.join(told)}"


def _audited(item: Case) -> SiteAudit:
    entries, identity = item.book.entries, item.evidence.identity
    return SiteAudit(
        identity.site,
        identity.name,
        identity.role,
        identity.fingerprint,
        item.evidence.source,
        item.now,
        len(item.evidence.lines),
        item.book.signed_to,
        entries[0].time if entries else None,
        entries[-1].time if entries else None,
        item.book.last("purge"),
        tuple((partner.id, partner.fingerprint) for partner in item.evidence.partners),
        tuple(
            (name, versions[-1].agreement.terms.version, versions[-1].agreement.digest)
            for name, versions in sorted(item.versions.items())
        ),
    )


def _unchecked(cases: Sequence[Case], signed: Agreement | None) -> Iterator[str]:
    present = {item.site for item in cases}
    for item in cases:
        if item.evidence.disk is None:
            yield f"{item.site}: the files of its disk, because an exported ledger was looked at and not the site"
        if item.evidence.disk is None or not item.evidence.disk.proved:
            yield f"{item.site}: whether records were altered without the passphrase, because it was not given"
        absent = sorted({partner.id for partner in item.evidence.partners if partner.status == "pinned"} - present)
        if absent:
            yield f"{item.site}: what {', '.join(absent)} kept of its ledger, which shows whether it was rewritten"
    if signed is None:
        yield "whether the fingerprints and digests are those on the signed paper: compare them"
    yield from _UNSEEN
