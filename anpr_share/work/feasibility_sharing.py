"""Signed summaries of feasibility checks: a force makes its own, and anyone adds up several.

Guarantees: a summary says only what was suppressed for sharing, and its making is logged without a count; summaries are
added up only if each is signed by the force that it names, no force is there twice, none contradicts a partner that is
pinned, all count the same things, and each claims no better verdict than its own figures prove.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from anpr_share.documents import envelope as dsse
from anpr_share.documents import summary as summaries
from anpr_share.documents.identity import Identity
from anpr_share.documents.model import build, write
from anpr_share.documents.summary import FeasibilitySummary
from anpr_share.errors import FormatError, PolicyError, UsageError
from anpr_share.feasibility import combining
from anpr_share.feasibility.figures import Settings, Shared, SharedPoint, SharedReason, SharedStep
from anpr_share.site import catalogue, publication
from anpr_share.site.files import create_private
from anpr_share.site.opened import OpenSite
from anpr_share.work import partners


@dataclass(frozen=True, slots=True)
class ShareResult:
    """A summary that was written. ``digest`` is of its payload; ``earlier`` counts those that this site made before."""

    id: str
    digest: str
    fingerprint: str
    earlier: int
    path: Path


@dataclass(frozen=True, slots=True)
class Contributor:
    """A force whose summary was added up. ``known`` says whether this site has its fingerprint; None without a site."""

    site: str
    name: str
    fingerprint: str
    made: datetime
    known: bool | None


@dataclass(frozen=True, slots=True)
class CombineResult:
    """Several forces' summaries, added up, in the order of the forces' ids."""

    contributors: tuple[Contributor, ...]
    combined: combining.Combined


def share(site: OpenSite, shared: Shared, out: Path) -> ShareResult:
    """Sign what may be shared of a check, and write it to a new file.

    Raises :class:`PolicyError` at a university, :class:`UsageError` if a setting has no place in a document, and
    :class:`StorageError` if the file cannot be written.
    """
    if site.identity.role != "police":
        raise PolicyError("only a force shares a feasibility check", hint="a university reads what forces share")
    with site.writing():
        now = site.now()
        earlier = sum(1 for _ in site.ledger.about("feasibility-shared"))
        document = _document(shared, site.identity, now)
        envelope = dsse.sign(summaries.KIND, write(document), site.signing_key)
        with publication.publishing(site.db, site.paths, [out]) as files:
            create_private(files[0].temporary, envelope.encode())
            with site.transaction():
                site.record("feasibility-shared", document.id, {"summary": envelope.digest})
                publication.commit(site.db, files)
        site.checkpoint()
    return ShareResult(document.id, envelope.digest, site.identity.fingerprint, earlier, files[0].final)


def combine(documents: Sequence[bytes], site: OpenSite | None = None) -> CombineResult:
    """Add up summaries; with a ``site``, say which come from partners that are pinned there.

    Raises :class:`VerificationError` for a document that is none or has a bad signature, :class:`PolicyError` for one
    of a force that is revoked or pinned with another fingerprint, and :class:`UsageError` for fewer than two, two of
    one force, or such as do not count the same things.
    """
    if len(documents) < 2:
        raise UsageError("there is nothing to add up", hint="name the summaries of two forces or more")
    read = sorted((_read(data) for data in documents), key=lambda item: item[1].site)
    _require_distinct([identity for _, identity, _ in read])
    contributors = tuple(
        Contributor(
            identity.site,
            identity.name,
            identity.fingerprint,
            document.created,
            None if site is None else _is_known(site, identity, document.created),
        )
        for document, identity, _ in read
    )
    shared = [item for _, _, item in read]
    _require_alike(shared)
    return CombineResult(contributors, combining.combine(shared))


def _read(data: bytes) -> tuple[FeasibilitySummary, Identity, Shared]:
    document, identity, _ = summaries.parse(data)
    shared = _shared(document)
    if (shared.code, shared.conditions) != combining.verdict_on(shared):
        raise FormatError(
            f"the summary of {identity.site} gives another verdict than its own figures",
            hint="do not use it, and ask the force for another",
        )
    return document, identity, shared


def _require_distinct(identities: Sequence[Identity]) -> None:
    for name in ("site", "fingerprint", "signing"):
        found = Counter(getattr(identity, name) for identity in identities)
        twice = [identity.site for identity in identities if found[getattr(identity, name)] > 1]
        if twice:
            raise UsageError(
                f"two of the summaries are of one force: {twice[0]}", hint="give one of each, the newer one"
            )


def _is_known(site: OpenSite, identity: Identity, created: datetime) -> bool:
    partners.require_past(created, site.now(), f"the summary of {identity.site}")
    if identity.fingerprint == site.identity.fingerprint:
        return True
    known = catalogue.partner(site.db, site.vault, identity.site)
    if identity.site == site.identity.site or (known is not None and known.fingerprint != identity.fingerprint):
        raise PolicyError(
            f"the summary of {identity.site} is signed by another identity than the one that is known here",
            hint="do not use it; ask the partner, and if it really has a new one: anpr-share partner replace FILE",
        )
    if known is not None and known.status == "revoked":
        raise PolicyError(
            f"the partner {identity.site} was revoked",
            hint="leave its summary out; if it is to be trusted again: anpr-share partner replace FILE",
        )
    return known is not None


def _require_alike(shared: Sequence[Shared]) -> None:
    differ = list(combining.differing([item.settings for item in shared]))
    if differ:
        raise UsageError(
            f"the forces did not count the same things: their settings differ in {', '.join(differ)}",
            hint="agree on the [feasibility] settings of the profiles, and have the checks run anew",
        )
    if len({item.basis for item in shared}) > 1:
        raise UsageError(
            "some forces looked at reads and others at the dates of offences alone",
            hint="have all checks run with reads, or all without",
        )


def _document(shared: Shared, identity: Identity, now: datetime) -> FeasibilitySummary:
    fields = asdict(shared)
    fields |= {
        "format": 1,
        "id": str(uuid.uuid4()),
        "identity": dsse.to_base64(identity.envelope),
        "created": now,
        # A check is as old as its clock said, but never younger than what tells of it.
        "at": min(shared.at.astimezone(UTC).replace(microsecond=0), now),
    }
    return build(FeasibilitySummary, "summary", fields)


def _shared(document: FeasibilitySummary) -> Shared:
    fields = {name: getattr(document, name) for name in Shared.__dataclass_fields__}
    fields["settings"] = Settings(**document.settings.model_dump())
    fields["steps"] = tuple(
        SharedStep(
            step.name,
            step.judged,
            step.rows,
            step.vehicles,
            tuple(SharedReason(reason.code, reason.rows, reason.vehicles) for reason in step.reasons),
        )
        for step in document.steps
    )
    fields["points"] = tuple(SharedPoint(point.days, point.vehicles) for point in document.points)
    return Shared(**fields)
