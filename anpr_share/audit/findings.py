"""What an audit can find, and what each finding means to a person.

Guarantees: every finding names its rule, the site, and the lines of the ledger that show it; none holds a plate, a
token, a key or the name of a camera.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

Severity = Literal["breach", "question", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("breach", "question", "note")
"""A rule was broken, or evidence was tampered with; something must be explained; something to know."""

Verdict = Literal["breaches", "questions", "clean"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is checked: how bad it is, where the rule comes from, what to do about it."""

    code: str
    severity: Severity
    means: str
    source: str
    advice: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: ``text`` says what is wrong and where, ``lines`` which lines of that site's ledger show it."""

    rule: Rule
    site: str
    text: str
    lines: tuple[int, ...] = ()


_S39 = "Data Protection Act 2018 s.39: kept no longer than necessary"
_S40 = "Data Protection Act 2018 s.40: kept secure"
_S62 = "Data Protection Act 2018 s.62: logging"
_S37 = "Data Protection Act 2018 s.37: not more than the purpose needs"
_S38 = "Data Protection Act 2018 s.38(5): what was wrong is told and put right"
_AGREED = "the agreement that every party signed"
_SECURITY = "keep a copy of the site as it is, and tell whoever is in charge of security"

RULES: Final = {
    item.code: item
    for item in (
        Rule("chain-broken", "breach", "the ledger was altered, or its times go backwards", _S62, _SECURITY),
        Rule("signature-bad", "breach", "a signature under the ledger does not hold", _S62, _SECURITY),
        Rule(
            "record-altered",
            "breach",
            "a record was altered, removed or put back without the passphrase",
            _S40,
            _SECURITY,
        ),
        Rule(
            "history-rewritten",
            "breach",
            "the ledger says something else than when it was seen before",
            _S62,
            _SECURITY,
        ),
        Rule("history-truncated", "breach", "the ledger is shorter than when it was seen before", _S62, _SECURITY),
        Rule(
            "line-unproved",
            "question",
            "lines that only a command with the passphrase writes, and that none wrote",
            _S62,
            "ask whether a command was killed then; if not, find out who can write to the site's directory",
        ),
        Rule(
            "tail-unsigned",
            "note",
            "lines since the last signature",
            _S62,
            "the next command with the passphrase signs them",
        ),
        Rule(
            "clock-leapt",
            "question",
            "nothing was logged for more than a month, or the clock was far ahead",
            _S39,
            "ask whether the site lay unused; if not, find out which clock was wrong, and what was destroyed under it",
        ),
        Rule(
            "clock-ahead",
            "question",
            "the ledger is ahead of the clock of this audit",
            _S39,
            "set this machine's clock right; if it is, on the site's machine: anpr-share clock reset --reason TEXT",
        ),
        Rule(
            "clock-reset",
            "question",
            "the clock was put back by hand",
            _S39,
            "find out who did so and why, and see what was looked at afterwards",
        ),
        Rule(
            "restored",
            "question",
            "the site was restored from a backup",
            _S40,
            "find out when and why, whether the backup held keys, and what became of the old disk",
        ),
        Rule("purpose-missing", "question", "data were looked at without a purpose", _S62, "ask who looked, and why"),
        Rule(
            "held-too-long",
            "breach",
            "a day is held past its delete-by",
            _S39,
            "anpr-share purge, now and every night: anpr-share schedule",
        ),
        Rule(
            "due-now",
            "note",
            "a day's time is up: the next purge destroys it, and nobody can see it",
            _S39,
            "anpr-share purge, now and every night: anpr-share schedule",
        ),
        Rule(
            "destroyed-late",
            "breach",
            "a day was destroyed more than a day after its time",
            _S39,
            "find out why no purge ran, and have one run every night: anpr-share schedule",
        ),
        Rule(
            "gone-unlogged",
            "breach",
            "a day is gone, and no line of the ledger says that it was destroyed",
            _S62,
            _SECURITY,
        ),
        Rule(
            "closed-but-held",
            "breach",
            "an agreement was closed, and data or keys of it are here",
            _AGREED,
            "run anpr-share close again; delete by hand what it says lies outside of the site",
        ),
        Rule(
            "key-without-data",
            "question",
            "a day's key is here, and its data are not",
            _S40,
            "ask whether files were moved or lost; anpr-share purge ends it when its time is up",
        ),
        Rule(
            "data-without-key",
            "question",
            "a file of the store whose key is gone",
            _S39,
            "anpr-share purge removes it; if it stays, remove it by hand",
        ),
        Rule(
            "file-unexplained",
            "question",
            "a file of the store that no record explains",
            _S40,
            "find out who put it there; it opens with no key of this site",
        ),
        Rule("part-altered", "breach", "a file of the store is not the one that was recorded", _S40, _SECURITY),
        Rule(
            "extract-too-old",
            "breach",
            "an extract or output outlives its limit",
            _S39,
            "delete the file; inbox/ and outbox/ are purged without you",
        ),
        Rule(
            "window-key-too-old",
            "breach",
            "a one-time key outlives its window",
            _S39,
            "anpr-share purge, now and every night: anpr-share schedule",
        ),
        Rule(
            "purge-missing",
            "question",
            "no purge for more than seven days",
            _S39,
            "have one run every night: anpr-share schedule",
        ),
        Rule(
            "permissions-weak",
            "question",
            "other users of the machine can read the site's files",
            _S40,
            "chmod -R go= on the site's directory",
        ),
        Rule(
            "export-outside",
            "breach",
            "something left that the agreement or the request does not allow",
            _S37,
            "tell the data protection officer of both sides; a recall notice has it destroyed",
        ),
        Rule(
            "export-unlogged", "breach", "a bundle was exported, and the ledger does not say to whom", _S62, _SECURITY
        ),
        Rule(
            "load-unverified",
            "breach",
            "a bundle was loaded that its sender's signature or the agreement does not cover",
            _S40,
            _SECURITY,
        ),
        Rule(
            "rows-unaccounted",
            "breach",
            "rows are missing, or too many",
            _S38,
            "compare both sites' records of the bundle, and recall its days if they stay apart",
        ),
        Rule(
            "receipt-missing",
            "question",
            "a university has not said what became of a bundle",
            _AGREED,
            "ask it for a receipt: anpr-share receipt create",
        ),
        Rule(
            "deletion-unreported",
            "question",
            "a university has not said that it destroyed what it had to",
            _S39,
            "ask it for a receipt: anpr-share receipt create",
        ),
        Rule(
            "notice-unanswered",
            "question",
            "a notice has not been answered",
            _S38,
            "ask the university to apply it: anpr-share notice apply FILE",
        ),
        Rule(
            "partner-differs",
            "question",
            "two sites do not mean the same partner or agreement",
            _AGREED,
            "compare both with the signed paper; a newer version is put in force by: anpr-share agreement accept FILE",
        ),
    )
}


