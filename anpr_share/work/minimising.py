"""Reads of an extract, checked, minimised and pseudonymised, day by day, with every row accounted for.

Guarantees: a row of the extract is either rejected (it fails a check), withheld (the agreement, the window or the
retention limit keeps it in the force) or released, and the counts of the three add up to the rows read. Released days
come out ordered by all their columns, so that nothing of the source's order leaves. Plates and camera names leave this
module only as tokens; what does not fit in memory goes through temporary parts under a key that lives only here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from anpr_share import periods
from anpr_share.documents.manifest import LIMITS
from anpr_share.parquet import KEY_BYTES, opening, scan_part, write_part
from anpr_share.pseudonyms import sample_threshold
from anpr_share.risk.unicity import UnicitySample, visits
from anpr_share.tables.checks import SwappedColumns, camera_cells, prepare_reads, read_times, vrm_cells
from anpr_share.tables.extract import Extract, open_extract, require_table
from anpr_share.tables.times import local_days
from anpr_share.token_tables import CameraTable, PlateTable
from anpr_share.work.accounting import EXPIRED, NEEDS_AUTHORITY, NOT_SAMPLED, OUTSIDE_WINDOW, Tally
from anpr_share.work.ahead import ahead
from anpr_share.work.releasing import Named, band, ordered

if TYPE_CHECKING:
    from anpr_share.documents.agreement import Agreement
    from anpr_share.periods import Now
    from anpr_share.pseudonyms import LinkageKey
    from anpr_share.tables.extract import Batch
    from anpr_share.tables.profile import Profile
    from anpr_share.tables.times import Times
    from anpr_share.work.progress import Progress

BUFFERED_ROWS = 24_000_000
PART_ROWS = LIMITS.rows_of_a_part
_SPILLED_PIECE_ROWS = 8_000_000


@dataclass(frozen=True, slots=True)
class ReadsRules:
    """What decides about a read that passed the checks.

    ``withhold`` says why a capture day stays in the force, or None.
    """

    columns: tuple[str, ...]
    resolution: str
    zone: ZoneInfo
    now: Now
    withhold: Callable[[date], str | None]


OnRejects = Callable[[int, pl.DataFrame], None]
"""Takes the number of a file and the rows of it that failed, as ``row`` and ``rule``."""


class ReadsPipeline:
    """Feeds on the batches of an extract and gives back one ordered frame (or several) for each day to release."""

    def __init__(
        self,
        profile: Profile,
        rules: ReadsRules,
        plates: PlateTable,
        cameras: CameraTable,
        *,
        scratch: Path,
        on_rejects: OnRejects | None = None,
        unicity: UnicitySample | None = None,
        buffered_rows: int = BUFFERED_ROWS,
        part_rows: int = PART_ROWS,
    ) -> None:
        self.tally = Tally()
        self._unicity = unicity
        self._profile, self._rules, self._plates, self._cameras = profile, rules, plates, cameras
        self._scratch, self._on_rejects = scratch, on_rejects
        self._swapped = SwappedColumns(profile, "camera")
        self._buffered_limit, self._part_rows = buffered_rows, part_rows
        self._buffer: dict[date, list[pl.DataFrame]] = {}
        self._buffered = 0
        self._spills: dict[date, list[tuple[Path, bytes, int]]] = {}
        self._reasons: dict[date, str | None] = {}

    def read(self, extract: Extract, progress: Progress) -> None:
        """Read a whole extract: check every row, and keep what is to be released.

        Raises :class:`InputError` for an extract that cannot be read as its profile says.
        """
        for batch, times in ahead((batch, read_times(batch, self._profile)) for batch in extract.batches()):
            self.add(batch, times)
            progress(f"{self.tally.rows_in:,} rows read")
        self._swapped.refuse()

    def add(self, batch: Batch, times: Times) -> None:
        """Check one batch of the extract, whose times have been read, and keep what is to be released."""
        cells = camera_cells(batch, self._profile)
        plate_ids, camera_ids = self._plates.ids(vrm_cells(batch, self._profile)), self._cameras.ids(cells)
        facts, cameras = self._plates.facts, self._cameras.frame
        missing = cameras["camera"].is_null().gather(camera_ids)
        self._swapped.add(~missing, cameras["plate_like"].gather(camera_ids))
        prepared = prepare_reads(
            batch,
            self._profile,
            now=self._rules.now.instant,
            times=times,
            plate_status=facts["status"].gather(plate_ids),
            camera_missing=missing,
        )
        if self._on_rejects is not None:
            self._on_rejects(batch.file, prepared.failures())
        extra = ["confidence"] if "confidence" in self._rules.columns else []
        frame = prepared.frame.select(
            "rule",
            "captured_at",
            *extra,
            plate_ids.alias("plate"),
            camera_ids.alias("camera"),
            day=local_days(times.values, self._rules.zone.key),
        )
        self._count(frame)
        self.tally.resolved.update(prepared.resolved)
        accepted = frame if prepared.masks.is_empty() else frame.filter(pl.col("rule").is_null())
        self._keep(self._withhold(accepted, facts["sampled"]), facts)

    def _count(self, frame: pl.DataFrame) -> None:
        self.tally.rows_in += frame.height
        rejected = frame.filter(pl.col("rule").is_not_null())
        self.tally.rejected.update(_counts(rejected["rule"]))
        self.tally.day_rejected.update(_counts(rejected["day"].drop_nulls()))

    def _withhold(self, accepted: pl.DataFrame, sampled: pl.Series) -> pl.DataFrame:
        days = accepted["day"].unique().to_list()
        for day in days:
            if day not in self._reasons:
                self._reasons[day] = self._rules.withhold(day)
        if any(self._reasons[day] is not None for day in days):
            reason = accepted["day"].replace_strict(days, [self._reasons[day] for day in days], return_dtype=pl.String)
            self.tally.withheld.update(_counts(reason.drop_nulls()))
            accepted = accepted.filter(reason.is_null())
        if not sampled.all():
            kept = accepted.filter(sampled.gather(accepted["plate"]))
            if dropped := accepted.height - kept.height:
                self.tally.withheld[NOT_SAMPLED] += dropped
            accepted = kept
        return accepted

    def _keep(self, released: pl.DataFrame, facts: pl.DataFrame) -> None:
        tally = self.tally
        tally.rows_out += released.height
        tally.families.update(_counts(facts["family"].gather(released["plate"])))
        tally.ambiguous += int(facts["ambiguous"].gather(released["plate"]).sum())
        certainty = band() if "confidence" in self._rules.columns else pl.lit(0, dtype=pl.UInt8)
        rows = released.select("day", "plate", "camera", "captured_at", certainty.alias("band"))
        for (day,), some in rows.partition_by("day", as_dict=True, include_key=False).items():
            tally.day_rows[day] += some.height
            self._buffer.setdefault(day, []).append(some)
        self._buffered += released.height
        if self._buffered >= self._buffered_limit or self._plates.full or self._cameras.full:
            self._look()
            self._spill()

    @property
    def days_seen(self) -> frozenset[date]:
        """The capture days of all rows that passed the checks, whether or not they leave."""
        return frozenset(self._reasons)

    def days(self) -> Iterator[tuple[date, Iterator[pl.DataFrame]]]:
        """Each day to release, in order, with its frames of at most ten million rows in final form and order."""
        columns = self._rules.columns
        for day, pieces in self._ordered_days():
            yield day, (some for rows, named in pieces for some in named.written(rows, columns, self._part_rows))

    def released(self) -> Iterator[pl.DataFrame]:
        """The rows to release, without a token, day by day: for what only looks at them.

        ``vehicle`` and ``camera`` (UInt64) are the first half of the tokens, ``at`` (Datetime, UTC) is at the agreed
        resolution, ``day`` (Date) the capture day and ``kind`` (UInt8) the family; ``camera`` and ``kind`` are there
        only if the agreement lets them out.
        """
        for day, pieces in self._ordered_days():
            for rows, named in pieces:
                yield named.released(rows, self._rules.columns).with_columns(day=pl.lit(day))

    def _ordered_days(self) -> Iterator[tuple[date, Iterator[tuple[pl.DataFrame, Named]]]]:
        """Each day in order, as pieces whose rows are ranks in order. What measures unicity sees all of it twice."""
        self._look()
        if self._spills:
            self._spill()
        if self._unicity is not None:
            self._unicity.draw()
        if self._spills:
            for day in sorted(self._spills):
                yield day, self._spilled_day(day)
            return
        if not self._buffer:
            return
        named, plates, cameras = self._named().by_rank()
        for day in sorted(self._buffer):
            rows = pl.concat(self._buffer.pop(day))
            rows = rows.with_columns(
                plate=plates.rank.gather(rows["plate"]), camera=cameras.rank.gather(rows["camera"])
            )
            yield day, iter([(self._ordered(rows, named, day), named)])

    def parts(self) -> Iterator[tuple[date, int, pl.DataFrame]]:
        """The frames of all `days`, each with its day and its number within it."""
        for day, frames in self.days():
            for n, frame in enumerate(frames):
                yield day, n, frame

    def _named(self) -> Named:
        tokens = self._plates.tokens.with_columns(self._plates.facts["family"])
        return Named(tokens, self._cameras.frame["camera"])

    def _ordered(self, rows: pl.DataFrame, named: Named, day: date) -> pl.DataFrame:
        found, duplicates = ordered(rows, named, day, self._rules.resolution, self._rules.zone)
        self.tally.duplicates += duplicates
        if self._unicity is not None:
            self._unicity.match(visits(named.released(found, self._rules.columns)))
        return found

    def _look(self) -> None:
        """The first pass of what measures unicity, over what is buffered, before it is spilled or ordered."""
        if self._unicity is None or not self._buffer:
            return
        named = self._named()
        present = pl.concat(frame["plate"].unique() for frames in self._buffer.values() for frame in frames).unique()
        self._unicity.admit(named.ids.gather(present))
        wanted = self._unicity.wants(named.ids).fill_null(value=False)
        for day, frames in self._buffer.items():
            rows = pl.concat(frame.filter(wanted.gather(frame["plate"])) for frame in frames)
            coarse = periods.floored(pl.col("captured_at"), self._rules.resolution, day, self._rules.zone)
            rows = rows.with_columns(captured_at=coarse)
            self._unicity.add(visits(named.released(rows, self._rules.columns)))

    def _spill(self) -> None:
        """Write what is buffered to temporary parts, under keys that live only in this object, and forget the ids."""
        if self._buffer:
            tokens = self._plates.tokens.drop("order").with_columns(self._plates.facts["family"].cast(pl.String))
            cameras = self._cameras.frame["camera"]
            for day, frames in self._buffer.items():
                rows = pl.concat(frames)
                frame = pl.DataFrame(
                    [
                        *tokens.select(pl.all().gather(rows["plate"])),
                        cameras.gather(rows["camera"]),
                        rows["captured_at"],
                        rows["band"],
                    ]
                )
                key, spills = secrets.token_bytes(KEY_BYTES), self._spills.setdefault(day, [])
                path = self._scratch / f"spill-{day.isoformat()}-{len(spills)}.parquet"
                write_part(frame, path, key)
                spills.append((path, key, frame.height))
            self._buffer.clear()
            self._buffered = 0
        if self._plates.full:
            self._plates.clear()
        if self._cameras.full:
            self._cameras.clear()

    def _spilled_day(self, day: date) -> Iterator[tuple[pl.DataFrame, Named]]:
        spills = self._spills[day]
        pieces = -(-sum(rows for _, _, rows in spills) // min(_SPILLED_PIECE_ROWS, self._part_rows))
        # Tokens are uniform, so equal ranges of their first 32 bits hold about equal numbers of vehicles.
        bounds = [f"{(piece << 32) // pieces:08x}" for piece in range(pieces)]
        for piece, low in enumerate(bounds):
            inside = pl.col("vehicle") >= low
            if piece + 1 < pieces:
                inside &= pl.col("vehicle") < bounds[piece + 1]
            with opening():
                rows = pl.concat([scan_part(path, key).filter(inside).collect() for path, key, _ in spills])
            tokens = rows.select(name for name in rows.columns if name not in {"captured_at", "band", "camera"})
            named, plates, cameras = Named(tokens, rows["camera"]).by_rank()
            rows = rows.select("captured_at", "band", plate=plates.rank, camera=cameras.rank)
            yield self._ordered(rows, named, day), named
        for path, _, _ in spills:
            path.unlink()


def _counts(series: pl.Series) -> dict[Any, int]:
    counts = series.value_counts(name="rows")
    return dict(zip(counts[series.name].to_list(), counts["rows"].to_list(), strict=True))


def reads_pipeline(
    site: str,
    key: LinkageKey,
    agreement: Agreement,
    profile: Profile,
    now: Now,
    *,
    window: periods.Window | None,
    authority: str | None,
    scratch: Path,
    targets: frozenset[str] = frozenset(),
    on_rejects: OnRejects | None = None,
    unicity: UnicitySample | None = None,
) -> ReadsPipeline:
    """The pipeline for what an agreement lets out: of one window, or of all days; ``scratch`` is an empty directory.

    A sample keeps ``targets``, which are vehicle tokens, whatever else it keeps.
    """
    terms = agreement.terms.reads
    after = agreement.terms.authority_after
    rules = ReadsRules(
        columns=terms.columns,
        resolution=terms.resolution,
        zone=agreement.zone,
        now=now,
        withhold=withhold_rule(
            zone=agreement.zone,
            now=now,
            retention=agreement.retention("reads"),
            ends=agreement.terms.ends,
            window=window,
            authority_after=periods.Duration.parse(after) if after is not None and authority is None else None,
        ),
    )
    plates = PlateTable(
        key,
        always=targets,
        alike="vehicle_alike" in terms.columns,
        sample=sample_threshold(terms.sample) if terms.sample is not None else None,
    )
    cameras = CameraTable(key, site)
    return ReadsPipeline(profile, rules, plates, cameras, scratch=scratch, on_rejects=on_rejects, unicity=unicity)


def withhold_rule(
    *,
    zone: ZoneInfo,
    now: Now,
    retention: periods.Duration,
    ends: date,
    window: periods.Window | None,
    authority_after: periods.Duration | None,
) -> Callable[[date], str | None]:
    """Why a capture day stays in the force, as a function of the day: window, then retention, then authority.

    ``authority_after`` is None where no authority is needed, or one was given.
    """

    def reason(day: date) -> str | None:
        if window is not None and not window.contains(day):
            return OUTSIDE_WINDOW
        if periods.is_expired(day, now.instant, retention, zone, ends):
            return EXPIRED
        if authority_after is not None and periods.needs_authority(day, now.instant, authority_after, zone):
            return NEEDS_AUTHORITY
        return None

    return reason


def open_reads(paths: Sequence[str], profile: Profile, columns: Sequence[str]) -> Extract:
    """Open an extract of reads for these columns of the agreement: nothing else of it is read.

    Raises :class:`UsageError` if the profile is for another table, and as
    :func:`anpr_share.tables.extract.open_extract` does.
    """
    require_table(profile, "reads")
    return open_extract(paths, profile, _fields(columns))


def _fields(columns: Sequence[str]) -> tuple[str, ...]:
    """The profile's fields that must be read to make these columns; nothing else is opened."""
    return ("vrm", "camera", "captured_at", *(("confidence",) if "confidence" in columns else ()))
