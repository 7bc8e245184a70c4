"""Verifying a bundle at its recipient, and taking it into the store.

Guarantees: nothing of a bundle is visible before all eight steps have passed; every part is encrypted anew under a
fresh local day key, so nothing that the sender chose protects the store; the one-time key dies in the transaction that
records the bundle, so the bundle file is dead wherever its copies lie; what had expired is verified, counted and not
kept; a failed load leaves no file and one ledger entry; a load killed at any moment is undone or finished by the next
command that writes.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

from anpr_share import container, parquet, periods
from anpr_share.documents import agreement as agreements
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import receipt as receipts
from anpr_share.documents import request as requests
from anpr_share.documents.identity import Identity
from anpr_share.documents.manifest import KEYS_NAME, UNDATED, Manifest, Sealed, member_name
from anpr_share.documents.request import RequestedWindow
from anpr_share.errors import AnprShareError, LockedError, PolicyError, StorageError, VerificationError
from anpr_share.part_check import PartJob, PartResult, Rewrite, check_parts
from anpr_share.site import catalogue, holdings, publication, records
from anpr_share.site.files import storage_errors
from anpr_share.site.holdings import KeyPlace
from anpr_share.site.opened import OpenSite
from anpr_share.work import receipting, verifying
from anpr_share.work.agreements import witness
from anpr_share.work.progress import Progress
from anpr_share.work.verifying import Opened, Standing


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """How far a bundle was verified. ``complete`` if by all eight steps, or by 1 to 6 of one that is loaded already."""

    bundle: str
    sender: str | None
    steps: tuple[int, ...]
    complete: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was loaded. ``expired`` are rows not kept because their time was up; ``again`` if it had been loaded."""

    bundle: str
    agreement: str
    sender: str
    rows: dict[str, int]
    expired: int
    again: bool
    receipt: Path


@dataclass(slots=True)
class _Progress:
    """What is known of a bundle so far: a refusal reports it."""

    digest: str = ""
    opened: Opened | None = None
    sender: Identity | None = None
    steps: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Verified:
    """A bundle after step 7, with its parts still to be checked."""

    opened: Opened
    standing: Standing
    window: RequestedWindow
    sealed: Sealed
    keys: dict[tuple[str, str], bytes]


def verify_alone(path: Path, sender: Identity | None) -> VerifyResult:
    """Verify what needs no secret and no site: steps 1, 3, 4 and 6, and 2 where the sender's identity is given."""
    with _reading(path) as file:
        members, envelope = verifying.read_container(file)
        if sender is not None:
            verifying.check_signature(envelope, sender)
        manifest = verifying.parse_manifest(envelope)
        if sender is not None and manifest.sender != sender.fingerprint:
            raise PolicyError("the bundle names another sender than the one given", step=5)
        verifying.check_members(members, manifest)
        verifying.check_digests(file, members, manifest)
    steps = (1, 2, 3, 4, 6) if sender is not None else (1, 3, 4, 6)
    note = "steps 5, 7 and 8 need the recipient's site"
    if sender is None:
        note = f"who signed it was not checked: name the sender with --sender IDENTITY; {note}"
    return VerifyResult(manifest.bundle, sender.site if sender else None, steps, complete=False, note=note)


def verify(site: OpenSite, path: Path) -> VerifyResult:
    """All eight steps at the recipient's site; writes nothing. Of a bundle that is loaded already, steps 1 to 6."""
    state = _Progress()
    with _reading(path) as file:
        opened = _open(site, file, state)
        if _loaded(site, opened) is not None:
            _check_loaded(file, opened)
            return VerifyResult(
                opened.manifest.bundle,
                state.sender.site if state.sender else None,
                (1, 2, 3, 4, 5, 6),
                complete=True,
                note="this bundle is loaded already, and its one-time key is gone: steps 7 and 8 were done at loading",
            )
        verified = _verify_to_keys(site, file, state)
        for _ in _checked(path, verified, {}):
            pass
    return VerifyResult(
        opened.manifest.bundle, verified.standing.sender.site, tuple(range(1, 9)), complete=True, note=None
    )


