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
from anpr_share.errors import UsageError
from anpr_share.parquet import opening, scan_part, write_part
from anpr_share.pseudonyms import CameraTable, PlateTable, sample_threshold
from anpr_share.tables import schema
from anpr_share.tables.checks import SwappedColumns, camera_cells, prepare_reads, vrm_cells
from anpr_share.tables.extract import Extract, open_extract
from anpr_share.work.accounting import EXPIRED, NEEDS_AUTHORITY, NOT_SAMPLED, OUTSIDE_WINDOW, Tally
from anpr_share.work.ahead import ahead

if TYPE_CHECKING:
    from anpr_share.documents.agreement import Agreement
    from anpr_share.periods import Now
    from anpr_share.pseudonyms import LinkageKey
    from anpr_share.tables.extract import Batch
    from anpr_share.tables.profile import Profile
    from anpr_share.work.progress import Progress

BUFFERED_ROWS = 24_000_000
PART_ROWS = 10_000_000
_SPILLED_PIECE_ROWS = 8_000_000

_STEP_MICROSECONDS = {"1s": 1_000_000, "1m": 60_000_000, "15m": 900_000_000, "1h": 3_600_000_000}


@dataclass(frozen=True, slots=True)
class ReadsRules:
    """What decides about a read that passed the checks.

    ``withhold`` says why a capture day stays in the force, or None; ``targets`` are the vehicle tokens that a sample
    always keeps.
    """

    columns: tuple[str, ...]
    resolution: str
    zone: ZoneInfo
    now: Now
    withhold: Callable[[date], str | None]
    targets: frozenset[str] = frozenset()


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
        self._buffer: list[pl.DataFrame] = []
        self._buffered = 0
        self._spills: dict[date, list[tuple[Path, bytes, int]]] = {}
        self._reasons: dict[date, str | None] = {}

    def read(self, extract: Extract, progress: Progress) -> None:
        """Read a whole extract: check every row, and keep what is to be released.

        Raises :class:`InputError` for an extract that cannot be read as its profile says.
        """
        for batch in ahead(extract.batches()):
            self.add(batch)
            progress(f"{self.tally.rows_in:,} rows read")
        self._swapped.refuse()

    def add(self, batch: Batch) -> None:
        """Check one batch of the extract and keep what is to be released."""
        cells = camera_cells(batch, self._profile)
        plate_ids, camera_ids = self._plates.ids(vrm_cells(batch, self._profile)), self._cameras.ids(cells)
        plates, cameras = self._plates.frame, self._cameras.frame
        missing = cameras["camera"].is_null().gather(camera_ids)
        self._swapped.add(~missing, cameras["plate_like"].gather(camera_ids))
        prepared = prepare_reads(
            batch,
            self._profile,
            now=self._rules.now.instant,
            plate_status=plates["status"].gather(plate_ids),
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
            day=pl.col("captured_at").dt.convert_time_zone(self._rules.zone.key).dt.date(),
        )
        self._count(frame)
        self.tally.resolved.update(prepared.resolved)
        accepted = frame if prepared.masks.is_empty() else frame.filter(pl.col("rule").is_null())
        self._keep(self._withhold(accepted, plates), plates)

    def _count(self, frame: pl.DataFrame) -> None:
        self.tally.rows_in += frame.height
        rejected = frame.filter(pl.col("rule").is_not_null())
        self.tally.rejected.update(_counts(rejected["rule"]))
        self.tally.day_rejected.update(_counts(rejected["day"].drop_nulls()))

    def _withhold(self, accepted: pl.DataFrame, plates: pl.DataFrame) -> pl.DataFrame:
        days = accepted["day"].unique().to_list()
        for day in days:
            if day not in self._reasons:
                self._reasons[day] = self._rules.withhold(day)
        if any(self._reasons[day] is not None for day in days):
            reason = accepted["day"].replace_strict(days, [self._reasons[day] for day in days], return_dtype=pl.String)
            self.tally.withheld.update(_counts(reason.drop_nulls()))
            accepted = accepted.filter(reason.is_null())
        sampled = plates["sampled"]
        if not sampled.all():
            if self._rules.targets:
                sampled = sampled | plates["vehicle"].is_in(list(self._rules.targets)).fill_null(value=False)
            kept = accepted.filter(sampled.gather(accepted["plate"]))
            if dropped := accepted.height - kept.height:
                self.tally.withheld[NOT_SAMPLED] += dropped
            accepted = kept
        return accepted

    def _keep(self, released: pl.DataFrame, plates: pl.DataFrame) -> None:
        tally = self.tally
        tally.rows_out += released.height
        tally.day_rows.update(_counts(released["day"]))
        seen = released["plate"].value_counts(name="rows")
        by_family = seen.select(
            "rows",
            family=plates["family"].gather(seen["plate"]),
            ambiguous=plates["ambiguous"].gather(seen["plate"]),
        )
        for family, rows in by_family.group_by("family").agg(pl.col("rows").sum()).iter_rows():
            tally.families[family] += rows
        tally.ambiguous += int(by_family.filter("ambiguous")["rows"].sum())
        if released.height:
            extra = [_band()] if "confidence" in self._rules.columns else []
            self._buffer.append(released.select("day", "plate", "camera", "captured_at", *extra))
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
        order = _Order(self._plates.frame, self._cameras.frame)
        buffer = pl.concat(self._buffer, rechunk=True)
        self._buffer.clear()
        by_day = buffer.partition_by("day", as_dict=True)
        del buffer
        for key in sorted(by_day):
            day = key[0]
            yield day, self._slices(self._buffered_day(by_day.pop(key), order, day))

    def _buffered_day(self, rows: pl.DataFrame, order: _Order, day: date) -> pl.DataFrame:
        """The rows of a day with their tokens, ordered by all their columns; sorts integers, not tokens."""
        keys = ["prefix", "captured_at", "rank", *_identity(self._rules.columns)[3:]]
        rows = rows.with_columns(
            order.prefix.gather(rows["plate"]).alias("prefix"), order.rank.gather(rows["camera"]).alias("rank")
        ).sort(keys)
        self.tally.duplicates += int(rows.select(_same_as_before(keys)).to_series().sum())
        floored = rows.with_columns(self._floor(day))
        if not floored["captured_at"].equals(rows["captured_at"]):
            floored = floored.sort(keys)
        plate = floored["plate"]
        columns = {
            "vehicle": order.plates["vehicle"].gather(plate),
            "camera": order.cameras["camera"].gather(floored["camera"]),
            "captured_at": floored["captured_at"],
        }
        for name, source in (("vehicle_alike", "vehicle_alike"), ("vrm_family", "family")):
            if name in self._rules.columns:
                columns[name] = order.plates[source].gather(plate).cast(pl.String)
        if "confidence" in self._rules.columns:
            columns["confidence"] = floored["confidence"]
        frame = pl.DataFrame([column.alias(name) for name, column in columns.items()])
        if order.is_split(floored["prefix"], frame["vehicle"]):
            # Two vehicles whose tokens begin alike lie mixed: only their whole tokens can order them.
            frame = frame.sort(_identity(self._rules.columns))
        return frame.select(self._rules.columns)

    def _floor(self, day: date) -> pl.Expr:
        """The time at the agreed resolution, in the agreement's zone, never before the day that it belongs to."""
        start = pl.lit(periods.day_start(day, self._rules.zone)).cast(pl.Datetime("us", "UTC"))
        if self._rules.resolution == "1d":
            return start.alias("captured_at")
        step = _STEP_MICROSECONDS[self._rules.resolution]
        local = pl.col("captured_at").dt.convert_time_zone(self._rules.zone.key)
        offset = (local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_microseconds()
        past = (pl.col("captured_at").dt.timestamp("us") + offset) % step
        return pl.max_horizontal(pl.col("captured_at") - pl.duration(microseconds=past), start).alias("captured_at")

    def _slices(self, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
        yield from frame.iter_slices(self._part_rows)

    def _spill(self) -> None:
        """Write what is buffered to temporary parts, under keys that live only in this object, and forget the ids."""
        if self._buffer:
            plates, cameras = self._plates.frame, self._cameras.frame
            buffer = pl.concat(self._buffer, rechunk=True)
            self._buffer.clear()
            for (day,), rows in buffer.partition_by("day", as_dict=True).items():
                frame = rows.select(
                    plates["vehicle"].gather(rows["plate"]).alias("vehicle"),
                    *([plates["vehicle_alike"].gather(rows["plate"])] if "vehicle_alike" in plates.columns else []),
                    plates["family"].gather(rows["plate"]).cast(pl.String).alias("vrm_family"),
                    cameras["camera"].gather(rows["camera"]).alias("camera"),
                    "captured_at",
                    *(["confidence"] if "confidence" in rows.columns else []),
                )
                key, spills = secrets.token_bytes(32), self._spills.setdefault(day, [])
                path = self._scratch / f"spill-{day.isoformat()}-{len(spills)}.parquet"
                write_part(frame, path, key)
                spills.append((path, key, frame.height))
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
        identity = [
            "vehicle",
            "captured_at",
            "camera",
            *(["confidence"] if "confidence" in self._rules.columns else []),
        ]
        for piece, low in enumerate(bounds):
            inside = pl.col("vehicle") >= low
            if piece + 1 < pieces:
                inside &= pl.col("vehicle") < bounds[piece + 1]
            with opening():
                frame = pl.concat([scan_part(path, key).filter(inside).collect() for path, key, _ in spills])
            frame = frame.sort(identity)
            self.tally.duplicates += int(frame.select(_same_as_before(identity)).to_series().sum())
            ordered = frame.with_columns(self._floor(day)).sort(identity).select(self._rules.columns)
            yield from self._slices(ordered)
        for path, _, _ in spills:
            path.unlink()


class _Order:
    """What rows are sorted by in place of their tokens: integers that sort as the tokens do.

    A vehicle's is the first 64 bits of its token. Two vehicles share them once in many millions of exports; then
    :meth:`is_split` says so.
    """

    def __init__(self, plates: pl.DataFrame, cameras: pl.DataFrame) -> None:
        self.plates, self.cameras = plates, cameras
        prefix = plates["vehicle"].str.slice(0, 16).str.decode("hex")
        self.prefix = prefix.bin.reinterpret(dtype=pl.UInt64, endianness="big")
        self.rank = cameras["camera"].rank("dense").cast(pl.UInt32)

    def is_split(self, prefix: pl.Series, vehicle: pl.Series) -> bool:
        """Whether neighbouring rows have one prefix and two vehicles."""
        return bool(((prefix == prefix.shift()) & (vehicle != vehicle.shift())).any())


def _identity(columns: Sequence[str]) -> list[str]:
    return ["vehicle", "captured_at", "camera", *(["confidence"] if "confidence" in columns else [])]


def _same_as_before(columns: Sequence[str]) -> pl.Expr:
    """Whether a row of a sorted frame is the same as the one before it, nulls being the same."""
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in columns)
    return same & (pl.int_range(pl.len()) > 0)


def _band() -> pl.Expr:
    """Per cent as one of the bands that the schema lists; no reading, no band."""
    bands = schema.load("release", "reads").field("confidence").enum or ()
    band: pl.Expr = pl.lit(None, dtype=pl.String)
    for name in bands:
        low = float(name.split("-")[0])
        band = pl.when(pl.col("confidence") >= low).then(pl.lit(name)).otherwise(band)
    return band.alias("confidence")


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
    """The pipeline for what an agreement lets out: of one window, or of all days; ``scratch`` is an empty directory."""
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
        targets=targets,
    )
    plates = PlateTable(
        key,
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
