"""An extract pseudonymised for use inside the force: the same checks, minimising and keyed hashing, and no bundle.

Guarantees: the output holds what an export could hold and nothing else; it appears whole or not at all, readable by its
owner alone; it and its extract are registered, so that their deletion is known to be due.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

from anpr_share import periods
from anpr_share.errors import PolicyError, StorageError, UsageError
from anpr_share.files import storage_errors
from anpr_share.memory import ran_out_of_memory
from anpr_share.site import publication
from anpr_share.site.files import open_private
from anpr_share.tables import schema
from anpr_share.work import accounting, agreements, answering
from anpr_share.work.exporting import RELEASES
from anpr_share.work.minimising import open_reads, reads_pipeline
from anpr_share.work.verifying import require_in_force

if TYPE_CHECKING:
    from anpr_share.documents.manifest import TableQuality
    from anpr_share.site.opened import OpenSite
    from anpr_share.tables.profile import Profile
    from anpr_share.work.progress import Progress

SUFFIXES = (".csv", ".parquet")
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class PseudonymiseResult:
    """What was written, and until when it may be kept; ``warnings`` are for a person."""

    path: Path
    account: TableQuality
    delete_by: datetime
    timezone: str
    warnings: tuple[str, ...]


def pseudonymise(
    site: OpenSite,
    paths: tuple[str, ...],
    profile: Profile,
    agreement_id: str,
    out: Path,
    *,
    authority: str | None = None,
    progress: Progress,
) -> PseudonymiseResult:
    """Write the pseudonymised rows of an extract to ``out``, as CSV or Parquet by its suffix.

    Raises as :func:`anpr_share.work.exporting.export` does.
    """
    if out.suffix not in SUFFIXES:
        raise UsageError(
            f"the output is one of {', '.join(SUFFIXES)}, by its suffix",
            hint="name it such as reads.parquet or reads.csv",
        )
    if site.identity.role != "police":
        raise PolicyError("only a force pseudonymises", hint="what a university holds is pseudonymised already")
    authority = answering.checked_authority(authority)
    agreement, now = agreements.current(site, agreement_id), site.reading()
    require_in_force(agreement, now.instant)
    key = agreements.linkage_key(site, agreement.id)
    with site.writing():
        with answering.publishing(site, [out]) as (scratch, (output,)):
            today = periods.day_of(now.instant, agreement.zone)
            notes: tuple[str, ...] = ()
            if (release := RELEASES.get(profile.table)) is not None:
                released = release(paths, profile, agreement, key, site.identity.site)
                tally, extracts, notes = released.tally, released.paths, released.notes
                oldest = oldest_out = today
                columns = agreement.columns(profile.table)
                _write(iter([released.frame]), profile.table, columns, output.temporary, out.suffix)
            else:
                extract = open_reads(paths, profile, agreement.columns("reads"))
                extracts = extract.paths
                pipeline = reads_pipeline(
                    site.identity.site,
                    key,
                    agreement,
                    profile,
                    now,
                    window=None,
                    authority=authority,
                    scratch=scratch,
                )
                pipeline.read(extract, progress)
                frames = (frame for _, _, frame in pipeline.parts())
                _write(frames, "reads", agreement.columns("reads"), output.temporary, out.suffix)
                tally = pipeline.tally
                oldest, oldest_out = min(pipeline.days_seen, default=today), min(tally.day_rows, default=today)
            if tally.rows_out == 0:
                raise accounting.none_left(tally, agreement, profile.table, now.instant)
            due = agreement.delete_by(profile.table, oldest_out)
            with site.transaction():
                answering.register(site, "extract", extracts, agreement, profile.table, oldest)
                answering.register(site, "output", [output.final], agreement, profile.table, oldest_out)
                site.record(
                    "alteration",
                    agreement.id,
                    {
                        "agreement": agreement.digest,
                        "authority": authority,
                        "rows": {profile.table: tally.rows_out},
                    },
                )
                publication.commit(site.db, [output])
        site.checkpoint()
    warnings = (*notes, *accounting.notes_on_authority(tally))
    counts = accounting.account(profile.table, tally, None)
    return PseudonymiseResult(output.final, counts, due, agreement.zone.key, warnings)


def _write(frames: Iterator[pl.DataFrame], table: str, columns: tuple[str, ...], target: Path, suffix: str) -> None:
    """Stream frames into one private file."""

    def source(_columns: object, _predicate: object, _rows: object, _batch: object) -> Iterator[pl.DataFrame]:
        yield from frames

    lazy = register_io_source(source, schema=schema.load("release", table).polars(columns))
    with storage_errors("the output cannot be written"), open_private(target) as file:
        try:
            if suffix == ".csv":
                lazy.sink_csv(file, datetime_format=TIME_FORMAT, engine="streaming")
            else:
                lazy.sink_parquet(file, engine="streaming")
        except pl.exceptions.PolarsError as error:
            if ran_out_of_memory(error):
                raise
            raise StorageError("the output cannot be written", hint="is the disk full?") from None
        file.flush()
        os.fsync(file.fileno())