def load(site: OpenSite, path: Path, receipt: Path | None, progress: Progress) -> LoadResult:
    """Verify a bundle by all eight steps, then take it into the store; writes a receipt.

    A bundle that is loaded already only has its receipt written again. Raises as the steps do.
    """
    with site.writing():
        _finish_deletions(site)
        state = _Progress()
        try:
            with _reading(path) as file:
                state.digest = verifying.file_digest(file)
                opened = _open(site, file, state)
                known = _loaded(site, opened)
                if known is not None:
                    _check_loaded(file, opened)
                    return _reprint(site, opened.manifest, known, receipt)
                verified = _verify_to_keys(site, file, state)
            progress("steps 1 to 7 passed; checking and re-encrypting the parts")
            result = _store(site, path, verified, receipt, progress)
        except AnprShareError as error:
            _record_refusal(site, state, error)
            raise
        _finish_deletions(site)
        site.checkpoint()
        return result


def _open(site: OpenSite, file: BinaryIO, state: _Progress) -> Opened:
    """Steps 1 to 4, with the sender found among the pinned partners by the key that signed."""
    members, envelope = verifying.read_container(file)
    state.steps.append(1)
    sender = _sender_of(site, envelope)
    verifying.check_signature(envelope, sender)
    state.sender = sender
    state.steps.append(2)
    manifest = verifying.parse_manifest(envelope)
    state.opened = Opened(members, envelope, manifest)
    state.steps.append(3)
    verifying.check_members(members, manifest)
    state.steps.append(4)
    return state.opened


def _sender_of(site: OpenSite, envelope: dsse.Envelope) -> Identity:
    signed_by = envelope.signatures[0].key_id
    for partner in catalogue.partners(site.db, site.require_vault()):
        identity = Identity.parse(partner.identity)
        if dsse.key_id(identity.signing) == signed_by:
            if partner.status == "revoked":
                raise PolicyError(f"the sender {partner.id} was revoked", step=2)
            return identity
    raise PolicyError(
        "the bundle is signed by nobody whom this site has pinned",
        hint="if you know the sender: anpr-share partner add FILE",
        step=2,
    )


def _verify_to_keys(site: OpenSite, file: BinaryIO, state: _Progress) -> _Verified:
    """Steps 5 to 7."""
    opened = state.opened
    assert opened is not None
    assert state.sender is not None
    manifest, vault = opened.manifest, site.require_vault()
    standing = _standing(site, manifest, state.sender)
    window = verifying.check_standing(manifest, standing, site.now())
    state.steps.append(5)
    verifying.check_digests(file, opened.members, manifest)
    state.steps.append(6)
    key = holdings.onetime_key(site.db, vault, manifest.request, window.first)
    if key is None:
        raise LockedError(
            "the one-time key of this window is not here",
            hint="it was destroyed, or this site was restored from a backup: ask for the days anew",
        )
    sealed_box = container.open_member(file, opened.members[1]).read()
    assert opened.members[1].name == KEYS_NAME
    sealed = verifying.open_keys(sealed_box, manifest, key)
    keys = sealed.by_day()
    if any(holdings.key_was_seen(site.db, vault, item) for item in keys.values()):
        raise VerificationError("a day key of the bundle has been used before", step=7)
    state.steps.append(7)
    return _Verified(opened, standing, window, sealed, keys)


def _standing(site: OpenSite, manifest: Manifest, sender: Identity) -> Standing:
    """What this site knows of the agreement and request that a manifest names. Raises :class:`PolicyError`."""
    vault = site.require_vault()
    record = catalogue.agreement(site.db, vault, manifest.agreement_id)
    if record is None:
        raise PolicyError("the bundle was made under an agreement that this site has not accepted", step=5)
    agreement = agreements.parse(record.envelope)
    known = catalogue.request(site.db, vault, manifest.request)
    if known is None or known.direction != "made":
        raise PolicyError("the bundle answers a request that this site never made", step=5)
    request, envelope = requests.parse(known.envelope)
    windows = {item.first: item for item in catalogue.windows(site.db, vault, envelope.digest)}
    window = windows.get(manifest.window.first)
    others = holdings.bundles(site.db, vault, direction="loaded", agreement=agreement.id)
    return Standing(
        agreement=agreement,
        recipient=site.identity,
        sender=sender,
        request=request,
        request_digest=envelope.digest,
        window_used=window.bundle if window is not None and window.state == "used" else None,
        held=frozenset(
            date.fromisoformat(day)
            for day in holdings.held_days(site.db, agreement.id, sender.site, "reads")
            if day != UNDATED
        ),
        key_checks=frozenset(item.key_check for item in others),
    )


