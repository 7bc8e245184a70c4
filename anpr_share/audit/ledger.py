"""The ledger of one site as an auditor reads it: how far it holds, what is signed, what needs explaining.

Guarantees: entries are handed on only as far as the chain holds; a checkpoint counts only if its signature does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from anpr_share.audit.evidence import Evidence
from anpr_share.audit.findings import Finding, finding
from anpr_share.errors import VerificationError
from anpr_share.site.ledger import (
    CLOCK_RESET,
    Entry,
    Head,
    needs_vault,
    open_checkpoint,
    require_agreement,
    verify_chain,
)


@dataclass(frozen=True, slots=True)
class Book:
    """A ledger that was read: the entries up to where the chain holds, and the last line that is signed."""

    entries: tuple[Entry, ...]
    signed_to: int
    findings: tuple[Finding, ...]

    def about(self, *events: str) -> Iterator[Entry]:
        """The entries of these events, in order."""
        return (entry for entry in self.entries if entry.event in events)

    def last(self, *events: str) -> datetime | None:
        """When the last of these events was logged."""
        return max((entry.time for entry in self.about(*events)), default=None)


def read(evidence: Evidence) -> Book:
    """Read a ledger: the chain from the identity's fingerprint, its checkpoints, what its lines say of the clock."""
    site = evidence.identity.site
    entries, found = _chain(evidence)
    signed_to, more = _checkpoints(evidence, entries)
    return Book(tuple(entries), signed_to, (*found, *more, *_explained(site, entries, signed_to)))


def _chain(evidence: Evidence) -> tuple[list[Entry], list[Finding]]:
    entries: list[Entry] = []
    try:
        entries.extend(verify_chain(evidence.lines, Head(0, evidence.identity.fingerprint)))
    except VerificationError as error:
        # extend keeps what came before the fault
        return entries, [finding("chain-broken", evidence.identity.site, error.message, (len(entries) + 1,))]
    return entries, []


def _checkpoints(evidence: Evidence, entries: list[Entry]) -> tuple[int, list[Finding]]:
    site, signed_to = evidence.identity.site, 0
    found: list[Finding] = []
    unproved: list[int] = []
    for number, data in enumerate(evidence.checkpoints, start=1):
        try:
            checkpoint = open_checkpoint(data, evidence.identity.signing)
            if checkpoint.seq > len(entries):
                raise VerificationError(
                    f"the ledger holds up to line {len(entries)}, and a checkpoint signed line {checkpoint.seq}"
                )
            require_agreement(checkpoint, entries[checkpoint.seq - 1], signed_to, site)
        except VerificationError as error:
            found.append(finding("signature-bad", site, f"checkpoint {number}: {error.message}"))
            continue
        signed_to = checkpoint.seq
        unproved += checkpoint.unproved
    unproved += [entry.seq for entry in entries[signed_to:] if needs_vault(entry.event)]
    if unproved:
        events = sorted({entries[seq - 1].event for seq in unproved})
        text = f"{_count(unproved)} about {', '.join(events)} not written by a command that had the passphrase"
        found.append(finding("line-unproved", site, text, tuple(unproved)))
    return signed_to, found


def _explained(site: str, entries: list[Entry], signed_to: int) -> Iterator[Finding]:
    if tail := [entry.seq for entry in entries[signed_to:]]:
        yield finding("tail-unsigned", site, f"{_count(tail)} not signed yet", tuple(tail))
    if leapt := [entry.seq for entry in entries if entry.leapt]:
        days = max(_leaps(entries)).days
        text = f"{_count(leapt)} written up to {days} days after the last one that counts"
        yield finding("clock-leapt", site, text, tuple(leapt))
    for entry in entries:
        if entry.event == CLOCK_RESET:
            before = entries[entry.seq - 2].time if entry.seq > 1 else entry.time
            text = f"the clock was put back from {before:%Y-%m-%d} to {entry.time:%Y-%m-%d}{_because(entry)}"
            yield finding("clock-reset", site, text, (entry.seq,))
        elif entry.event == "restored":
            yield finding("restored", site, f"restored on {entry.time:%Y-%m-%d}", (entry.seq,))
        elif entry.event in {"consultation", "combination"} and not str(entry.details.get("purpose") or "").strip():
            who = entry.actor or entry.account
            yield finding("purpose-missing", site, f"a {entry.event} by {who} on {entry.time:%Y-%m-%d}", (entry.seq,))


def _leaps(entries: list[Entry]) -> Iterator[timedelta]:
    """How long after the last line that counts, if there is one, each line was written that does not."""
    counts: datetime | None = None
    for entry in entries:
        if entry.leapt:
            yield entry.time - (counts or entry.time)
        else:
            counts = entry.time


def _because(entry: Entry) -> str:
    reason = entry.details.get("reason")
    return f": {reason}" if isinstance(reason, str) and reason else ""


def _count(lines: list[int]) -> str:
    return "1 line" if len(lines) == 1 else f"{len(lines):,} lines"
