"""A bundle in answer to a request: check, minimise, pseudonymise, split by day, seal, sign.

Guarantees: what the agreement does not allow does not leave; a window is answered once; the bundle appears under its
name only after everything in it is written and synced and the export is in the ledger, in one transaction; a run that
fails or is killed leaves no bundle and no used window, and a run killed after the transaction is finished by the next.
Plaintext is never on disk: parts are encrypted as they are written, and what does not fit in memory goes through
temporary parts under a key that lives in memory alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anpr_share import container, periods
from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import manifest as manifests
from anpr_share.documents.keys import seal
from anpr_share.documents.model import WindowTerms, write
from anpr_share.errors import InputError
from anpr_share.files import storage_errors
from anpr_share.parquet import KEY_BYTES, PartFile, part_key, write_padded, write_part
from anpr_share.periods import UNDATED
from anpr_share.risk.unicity import UnicitySample
from anpr_share.site import holdings, publication, records
from anpr_share.site.files import open_private
from anpr_share.tables.checks import read_times
from anpr_share.tables.extract import Extract, Input, open_extract
from anpr_share.tables.report import writing_rejects
from anpr_share.tables.times import local_days
from anpr_share.vrm import RULES
from anpr_share.work import accounting, answering, heads, measuring
from anpr_share.work.accounting import EXPIRED, OUTSIDE_WINDOW
from anpr_share.work.ahead import ahead
from anpr_share.work.minimising import OnRejects, ReadsPipeline, open_reads, reads_pipeline
from anpr_share.work.placing import release_cameras
from anpr_share.work.progress import Progress
from anpr_share.work.targeting import Snapshot, release_targets

if TYPE_CHECKING:
    import polars as pl

    from anpr_share.documents.agreement import Agreement
    from anpr_share.documents.request import RequestedWindow
    from anpr_share.pseudonyms import LinkageKey
    from anpr_share.site.opened import OpenSite
    from anpr_share.tables.profile import Profile
    from anpr_share.work.answering import Answer


RELEASES: Mapping[str, Callable[[Sequence[str], Profile, Agreement, LinkageKey, str], Snapshot]] = {
    "targets": release_targets,
    "cameras": release_cameras,
}
"""What of a table without days may leave: by its files, their profile, the agreement, its key and the site's id."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was exported. ``tables`` are the accounts of the quality record; by ``delete_by`` the bundle file must be
    destroyed here; ``disclosure_risk`` is that of the quality record; ``warnings`` are for a person.
    """

    bundle: str
    path: Path
    bytes: int
    agreement: str
    recipient: str
    first: date
    last: date
    tables: tuple[manifests.TableQuality, ...]
    disclosure_risk: dict[str, str]
    delete_by: datetime
    timezone: str
    warnings: tuple[str, ...]


def export(
    site: OpenSite,
    request: bytes,
    reads: Input,
    out: Path,
    *,
    targets: Input | None = None,
    cameras: Input | None = None,
    window: date | None = None,
    authority: str | None = None,
    rejects: Path | None = None,
    progress: Progress,
) -> ExportResult:
    """Answer a request with a bundle at ``out``.

    Raises :class:`PolicyError` for what the agreement, the request or the trust in its sender forbids,
    :class:`InputError` for an extract that cannot be used or of which no row is left, but :class:`PolicyError` if only
    the agreement's limits keep its rows, or if more vehicles would stand out than its ceiling lets,
    :class:`LockedError` without the linkage key.
    """
    authority = answering.checked_authority(authority)
    with site.writing():
        answer = answering.prepare(site, request)
        extract = open_reads(reads.paths, reads.profile, answer.agreement.columns("reads"))
        chosen = answer.choose(window, lambda: _days_of(reads, answer))
        finals = [out] if rejects is None else [out, rejects]
        with answering.publishing(site, finals) as (scratch, files):
            run = _Export(site, answer, chosen, scratch, authority, progress)
            # Targets come first, because a sample keeps the reads of every target.
            found = run.read_snapshot("targets", targets)
            run.target_vehicles = frozenset() if found is None else frozenset(found["vehicle"].to_list())
            run.read_snapshot("cameras", cameras)
            with nullcontext() if rejects is None else writing_rejects(files[1].temporary, extract.names) as on_rejects:
                run.read_reads(extract, on_rejects)
            result = run.commit(files, run.assemble(files[0].temporary))
        site.checkpoint()
        return result


@dataclass(frozen=True, slots=True)
class _Assembled:
    """A bundle that is written and signed, and not yet decided on."""

    envelope: dsse.Envelope
    quality: manifests.Quality
    bytes: int


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
        self.files: dict[str, Path] = {}
        self.rows = self.bytes = 0
        self.accounts: list[manifests.TableQuality] = []
        self.extracts: list[tuple[tuple[Path, ...], str, date]] = []
        self.target_vehicles: frozenset[str] = frozenset()
        self.warnings: list[str] = []
        self.unicity = UnicitySample(self.agreement.terms.reads.resolution)
        self.risk: dict[str, str] = {}

    @property
    def agreement(self) -> Agreement:
        return self.answer.agreement

    @property
    def _today(self) -> date:
        return periods.day_of(self.created, self.agreement.zone)

    def read_snapshot(self, table: str, source: Input | None) -> pl.DataFrame | None:
        """Read a table without days, if it is given, and write what may leave of it, which is returned."""
        if source is None:
            return None
        self.progress(f"reading {table}")
        released = RELEASES[table](
            source.paths, source.profile, self.agreement, self.answer.linkage, self.site.identity.site
        )
        self.extracts.append((released.paths, table, self._today))
        self.accounts.append(accounting.account(table, released.tally, None))
        self.warnings += released.notes
        if released.frame.is_empty():
            self.warnings.append(f"no row of the {table} may leave: the bundle holds no {table}")
        else:
            self._write(table, UNDATED, 0, released.frame)
        return released.frame

    def read_reads(self, extract: Extract, on_rejects: OnRejects | None) -> None:
        """Stream the reads, then write each day."""
        pipeline = reads_pipeline(
            self.site.identity.site,
            self.answer.linkage,
            self.agreement,
            extract.profile,
            self.answer.now,
            window=self.window.window,
            authority=self.authority,
            scratch=self.scratch,
            targets=self.target_vehicles,
            on_rejects=on_rejects,
            unicity=self.unicity,
        )
        self._warn_of_others()
        pipeline.read(extract, self.progress)
        for day, n, frame in ahead(pipeline.parts()):
            self._write("reads", day.isoformat(), n, frame)
            self.progress(f"{day} written")
        tally = pipeline.tally
        if tally.rows_out == 0:
            raise accounting.none_left(tally, self.agreement, "reads", self.created)
        self.risk = measuring.disclosure_risk(self.unicity.result())
        measuring.require_below_ceiling(self.risk, self.agreement)
        self._warn_about_reach(pipeline)
        self.extracts.append((extract.paths, "reads", min(pipeline.days_seen)))
        self.accounts.append(accounting.account("reads", tally, self.window.window))

    def _warn_of_others(self) -> None:
        """A university refuses a day that it holds already."""
        window, site = self.window.window, self.site
        for item in holdings.bundles(site.db, site.vault, direction="exported", agreement=self.agreement.id):
            if item.partner == self.answer.university.site and item.first <= window.last and window.first <= item.last:
                when = f"{item.created:%Y-%m-%d}"
                self.warnings.append(f"days of this window were exported to the same university before, on {when}")
                return

    def _warn_about_reach(self, pipeline: ReadsPipeline) -> None:
        window, days = self.window.window, pipeline.days_seen
        for end, day in (("first", window.first), ("last", window.last)):
            if day not in days:
                self.warnings.append(f"the extract holds no read of {day}, the {end} day of the window")
        if expired := pipeline.tally.withheld[EXPIRED]:
            text = accounting.expired_text(self.agreement, "reads", self.created)
            self.warnings.append(f"{expired:,} rows are too old and stay here: {text}")
        if outside := pipeline.tally.withheld[OUTSIDE_WINDOW]:
            self.warnings.append(f"{outside:,} rows lie outside the window and stay here")
        self.warnings += accounting.notes_on_authority(pipeline.tally)

    def _write(self, table: str, day: str, n: int, frame: pl.DataFrame) -> None:
        key = self.keys.setdefault((table, day), secrets.token_bytes(KEY_BYTES))
        path = self.scratch / f"{table}-{day}-{n}.parquet"
        # How many reads a day has, the manifest says; how many targets or cameras there are, no size shall say either.
        write = write_part if table == "reads" else write_padded
        written: PartFile = write(frame, path, part_key(key, self.bundle, table, day, n))
        self.files[manifests.member_name(table, day, n)] = path
        self.parts.setdefault(table, []).append(
            manifests.Part(
                day=day,
                n=n,
                rows=written.rows if table == "reads" else None,
                bytes=written.bytes,
                sha256=written.sha256,
            )
        )
        self.rows += written.rows if table == "reads" else 0
        self.bytes += written.bytes
        self._require_within_limits()

    def _require_within_limits(self) -> None:
        """Refuse what every recipient would refuse, before more of it is written."""
        over = manifests.LIMITS.exceeded(parts=len(self.files), rows=self.rows, size=self.bytes)
        if over is not None:
            raise InputError(
                f"the bundle would have more {over} than a bundle may have",
                hint="ask the university for shorter windows, such as anpr-share request --every P7D",
            )

    def assemble(self, target: Path) -> _Assembled:
        """Seal the keys, sign the manifest and write the container."""
        answer, terms = self.answer, self.agreement.terms
        self.accounts.sort(key=lambda item: item.table)
        sealed = manifests.Sealed(
            format=1,
            keys=tuple(
                manifests.DayKey(table=table, day=day, key=dsse.to_base64(key))  # type: ignore[arg-type]
                for (table, day), key in sorted(self.keys.items())
            ),
            quality=manifests.Quality(
                tables=tuple(self.accounts),
                sample=terms.reads.sample,
                authority=self.authority,
                disclosure_risk=self.risk,
                notes=tuple(self.warnings),
            ),
        )
        info = manifests.sealed_info(
            self.site.identity.fingerprint, self.agreement.digest, answer.request_digest, self.bundle
        )
        box = seal(dsse.from_base64(self.window.key), info, write(sealed))
        manifest = manifests.Manifest(
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
            head=heads.ours(self.site),
        )
        envelope = dsse.sign(manifests.KIND, write(manifest), self.site.signing_key)
        contents: dict[str, Path | bytes] = {manifests.KEYS_NAME: box, **self.files}
        with storage_errors("the bundle cannot be written"), open_private(target) as file:
            members = [(name, contents[name]) for name in manifest.members()]
            container.write(file, [(container.MANIFEST, envelope.encode()), *members])
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        return _Assembled(envelope, sealed.quality, size)

    def commit(self, files: Sequence[publication.Publication], made: _Assembled) -> ExportResult:
        """One transaction: the window is used, the bundle recorded, the disclosure logged, the files decided on."""
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
                    manifest=made.envelope.digest,
                    key_check=answer.linkage.check,
                    created=self.created,
                    at=site.now(),
                    quality=canonical.encode(made.quality.model_dump(mode="json")),
                    receipt=None,
                ),
                site.vault,
            )
            records.put(site.db, holdings.KnownManifest(made.envelope.digest, made.envelope.encode()))
            for paths, table, day in self.extracts:
                answering.register(site, "extract", paths, self.agreement, table, day)
            oldest = {
                table: self._today if parts[0].day == UNDATED else date.fromisoformat(parts[0].day)
                for table, parts in self.parts.items()
            }
            for table, day in oldest.items():
                answering.register(site, "output", [item.final for item in files], self.agreement, table, day)
            site.record("alteration", self.bundle, {"agreement": self.agreement.digest, "rows": rows})
            site.record(
                "disclosure",
                self.bundle,
                {
                    "agreement": self.agreement.digest,
                    "authority": self.authority,
                    "first": window.first.isoformat(),
                    "last": window.last.isoformat(),
                    "manifest": made.envelope.digest,
                    "recipient": answer.university.site,
                    "request": answer.request_digest,
                    "rows": rows,
                },
            )
            publication.commit(site.db, files)
        return ExportResult(
            bundle=self.bundle,
            path=files[0].final,
            bytes=made.bytes,
            agreement=self.agreement.id,
            recipient=answer.university.site,
            first=window.first,
            last=window.last,
            tables=tuple(self.accounts),
            disclosure_risk=self.risk,
            delete_by=min(self.agreement.delete_by(table, day) for table, day in oldest.items()),
            timezone=self.agreement.zone.key,
            warnings=tuple(self.warnings),
        )


def _days_of(source: Input, answer: Answer) -> frozenset[date]:
    """The capture days that an extract holds; only its time columns are read."""
    days: set[date] = set()
    for batch in open_extract(source.paths, source.profile, ("captured_at",)).batches():
        times = read_times(batch, source.profile).values.drop_nulls()
        days.update(local_days(times, answer.agreement.zone.key).unique().to_list())
    return frozenset(days)