def _jobs(path: Path, verified: _Verified, rewrites: dict[tuple[str, str, int], Rewrite]) -> Iterator[PartJob]:
    manifest = verified.opened.manifest
    places = {member.name: member for member in verified.opened.members}
    for table in manifest.tables:
        for part in table.parts:
            member = places[member_name(table.name, part.day, part.n)]
            yield PartJob(
                path=path,
                offset=member.offset,
                size=member.size,
                key=parquet.part_key(
                    verified.keys[table.name, part.day], manifest.bundle, table.name, part.day, part.n
                ),
                table=table.name,
                day=None if part.day == UNDATED else date.fromisoformat(part.day),
                rows=part.rows,
                columns=table.columns,
                zone=verified.standing.agreement.zone,
                window=manifest.window.window,
                rewrite=rewrites.get((table.name, part.day, part.n)),
            )


def _checked(path: Path, verified: _Verified, rewrites: dict[tuple[str, str, int], Rewrite]) -> Iterator[PartResult]:
    """Step 8: each part, and the rows of the tables whose manifest counts none against the quality record."""
    uncounted: dict[str, int] = {
        table.name: 0 for table in verified.opened.manifest.tables if table.parts[0].rows is None
    }
    for result in check_parts(_jobs(path, verified, rewrites)):
        if result.table in uncounted:
            uncounted[result.table] += result.rows
        yield result
    for table, rows in uncounted.items():
        quality = verified.sealed.quality.of(table)
        if quality is None or quality.rows_out != rows:
            raise VerificationError(f"the parts of {table} have another number of rows than the quality record", step=8)


def _store(site: OpenSite, path: Path, verified: _Verified, receipt: Path | None, progress: Progress) -> LoadResult:
    plan = _Plan.of(site, verified)
    staged = publication.stage(site.db, site.paths, [plan.final(site, *place) for place in plan.kept])
    receipt_path = receipt or site.paths.outbox / f"{verified.opened.manifest.bundle}.receipt.json"
    try:
        receipt_file = publication.stage(site.db, site.paths, [receipt_path])
    except StorageError:
        publication.abandon(site.db, site.paths, staged)
        raise
    try:
        rewrites = {
            place: Rewrite(item.temporary, plan.part_key(*place)) for place, item in zip(plan.kept, staged, strict=True)
        }
        written: dict[tuple[str, str, int], PartResult] = {}
        for place, result in zip(plan.every, _checked(path, verified, rewrites), strict=True):
            written[place] = result
            progress(f"{len(written)} of {len(plan.every)} parts checked")
        outcome = _commit(site, verified, plan, written, [*staged, *receipt_file], receipt_file[0])
        publication.finish(site.db, site.paths, [*staged, *receipt_file])
    finally:
        publication.abandon(site.db, site.paths, [*staged, *receipt_file])
    return outcome


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which parts go into the store, under which keys, and which had expired or are older than what is held."""

    manifest: Manifest
    every: tuple[tuple[str, str, int], ...]
    kept: tuple[tuple[str, str, int], ...]
    local: dict[tuple[str, str], bytes]
    superseded: tuple[holdings.Part, ...]

    @classmethod
    def of(cls, site: OpenSite, verified: _Verified) -> _Plan:
        manifest, agreement = verified.opened.manifest, verified.standing.agreement
        now = site.now()
        older, newer = _held_targets(site, verified)
        every = tuple((table.name, part.day, part.n) for table in manifest.tables for part in table.parts)

        def is_kept(table: str, day: str) -> bool:
            if table == "targets" and newer:
                return False
            counted = counted_day(day, manifest.created, now, agreement)
            return not periods.is_expired(
                counted, now, agreement.retention(table), agreement.zone, agreement.terms.ends
            )

        kept = tuple(place for place in every if is_kept(place[0], place[1]))
        local: dict[tuple[str, str], bytes] = {
            (table, day): secrets.token_bytes(parquet.KEY_BYTES) for table, day, _ in kept
        }
        replaced = older if any(table == "targets" for table, _, _ in kept) else ()
        return cls(manifest, every, kept, local, replaced)

    def part_key(self, table: str, day: str, n: int) -> bytes:
        return parquet.part_key(self.local[table, day], self.manifest.bundle, table, day, n)

    def final(self, site: OpenSite, table: str, day: str, n: int) -> Path:
        return site.paths.part(self.manifest.agreement_id, table, day, self.manifest.bundle, n)


def counted_day(day: str, created: datetime, loaded: datetime, agreement: agreements.Agreement) -> date:
    """The day that a part's retention counts from: its capture day, or the earlier of making and loading."""
    if day != UNDATED:
        return date.fromisoformat(day)
    return periods.day_of(min(created, loaded), agreement.zone)


