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
from anpr_share.errors import UsageError
from anpr_share.parquet import KEY_BYTES, opening, scan_part, write_part
from anpr_share.pseudonyms import sample_threshold
from anpr_share.tables import schema
from anpr_share.tables.checks import SwappedColumns, camera_cells, prepare_reads, read_times, vrm_cells
from anpr_share.tables.extract import Extract, open_extract
from anpr_share.tables.times import UTC_TIME, local_days
from anpr_share.token_tables import CameraTable, PlateTable
from anpr_share.work.accounting import EXPIRED, NEEDS_AUTHORITY, NOT_SAMPLED, OUTSIDE_WINDOW, Tally
from anpr_share.work.ahead import ahead
from anpr_share.work.ordering import Packing, Ranked, numbers, ranked

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

_SECOND = 1_000_000  # microseconds
_LONGEST_DAY = 26 * 3600 * _SECOND
_BANDS = 15  # the most that there could be


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
        buffered_rows: int = BUFFERED_ROWS,
        part_rows: int = PART_ROWS,
    ) -> None:
        self.tally = Tally()
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
        band = _band() if "confidence" in self._rules.columns else pl.lit(0, dtype=pl.UInt8)
        rows = released.select("day", "plate", "camera", "captured_at", band.alias("band"))
        for (day,), some in rows.partition_by("day", as_dict=True, include_key=False).items():
            tally.day_rows[day] += some.height
            self._buffer.setdefault(day, []).append(some)
        self._buffered += released.height
        if self._buffered >= self._buffered_limit or self._plates.full or self._cameras.full:
            self._spill()

    @property
    def days_seen(self) -> frozenset[date]:
        """The capture days of all rows that passed the checks, whether or not they leave."""
        return frozenset(self._reasons)

    def days(self) -> Iterator[tuple[date, Iterator[pl.DataFrame]]]:
        """Each day to release, in order, with its frames of at most ten million rows in final form and order."""
        if self._spills:
            self._spill()
            for day in sorted(self._spills):
                yield day, self._spilled_day(day)
            return
        if not self._buffer:
            return
        tokens, names = self._plates.tokens, self._cameras.frame["camera"]
        plates, cameras = ranked(tokens["order"]), ranked(numbers(names))
        vehicles = self._written(tokens.with_columns(self._plates.facts["family"]), plates)
        places = names.gather(cameras.one)
        for day in sorted(self._buffer):
            rows = pl.concat(self._buffer.pop(day))
            rows = rows.with_columns(
                plate=plates.rank.gather(rows["plate"]), camera=cameras.rank.gather(rows["camera"])
            )
            yield day, self._ordered(rows, vehicles, places, day).iter_slices(self._part_rows)

    def parts(self) -> Iterator[tuple[date, int, pl.DataFrame]]:
        """The frames of all `days`, each with its day and its number within it."""
        for day, frames in self.days():
            for n, frame in enumerate(frames):
                yield day, n, frame

    def _written(self, tokens: pl.DataFrame, vehicles: Ranked) -> pl.DataFrame:
        """What is written for a vehicle of each rank; ``tokens`` has ``vehicle``, ``family`` …, in any order."""
        wanted = ["vehicle", *(name for name in ("vehicle_alike", "vrm_family") if name in self._rules.columns)]
        each = tokens.rename({"family": "vrm_family"}).select(pl.col(wanted).gather(vehicles.one))
        return each.with_columns(pl.col(pl.Enum).cast(pl.String))

    def _ordered(self, rows: pl.DataFrame, vehicles: pl.DataFrame, cameras: pl.Series, day: date) -> pl.DataFrame:
        """The rows of a day as they are released, ordered by all their columns.

        ``rows`` has ``plate`` and ``camera``, which are ranks, ``captured_at`` and ``band``; row by rank, ``vehicles``
        and ``cameras`` have what is written for them.
        """
        start = pl.lit(periods.day_start(day, self._rules.zone)).cast(UTC_TIME)
        past = rows.select((pl.col("captured_at") - start).dt.total_microseconds()).to_series()
        unit = _SECOND if (past % _SECOND == 0).all() else 1
        highest = {"plate": vehicles.height, "time": _LONGEST_DAY // unit, "camera": len(cameras), "band": _BANDS}
        packing = Packing(highest)
        packed = packing.pack(rows.with_columns(time=past // unit)).sort()
        self.tally.duplicates += int((packed == packed.shift()).sum())
        at = (start + pl.duration(microseconds=pl.col("time").cast(pl.Int64) * unit)).alias("captured_at")
        if self._rules.resolution != "1s" or unit != _SECOND:
            coarse = periods.floored(pl.col("captured_at"), self._rules.resolution, day, self._rules.zone)
            coarse = coarse.alias("captured_at")
            rows = packing.unpack(packed).with_columns(at).with_columns(coarse)
            since = (pl.col("captured_at") - start).dt.total_microseconds()
            packed = packing.pack(rows.with_columns(time=since // unit)).sort()
        ordered = packing.unpack(packed).with_columns(at)
        return pl.DataFrame(
            [
                *vehicles.select(pl.all().gather(ordered["plate"])),
                cameras.gather(ordered["camera"]).alias("camera"),
                ordered["captured_at"],
                _band_names(ordered["band"]),
            ]
        ).select(self._rules.columns)

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

    def _spilled_day(self, day: date) -> Iterator[pl.DataFrame]:
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
            plates, cameras = ranked(numbers(rows["vehicle"])), ranked(numbers(rows["camera"]))
            vehicles, names = self._written(rows, plates), rows["camera"].gather(cameras.one)
            rows = rows.select("captured_at", "band", plate=plates.rank, camera=cameras.rank)
            yield from self._ordered(rows, vehicles, names, day).iter_slices(self._part_rows)
        for path, _, _ in spills:
            path.unlink()


def _band() -> pl.Expr:
    """Per cent as the number of its band, from 1; no reading, 0."""
    percent = pl.col("confidence")
    reached = [(percent >= float(name.split("-")[0])).cast(pl.UInt8) for name in _band_labels()]
    return pl.sum_horizontal(reached, ignore_nulls=True)


def _band_names(bands: pl.Series) -> pl.Series:
    names = pl.Series([None, *_band_labels()], dtype=pl.String)
    return names.gather(bands).alias("confidence")


def _band_labels() -> tuple[str, ...]:
    """The bands that the schema lists, each by the per cent at which it begins."""
    return schema.load("release", "reads").field("confidence").enum or ()


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
    return ReadsPipeline(profile, rules, plates, CameraTable(key, site), scratch=scratch, on_rejects=on_rejects)


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
    if profile.table != "reads":
        raise UsageError(
            f"the profile of the reads is for {profile.table}", hint="targets have options of their own: --targets"
        )
    return open_extract(paths, profile, _fields(columns))


def _fields(columns: Sequence[str]) -> tuple[str, ...]:
    """The profile's fields that must be read to make these columns; nothing else is opened."""
    return ("vrm", "camera", "captured_at", *(("confidence",) if "confidence" in columns else ()))
