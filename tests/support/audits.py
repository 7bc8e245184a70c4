"""Results of audits as they come in practice: clean, with questions, with breaches, large, hostile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from anpr_share.audit.findings import (
    Account,
    AuditResult,
    DayRecord,
    DayState,
    Exchange,
    Finding,
    SiteAudit,
    finding,
    verdict,
)

AGREEMENT: Final = "msv-2026"
UNIVERSITY: Final = "university-of-the-north"
LANCASHIRE, WEST_YORKSHIRE = "lancashire-police", "west-yorkshire-police"
NAMES: Final = {
    UNIVERSITY: "University of the North",
    LANCASHIRE: "Lancashire Police",
    WEST_YORKSHIRE: "West Yorkshire Police",
}
LONDON: Final = ZoneInfo("Europe/London")
HOSTILE: Final = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "\u202egnp.exe\u202c\u2066hidden",
    "{{ 7 * 7 }} {% raw %} &amp; &lt;b&gt;",
    "x" * 200,
    "\x1b[31mred\x07\u0000",
    "</style></td></table></main><h1>",
)
CHECKED: Final = (
    "every line of each ledger, and that each follows from the one before it",
    "every signature under a ledger, and what partners saw of it",
    "every day's delete-by, worked out anew from the agreement",
    "every file of the store, against what was recorded when it was loaded",
    "every row that was exported, against the rows that were loaded, kept and destroyed",
)
UNCHECKED: Final = (
    "what people copied out while they were allowed to see it: no ledger knows",
    "a copy of the whole site on another machine, or in a backup",
    "what happened to a ledger after the last time that a partner saw it, if all of it was rewritten since",
    "whether the person who is named in a line was the one at the keyboard",
)


def clean() -> AuditResult:
    """Two forces, ten weeks, a limit of 30 days, and everything as it ought to be."""
    return _story(
        first=date(2026, 6, 1),
        today=date(2026, 8, 14),
        limit=30,
        every=7,
        findings=(finding("tail-unsigned", UNIVERSITY, "2 lines since line 310 are not signed yet", (311, 312)),),
    )


def questions() -> AuditResult:
    """The clean story, but for a clock, a receipt, and one partner that was read from an exported ledger."""
    result = clean()
    exported = replace(result.sites[1], source="ledger", at=datetime(2026, 8, 12, 9, 30, tzinfo=UTC), last_purge=None)
    found = (
        *result.findings,
        finding(
            "receipt-missing",
            LANCASHIRE,
            "the bundle 6dd1a7b2 of 2026-07-20 to 2026-07-26 left on 2026-07-28, and no receipt has come",
            (57,),
        ),
        finding("clock-leapt", UNIVERSITY, "the clock was 41 days ahead of line 211; 2026-07-02 was confirmed", (212,)),
    )
    accounts = tuple(
        replace(item, exported=None, not_kept=None) if item.sender == LANCASHIRE else item for item in result.accounts
    )
    return _with(replace(result, sites=(result.sites[0], exported, *result.sites[2:]), accounts=accounts), found)


def breaches() -> AuditResult:
    """Days overdue, destroyed late and gone; rows missing; a ledger rewritten."""
    changed: dict[tuple[str, date], DayState] = {
        **{(LANCASHIRE, date(2026, 7, day)): "overdue" for day in (9, 10)},
        (WEST_YORKSHIRE, date(2026, 7, 15)): "due",
        **{(WEST_YORKSHIRE, date(2026, 6, day)): "late" for day in (12, 13, 14)},
        (LANCASHIRE, date(2026, 6, 20)): "unlogged",
    }
    result = _story(first=date(2026, 6, 1), today=date(2026, 8, 14), limit=30, every=7, changed=changed)
    first = result.accounts[0]
    assert first.exported is not None
    accounts = (replace(first, exported=first.exported + 97, balanced=False), *result.accounts[1:])
    found = (
        finding("history-rewritten", LANCASHIRE, "University of the North saw another line 41 on 2026-07-14", (41,)),
        *(
            finding("held-too-long", UNIVERSITY, f"reads of 2026-07-{day} from {LANCASHIRE} are still here", (88,))
            for day in ("09", "10")
        ),
        *(
            finding(
                "destroyed-late",
                UNIVERSITY,
                f"reads of 2026-06-{day} from {WEST_YORKSHIRE} were due at 2026-07-{day} 23:00 UTC",
                (201, 202, 203, 207),
            )
            for day in (12, 13, 14)
        ),
        finding("gone-unlogged", UNIVERSITY, f"reads of 2026-06-20 from {LANCASHIRE} are gone", (92,)),
        finding("rows-unaccounted", UNIVERSITY, f"97 reads of the bundle {first.bundle[:8]} never arrived", (17,)),
        finding("purpose-missing", UNIVERSITY, "line 120 does not say why reads were looked at", (120,)),
        finding("due-now", UNIVERSITY, f"reads of 2026-07-15 from {WEST_YORKSHIRE} are due", ()),
    )
    return _with(replace(result, accounts=accounts), found)


def large() -> AuditResult:
    """Two forces and 730 days of reads, in 146 bundles with targets; most of the first year is gone in time."""
    changed: dict[tuple[str, date], DayState] = {
        (WEST_YORKSHIRE, date(2025, 3, 1) + timedelta(days=number)): "late" for number in range(40)
    }
    result = _story(first=date(2025, 1, 1), today=date(2026, 12, 31), limit=365, every=10, changed=changed)
    found = tuple(
        finding(
            "destroyed-late",
            UNIVERSITY,
            f"reads of {day} from {source} were destroyed {number + 2} days after their time",
            (900 + 2 * number,),
        )
        for number, (source, day) in enumerate(changed)
    )
    return _with(result, found)


def hostile() -> AuditResult:
    """The one with breaches, with hostile text wherever text may stand."""
    result = breaches()
    text = " ".join(HOSTILE)
    return replace(
        result,
        summary=text,
        sites=tuple(replace(site, name=HOSTILE[number % len(HOSTILE)]) for number, site in enumerate(result.sites)),
        findings=tuple(
            replace(item, text=f"{HOSTILE[number % len(HOSTILE)]} {text}")
            for number, item in enumerate(result.findings)
        ),
        days=tuple(replace(item, source=HOSTILE[0], table=HOSTILE[1], reason=HOSTILE[3]) for item in result.days),
        exchanges=tuple(
            replace(item, event=HOSTILE[number % len(HOSTILE)], partner=HOSTILE[4], bundle=HOSTILE[5])
            for number, item in enumerate(result.exchanges)
        ),
        accounts=tuple(replace(item, bundle=HOSTILE[4], sender=HOSTILE[2]) for item in result.accounts),
        checked=HOSTILE,
        unchecked=HOSTILE,
    )


def digest(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()


def _with(result: AuditResult, found: tuple[Finding, ...]) -> AuditResult:
    bad = sum(item.rule.severity == "breach" for item in found)
    open_ = sum(item.rule.severity == "question" for item in found)
    told = f"{bad} breaches and {open_} questions at 3 sites under the agreement {AGREEMENT}"
    return replace(result, findings=found, verdict=verdict(found), summary=told)


def _bundles(first: date, today: date, every: int) -> Iterator[tuple[str, str, date, date]]:
    start = first
    while (last := start + timedelta(days=every - 1)) < today:
        for source in (LANCASHIRE, WEST_YORKSHIRE):
            name = str(UUID(bytes=hashlib.sha256(f"{source} {start}".encode()).digest()[:16], version=4))
            yield name, source, start, last
        start += timedelta(days=every)


def _story(
    *,
    first: date,
    today: date,
    limit: int,
    every: int,
    findings: tuple[Finding, ...] = (),
    changed: Mapping[tuple[str, date], DayState] | None = None,
) -> AuditResult:
    changed = changed or {}
    now = datetime(today.year, today.month, today.day, 9, 12, tzinfo=UTC)
    days: list[DayRecord] = []
    exchanges: list[Exchange] = []
    accounts: list[Account] = []
    line = 4
    for bundle, source, start, last in _bundles(first, today, every):
        at = datetime(last.year, last.month, last.day, 8, 5, tzinfo=UTC) + timedelta(days=1)
        dates = [start + timedelta(days=number) for number in range(every)]
        rows = [20_000 + (day.toordinal() * 7919 + len(source)) % 9000 for day in dates]
        records = [
            _day(bundle, source, "reads", day.isoformat(), number, _due(day, limit), now, changed.get((source, day)))
            for day, number in zip(dates, rows, strict=True)
        ]
        targets = _day(bundle, source, "targets", "undated", 412, _due(at.date(), limit), now, None)
        days += [*records, targets]
        steps = (
            ("request", UNIVERSITY, source, timedelta(days=-2), None),
            ("export", source, UNIVERSITY, timedelta(), sum(rows) + 3),
            ("load", UNIVERSITY, source, timedelta(hours=3), sum(rows)),
            ("receipt", UNIVERSITY, source, timedelta(hours=3, minutes=1), None),
            ("receipt", source, UNIVERSITY, timedelta(days=1), None),
        )
        for event, site, partner, later, number_of_rows in steps:
            line += 1
            exchanges.append(
                Exchange(at + later, site, event, AGREEMENT, partner, bundle, start, last, number_of_rows, line)
            )
        for item in records:
            if item.destroyed is not None and item.line is not None:
                day = date.fromisoformat(item.day)
                exchanges.append(
                    Exchange(
                        *(item.destroyed, UNIVERSITY, "destruction", AGREEMENT, source, bundle, day, day),
                        *(item.rows, item.line),
                    )
                )
        for table, own, lost in (("reads", records, 3), ("targets", [targets], 0)):
            loaded = sum(item.rows for item in own)
            gone = sum(item.rows for item in own if item.destroyed is not None)
            accounts.append(
                Account(
                    *(bundle, AGREEMENT, source, UNIVERSITY, table, loaded + lost, loaded, lost),
                    *(loaded - gone, gone),
                    balanced=True,
                )
            )
    return AuditResult(
        at=now,
        verdict=verdict(findings),
        summary=f"no breach and no question at 3 sites under the agreement {AGREEMENT}",
        sites=tuple(_site(site, now, first) for site in NAMES),
        findings=findings,
        days=tuple(days),
        exchanges=tuple(sorted(exchanges, key=lambda item: item.at)),
        accounts=tuple(accounts),
        checked=CHECKED,
        unchecked=UNCHECKED,
    )


def _due(day: date, limit: int) -> datetime:
    end = day + timedelta(days=limit)
    return datetime(end.year, end.month, end.day, tzinfo=LONDON).astimezone(UTC)


def _day(
    bundle: str, source: str, table: str, day: str, rows: int, due: datetime, now: datetime, changed: DayState | None
) -> DayRecord:
    state: DayState = changed or ("held" if due > now else "destroyed")
    ended = {"destroyed": due + timedelta(hours=3, minutes=10), "late": due + timedelta(days=6, hours=3)}
    destroyed = ended.get(state)
    line = None if destroyed is None else 300 + due.toordinal() % 1000
    reason = None if destroyed is None else "expired"
    return DayRecord(
        *(UNIVERSITY, AGREEMENT, source, table, day, bundle, rows, due, state, destroyed, reason, line),
    )


def _site(site: str, now: datetime, first: date) -> SiteAudit:
    source: Literal["site"] = "site"
    begun = datetime(first.year, first.month, first.day, 8, tzinfo=UTC) - timedelta(days=20)
    return SiteAudit(
        *(site, NAMES[site], "university" if site == UNIVERSITY else "police", digest(site), source, now, 312, 310),
        *(begun, now - timedelta(hours=1), now - timedelta(hours=6)),
        partners=tuple((other, digest(other)) for other in NAMES if other != site),
        agreements=((AGREEMENT, 1, digest(AGREEMENT)),),
    )