DayState = Literal["held", "due", "overdue", "destroyed", "late", "unlogged"]
"""Within its limit; past it for a day at most, or for longer; destroyed in time, or late; gone, and no line says so."""


@dataclass(frozen=True, slots=True)
class DayRecord:
    """One day of a table of one bundle at a university. ``day`` is ``undated`` where a table has none; ``due`` is its
    delete-by in UTC, ``destroyed`` when it was destroyed, ``line`` the line that says so; ``reason`` as in receipts.
    """

    site: str
    agreement: str
    source: str
    table: str
    day: str
    bundle: str
    rows: int
    due: datetime
    state: DayState
    destroyed: datetime | None
    reason: str | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One step of data between sites, as ``line`` of the ledger of ``site`` has it.

    ``event`` is ``request``, ``export``, ``load``, ``refusal``, ``receipt``, ``notice``, ``destruction`` or ``close``;
    ``first`` and ``last`` are capture days.
    """

    at: datetime
    site: str
    event: str
    agreement: str | None
    partner: str | None
    bundle: str | None
    first: date | None
    last: date | None
    rows: int | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Account:
    """The rows of one table of one bundle. None where the site that knows was not audited.

    ``exported`` = ``loaded`` + ``not_kept``, and ``loaded`` = ``live`` + ``destroyed``; ``balanced`` says whether what
    is known does.
    """

    bundle: str
    agreement: str
    sender: str
    recipient: str
    table: str
    exported: int | None
    loaded: int | None
    not_kept: int | None
    live: int | None
    destroyed: int | None
    balanced: bool


@dataclass(frozen=True, slots=True)
class SiteAudit:
    """What was audited: a ``site`` opened here, or an exported ``ledger``. Days of the ledger are of its own clock."""

    site: str
    name: str
    role: str
    fingerprint: str
    source: Literal["site", "ledger"]
    at: datetime
    lines: int
    signed_to: int
    first: datetime | None
    last: datetime | None
    last_purge: datetime | None
    partners: tuple[tuple[str, str], ...]
    """Each partner's id and the fingerprint that is pinned here."""
    agreements: tuple[tuple[str, int, str], ...]
    """Each agreement in force here: id, version and digest."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The verdict, and everything that it rests on. ``unchecked`` says what software, or this audit, cannot see."""

    at: datetime
    verdict: Verdict
    summary: str
    sites: tuple[SiteAudit, ...]
    findings: tuple[Finding, ...]
    days: tuple[DayRecord, ...]
    exchanges: tuple[Exchange, ...]
    accounts: tuple[Account, ...]
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]


def finding(code: str, site: str, text: str, lines: tuple[int, ...] = ()) -> Finding:
    """A finding under one of :data:`RULES`."""
    return Finding(RULES[code], site, text, lines)


def verdict(findings: Iterable[Finding]) -> Verdict:
    """The worst of what was found; notes are no fault."""
    severities = {item.rule.severity for item in findings}
    if "breach" in severities:
        return "breaches"
    return "questions" if "question" in severities else "clean"
