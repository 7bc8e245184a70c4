"""Whether a force's extracts hold anything to study: targets step by step, with or without the reads.

Guarantees: nothing leaves, nothing is written, no site is needed. Targets are judged by the checks that export applies,
and so are reads. Memory is bounded by the targets and by the number of distinct vehicles in the reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from anpr_share import periods
from anpr_share.errors import InputError
from anpr_share.feasibility import base_rate, funnel, race, verdict
from anpr_share.feasibility.figures import FeasibilityResult, Settings
from anpr_share.tables.checks import (
    SwappedColumns,
    Vocabulary,
    camera_cells,
    cameras_missing,
    plate_like,
    prepare_reads,
    prepare_targets,
    read_times,
    split_plates,
    vrm_cells,
)
from anpr_share.tables.extract import Input, open_extract, require_table
from anpr_share.tables.profile import TargetsProfile
from anpr_share.tables.times import local_days
from anpr_share.vrm import canonicalise_series
from anpr_share.words import count
from anpr_share.work.ahead import ahead

if TYPE_CHECKING:
    from anpr_share.tables.checks import Prepared
    from anpr_share.tables.extract import Batch
    from anpr_share.tables.profile import Profile
    from anpr_share.tables.times import Times
    from anpr_share.work.progress import Progress

_NEVER_READ = frozenset({"handling"})
_READS_FIELDS = ("vrm", "camera", "captured_at")
MERGED_AT = 1 << 22
"""What may wait to be merged with what was seen before: merging after each batch would cost more than reading."""


def check(targets: Input, reads: Input | None, *, now: datetime, progress: Progress) -> FeasibilityResult:
    """Take the targets of an extract through the steps of their profile.

    Raises:
        UsageError: a profile is for another table; a file is given twice.
        InputError: columns are missing, doubled or swapped, or a file cannot be read as its profile says.
        FormatError: a Parquet file is damaged or encrypted.
        StorageError: a file cannot be read.
    """
    profile = targets.profile
    require_table(profile, "targets")
    assert isinstance(profile, TargetsProfile)
    if reads is not None:
        require_table(reads.profile, "reads")
    asked = profile.feasibility
    limit, zone = periods.Duration.parse(asked.retention), ZoneInfo(asked.timezone)
    window = periods.Window(periods.oldest_kept(now, limit, zone), periods.day_of(now, zone))
    entries = _entries(targets.paths, profile)
    sightings = None
    if reads is not None:
        sightings = Sightings(reads.profile, entries["vehicle"].drop_nulls().unique(), window, zone, now)
        sightings.read(reads.paths, progress)
        entries = entries.join(sightings.totals(), on="vehicle", how="left", maintain_order="left").with_columns(
            pl.col("live", "expired").fill_null(0)
        )
    passage = funnel.pass_through(entries, funnel.Rules(asked.steps, asked.offences, asked.min_reads, window))
    eligible = passage.eligible
    settings = Settings(**asked.model_dump())
    if sightings is None:
        during, worth = None, base_rate.base_rate(0, None)
        run = race.of_offences(eligible, window.last, limit, zone)
    else:
        seen = sightings.days(eligible["vehicle"])
        during, worth = _during(eligible, seen), base_rate.base_rate(seen["vehicle"].n_unique(), sightings.vehicles)
        enough = asked.min_reads if "often" in asked.steps else 1
        run = race.of_reads(seen, window.last, limit, zone, min_reads=enough)
    case = verdict.Case(passage, run, settings, window.last, sightings is not None, during)
    return FeasibilityResult(
        at=now,
        first=window.first,
        last=window.last,
        settings=settings,
        reads=None if sightings is None else sightings.reads,
        during=during,
        funnel=passage.funnel,
        race=run,
        base_rate=worth,
        verdict=verdict.judge(case),
        expired=0 if sightings is None else sightings.expired,
        rejected=0 if sightings is None else sightings.rejected,
        reads_first=None if sightings is None else sightings.first,
        reads_last=None if sightings is None else sightings.last,
    )


def _entries(paths: Sequence[str], profile: TargetsProfile) -> pl.DataFrame:
    """The targets as `anpr_share.feasibility.funnel.pass_through` takes them."""
    extract = open_extract(paths, profile, [field for field in profile.fields if field not in _NEVER_READ])
    offences, swapped = Vocabulary(), SwappedColumns(profile, "log")
    frames, rows = [], 0
    for batch in extract.batches():
        split = split_plates(batch, profile)
        plates = canonicalise_series(vrm_cells(split, profile))
        prepared = prepare_targets(split, profile, plate_status=plates["status"], offences=offences)
        (log,) = profile.columns.sources("log")
        swapped.add_cells(batch.frame[log])
        # Every file begins with row 1, and an entry must know its row in all of them.
        number = split.rows - batch.first_row + rows
        rows += batch.frame.height
        kept = [name for name in prepared.frame.columns if name not in {"row", "vrm", "log", "rule"}]
        frames.append(
            prepared.frame.select(
                number.alias("row"),
                plates["status"].cast(pl.String),
                plates["vrm"].alias("vehicle"),
                _unread(prepared),
                *kept,
            )
        )
    swapped.refuse()
    return pl.concat(frames)


def _unread(prepared: Prepared) -> pl.Series:
    """Why each row cannot be read, for other reasons than its plate or a missing offence; null if it can."""
    failing = [name for name in funnel.REASONS["readable"] if name in prepared.masks.columns]
    if not failing:
        return pl.repeat(None, prepared.frame.height, dtype=pl.String, eager=True).alias("unread")
    found = pl.coalesce(pl.when(name).then(pl.lit(name)) for name in failing)
    return prepared.masks.select(found.alias("unread")).to_series()


def _during(eligible: pl.DataFrame, seen: pl.DataFrame) -> int | None:
    """The vehicles that have a read during an offence of theirs, as linking has it; None if no dates tell."""
    if not {"offence_from", "offence_to"}.issubset(eligible.columns):
        return None
    offences = eligible.select("vehicle", "offence_from", "offence_to").drop_nulls().unique().sort("offence_from")
    # Only the first day from its beginning on: one vehicle may be in a million rows, and seen on every day.
    first = offences.join_asof(
        seen.sort("day"),
        left_on="offence_from",
        right_on="day",
        by="vehicle",
        strategy="forward",
        check_sortedness=False,
    )
    return first.filter(pl.col("day") <= pl.col("offence_to"))["vehicle"].n_unique()


class Sightings:
    """Counts the reads of some vehicles, day by day, and all vehicles that there are in an extract of reads.

    ``reads`` are rows that pass the checks, from the day ``first`` to the day ``last``, of which ``expired`` are older
    than the window; ``rejected`` do not pass.
    """

    def __init__(
        self, profile: Profile, wanted: pl.Series, window: periods.Window, zone: ZoneInfo, now: datetime
    ) -> None:
        self._profile, self._window, self._zone, self._now = profile, window, zone, now
        self._wanted = pl.DataFrame({"vehicle": wanted, "number": vehicle_numbers(wanted)}).sort("number")
        self._days = pl.DataFrame(schema={"number": pl.Int64, "day": pl.Date, "reads": pl.UInt32})
        self._counted: list[pl.DataFrame] = []
        self._seen = self._pending = pl.Series("number", [], dtype=pl.Int64)
        self.reads = self.expired = self.rejected = 0
        self.first: date | None = None
        self.last: date | None = None

    @property
    def vehicles(self) -> int:
        """How many vehicles have a live read: exactly, for a vehicle's number is its whole vrm-1 form."""
        self._merge()
        return len(self._seen)

    def read(self, paths: Sequence[str], progress: Progress) -> None:
        """Read a whole extract. Raises :class:`InputError` for one that cannot be read as its profile says."""
        extract = open_extract(paths, self._profile, _READS_FIELDS)
        swapped = SwappedColumns(self._profile, "camera")
        for batch, times in ahead((batch, read_times(batch, self._profile)) for batch in extract.batches()):
            cells = camera_cells(batch, self._profile)
            missing = cameras_missing(cells)
            plates = pl.DataFrame([plate_like(part) for part in cells])
            swapped.add(~missing, plates.select(pl.any_horizontal(pl.all())).to_series())
            self._add(batch, times, missing)
            progress(f"{self.reads + self.rejected:,} reads looked at")
        self._add_up()
        swapped.refuse()
        if not self.reads:
            raise InputError(
                f"none of the {count(self.rejected, 'row')} of reads passes the checks",
                hint="what is wrong with them: anpr-share check EXTRACT --profile PROFILE",
            )

    def totals(self) -> pl.DataFrame:
        """``vehicle``, ``live`` and ``expired``: the reads of each wanted vehicle that has any."""
        live = pl.col("day").is_not_null()
        each = self._days.group_by("number").agg(
            live=pl.col("reads").filter(live).sum().cast(pl.Int64),
            expired=pl.col("reads").filter(~live).sum().cast(pl.Int64),
        )
        return self._wanted.join(each, on="number").select("vehicle", "live", "expired")

    def days(self, vehicles: pl.Series) -> pl.DataFrame:
        """``vehicle``, ``day`` and ``reads``: the live reads of these vehicles, a row for each vehicle and day."""
        wanted = self._wanted.filter(pl.col("vehicle").is_in(vehicles.drop_nulls().unique().implode()))
        found = self._days.filter(pl.col("day").is_not_null()).join(wanted, on="number")
        return found.select("vehicle", "day", "reads")

    def _add(self, batch: Batch, times: Times, camera_missing: pl.Series) -> None:
        plates = canonicalise_series(vrm_cells(batch, self._profile))
        prepared = prepare_reads(
            batch,
            self._profile,
            now=self._now,
            times=times,
            plate_status=plates["status"],
            camera_missing=camera_missing,
        )
        frame = pl.DataFrame(
            [
                vehicle_numbers(plates["vrm"]).alias("number"),
                local_days(times.values, self._zone.key).alias("day"),
                prepared.frame["rule"],
            ]
        )
        accepted = frame.filter(pl.col("rule").is_null()).select("number", "day")
        self.rejected += frame.height - accepted.height
        self.reads += accepted.height
        ends = (self.first, self.last, *accepted.select(first=pl.col("day").min(), last=pl.col("day").max()).row(0))
        known = [day for day in ends if day is not None]
        self.first, self.last = min(known, default=None), max(known, default=None)
        live = pl.col("day") >= self._window.first
        self.expired += accepted.height - int(accepted.select(live.sum()).item())
        self._pending = pl.concat([self._pending, accepted.filter(live)["number"].unique()])
        if len(self._pending) > max(len(self._seen), MERGED_AT):
            self._merge()
        # Of what has expired the day does not matter any more.
        found = accepted.filter(pl.col("number").is_in(self._wanted["number"].implode()))
        self._counted.append(found.group_by("number", pl.when(live).then(pl.col("day"))).agg(reads=pl.len()))
        if sum(frame.height for frame in self._counted) > max(self._days.height, MERGED_AT):
            self._add_up()

    def _add_up(self) -> None:
        every = pl.concat([self._days, *self._counted])
        self._days = every.group_by("number", "day").agg(pl.col("reads").sum())
        self._counted.clear()

    def _merge(self) -> None:
        self._seen = pl.concat([self._seen, self._pending]).unique()
        self._pending = self._pending.clear()


def vehicle_numbers(vehicles: pl.Series) -> pl.Series:
    """A number (Int64) for each vrm-1 form, another for another: its characters as digits to the base of 36.

    They are at most ten letters and digits; a 1 before them keeps a 0 at the beginning. Null stays null.
    """
    return ("1" + vehicles).str.to_integer(base=36)