def _held_targets(site: OpenSite, verified: _Verified) -> tuple[tuple[holdings.Part, ...], bool]:
    """The targets held from this sender, and whether they are of a newer bundle than this one."""
    parts = tuple(
        part
        for part in holdings.parts(
            site.db, site.require_vault(), agreement=verified.standing.agreement.id, tbl="targets"
        )
        if part.source == verified.standing.sender.site
    )
    created = verified.opened.manifest.created
    newer = any(
        (held := holdings.bundle(site.db, site.require_vault(), part.bundle)) is not None and held.created > created
        for part in parts
    )
    return parts, newer


def _commit(
    site: OpenSite,
    verified: _Verified,
    plan: _Plan,
    written: dict[tuple[str, str, int], PartResult],
    files: Sequence[publication.Publication],
    receipt_file: publication.Publication,
) -> LoadResult:
    manifest, standing, vault = verified.opened.manifest, verified.standing, site.require_vault()
    agreement, sender = standing.agreement, standing.sender
    now = site.now()
    rows: dict[str, int] = {}
    expired = 0
    days: dict[tuple[str, str], receipts.LoadedDay] = {}
    for place in plan.every:
        table, day, _ = place
        count = written[place].rows
        taken, gone = (count, 0) if place in plan.kept else (0, count)
        before = days.get((table, day))
        days[table, day] = receipts.LoadedDay(
            table=table,  # type: ignore[arg-type]  # a table of a parsed manifest
            day=day,
            rows=taken + (before.rows if before else 0),
            expired=gone + (before.expired if before else 0),
        )
        rows[table] = rows.get(table, 0) + taken
        expired += gone
    loaded = receipts.Loaded(
        bundle=manifest.bundle, manifest=verified.opened.envelope.digest, at=now, days=tuple(days.values())
    )
    document = receipting.sign_receipt(site, agreement, sender, loaded=(loaded,), refused=(), deleted=())
    receipting.write_staged(receipt_file, document)
    with site.transaction():
        catalogue.use_window(site.db, vault, manifest.request, verified.window.first, manifest.bundle)
        bundle = holdings.Bundle(
            id=manifest.bundle,
            direction="loaded",
            agreement=agreement.id,
            partner=sender.site,
            request=manifest.request,
            first=manifest.window.first,
            last=manifest.window.last,
            manifest=verified.opened.envelope.digest,
            key_check=manifest.key_check,
            created=manifest.created,
            at=now,
            quality=canonical.encode(verified.sealed.quality.model_dump(mode="json")),
            receipt=document.encode(),
        )
        records.add(site.db, bundle, vault)
        _drop_superseded(site, agreement, plan.superseded, now)
        for (table, day), key in plan.local.items():
            holdings.put_day_key(site.db, vault, KeyPlace(agreement.id, table, day, manifest.bundle), key)
        for place in plan.kept:
            _add_part(site, agreement, sender.site, plan, place, written[place])
        holdings.hold(
            site.db,
            [
                holdings.HeldDay(agreement.id, sender.site, table, day, manifest.bundle)
                for table, day in plan.local
                if table == "reads"
            ],
        )
        _add_coverage(site, standing, verified.sealed)
        for key in verified.keys.values():
            holdings.remember_key(site.db, vault, key)
        holdings.destroy_onetime_key(site.db, manifest.request, verified.window.first)
        witness(site, sender.site, verified.opened.envelope.digest, manifest.head)
        site.record(
            "collection",
            manifest.bundle,
            {
                "agreement": agreement.digest,
                "expired": expired,
                "first": manifest.window.first.isoformat(),
                "last": manifest.window.last.isoformat(),
                "manifest": verified.opened.envelope.digest,
                "receipt": document.digest,
                "request": manifest.request,
                "rows": rows,
                "sender": sender.site,
            },
        )
        publication.commit(site.db, files)
    return LoadResult(
        manifest.bundle, agreement.id, sender.site, rows, expired, again=False, receipt=receipt_file.final
    )


def _add_part(
    site: OpenSite,
    agreement: agreements.Agreement,
    source: str,
    plan: _Plan,
    place: tuple[str, str, int],
    result: PartResult,
) -> None:
    if result.written is None:
        raise StorageError("a part was checked but not written")
    final = plan.final(site, *place)
    records.add(
        site.db,
        holdings.Part(
            bundle=plan.manifest.bundle,
            tbl=place[0],
            day=place[1],
            n=place[2],
            agreement=agreement.id,
            source=source,
            rows=result.rows,
            bytes=result.written.bytes,
            sha256=result.written.sha256,
            path=final.relative_to(site.paths.root).as_posix(),
        ),
        site.require_vault(),
    )


