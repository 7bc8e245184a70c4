"""The end of an agreement at one site, and of its linkage key.

Guarantees: after the one transaction of a closing no key of the agreement is left here, the ledger and the signed
certificate say what was destroyed, and the agreement is closed for good. Registered files in the clear go before it and
the encrypted ones of the store after it, so a closing that was killed is finished by another run; that one finds
nothing more to destroy, and writes the certificate again. Of registered files only those in ``inbox/`` and ``outbox/``
are deleted; others are named. A linkage key that was destroyed is never taken in, made or used here again.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from anpr_share.documents import certificate as certificates
from anpr_share.documents import envelope as dsse
from anpr_share.documents import receipt as receipts
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.certificate import Certificate
from anpr_share.documents.manifest import Quality
from anpr_share.documents.model import short_text, validate, write
from anpr_share.errors import LockedError, PolicyError, StorageError
from anpr_share.periods import day_of, parse_day
from anpr_share.site import catalogue, holdings, publication, records
from anpr_share.site.files import create_private
from anpr_share.site.holdings import KeyPlace
from anpr_share.site.ledger import operating_system_account
from anpr_share.site.opened import OpenSite
from anpr_share.site.purpose import check_purpose
from anpr_share.site.vault import destroy_secret, secret_names
from anpr_share.wording import spoken_path
from anpr_share.work import agreements, heads, receipting
from anpr_share.work.erasing import delete_registered, is_ours, remove_erased
from anpr_share.work.purging import DueDay, days_of, destroy_days, destroy_windows


@dataclass(frozen=True, slots=True)
class CloseResult:
    """An agreement that is closed here. ``again`` if it was before; ``elsewhere`` are files that a person must delete.

    ``ends`` is when the agreement would have ended.
    """

    certificate: Certificate
    digest: str
    closed_on: date
    ends: date
    again: bool
    elsewhere: tuple[str, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class DestroyedKey:
    """A linkage key that is no more; ``again`` if it was gone before."""

    agreement: str
    destroyed_on: date
    again: bool


def close(
    site: OpenSite, identifier: str, out: Path | None, *, backups: str | None = None, witness: str | None = None
) -> CloseResult:
    """Destroy all data and keys of an agreement at this site, and write the certificate to ``out`` or ``outbox/``.

    ``backups`` says what became of copies elsewhere, ``witness`` who saw it. Raises :class:`PolicyError` for an unknown
    agreement, :class:`UsageError` for texts that cannot be signed, :class:`StorageError`.
    """
    backups = None if backups is None else check_purpose(backups, "statement on backups")
    witness = None if witness is None else check_purpose(short_text(witness, "witness"), "witness")
    path = out or site.paths.outbox / f"{identifier}.certificate.json"
    with site.writing():
        agreement = agreements.recorded(site, identifier)
        held = _Held.of(site, agreement)
        known = _certificate(site, agreement)
        if known is None:
            known = _close(site, agreement, held, path, backups, witness)
            again = False
        else:
            # What a backup brought back goes as well.
            if held.any:
                delete_registered(site.paths.root / name for name in held.files)
                with site.transaction():
                    held.destroy(site, agreement, site.now())
            receipting.reprint(site, path, known.encode(), "certificate")
            again = True
        remove_erased(site)
        site.checkpoint()
    document, _ = certificates.parse(known.encode())
    return CloseResult(
        document,
        known.digest,
        day_of(document.created, agreement.zone),
        agreement.terms.ends,
        again,
        tuple(spoken_path(Path(name)) for name in held.elsewhere),
        path,
    )


def destroy_key(site: OpenSite, identifier: str) -> DestroyedKey:
    """Destroy the linkage key of an agreement at this force, for good; of one that is gone already, say so.

    Raises :class:`PolicyError` at a university, :class:`LockedError` if there never was one here.
    """
    if site.identity.role != "police":
        raise PolicyError("a university never holds a linkage key", hint="a force does this at its own site")
    site.require_vault()
    with site.writing():
        agreement = agreements.recorded(site, identifier)
        before = agreements.key_destroyed_on(site, agreement)
        is_here = agreement.id in secret_names(site.db, agreements.LINKAGE)
        if before is None and not is_here:
            raise LockedError(
                f"the linkage key of {agreement.id} is not at this site", hint="there is nothing to destroy"
            )
        if is_here:
            with site.transaction():
                _destroy_linkage(site, agreement, site.now())
        site.checkpoint()
        day = agreements.key_destroyed_on(site, agreement)
    assert day is not None
    return DestroyedKey(agreement.id, day, again=before is not None)


def _destroy_linkage(site: OpenSite, agreement: Agreement, now: datetime) -> None:
    """The key is not read: one that was tampered with goes like any other."""
    destroy_secret(site.db, agreements.LINKAGE, agreement.id)
    catalogue.mark_key_destroyed(site.db, site.require_vault(), agreement.id, now)
    site.record("linkage-key-destroyed", agreement.id, {"digest": agreement.digest})


@dataclass(frozen=True, slots=True)
class _Held:
    """What is left of an agreement at this site; ``files`` and ``elsewhere`` are paths of registered files."""

    days: dict[KeyPlace, DueDay]
    keys: tuple[KeyPlace, ...]
    windows: tuple[tuple[str, date], ...]
    linkage: bool
    files: tuple[str, ...]
    elsewhere: tuple[str, ...]

    @classmethod
    def of(cls, site: OpenSite, agreement: Agreement) -> _Held:
        vault = site.require_vault()
        keys = tuple(place for place in holdings.key_places(site.db) if place.agreement == agreement.id)
        # Days whose keys were lost, as in a restore, still have records, and files that nobody can read.
        parts = {part.place for part in holdings.parts(site.db, vault, agreement=agreement.id)}
        asked = {item.digest for item in catalogue.requests(site.db, vault) if item.agreement == agreement.id}
        names = dict.fromkeys(
            item.path for item in holdings.registered(site.db, vault) if item.agreement == agreement.id
        )
        ours = tuple(name for name in names if is_ours(site.paths, site.paths.root / name))
        return cls(
            dict(days_of(site, {agreement.id: agreement}, sorted(parts | set(keys)))),
            keys,
            tuple((digest, parse_day(first)) for digest, first in holdings.onetime_places(site.db) if digest in asked),
            agreement.id in secret_names(site.db, agreements.LINKAGE),
            ours,
            tuple(name for name in names if name not in ours and os.path.lexists(site.paths.root / name)),
        )

    @property
    def any(self) -> bool:
        """Whether there is anything to destroy here."""
        return bool(self.days or self.keys or self.windows or self.linkage or self.files)

    def destroy(self, site: OpenSite, agreement: Agreement, now: datetime) -> None:
        """Everything but the files, and what the ledger says of it, inside the caller's transaction."""
        # Closing makes everything due, so nothing of it is late or early.
        days = {place: replace(item, due=min(item.due, now)) for place, item in self.days.items()}
        destroy_days(site, {agreement.id: agreement}, days, "closed", now=now)
        for place in self.keys:
            holdings.destroy_day_key(site.db, place)  # one that no record explains, too
        destroy_windows(site, self.windows)
        if self.linkage:
            _destroy_linkage(site, agreement, now)
        for name in self.files:
            holdings.forget_registered(site.db, name)
        if self.files:
            site.record("erasure", agreement.id, {"files": len(self.files), "reason": "closed"})


