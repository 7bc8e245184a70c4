"""A bundle in answer to a request: check, minimise, pseudonymise, split by day, seal, sign.

Guarantees: what the agreement does not allow does not leave; a window is answered once; the bundle appears under its
name only after everything in it is written and synced and the export is in the ledger, in one transaction; a run that
fails or is killed leaves no bundle and no used window, and a run killed after the transaction is finished by the next.
Plaintext is never on disk: parts are encrypted as they are written, and what does not fit in memory goes through
temporary parts under a key that lives in memory alone.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anpr_share import container, periods
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents.keys import seal
from anpr_share.documents.manifest import UNDATED
from anpr_share.documents.model import LedgerHead, WindowTerms, short_text, write
from anpr_share.errors import InputError, UsageError
from anpr_share.parquet import PartFile, part_key, write_part
from anpr_share.site import holdings, publication, records
from anpr_share.site.files import sync_file
from anpr_share.site.purpose import check_purpose
from anpr_share.tables.extract import open_extract
from anpr_share.tables.profile import ReadsColumns
from anpr_share.tables.report import rejects_file
from anpr_share.tables.times import parse_times
from anpr_share.vrm import RULES
from anpr_share.work import accounting, answering
from anpr_share.work.accounting import OUTSIDE_WINDOW
from anpr_share.work.minimising import OnRejects, ReadsPipeline, reads_pipeline
from anpr_share.work.progress import Progress
from anpr_share.work.targeting import release_targets

if TYPE_CHECKING:
    import polars as pl

    from anpr_share.documents.agreement import Agreement
    from anpr_share.documents.request import RequestedWindow
    from anpr_share.site.opened import OpenSite
    from anpr_share.tables.profile import Profile
    from anpr_share.work.answering import Answer


@dataclass(frozen=True, slots=True)
class Input:
    """Files of one table, and the profile that reads them."""

    paths: tuple[str, ...]
    profile: Profile


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was exported. ``tables`` are the accounts of the quality record; ``warnings`` are for a person."""

    bundle: str
    path: Path
    bytes: int
    agreement: str
    recipient: str
    first: date
    last: date
    tables: tuple[manifests.TableQuality, ...]
    warnings: tuple[str, ...]


def export(
    site: OpenSite,
    request: bytes,
    reads: Input,
    out: Path,
    *,
    targets: Input | None = None,
    window: date | None = None,
    authority: str | None = None,
    rejects: Path | None = None,
    progress: Progress,
) -> ExportResult:
    """Answer a request with a bundle at ``out``.

    Raises :class:`PolicyError` for what the agreement, the request or the trust in its sender forbids,
    :class:`InputError` for an extract that cannot be used, :class:`LockedError` without the linkage key.
    """
    if reads.profile.table != "reads":
        raise UsageError("the profile of the reads is for another table")
    if authority is not None:
        authority = check_purpose(short_text(authority, "authority"), "authority")
    with site.writing():
        answer = answering.prepare(site, request)
        chosen = answer.choose(window, lambda: _days_of(reads, answer))
        scratch, bundle_file = publication.stage(
            site.db, site.paths, [site.paths.outbox / f"scratch-{secrets.token_hex(8)}", out]
        )
        try:
            scratch.temporary.mkdir(mode=0o700)
            run = _Export(site, answer, chosen, scratch.temporary, authority, progress)
            with _rejects_of(rejects, reads) as on_rejects:
                run.read_targets(targets)
                run.read_reads(reads, on_rejects)
            size = run.assemble(bundle_file.temporary)
            result = run.commit(bundle_file, size)
            publication.finish(site.db, site.paths, [bundle_file])
        finally:
            publication.abandon(site.db, site.paths, [scratch, bundle_file])
        site.checkpoint()
        return result


