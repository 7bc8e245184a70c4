"""An extract pseudonymised for use inside the force: the same checks, minimising and keyed hashing, and no bundle.

Guarantees: the output holds what an export could hold and nothing else; it appears whole or not at all, readable by its
owner alone; it and its extract are registered, so that their deletion is known to be due.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

from anpr_share import periods
from anpr_share.errors import InputError, PolicyError, StorageError, UsageError
from anpr_share.site import publication
from anpr_share.site.files import FILE_MODE, storage_errors, sync_file
from anpr_share.tables import schema
from anpr_share.work import accounting, agreements, answering
from anpr_share.work.minimising import reads_pipeline
from anpr_share.work.targeting import release_targets
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
    """What was written, and until when it may be kept."""

    path: Path
    account: TableQuality
    delete_by: datetime


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
        raise UsageError(f"the output is one of {', '.join(SUFFIXES)}, by its suffix")
    if site.identity.role != "police":
        raise PolicyError("only a force pseudonymises")
    agreement, now = agreements.in_force(site, agreement_id), site.reading()
    require_in_force(agreement, now.instant)
    key = agreements.linkage_key(site, agreement.id)
    with site.writing():
        scratch, output = publication.stage(
            site.db, site.paths, [site.paths.outbox / f"scratch-{secrets.token_hex(8)}", out]
        )
        try:
            with storage_errors("the output cannot be written"):
                scratch.temporary.mkdir(mode=0o700)
            if profile.table == "targets":
                released = release_targets(paths, profile, agreement, key, site.identity.site)
                frames: Iterator[pl.DataFrame] = iter([released.frame])
                _write(frames, "targets", agreement.columns("targets"), output.temporary, out.suffix)
                tally, extracts = released.tally, released.paths
                first = oldest = periods.day_of(now.instant, agreement.zone)
            elif profile.table == "reads":
                pipeline = reads_pipeline(
                    site.identity.site,
                    key,
                    agreement,
                    profile,
                    now,
                    window=None,
                    authority=authority,
                    scratch=scratch.temporary,
                )
                pipeline.read(paths, progress)
                frames = (frame for _, pieces in pipeline.days() for frame in pieces)
                _write(frames, "reads", agreement.columns("reads"), output.temporary, out.suffix)
                tally, extracts = pipeline.tally, pipeline.paths
                today = periods.day_of(now.instant, agreement.zone)
                first, oldest = min(tally.day_rows, default=today), min(pipeline.days_seen, default=today)
            else:
                raise UsageError("the profile is for a table that is not pseudonymised by itself")
            if tally.rows_out == 0:
                raise InputError("no row is left: " + accounting.why_none(tally), hint=accounting.hint_none(tally))
            account = accounting.account(profile.table, tally, None)
            due, extract_due = (
                periods.delete_by(day, agreement.retention(profile.table), agreement.zone, agreement.terms.ends)
                for day in (first, oldest)
            )
            with site.transaction():
                answering.register(site, "extract", extracts, agreement, extract_due)
                answering.register(site, "output", [output.final], agreement, due)
                site.record(
                    "alteration", agreement.id, {"agreement": agreement.digest, "rows": {profile.table: tally.rows_out}}
                )
                publication.commit(site.db, [output])
            publication.finish(site.db, site.paths, [output])
        finally:
            publication.abandon(site.db, site.paths, [scratch, output])
        site.checkpoint()
    return PseudonymiseResult(output.final, account, due)


def _write(frames: Iterator[pl.DataFrame], table: str, columns: tuple[str, ...], target: Path, suffix: str) -> None:
    """Stream frames into one private file."""

    def source(_columns: object, _predicate: object, _rows: object, _batch: object) -> Iterator[pl.DataFrame]:
        yield from frames

    lazy = register_io_source(source, schema=schema.load("release", table).polars(columns))
    with storage_errors("the output cannot be written"):
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), FILE_MODE)
    with closing(os.fdopen(descriptor, "wb")) as file:
        try:
            if suffix == ".csv":
                lazy.sink_csv(file, datetime_format=TIME_FORMAT, engine="streaming")
            else:
                lazy.sink_parquet(file, engine="streaming")
        except (OSError, pl.exceptions.PolarsError):
            raise StorageError("the output cannot be written", hint="is the disk full?") from None
    sync_file(target)