def _close(
    site: OpenSite, agreement: Agreement, held: _Held, path: Path, backups: str | None, witness: str | None
) -> dsse.Envelope:
    with publication.publishing(site.db, site.paths, [path]) as files:
        delete_registered(site.paths.root / name for name in held.files)
        with site.transaction():
            now = site.now()
            tables = _tables(site, agreement, held)
            held.destroy(site, agreement, now)
            bundles = holdings.bundles(site.db, site.require_vault(), agreement=agreement.id)
            document = Certificate(
                format=1,
                agreement=agreement.digest,
                agreement_id=agreement.id,
                version=agreement.terms.version,
                site=site.identity.site,
                role=site.identity.role,
                fingerprint=site.identity.fingerprint,
                created=now,
                bundles=tuple(
                    certificates.CertifiedBundle(bundle=item.id, manifest=item.manifest, partner=item.partner)
                    for item in bundles
                ),
                first=min((item.first for item in bundles), default=None),
                last=max((item.last for item in bundles), default=None),
                tables=tables,
                keys=certificates.DestroyedKeys(
                    day_keys=len(held.keys),
                    onetime_keys=len(held.windows),
                    linkage_key=agreements.key_destroyed_on(site, agreement) is not None,
                ),
                files=certificates.CertifiedFiles(deleted=len(held.files), elsewhere=len(held.elsewhere)),
                method=certificates.METHOD,
                backups=backups,
                person=certificates.Person(account=operating_system_account(), actor=site.actor),
                witness=witness,
                head=heads.ours(site),
            )
            envelope = dsse.sign(certificates.KIND, write(document), site.signing_key)
            # Inside the transaction: the head that it carries is that of the lines above.
            create_private(files[0].temporary, envelope.encode())
            catalogue.close(site.db, site.require_vault(), agreement.id, now)
            records.add(site.db, holdings.KnownCertificate(agreement.id, envelope.encode(), now))
            site.record(
                "agreement-closed",
                agreement.id,
                {"certificate": envelope.digest, "digest": agreement.digest, "version": agreement.terms.version},
            )
            publication.commit(site.db, files)
    return envelope


def _certificate(site: OpenSite, agreement: Agreement) -> dsse.Envelope | None:
    """The certificate of an earlier closing; None if there was none."""
    record = catalogue.agreement(site.db, site.require_vault(), agreement.id)
    if record is None or record.closed_at is None:
        return None
    known = holdings.certificate(site.db, agreement.id)
    if known is None:
        raise StorageError(
            "the certificate of this agreement is not recorded here", hint="restore site.db from a backup"
        )
    _, envelope = certificates.parse(known.envelope)
    dsse.verify(envelope, site.identity.signing)
    return envelope


def _tables(site: OpenSite, agreement: Agreement, held: _Held) -> tuple[certificates.CertifiedTable, ...]:
    """The rows of each table, before anything of this closing is recorded."""
    rows: Counter[str] = Counter()
    for bundle in holdings.bundles(site.db, site.require_vault(), agreement=agreement.id):
        rows += _rows(bundle)
    before = holdings.deleted_rows(site.db, agreement.id)
    now: Counter[str] = Counter()
    for item in held.days.values():
        now[item.table] += item.rows
    return tuple(
        certificates.CertifiedTable(
            table=table,  # type: ignore[arg-type]  # a table of a bundle
            rows=rows[table],
            destroyed_before=before.get(table, 0),
            destroyed_now=now[table],
        )
        for table in sorted({*rows, *before, *now})
    )


def _rows(bundle: holdings.Bundle) -> Counter[str]:
    """The rows of a bundle by table: those that were taken into the store, or exported."""
    rows: Counter[str] = Counter()
    if bundle.direction == "loaded":
        if bundle.receipt is not None:
            for loaded in receipts.parse(bundle.receipt)[0].loaded:
                for day in loaded.days:
                    rows[day.table] += day.rows
    elif bundle.quality is not None:
        for table in validate(Quality, bundle.quality, "quality record").tables:
            rows[table.table] += table.rows_out
    return rows
