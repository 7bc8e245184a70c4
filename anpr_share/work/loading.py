"""Taking a bundle into the store, once its recipient has verified it.

Guarantees: nothing of a bundle is visible before all eight steps have passed; every part is encrypted anew under a
fresh local day key, so nothing that the sender chose protects the store; the one-time key dies in the transaction that
records the bundle, so the bundle file is dead wherever its copies lie; what had expired is verified, counted and not
kept; a failed load leaves no file and one ledger entry; a load killed at any moment is undone or finished by the next
command that writes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from anpr_share import parquet
from anpr_share.documents import agreement as agreements
from anpr_share.documents import canonical
from anpr_share.documents import receipt as receipts
from anpr_share.documents.manifest import SNAPSHOTS, Manifest, Sealed
from anpr_share.errors import AnprShareError, LockedError, PolicyError, StorageError, VerificationError
from anpr_share.files import open_regular, storage_errors
from anpr_share.part_check import PartResult, Rewrite
from anpr_share.site import catalogue, holdings, publication, records
from anpr_share.site.files import create_private, require_space
from anpr_share.site.holdings import KeyPlace
from anpr_share.site.opened import OpenSite
from anpr_share.work import accounting, heads, receipting, verifying
from anpr_share.work.arriving import (
    Arrival,
    Verified,
    VerifyResult,
    checked_parts,
    known_bundle,
    open_bundle,
    verify,
    verify_alone,
    verify_to_keys,
)
from anpr_share.work.erasing import erase, remove_erased
from anpr_share.work.notifying import recalled_since
from anpr_share.work.progress import Progress
from anpr_share.work.verifying import Standing

__all__ = ["LoadResult", "VerifyResult", "load", "verify", "verify_alone"]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was loaded. ``expired`` are rows not kept: their time was up, they were recalled, or newer ones are held of
    their table; ``again`` if it had been loaded. ``disclosure_risk`` is that of the quality record; None if there is
    none, or if it had been loaded. ``notes`` are for a person.
    """

    bundle: str
    agreement: str
    sender: str
    rows: dict[str, int]
    expired: int
    again: bool
    receipt: Path
    disclosure_risk: dict[str, str] | None = None
    notes: tuple[str, ...] = ()


def load(site: OpenSite, path: Path, receipt: Path | None, progress: Progress) -> LoadResult:
    """Verify a bundle by all eight steps, then take it into the store; writes a receipt.

    A bundle that is loaded already only has its receipt written again. Raises as the steps do.
    """
    if site.identity.role != "university":
        raise PolicyError("only a university loads bundles", hint="a force makes them: anpr-share export")
    site.require_vault()
    with site.writing():
        site.now()  # a clock that is wrong here is no fault of the bundle
        state = Arrival()
        with open_regular(path, "the bundle") as file:
            with storage_errors("the bundle cannot be read"):
                state.digest = hashlib.file_digest(file, "sha256").hexdigest()
            with _reported(site, state):
                opened, sender = open_bundle(site, file, state)
                known = known_bundle(site, opened)
                if known is not None:
                    verifying.check_digests(file, opened.members, opened.manifest)
            if known is not None:
                return _reprint(site, opened.manifest, known, receipt)
            with _reported(site, state):
                verified = verify_to_keys(site, file, opened, sender)
        progress("steps 1 to 7 passed; checking and re-encrypting the parts")
        result = _store(site, path, state, verified, receipt, progress)
        remove_erased(site)
        site.checkpoint()
        return result


@contextmanager
def _reported(site: OpenSite, state: Arrival) -> Iterator[None]:
    """Record a refusal that is the bundle's doing; a full disk, or a place that is taken, is none of the force's."""
    try:
        yield
    except (VerificationError, PolicyError, LockedError) as error:
        _record_refusal(site, state, error)
        raise


