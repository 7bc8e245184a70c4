"""Agreements and the linkage key: signing, accepting, sharing the key among forces.

Guarantees: a site signs only what a person was shown with every fingerprint, and only if it is a party; an agreement is
accepted only with every party's signature and only if it replaces the version before it; none whose title or purpose
may hold a plate is signed or accepted; the linkage key is made once, by the first police party, and goes to other
police parties alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from anpr_share.documents import agreement as agreements
from anpr_share.documents import draft, keyshare
from anpr_share.documents import envelope as dsse
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import seal
from anpr_share.documents.model import write
from anpr_share.documents.terms import describe
from anpr_share.errors import LockedError, PolicyError, UsageError, VerificationError
from anpr_share.periods import day_of
from anpr_share.pseudonyms import SECRET_BYTES, LinkageKey
from anpr_share.site import catalogue, publication
from anpr_share.site.files import create_private
from anpr_share.site.opened import OpenSite
from anpr_share.site.vault import secret_names
from anpr_share.wording import may_identify
from anpr_share.work import heads, partners
from anpr_share.work.partners import Confirm
from anpr_share.work.purging import PurgeResult
from anpr_share.work.verifying import require_open

LINKAGE = "linkage"


@dataclass(frozen=True, slots=True)
class SignResult:
    """Who has signed an agreement so far."""

    agreement: str
    version: int
    digest: str
    signed: tuple[str, ...]
    missing: tuple[str, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """An agreement now in force here; ``key_made`` if this site made the linkage key; ``shares`` to hand on.

    ``expired`` is what was destroyed at once because its limits are shorter, where anything was.
    """

    agreement: str
    version: int
    digest: str
    key_made: bool
    shares: tuple[Path, ...]
    expired: PurgeResult | None = None


@dataclass(frozen=True, slots=True)
class AgreementTerms:
    """One agreement as recorded; ``closed_on`` if it was closed here."""

    agreement: str
    version: int
    digest: str
    title: str
    starts: date
    ends: date
    lines: tuple[str, ...]
    closed_on: date | None


@dataclass(frozen=True, slots=True)
class KeyResult:
    """A linkage key that this site holds, or did: ``check`` tells two keys apart and says nothing about either, and is
    None of one that was destroyed, with the day on which it was.
    """

    agreement: str
    check: str | None
    destroyed_on: date | None = None


def sign(site: OpenSite, data: bytes, out: Path, confirm: Confirm) -> SignResult:
    """Sign a draft (TOML), or add a signature to an agreement, after a person has agreed to its terms and parties."""
    agreement = _read(data, site)
    _unpinned(site, agreement)
    question = "\n".join(
        [
            *describe(agreement),
            "",
            "Do you agree to these terms, and are these the fingerprints that the parties told you?",
        ]
    )
    if not confirm(question):
        raise PolicyError(
            "the agreement was not confirmed, so it was not signed",
            hint="if a fingerprint differs, call that party; if a term does, have the draft changed",
        )
    envelope = dsse.add_signature(agreement.envelope, site.signing_key)
    signed = agreements.from_envelope(envelope)
    done = {item.site for item in agreements.signers(signed)}
    with site.writing():
        # Only now: another command may have revoked a party while the person read.
        unpinned = _unpinned(site, agreement)
        with publication.publishing(site.db, site.paths, [out]) as files:
            create_private(files[0].temporary, envelope.encode())
            with site.transaction():
                for identity in unpinned:
                    partners.record(site, identity)
                site.record(
                    "agreement-signed", agreement.id, {"digest": agreement.digest, "version": agreement.terms.version}
                )
                publication.commit(site.db, files)
        site.checkpoint()
    return SignResult(
        agreement.id,
        agreement.terms.version,
        agreement.digest,
        tuple(item.site for item in agreement.identities if item.site in done),
        tuple(item.site for item in agreement.identities if item.site not in done),
        out,
    )


def _unpinned(site: OpenSite, agreement: Agreement) -> list[Identity]:
    """The other parties that are not pinned here yet. Raises :class:`PolicyError` if one is revoked, or another."""
    others = [item for item in agreement.identities if item.site != site.identity.site]
    return [item for item in others if not partners.require_pinnable(site, item)]


def _read(data: bytes, site: OpenSite) -> Agreement:
    agreement = draft.read_any(data)
    party = agreement.party(site.identity.site)
    if party is None or party.fingerprint != site.identity.fingerprint:
        raise PolicyError(
            "this site is no party of the agreement",
            hint="have it drafted anew, with this site's identity.json as a --party",
        )
    # What every party reads is also what scripts and reports repeat.
    for what, text in (("title", agreement.terms.title), ("purpose", agreement.terms.purpose)):
        if may_identify(text):
            raise PolicyError(
                f"the {what} of the agreement holds what may be a plate or a token",
                hint="leave it out of the draft; a number that only looks like one can be written in words",
            )
    return agreement


def accept(site: OpenSite, data: bytes) -> AcceptResult:
    """Record a fully signed agreement; the first police party makes the linkage key and a share for each other force.

    Raises :class:`VerificationError` for a missing or foreign signature, :class:`PolicyError` for a version that does
    not replace the one in force.
    """
    agreement = _read(data, site)
    agreements.require_signed(agreement)
    with site.writing():
        if unpinned := _unpinned(site, agreement):
            raise PolicyError(
                f"{unpinned[0].site} is not pinned here",
                hint="sign the agreement at this site first, which shows every fingerprint",
            )
        held = catalogue.agreement(site.db, site.require_vault(), agreement.id)
        require_open(agreement, held.closed_at if held is not None else None)
        makes_key = _hands_on_the_key(site, agreement)
        if held is not None and held.digest == agreement.digest:
            # A command that was killed after the agreement was recorded may not have written every share.
            shares = share_key(site, agreement) if makes_key else ()
            if not shares:
                raise PolicyError("this agreement was accepted already", hint="anpr-share agreement show")
            site.checkpoint()
            return AcceptResult(agreement.id, agreement.terms.version, agreement.digest, key_made=False, shares=shares)
        _require_successor(agreement, held)
        with site.transaction():
            catalogue.accept(
                site.db,
                site.require_vault(),
                catalogue.AcceptedAgreement(
                    agreement.id, agreement.terms.version, agreement.digest, agreement.envelope.encode(), site.now()
                ),
            )
            site.record(
                "agreement-accepted", agreement.id, {"digest": agreement.digest, "version": agreement.terms.version}
            )
            # Only for the first version: another key for a later one would link to nothing that was exchanged before.
            made = makes_key and held is None and agreement.terms.version == 1
            if made:
                secret = secrets.token_bytes(SECRET_BYTES)
                site.require_vault().put_secret(site.db, LINKAGE, agreement.id, secret)
                site.record("linkage-key-made", agreement.id, {"check": LinkageKey(secret, agreement.id).check})
        shares = share_key(site, agreement) if makes_key else ()
        site.checkpoint()
    return AcceptResult(agreement.id, agreement.terms.version, agreement.digest, made, shares)


def _hands_on_the_key(site: OpenSite, agreement: Agreement) -> bool:
    """Whether this site is the first force: of the version before, if there was one here.

    A force that a later version lists first, or with a new identity after its passphrase was lost, has no key yet:
    whoever is first of those that were parties before, and are what they were, hands it on.
    """
    replaced = agreement.terms.supersedes
    before = catalogue.agreement_by_digest(site.db, site.require_vault(), replaced) if replaced is not None else None
    parties = {item.fingerprint for item in agreement.identities}
    forces = (agreements.parse(before.envelope) if before is not None else agreement).of_role("police")
    first = next((item for item in forces if item.fingerprint in parties), None)
    return first is not None and first.fingerprint == site.identity.fingerprint


def _require_successor(agreement: Agreement, held: catalogue.AcceptedAgreement | None) -> None:
    if held is None:
        return
    if agreement.terms.supersedes != held.digest:
        raise PolicyError(
            f"version {agreement.terms.version} does not replace version {held.version}, which is in force here",
            hint="ask whoever drafted it: a next version names the one in force here",
        )
    before = agreements.parse(held.envelope)
    roles = {(item.site, item.role) for item in agreement.identities}
    if gone := [item.site for item in before.identities if (item.site, item.role) not in roles]:
        raise PolicyError(
            f"the new version leaves out {', '.join(gone)}, who did not agree to that",
            hint="a version may add parties; to go on without one, close the agreement and make another",
        )
    if agreement.terms.timezone != before.terms.timezone:
        raise PolicyError(
            "the new version changes the time zone, and with it what every day is that is held already",
            hint="an agreement with other days needs an id of its own",
        )
    if agreement.terms.ends > before.terms.ends or any(
        agreement.retention(table).lengthens(before.retention(table)) for table in ("reads", "targets")
    ):
        raise PolicyError(
            "the new version would keep data longer than the one in force, and nothing lengthens a limit",
            hint="what is longer needs an agreement of its own, with another id",
        )


def share_key(site: OpenSite, agreement: Agreement) -> tuple[Path, ...]:
    """Write a share of the linkage key for each other force into ``outbox/``, where there is none yet.

    Returns the files that were written: none if the key is not held here, be it destroyed or still to come.
    """
    secret = _linkage_secret(site, agreement.id)
    if secret is None:
        return ()
    files = []
    for force in agreement.of_role("police"):
        if force.site == site.identity.site:
            continue
        path = site.paths.outbox / f"{agreement.id}-{agreement.terms.version}-{force.site}.keyshare.json"
        if path.exists():
            continue
        info = keyshare.info(site.identity.fingerprint, force.fingerprint, agreement.digest)
        share = keyshare.KeyShare(
            format=1,
            agreement=agreement.digest,
            agreement_id=agreement.id,
            sender=site.identity.fingerprint,
            recipient=force.fingerprint,
            created=site.now(),
            key_check=LinkageKey(secret, agreement.id).check,
            sealed=dsse.to_base64(seal(force.encryption, info, secret)),
            head=heads.ours(site),
        )
        envelope = dsse.sign(keyshare.KIND, write(share), site.signing_key)
        with publication.publishing(site.db, site.paths, [path]) as staged:
            create_private(staged[0].temporary, envelope.encode())
            with site.transaction():
                site.record("linkage-key-shared", agreement.id, {"recipient": force.site, "document": envelope.digest})
                publication.commit(site.db, staged)
        files.append(path)
    return tuple(files)


def accept_key(site: OpenSite, data: bytes) -> KeyResult:
    """Take the linkage key out of a share. Raises :class:`PolicyError` if this site may not have it."""
    share, envelope = keyshare.parse(data)
    agreement = current(site, share.agreement_id)
    if share.agreement != agreement.digest:
        raise PolicyError(
            "the key share belongs to another version of the agreement",
            hint="ask the first force to accept the version in force and to send its share anew",
        )
    if agreement.identity(site.identity.fingerprint, "police") is None:
        raise PolicyError(
            "only police parties of the agreement ever hold its linkage key",
            hint="hand the share to the force that it is for",
        )
    sender = agreement.identity(share.sender, "police")
    if sender is None:
        raise PolicyError(
            "the key share does not come from a police party of the agreement",
            hint="do not use it; ask the first force of the agreement for its share",
        )
    partners.require_pinned(site, share.sender)
    dsse.verify(envelope, sender.signing)
    partners.require_past(share.created, site.now(), "the key share")
    if share.recipient != site.identity.fingerprint:
        raise PolicyError(
            "the key share is for another force",
            hint="each force has a share of its own, with its id in the file's name",
        )
    info = keyshare.info(share.sender, share.recipient, agreement.digest)
    secret = site.opening_key.open(dsse.from_base64(share.sealed), info)
    if len(secret) != SECRET_BYTES or LinkageKey(secret, agreement.id).check != share.key_check:
        raise VerificationError(
            "the linkage key in the share is not the one that the share says it is",
            hint="ask the first force for a new share, and do not use this one",
        )
    with site.writing():
        if (day := key_destroyed_on(site, agreement)) is not None:
            raise PolicyError(
                f"the linkage key of {agreement.id} was destroyed here on {day}, and that is final",
                hint="delete the share; the other forces of the agreement may go on without this one",
            )
        held = _linkage_secret(site, agreement.id)
        if held is not None and held != secret:
            raise PolicyError("another linkage key of this agreement is held here already", hint="ask the first force")
        with site.transaction():
            if held is None:
                site.require_vault().put_secret(site.db, LINKAGE, agreement.id, secret)
                site.record("linkage-key-accepted", agreement.id, {"check": share.key_check, "sender": sender.site})
            heads.keep(site, sender.site, envelope.digest, share.head)
        site.checkpoint()
    return KeyResult(agreement.id, share.key_check)


def list_keys(site: OpenSite) -> tuple[KeyResult, ...]:
    """The linkage keys that this site holds, and those that were destroyed here."""
    if site.identity.role != "police":
        raise PolicyError(
            "a university never holds a linkage key",
            hint="two forces compare theirs: without the key a token says nothing about a plate",
        )
    known = {item.id: agreements.parse(item.envelope) for item in catalogue.agreements(site.db, site.vault)}
    gone = {name: day for name, agreement in known.items() if (day := key_destroyed_on(site, agreement)) is not None}
    return tuple(
        KeyResult(name, None, gone[name]) if name in gone else KeyResult(name, linkage_key(site, name).check)
        for name in sorted({*secret_names(site.db, LINKAGE), *gone})
    )


def linkage_key(site: OpenSite, agreement: str) -> LinkageKey:
    """The linkage key of an agreement. Raises :class:`LockedError` if it is not here."""
    secret = _linkage_secret(site, agreement)
    if secret is None and (day := key_destroyed_on(site, recorded(site, agreement))) is not None:
        raise LockedError(
            f"the linkage key of {agreement} was destroyed here on {day}",
            hint="nothing more can be linked here; what goes on needs an agreement of its own, with another id",
        )
    if secret is None:
        raise LockedError(
            f"the linkage key of {agreement} is not at this site",
            hint="the first police party of the agreement sends it: anpr-share key accept FILE",
        )
    return LinkageKey(secret, agreement)


def _linkage_secret(site: OpenSite, agreement: str) -> bytes | None:
    """The linkage key; one that a backup of vault.db brought back after it was destroyed is as good as gone."""
    if catalogue.key_destroyed_at(site.db, site.vault, agreement) is not None:
        return None
    return site.require_vault().get_secret(site.db, LINKAGE, agreement)


def key_destroyed_on(site: OpenSite, agreement: Agreement) -> date | None:
    """The day on which the linkage key of an agreement was destroyed here, if it was."""
    at = catalogue.key_destroyed_at(site.db, site.vault, agreement.id)
    return None if at is None else day_of(at, agreement.zone)


def current(site: OpenSite, identifier: str | None) -> Agreement:
    """The version of an agreement that was accepted last; without an id, that of the only one that is not closed.

    Raises :class:`PolicyError` if it was closed here. Whether today lies between its dates is for
    ``verifying.require_in_force`` to say.
    """
    if identifier is None:
        open_ = [item for item in catalogue.agreements(site.db, site.vault) if item.closed_at is None]
        identifier = open_[0].id if len(open_) == 1 else None
    held = _record(site, identifier)
    agreement = agreements.parse(held.envelope)
    require_open(agreement, held.closed_at)
    return agreement


def recorded(site: OpenSite, identifier: str | None) -> Agreement:
    """As :func:`current`, and of an agreement that was closed too: for what is told of it, and never for its data."""
    return agreements.parse(_record(site, identifier).envelope)


def _record(site: OpenSite, identifier: str | None) -> catalogue.AcceptedAgreement:
    if identifier is None:
        every = catalogue.agreements(site.db, site.vault)
        if len(every) != 1:
            raise UsageError(
                f"this site has {len(every)} agreements", hint="name one: anpr-share agreement show lists them"
            )
        return every[0]
    return catalogue.require(site.db, site.vault, identifier)


def require_accepted(site: OpenSite, digest: str, identifier: str, what: str) -> None:
    """Raise :class:`PolicyError` unless a document (``what``) names a version that was accepted here, of its own id."""
    accepted = catalogue.agreement_by_digest(site.db, site.require_vault(), digest)
    if accepted is None or accepted.id != identifier:
        raise PolicyError(
            f"{what} names a version of the agreement that this site has not accepted",
            hint="anpr-share agreement accept FILE, and then this command again",
        )


def listed(site: OpenSite, identifier: str | None = None) -> tuple[AgreementTerms, ...]:
    """The version accepted last of one agreement, or of all. Raises :class:`PolicyError` for an unknown id."""
    found = []
    every = catalogue.agreements(site.db, site.vault) if identifier is None else [_record(site, identifier)]
    for record in every:
        agreement = agreements.parse(record.envelope)
        terms = agreement.terms
        found.append(
            AgreementTerms(
                agreement.id,
                terms.version,
                agreement.digest,
                terms.title,
                terms.starts,
                terms.ends,
                tuple(describe(agreement)),
                None if record.closed_at is None else day_of(record.closed_at, agreement.zone),
            )
        )
    return tuple(found)
