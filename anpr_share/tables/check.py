"""Checks a whole extract against its profile and the rules, in constant memory.

What is checked is what `anpr_share.work.exporting` checks, by the same functions, so a row that passes here passes
there. Nothing is kept of the rows but counts and numbers.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from anpr_share.errors import UsageError
from anpr_share.tables.checks import (
    SwappedColumns,
    Vocabulary,
    camera_cells,
    cameras_missing,
    plate_like,
    prepare_cameras,
    prepare_reads,
    prepare_targets,
    read_times,
    split_plates,
    vrm_cells,
)
from anpr_share.tables.extract import open_extract
from anpr_share.tables.report import ReportBuilder, rejects_file
from anpr_share.vrm import canonicalise_series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from anpr_share.tables.checks import Prepared
    from anpr_share.tables.extract import Batch
    from anpr_share.tables.profile import Profile
    from anpr_share.tables.report import CheckReport


def check_extract(
    paths: Sequence[str | Path], profile: Profile, *, now: datetime, rejects: Path | None = None
) -> CheckReport:
    """Check every row of an extract.

    Args:
        paths: files, or patterns of files.
        profile: how they are written; all fields that it maps are checked.
        now: later times are in the future.
        rejects: where to write which rows fail which rules, if anywhere.

    Raises:
        UsageError: no file, a file given twice, or the rejects are to overwrite the extract.
        InputError: columns are missing, doubled or swapped, or a file cannot be read as the profile says.
        FormatError: a Parquet file is damaged or encrypted.
        StorageError: a file cannot be read or written.
    """
    extract = open_extract(paths, profile, profile.fields)
    if rejects is not None and any(path.resolve() == rejects.resolve() for path in extract.paths):
        raise UsageError("the rejects file is one of the extract's files", hint="give it another name")
    builder = ReportBuilder(profile, extract.names, now)
    judge = _Judge(profile, now)
    with ExitStack() as stack:
        write = stack.enter_context(rejects_file(rejects, extract.names)) if rejects is not None else None
        for batch in extract.batches():
            prepared, plates = judge(batch)
            builder.add(prepared, file=batch.file, source_rows=batch.frame.height, plates=plates)
            if write is not None and prepared.masks.width:
                write(batch.file, prepared.failures())
        judge.refuse_swapped()
    return builder.build()


class _Judge:
    """Judges the batches of one extract."""

    def __init__(self, profile: Profile, now: datetime) -> None:
        self._profile = profile
        self._now = now
        self._offences = Vocabulary()
        self._swapped = SwappedColumns(profile, "log" if profile.table == "targets" else "camera")
        by_table: dict[str, Callable[[Batch], tuple[Prepared, pl.DataFrame | None]]] = {
            "reads": self._reads,
            "targets": self._targets,
            "cameras": self._cameras,
        }
        self._judge = by_table[profile.table]

    def __call__(self, batch: Batch) -> tuple[Prepared, pl.DataFrame | None]:
        return self._judge(batch)

    def refuse_swapped(self) -> None:
        self._swapped.refuse()

    def _reads(self, batch: Batch) -> tuple[Prepared, pl.DataFrame]:
        plates = _judged_plates(vrm_cells(batch, self._profile))
        missing = self._camera_missing(batch)
        prepared = prepare_reads(
            batch,
            self._profile,
            now=self._now,
            times=read_times(batch, self._profile),
            plate_status=plates["status"],
            camera_missing=missing,
        )
        return prepared, plates

    def _targets(self, batch: Batch) -> tuple[Prepared, pl.DataFrame]:
        split = split_plates(batch, self._profile)
        plates = _judged_plates(vrm_cells(split, self._profile))
        prepared = prepare_targets(split, self._profile, plate_status=plates["status"], offences=self._offences)
        (log,) = self._profile.columns.sources("log")
        self._swapped.add_cells(batch.frame[log])
        return prepared, plates

    def _cameras(self, batch: Batch) -> tuple[Prepared, None]:
        return prepare_cameras(batch, self._profile, camera_missing=self._camera_missing(batch)), None

    def _camera_missing(self, batch: Batch) -> pl.Series:
        cells = camera_cells(batch, self._profile)
        missing = cameras_missing(cells)
        plates = pl.DataFrame([plate_like(part) for part in cells]).select(pl.any_horizontal(pl.all())).to_series()
        self._swapped.add(~missing, plates)
        return missing


def _judged_plates(cells: pl.Series) -> pl.DataFrame:
    """What vrm-1 says of each cell, worked out once for each distinct one: ``status``, ``family``, ``ambiguous``."""
    distinct = cells.unique()
    judged = canonicalise_series(distinct).select("status", "family", "ambiguous").with_columns(distinct.alias("vrm"))
    return cells.to_frame("vrm").join(judged, on="vrm", how="left", nulls_equal=True, maintain_order="left").drop("vrm")