def _store(
    site: OpenSite, path: Path, state: Arrival, verified: Verified, receipt: Path | None, progress: Progress
) -> LoadResult:
    plan = _Plan.of(site, verified)
    require_space(site.paths.store, plan.size + plan.size // 8)
    receipt_path = receipt or site.paths.outbox / f"{verified.opened.manifest.bundle}.receipt.json"
    finals = [receipt_path, *(plan.final(site, *place) for place in plan.kept)]
    with publication.publishing(site.db, site.paths, finals) as files:
        rewrites = {
            place: Rewrite(item.temporary, plan.part_key(*place))
            for place, item in zip(plan.kept, files[1:], strict=True)
        }
        written: dict[tuple[str, str, int], PartResult] = {}
        with _reported(site, state):
            for place, result in zip(plan.every, checked_parts(path, verified, rewrites), strict=True):
                written[place] = result
                progress(f"{len(written)} of {len(plan.every)} parts checked")
        return _commit(site, verified, plan, written, files)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which parts go into the store, under which keys, and which had expired, were recalled, or are older than what is
    held.
    """

    manifest: Manifest
    every: tuple[tuple[str, str, int], ...]
    kept: tuple[tuple[str, str, int], ...]
    local: dict[tuple[str, str], bytes]
    superseded: tuple[holdings.Part, ...]
    recalled: frozenset[tuple[str, str]]
    newer: tuple[str, ...]

    @classmethod
    def of(cls, site: OpenSite, verified: Verified) -> _Plan:
        manifest, agreement = verified.opened.manifest, verified.standing.agreement
        now = site.now()
        snapshots = [table.name for table in manifest.tables if table.name in SNAPSHOTS]
        loaded = _loaded_bundles(site, verified) if snapshots else ()
        held: dict[str, _Held] = {name: _held_snapshot(site, verified, name, loaded) for name in snapshots}
        every = tuple((table.name, part.day, part.n) for table in manifest.tables for part in table.parts)
        recalled = recalled_since(site, manifest, verified.standing.sender.site) & {place[:2] for place in every}

        def is_kept(table: str, day: str) -> bool:
            if (table in held and held[table].is_newer) or (table, day) in recalled:
                return False
            return not agreement.is_expired(table, agreement.counted_day(day, manifest.created, now), now)

        kept = tuple(place for place in every if is_kept(place[0], place[1]))
        local: dict[tuple[str, str], bytes] = {
            (table, day): secrets.token_bytes(parquet.KEY_BYTES) for table, day, _ in kept
        }
        replacing = {table for table, _, _ in kept}
        replaced = tuple(part for name in held if name in replacing for part in held[name].parts)
        newer = tuple(name for name in held if held[name].is_newer)
        return cls(manifest, every, kept, local, replaced, recalled, newer)

    @property
    def size(self) -> int:
        """The size in the bundle of what is kept: encrypted anew, it is of about that size."""
        sizes: dict[tuple[str, str, int], int] = {
            (table.name, part.day, part.n): part.bytes for table in self.manifest.tables for part in table.parts
        }
        return sum(sizes[place] for place in self.kept)

    def part_key(self, table: str, day: str, n: int) -> bytes:
        return parquet.part_key(self.local[table, day], self.manifest.bundle, table, day, n)

    def final(self, site: OpenSite, table: str, day: str, n: int) -> Path:
        return site.paths.part(self.manifest.agreement_id, table, day, self.manifest.bundle, n)


@dataclass(frozen=True, slots=True)
class _Held:
    """A snapshot recorded from the sender; ``is_newer`` if one newer than this bundle's has come from it already."""

    parts: tuple[holdings.Part, ...]
    is_newer: bool


def _loaded_bundles(site: OpenSite, verified: Verified) -> Sequence[holdings.Bundle]:
    agreement = verified.standing.agreement.id
    return holdings.bundles(site.db, site.require_vault(), direction="loaded", agreement=agreement)


def _held_snapshot(site: OpenSite, verified: Verified, table: str, loaded: Sequence[holdings.Bundle]) -> _Held:
    vault, agreement, sender = site.require_vault(), verified.standing.agreement.id, verified.standing.sender.site
    found = holdings.parts(site.db, vault, agreement=agreement, tbl=table)
    created = verified.opened.manifest.created
    is_newer = holdings.newest_snapshots(loaded, table).get(sender, created) > created
    return _Held(tuple(part for part in found if part.source == sender), is_newer)


def _commit(
    site: OpenSite,
    verified: Verified,
    plan: _Plan,
    written: dict[tuple[str, str, int], PartResult],
    files: Sequence[publication.Publication],
) -> LoadResult:
    """Decide on a load in one transaction; the first of the files is the receipt."""
    manifest, standing, vault = verified.opened.manifest, verified.standing, site.require_vault()
    agreement, sender = standing.agreement, standing.sender
    now = site.now()
    rows: dict[str, int] = {}
    expired = 0
    days: dict[tuple[str, str], receipts.LoadedDay] = {}
    kept = frozenset(plan.kept)
    for place in plan.every:
        table, day, _ = place
        count = written[place].rows
        taken, gone = (count, 0) if place in kept else (0, count)
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
    document = receipting.sign_receipt(site, agreement, sender, "bundle", loaded=(loaded,))
    create_private(files[0].temporary, document.encode())
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
        records.put(site.db, holdings.KnownManifest(verified.opened.envelope.digest, verified.opened.envelope.encode()))
        _drop_superseded(site, agreement, plan.superseded, now)
        for (table, day), key in plan.local.items():
            holdings.put_day_key(site.db, vault, KeyPlace(agreement.id, table, day, manifest.bundle), key)
        for place in plan.kept:
            _add_part(site, agreement, sender.site, plan, place, written[place])
        holdings.hold(
            site.db,
            vault,
            [
                holdings.HeldDay(agreement.id, sender.site, table, day, manifest.bundle)
                for table, day in plan.local
                if table == "reads"
            ],
        )
        _add_coverage(site, standing, verified.sealed, plan.recalled)
        for key in verified.keys.values():
            holdings.remember_key(site.db, vault, key)
        holdings.destroy_onetime_key(site.db, manifest.request, verified.window.first)
        heads.keep(site, sender.site, verified.opened.envelope.digest, manifest.head)
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
    notes = [
        accounting.expired_text(agreement, table, now)
        for table in sorted({table for table, day, _ in plan.every})
        if any(
            agreement.is_expired(table, agreement.counted_day(day, manifest.created, now), now)
            for name, day, _ in plan.every
            if name == table
        )
    ]
    if plan.recalled:
        notes.append("days that a notice has recalled since this bundle was made are not kept: ask for them anew")
    notes += [f"a newer bundle brought {table} already, so these are not kept" for table in plan.newer]
    return LoadResult(
        manifest.bundle,
        agreement.id,
        sender.site,
        rows,
        expired,
        again=False,
        receipt=files[0].final,
        disclosure_risk=verified.sealed.quality.disclosure_risk,
        notes=tuple(notes),
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
        raise StorageError("a part was checked but not written", hint="run the command again")
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


def _add_coverage(site: OpenSite, standing: Standing, sealed: Sealed, recalled: frozenset[tuple[str, str]]) -> None:
    """Record what came of each day; of one that is held or recalled this bundle brings nothing, and says nothing."""
    quality = sealed.quality.of("reads")
    for day in quality.days if quality is not None else ():
        if day.day not in standing.held and ("reads", day.day.isoformat()) not in recalled:
            records.put(
                site.db,
                holdings.Coverage(standing.agreement.id, standing.sender.site, day.day, day.rows, day.rejected),
                site.require_vault(),
            )


def _drop_superseded(
    site: OpenSite, agreement: agreements.Agreement, parts: Sequence[holdings.Part], now: datetime
) -> None:
    """A newer snapshot of a table replaces the older one: its key goes in the transaction that brings the newer."""
    rows: Counter[tuple[KeyPlace, str]] = Counter()
    for part in parts:
        rows[part.place, part.source] += part.rows
    for (place, source), count in rows.items():
        erase(site, place, source, count, "replaced", due=now, now=now)
        site.record(
            "erasure",
            place.bundle,
            {
                "agreement": agreement.digest,
                "days": [place.day],
                "reason": "replaced",
                "rows": count,
                "table": place.tbl,
            },
        )


def _reprint(site: OpenSite, manifest: Manifest, known: holdings.Bundle, receipt: Path | None) -> LoadResult:
    path = receipt or site.paths.outbox / f"{manifest.bundle}.receipt.json"
    if known.receipt is None:
        raise StorageError(
            "the receipt of this bundle is not recorded here", hint="anpr-share receipt create makes a new one"
        )
    receipting.reprint(site, path, known.receipt)
    rows: dict[str, int] = {}
    expired = 0
    for loaded in receipts.parse(known.receipt)[0].loaded:
        for day in loaded.days:
            rows[day.table] = rows.get(day.table, 0) + day.rows
            expired += day.expired
    notes = []
    if sum(rows.values()) and manifest.bundle not in holdings.held_bundles(site.db, known.agreement):
        notes.append("nothing of it is held here any more: days that may still be held must be asked for anew")
    return LoadResult(
        manifest.bundle, known.agreement, known.partner, rows, expired, again=True, receipt=path, notes=tuple(notes)
    )


def _record_refusal(site: OpenSite, state: Arrival, error: AnprShareError) -> None:
    """One ledger entry, and one line of the next receipt, for a bundle that was refused."""
    manifest = state.opened.manifest if state.opened is not None else None
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
                step=error.step,
                reason=error.code,
                at=site.now(),
            ),
        )
        site.record(
            "load-refused",
            manifest.bundle if manifest is not None else "unknown",
            {"file": state.digest, "reason": error.code, "step": error.step},
        )
    site.checkpoint()
