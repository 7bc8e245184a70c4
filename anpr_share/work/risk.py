"""How identifying an extract would be if it were released as an agreement says, before anything is.

Guarantees: the rows that are looked at are those that an export would release, by the same checks, limits and sample,
in whatever window; nothing is written but, where reads do not fit in memory, temporary parts under a key that lives in
memory alone; the result holds counts and shares, and nothing of any one vehicle or camera.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from anpr_share import periods
from anpr_share.documents.agreement import require_signed
from anpr_share.documents.draft import read_any
from anpr_share.documents.manifest import Quality
from anpr_share.documents.model import validate
from anpr_share.errors import InputError, PolicyError, VerificationError
from anpr_share.files import storage_errors
from anpr_share.periods import Duration, Now
from anpr_share.pseudonyms import SECRET_BYTES, LinkageKey
from anpr_share.risk.choices import Terms, choices, recommendation
from anpr_share.risk.figures import Released, RiskResult, Scope, Unicity, above
from anpr_share.risk.key_loss import key_loss
from anpr_share.risk.scopes import and_coarser, coarsened, measured, numbered, scope
from anpr_share.risk.unicity import draw
from anpr_share.site import holdings
from anpr_share.words import count
from anpr_share.work import accounting, agreements
from anpr_share.work.minimising import open_reads, reads_pipeline
from anpr_share.work.placing import release_cameras

if TYPE_CHECKING:
    from datetime import datetime

    from anpr_share.documents.agreement import Agreement
    from anpr_share.site.opened import OpenSite
    from anpr_share.tables.extract import Input
    from anpr_share.work.progress import Progress

MOST_ROWS: Final = 100_000_000
"""Reads that are looked at together, in memory: some 100 bytes each."""

USUAL_K: Final = 10
"""How many vehicles are enough around a read, where the agreement has no rule for its cameras."""

_MEASURED_PLATES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Basis:
    """What reads are looked at under: the agreement, and the key and the site whose tokens they would get.

    ``exported`` are the bundles that left under it, each with the days of its reads; None where nobody knows.
    """

    agreement: Agreement
    key: LinkageKey
    site: str
    now: Now
    exported: tuple[frozenset[date], ...] | None


def of_file(data: bytes, now: datetime) -> Basis:
    """The basis of an agreement in a file, signed or still a draft: a key made for this look, and no site.

    Raises :class:`FormatError` and :class:`VerificationError`.
    """
    agreement = read_any(data, trial=True)
    key = LinkageKey(secrets.token_bytes(SECRET_BYTES), agreement.id)
    return Basis(agreement, key, agreement.of_role("police")[0].site, Now(now, leapt=False), None)


def of_site(site: OpenSite, identifier: str) -> Basis:
    """The basis of an agreement in force at a force: its own linkage key, and what was exported under it already.

    Raises :class:`PolicyError` at a university, and for an agreement that is unknown or closed here, and
    :class:`LockedError` without the key.
    """
    if site.identity.role != "police":
        raise PolicyError(
            "only a force has the key of an agreement's sample, and what was exported under it",
            hint="give the agreement's file instead: --agreement agreement.json",
        )
    agreement = agreements.current(site, identifier)
    key = agreements.linkage_key(site, agreement.id)
    bundles = holdings.bundles(site.db, site.vault, direction="exported", agreement=agreement.id)
    exported = tuple(_days(item) for item in bundles)
    return Basis(agreement, key, site.identity.site, site.reading(), exported)


def _days(bundle: holdings.Bundle) -> frozenset[date]:
    """The days of which a bundle has reads."""
    if bundle.quality is None:
        return frozenset()
    account = validate(Quality, bundle.quality, "quality record").of("reads")
    return frozenset() if account is None else frozenset(item.day for item in account.days if item.rows)


def look(
    basis: Basis,
    reads: Input,
    cameras: Input | None = None,
    *,
    progress: Progress,
    per_second: float | None = None,
    most_rows: int = MOST_ROWS,
) -> RiskResult:
    """Measure the disclosure risk of an extract of reads, and of the context of its cameras, if they are given.

    ``per_second`` is how many plates this machine hashes, if that is known already. Raises :class:`UsageError` for the
    profile of another table, :class:`InputError` for an extract that cannot be used, of which no row is left, or that
    has more than ``most_rows`` to release, and :class:`PolicyError` if only the agreement's limits keep its rows, or if
    it has no cameras.
    """
    agreement, context = basis.agreement, None
    if cameras is not None:
        context = release_cameras(cameras.paths, cameras.profile, agreement, basis.key, basis.site).context
    with _scratch() as scratch:
        rows, notes = _released(basis, reads, scratch, progress, most_rows)
    rows = numbered(rows)
    told = agreement.terms.reads
    terms = Terms(told.columns, told.resolution, told.sample, agreement.zone)
    k = USUAL_K if agreement.terms.cameras is None else agreement.terms.cameras.k
    before = frozenset[date]().union(*(basis.exported or ()))
    new = rows.filter(~pl.col("day").is_in(list(before))) if before else rows
    coming = new if new.height else rows
    release = _scope(coming, terms, k, progress)
    so_far = _scope(rows, terms, k, progress) if coming.height < rows.height else None
    ways = []
    for way in choices(coming, terms, release.curves):
        ways.append(way)
        progress(f"{count(len(ways), 'way')} to release compared")
    released = None
    if basis.exported is not None:
        here = before & frozenset(rows["day"].unique().to_list())
        released = Released(len(basis.exported), len(before), len(here))
        notes += _notes_on_days(len(before) - len(here))
    ceiling = None if agreement.terms.risk is None else agreement.terms.risk.unicity4_max
    if ceiling is not None and so_far is not None and above(so_far.curves[0].four.share, ceiling):
        notes.append(
            "with what was released before it is above the agreement's ceiling; an export looks at its own days alone"
        )
    return RiskResult(
        at=basis.now.instant.replace(microsecond=0),
        agreement=agreement.id,
        version=agreement.terms.version,
        signed=_signed(agreement),
        columns=terms.columns,
        resolution=terms.resolution,
        sample=terms.sample or "1",
        ceiling=ceiling,
        released=released,
        release=release,
        so_far=so_far,
        context=context,
        key=key_loss(per_second or _hashed_per_second()),
        choices=tuple(ways),
        recommendation=recommendation(ways, ceiling),
        notes=tuple(notes),
    )


def _notes_on_days(missing: int) -> list[str]:
    """What a person is told of days that were exported, and of which the extracts have no read."""
    if not missing:
        return []
    what = f"of {count(missing, 'day')} that left before, these extracts have no read"
    return [f"{what}: give those extracts too, and they count in what was released so far"]


def _released(
    basis: Basis, reads: Input, scratch: Path, progress: Progress, most: int
) -> tuple[pl.DataFrame, list[str]]:
    """The rows that may leave, in order of their days, and what a person is to know of them."""
    agreement = basis.agreement
    extract = open_reads(reads.paths, reads.profile, agreement.columns("reads"))
    pipeline = reads_pipeline(
        basis.site,
        basis.key,
        agreement,
        reads.profile,
        basis.now,
        window=None,
        authority="not asked yet",  # so that what would need one is looked at too
        scratch=scratch,
    )

    def tell(text: str) -> None:
        if pipeline.tally.rows_out > most:
            raise InputError(
                f"more than {most:,} reads are to be released, and they are looked at in memory",
                hint="give the days of one release, such as a week, with --reads",
            )
        progress(text)

    pipeline.read(extract, tell)
    tally = pipeline.tally
    if tally.rows_out == 0:
        raise accounting.none_left(tally, agreement, "reads", basis.now.instant)
    frames = []
    for frame in pipeline.released():
        frames.append(frame)
        progress(f"{sum(item.height for item in frames):,} reads to release")
    return pl.concat(frames), _notes(basis, tally)


def _notes(basis: Basis, tally: accounting.Tally) -> list[str]:
    terms = basis.agreement.terms
    notes = []
    if kept := sum((tally.rejected + tally.withheld).values()):
        reasons = Counter(tally.rejected) + Counter(tally.withheld)
        told = ", ".join(f"{number:,} {why}" for why, number in reasons.most_common())
        notes.append(f"{kept:,} of {tally.rows_in:,} rows would not be released: {told}")
    if terms.authority_after is not None:
        limit = Duration.parse(terms.authority_after)
        days = [
            day
            for day in tally.day_rows
            if periods.needs_authority(day, basis.now.instant, limit, basis.agreement.zone)
        ]
        if old := sum(tally.day_rows[day] for day in days):
            notes.append(
                f"{old:,} of the reads would leave only with an authority (authority_after in the agreement); they are "
                "counted here as released"
            )
    if terms.reads.sample is not None:
        if basis.exported is None:
            notes.append("the sample is drawn with a key made for this look: an export has other vehicles, as many")
        if terms.targets is not None:
            notes.append("an export keeps every vehicle of its targets too, whatever the sample: they are not counted")
    if more := [name for name in ("vehicle_alike", "confidence") if name in terms.reads.columns]:
        notes.append(f"what {' and '.join(more)} tell beside the points is not counted: it adds to the risk")
    return notes


def _scope(rows: pl.DataFrame, terms: Terms, k: int, progress: Progress) -> Scope:
    curves: list[Unicity] = []
    among = draw(rows["vehicle"])
    for resolution in and_coarser(terms.resolution):
        curves.append(measured(coarsened(rows, resolution, terms.zone), resolution, among))
        progress(f"unicity at {resolution} measured")
    return scope(rows, tuple(curves), k=k)


def _signed(agreement: Agreement) -> bool:
    """Whether every party has signed."""
    try:
        require_signed(agreement)
    except VerificationError:
        return False
    return True


@contextmanager
def _scratch() -> Iterator[Path]:
    """A private directory for what does not fit in memory, gone at the end."""
    with storage_errors("a directory for temporary files cannot be made"):
        directory = tempfile.TemporaryDirectory(prefix="anpr-share-", ignore_cleanup_errors=True)
    with directory as path:
        yield Path(path)


def _hashed_per_second() -> float:
    """How many plates one core of this machine hashes in a second, as whoever has a linkage key would."""
    field = LinkageKey(secrets.token_bytes(SECRET_BYTES), "made-up").field("vrm")
    plates = [b"AA%07d" % number for number in range(_MEASURED_PLATES)]
    begun = time.perf_counter()
    field.digests(plates)
    return _MEASURED_PLATES / (time.perf_counter() - begun)