class _Export:
    """One run: what it has read so far, and the parts that it has written."""

    def __init__(
        self,
        site: OpenSite,
        answer: Answer,
        window: RequestedWindow,
        scratch: Path,
        authority: str | None,
        progress: Progress,
    ) -> None:
        self.site, self.answer, self.window, self.scratch = site, answer, window, scratch
        self.authority, self.progress = authority, progress
        self.bundle = str(uuid.uuid4())
        self.created: datetime = answer.now.instant.replace(microsecond=0)
        self.keys: dict[tuple[str, str], bytes] = {}
        self.parts: dict[str, list[manifests.Part]] = {}
        self.files: list[tuple[str, Path]] = []
        self.accounts: list[manifests.TableQuality] = []
        self.extracts: list[tuple[tuple[Path, ...], datetime]] = []
        self.target_vehicles: frozenset[str] = frozenset()
        self.warnings: list[str] = []

    @property
    def agreement(self) -> Agreement:
        return self.answer.agreement

    def read_targets(self, source: Input | None) -> None:
        """Targets come first, because a sample keeps the reads of every target."""
        if source is None:
            return
        self.progress("reading targets")
        released = release_targets(
            source.paths, source.profile, self.agreement, self.answer.linkage, self.site.identity.site
        )
        self._register(released.paths, "targets", periods.day_of(self.created, self.agreement.zone))
        self.accounts.append(accounting.account("targets", released.tally, None))
        if released.frame.is_empty():
            self.warnings.append("no row of the targets may leave: the bundle holds no targets")
            return
        self.target_vehicles = released.vehicles
        self._write("targets", UNDATED, 0, released.frame, counted=False)

    def _register(self, paths: Sequence[Path], table: str, oldest: date) -> None:
        """Remember that these files fall due with the oldest day in them."""
        retention = self.agreement.retention(table)
        due = periods.delete_by(oldest, retention, self.agreement.zone, self.agreement.terms.ends)
        self.extracts.append((tuple(paths), due))

    def read_reads(self, source: Input, on_rejects: OnRejects | None) -> None:
        """Stream the reads, then write each day."""
        pipeline = reads_pipeline(
            self.site.identity.site,
            self.answer.linkage,
            self.agreement,
            source.profile,
            self.answer.now,
            window=self.window.window,
            authority=self.authority,
            scratch=self.scratch,
            targets=self.target_vehicles,
            on_rejects=on_rejects,
        )
        pipeline.read(source.paths, self.progress)
        for day, frames in pipeline.days():
            for n, frame in enumerate(frames):
                self._write("reads", day.isoformat(), n, frame, counted=True)
            self.progress(f"{day} written")
        tally = pipeline.tally
        if tally.rows_out == 0:
            raise InputError(
                "no row is left to export: " + accounting.why_none(tally), hint=accounting.hint_none(tally)
            )
        self._warn_about_reach(pipeline)
        self._register(pipeline.paths, "reads", min(pipeline.days_seen))
        self.accounts.append(accounting.account("reads", tally, self.window.window))

    def _warn_about_reach(self, pipeline: ReadsPipeline) -> None:
        window, days = self.window.window, pipeline.days_seen
        for end, day in (("first", window.first), ("last", window.last)):
            if day not in days:
                self.warnings.append(f"the extract holds no read of {day}, the {end} day of the window")
        if outside := pipeline.tally.withheld[OUTSIDE_WINDOW]:
            self.warnings.append(f"{outside:,} rows lie outside the window and stay here")

    def _write(self, table: str, day: str, n: int, frame: pl.DataFrame, *, counted: bool) -> None:
        key = self.keys.setdefault((table, day), secrets.token_bytes(32))
        path = self.scratch / f"{table}-{day}-{n}.parquet"
        written: PartFile = write_part(frame, path, part_key(key, self.bundle, table, day, n))
        self.files.append((manifests.member_name(table, day, n), path))
        self.parts.setdefault(table, []).append(
            manifests.Part(
                day=day, n=n, rows=written.rows if counted else None, bytes=written.bytes, sha256=written.sha256
            )
        )

    def assemble(self, target: Path) -> int:
        """Seal the keys, sign the manifest and write the container; returns its size in bytes."""
        answer, terms, head = self.answer, self.agreement.terms, self.site.ledger.head()
        self.accounts.sort(key=lambda item: item.table)
        sealed = manifests.Sealed(
            format=1,
            keys=tuple(
                manifests.DayKey(table=table, day=day, key=base64.standard_b64encode(key).decode())  # type: ignore[arg-type]
                for (table, day), key in sorted(self.keys.items())
            ),
            quality=manifests.Quality(
                tables=tuple(item for item in self.accounts if item.table in self.parts),
                sample=terms.reads.sample,
                authority=self.authority,
                disclosure_risk=None,
                notes=tuple(self.warnings),
            ),
        )
        info = manifests.sealed_info(
            self.site.identity.fingerprint, self.agreement.digest, answer.request_digest, self.bundle
        )
        box = seal(dsse.from_base64(self.window.key), info, write(sealed))
        self.sealed = sealed
        self.manifest = manifests.Manifest(
            format=1,
            bundle=self.bundle,
            agreement=self.agreement.digest,
            agreement_id=self.agreement.id,
            request=answer.request_digest,
            sender=self.site.identity.fingerprint,
            recipient=answer.university.fingerprint,
            window=WindowTerms(first=self.window.window.first, last=self.window.window.last),
            created=self.created,
            normaliser=RULES,
            key_check=answer.linkage.check,
            tables=tuple(
                manifests.Table(name=name, columns=self.agreement.columns(name), parts=tuple(parts))  # type: ignore[arg-type]
                for name, parts in sorted(self.parts.items())
            ),
            keys=manifests.SealedFile(bytes=len(box), sha256=hashlib.sha256(box).hexdigest()),
            head=LedgerHead(seq=head.seq, hash=head.hash),
        )
        self.envelope = dsse.sign(manifests.KIND, write(self.manifest), self.site.signing_key)
        members: list[tuple[str, Path | bytes]] = [
            (manifests.MANIFEST_NAME, self.envelope.encode()),
            (manifests.KEYS_NAME, box),
            *sorted(self.files, key=lambda item: list(self.manifest.members()).index(item[0])),
        ]
        with target.open("xb") as file:
            container.write(file, members)
        sync_file(target)
        return target.stat().st_size

    def commit(self, bundle_file: publication.Publication, size: int) -> ExportResult:
        """One transaction: the window is used, the bundle recorded, the disclosure logged, the file decided on."""
        site, answer, window = self.site, self.answer, self.window.window
        rows: dict[str, int] = {item.table: item.rows_out for item in self.accounts}
        with site.transaction():
            answering.use_window(site, answer, self.window, self.bundle)
            records.add(
                site.db,
                holdings.Bundle(
                    id=self.bundle,
                    direction="exported",
                    agreement=self.agreement.id,
                    partner=answer.university.site,
                    request=answer.request_digest,
                    first=window.first,
                    last=window.last,
                    manifest=self.envelope.digest,
                    key_check=answer.linkage.check,
                    created=self.created,
                    at=site.now(),
                    quality=canonical.encode(self.sealed.quality.model_dump(mode="json")),
                    receipt=None,
                ),
                site.vault,
            )
            days = [date.fromisoformat(part.day) for part in self.parts["reads"]]
            due = periods.delete_by(
                min(days), self.agreement.retention("reads"), self.agreement.zone, self.agreement.terms.ends
            )
            for paths, extract_due in self.extracts:
                answering.register(site, "extract", paths, self.agreement, extract_due)
            answering.register(site, "output", [str(bundle_file.final)], self.agreement, due)
            site.record("alteration", self.bundle, {"agreement": self.agreement.digest, "rows": rows})
            site.record(
                "disclosure",
                self.bundle,
                {
                    "agreement": self.agreement.digest,
                    "authority": self.authority,
                    "first": window.first.isoformat(),
                    "last": window.last.isoformat(),
                    "manifest": self.envelope.digest,
                    "purpose": self.agreement.terms.title,
                    "recipient": answer.university.site,
                    "request": answer.request_digest,
                    "rows": rows,
                },
            )
            publication.commit(site.db, [bundle_file])
        return ExportResult(
            bundle=self.bundle,
            path=bundle_file.final,
            bytes=size,
            agreement=self.agreement.id,
            recipient=answer.university.site,
            first=window.first,
            last=window.last,
            tables=tuple(self.accounts),
            warnings=tuple(self.warnings),
        )


def _days_of(source: Input, answer: Answer) -> frozenset[date]:
    """The capture days that an extract holds; only its time columns are read."""
    columns, zone = source.profile.columns, answer.agreement.zone.key
    if not isinstance(columns, ReadsColumns):
        raise UsageError("the profile of the reads is for another table")
    days: set[date] = set()
    for batch in open_extract(source.paths, source.profile, ("captured_at",)).batches():
        times = parse_times(batch.frame, columns.captured_at).values
        days.update(times.drop_nulls().dt.convert_time_zone(zone).dt.date().unique().to_list())
    return frozenset(days)


@contextmanager
def _rejects_of(path: Path | None, reads: Input) -> Iterator[OnRejects | None]:
    """The rejects file of the reads, if one is wanted: it appears whole, once every row was read."""
    if path is None:
        yield None
        return
    extract = open_extract(reads.paths, reads.profile, ("vrm",))
    with rejects_file(path, extract.names) as write_rejects:
        yield write_rejects
