"""Several sites against one another: what each keeps of the others' ledgers, identities, bundles and agreements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anpr_share.audit.case import Case
from anpr_share.audit.findings import Finding, finding
from anpr_share.documents.agreement import Agreement
from anpr_share.site.ledger import line_hash


def findings(cases: Sequence[Case]) -> Iterator[Finding]:
    """Where two sites contradict one another."""
    for case in cases:
        for other in cases:
            if other.site != case.site:
                yield from _witnessed(case, other)
                yield from _pinned(case, other)
                yield from _bundles(case, other)
    yield from _agreements(cases)


def _witnessed(case: Case, witness: Case) -> Iterator[Finding]:
    """What ``witness`` keeps of where the ledger of ``case`` stood."""
    lines = case.evidence.lines
    short: list[int] = []
    for item in witness.evidence.witnesses:
        if item.partner != case.site or item.seq == 0:
            continue
        if item.seq > len(lines):
            short.append(item.seq)
        elif line_hash(lines[item.seq - 1]) != item.hash:
            text = f"line {item.seq} is not what {witness.site} kept of it on {item.at:%Y-%m-%d}"
            yield finding("history-rewritten", case.site, text, (item.seq,))
    if short:
        text = f"it ends at line {len(lines)}, and {witness.site} has seen line {max(short)}"
        yield finding("history-truncated", case.site, text, (len(lines),))


def kept(case: Case, every: Sequence[Case]) -> Iterator[Finding]:
    """What an earlier export of the same site's ledger holds against it, as far as it is signed."""
    lines = case.evidence.lines
    for other in every:
        if other is case or other.evidence.identity.fingerprint != case.evidence.identity.fingerprint:
            continue
        before = other.evidence.lines[: other.book.signed_to]
        same = next((at for at, pair in enumerate(zip(lines, before, strict=False)) if pair[0] != pair[1]), len(lines))
        if same < min(len(lines), len(before)):
            text = f"line {same + 1} is not what its ledger of {other.now:%Y-%m-%d} has"
            yield finding("history-rewritten", case.site, text, (same + 1,))
        elif len(lines) < len(before):
            text = f"it ends at line {len(lines)}, and its ledger of {other.now:%Y-%m-%d} has {len(before)}"
            yield finding("history-truncated", case.site, text, (len(lines),))


def _pinned(case: Case, other: Case) -> Iterator[Finding]:
    for partner in case.evidence.partners:
        if partner.id == other.site and partner.fingerprint != other.evidence.identity.fingerprint:
            yield finding(
                "partner-differs", case.site, f"{other.site} is pinned here with another identity than its own"
            )


def _bundles(case: Case, force: Case) -> Iterator[Finding]:
    """A university holds only what the force says it exported."""
    exported = {item.id: item for item in force.evidence.bundles if item.direction == "exported"}
    for item in case.evidence.bundles:
        if item.direction != "loaded" or item.partner != force.site:
            continue
        known = exported.get(item.id)
        if known is None or known.manifest != item.manifest:
            what = "never exported" if known is None else "exported with another content"
            yield finding(
                "load-unverified", case.site, f"bundle {item.id} of {force.site} was {what}, says {force.site}"
            )


def _agreements(cases: Sequence[Case]) -> Iterator[Finding]:
    latest: dict[str, dict[str, Agreement]] = {}
    for case in cases:
        for name, versions in case.versions.items():
            latest.setdefault(name, {})[case.site] = versions[-1].agreement
    for name, found in sorted(latest.items()):
        if len({item.digest for item in found.values()}) > 1:
            told = ", ".join(
                f"{site} has version {item.terms.version} ({item.digest[:8]})" for site, item in sorted(found.items())
            )
            yield finding("partner-differs", min(found), f"{name}: {told}")


def against_paper(cases: Sequence[Case], signed: Agreement) -> Iterator[Finding]:
    """Whether the sites go by the agreement that somebody holds in hand, signed by every party."""
    for case in cases:
        if signed.digest not in case.by_digest:
            yield finding(
                "partner-differs", case.site, f"{signed.id}: the agreement that was given was not accepted here"
            )
        elif (latest := case.in_force(signed.id)) is not None and latest != case.by_digest[signed.digest]:
            text = (
                f"{signed.id}: version {signed.terms.version} was given, and version {latest.terms.version} is in force"
            )
            yield finding("partner-differs", case.site, text)
        party = signed.party(case.site)
        if party is None or party.fingerprint != case.evidence.identity.fingerprint:
            yield finding("partner-differs", case.site, "this site is no party of the agreement that was given")