def _add_coverage(site: OpenSite, standing: Standing, sealed: Sealed) -> None:
    """Record what came of each day; of a day that is held this bundle brings nothing, so it says nothing of it."""
    quality = sealed.quality.of("reads")
    for day in quality.days if quality is not None else ():
        if day.day not in standing.held:
            records.put(
                site.db,
                holdings.Coverage(standing.agreement.id, standing.sender.site, day.day, day.rows, day.rejected),
            )


def _drop_superseded(
    site: OpenSite, agreement: agreements.Agreement, parts: Sequence[holdings.Part], now: datetime
) -> None:
    """A newer snapshot of the targets replaces the older one: its key goes in the transaction that brings the newer."""
    rows: Counter[tuple[KeyPlace, str]] = Counter()
    for part in parts:
        rows[KeyPlace(agreement.id, part.tbl, part.day, part.bundle), part.source] += part.rows
    for (place, source), count in rows.items():
        holdings.destroy_day_key(site.db, place)
        holdings.remove_parts(site.db, place.bundle, place.tbl, place.day)
        records.put(
            site.db,
            holdings.Deletion(place.bundle, place.tbl, place.day, agreement.id, source, count, due=now, at=now),
        )
        site.record(
            "erasure",
            place.bundle,
            {
                "agreement": agreement.digest,
                "reason": "replaced by a newer snapshot",
                "rows": count,
                "table": place.tbl,
            },
        )


def _finish_deletions(site: OpenSite) -> None:
    """Remove the files of replaced targets, whose keys are gone already."""
    live = {part.path for part in holdings.parts(site.db, site.vault, tbl="targets")}
    with storage_errors("a replaced part cannot be removed"):
        for path in site.paths.store.glob(f"*/targets/{UNDATED}/*.parquet"):
            if not path.name.startswith(".") and path.relative_to(site.paths.root).as_posix() not in live:
                path.unlink(missing_ok=True)


def _loaded(site: OpenSite, opened: Opened) -> holdings.Bundle | None:
    """The record of this bundle, if it was loaded. Raises :class:`PolicyError` if another one took its id."""
    known = holdings.bundle(site.db, site.require_vault(), opened.manifest.bundle)
    if known is not None and known.manifest != opened.envelope.digest:
        raise PolicyError("another bundle with this id is known here", step=5)
    return known if known is not None and known.direction == "loaded" else None


def _check_loaded(file: BinaryIO, opened: Opened) -> None:
    """Step 6 of a bundle that is loaded; its standing was proved when it was."""
    verifying.check_digests(file, opened.members, opened.manifest)


def _reprint(site: OpenSite, manifest: Manifest, known: holdings.Bundle, receipt: Path | None) -> LoadResult:
    path = receipt or site.paths.outbox / f"{manifest.bundle}.receipt.json"
    if known.receipt is None:
        raise StorageError("the receipt of this bundle is not recorded here")
    receipting.reprint(path, known.receipt)
    rows: dict[str, int] = {}
    expired = 0
    for loaded in receipts.parse(known.receipt)[0].loaded:
        for day in loaded.days:
            rows[day.table] = rows.get(day.table, 0) + day.rows
            expired += day.expired
    return LoadResult(manifest.bundle, known.agreement, known.partner, rows, expired, again=True, receipt=path)


def _record_refusal(site: OpenSite, state: _Progress, error: AnprShareError) -> None:
    """One ledger entry, and one line of the next receipt, for a bundle that was refused."""
    manifest = state.opened.manifest if state.opened is not None else None
    step = getattr(error, "step", None)
    with site.transaction():
        records.add(
            site.db,
            holdings.Refusal(
                id=secrets.token_hex(16),
                agreement=manifest.agreement_id if manifest is not None else None,
                partner=state.sender.site if state.sender is not None else None,
                file=state.digest,
                bundle=manifest.bundle if manifest is not None else None,
                manifest=state.opened.envelope.digest if state.opened is not None else None,
                step=step,
                reason=error.code,
                at=site.now(),
            ),
        )
        site.record(
            "load-refused",
            manifest.bundle if manifest is not None else "unknown",
            {"file": state.digest, "reason": error.code, "step": step},
        )
    site.checkpoint()


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError:
        raise StorageError("the bundle cannot be opened", hint="check its name and that you may read it") from None
    with file:
        yield file
