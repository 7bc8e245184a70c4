"""What checking an extract found: counts by rule and row numbers, never a cell.

``accepted`` and ``rejected`` add up to ``rows + split``: a rejected row counts under the first rule that it fails.
``failures`` counts every rule that a row fails.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import polars as pl

from anpr_share import periods
from anpr_share.errors import StorageError
from anpr_share.files import owner_only, storage_errors, sync_directory
from anpr_share.tables.checks import RULES
from anpr_share.tables.phrases import expected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from anpr_share.tables.checks import Prepared
    from anpr_share.tables.profile import Profile

FIRST_ROWS = 10
MANY_ROWS, MANY_SHARE = 10, 0.01
"""At least so many accepted rows, and more than this share of them, are hardly one vehicle of a rare family."""

_T = TypeVar("_T")


class Place(NamedTuple):
    """A row: which file, from 0, and which row in it, from 1 after the header."""

    file: int
    row: int


@dataclass(frozen=True, slots=True)
class RuleFailures:
    """How many rows fail a rule, and the first of them."""

    count: int
    first_rows: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What checking an extract found.

    ``split`` is how many rows more there are because cells held several plates. ``families`` and ``ambiguous`` are of
    the accepted rows, as are ``earliest`` and ``latest`` (of reads). ``resolved`` counts the local times that the
    profile's settings resolved; ``notes`` say what a person should look at. ``expected`` says of the rules that rows
    fail how the profile or the schema wants a cell, where it does.
    """

    table: str
    files: tuple[str, ...]
    rows: int
    accepted: int
    split: int
    rejected: dict[str, int]
    failures: dict[str, RuleFailures]
    families: dict[str, int]
    ambiguous: int
    resolved: dict[str, int]
    earliest: datetime | None
    latest: datetime | None
    notes: tuple[str, ...]
    expected: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether no row is rejected."""
        return not self.rejected


class ReportBuilder:
    """Adds batches up to a `CheckReport`, in constant memory."""

    def __init__(self, profile: Profile, files: Sequence[str], now: datetime) -> None:
        self._profile, self._now = profile, now
        self._table = profile.table
        self._files = tuple(files)
        self._rows = self._accepted = self._split = self._ambiguous = 0
        self._rejected: dict[str, int] = {}
        self._failures: dict[str, RuleFailures] = {}
        self._families: dict[str, int] = {}
        self._resolved: dict[str, int] = {}
        self._times: list[datetime] = []
        self._confidence: float | None = None
        # Of each batch only its commonest cell of family other, so that memory stays within bounds.
        self._other: dict[str, int] = {}

    def add(self, prepared: Prepared, *, file: int, source_rows: int, plates: pl.DataFrame | None = None) -> None:
        """Count a judged batch.

        Args:
            prepared: the batch.
            file: which file it is of.
            source_rows: its rows before cells with several plates were split.
            plates: for each row, ``family`` and ``ambiguous`` as vrm-1 says.
        """
        frame = prepared.frame
        self._rows += source_rows
        self._split += frame.height - source_rows
        accepted = frame["rule"].is_null()
        self._accepted += int(accepted.sum())
        _add(self._rejected, frame["rule"].drop_nulls().value_counts())
        for mask in prepared.masks:
            self._add_failures(mask, frame["row"], file)
        for rule, count in prepared.resolved.items():
            self._resolved[rule] = self._resolved.get(rule, 0) + count
        if plates is not None:
            passing = plates.filter(accepted)
            _add(self._families, passing["family"].cast(pl.String).value_counts())
            self._ambiguous += int(passing["ambiguous"].sum())
            other = frame.filter(accepted & (plates["family"] == "other").fill_null(value=False))["vrm"]
            _add(self._other, other.value_counts(sort=True).head(1))
        if "captured_at" in frame.columns:
            bounds = frame.filter(accepted).select(low=pl.col("captured_at").min(), high=pl.col("captured_at").max())
            self._times = [time for time in (*self._times, *bounds.row(0)) if time is not None]
            self._times = [min(self._times), max(self._times)] if self._times else []
        if "confidence" in frame.columns:
            highest = frame.filter(accepted)["confidence"].max()
            if isinstance(highest, float):
                self._confidence = max(highest, self._confidence or 0.0)

    def build(self) -> CheckReport:
        """The report of all batches so far."""
        failures = self._in_order(self._failures)
        return CheckReport(
            table=self._table,
            files=self._files,
            rows=self._rows,
            accepted=self._accepted,
            split=self._split,
            rejected=self._in_order(self._rejected),
            failures=failures,
            families=dict(sorted(self._families.items(), key=lambda item: (-item[1], item[0]))),
            ambiguous=self._ambiguous,
            resolved=self._in_order(self._resolved),
            earliest=self._times[0] if self._times else None,
            latest=self._times[1] if self._times else None,
            notes=tuple(self._notes()),
            expected={rule: text for rule in failures if (text := expected(rule, self._profile)) is not None},
        )

    def _add_failures(self, mask: pl.Series, rows: pl.Series, file: int) -> None:
        before = self._failures.get(mask.name, RuleFailures(0, ()))
        room = FIRST_ROWS - len(before.first_rows)
        # One row may come several times, once for each plate of a cell.
        first = rows.filter(mask).unique(maintain_order=True).head(room) if room else ()
        places = dict.fromkeys((*before.first_rows, *(Place(file, row) for row in first)))
        self._failures[mask.name] = RuleFailures(before.count + int(mask.sum()), tuple(places))

    def _in_order(self, found: dict[str, _T]) -> dict[str, _T]:
        return {rule: found[rule] for rule in RULES[self._table] if rule in found}

    def _notes(self) -> Iterator[str]:
        if self._confidence is not None and self._confidence <= 1:
            yield "no confidence is above 1: it is per cent here, and yours may run from 0 to 1"
        if self._rejected.get("cells", 0) > self._rows // 2:
            yield "over half of the rows have another number of cells than the header: the delimiter may be wrong"
        if other := self._families.get("other", 0):
            yield (
                f"of the accepted plates {other:,} {'is' if other == 1 else 'are'} of family other: foreign or "
                "personal marks, or words such as NOT KNOWN, which would be taken for one vehicle; null_values "
                "under [file] in the profile makes empty cells of such words"
            )
        if (most := max(self._other.values(), default=0)) >= max(MANY_ROWS, MANY_SHARE * self._accepted):
            yield f"one text alone makes up {most:,} or more of them, as a word that means no plate would: look for it"
        zone = ZoneInfo("Europe/London")  # of an agreement that says no other; none is known here
        oldest = periods.oldest_kept(self._now, periods.Duration(months=periods.MAX_MONTHS), zone)
        if self._times and periods.day_of(self._times[0], zone) < oldest:
            yield (
                f"some reads are older than 12 months, the longest limit of any agreement: an export leaves out what "
                f"was captured before {oldest} ({zone.key})"
            )


def _add(counts: dict[str, int], found: pl.DataFrame) -> None:
    for value, count in found.iter_rows():
        counts[value] = counts.get(value, 0) + count


@contextmanager
def rejects_file(path: Path, files: Sequence[str]) -> Iterator[Callable[[int, pl.DataFrame], None]]:
    """As `writing_rejects`, and the file appears whole at the end, or not at all.

    That nothing stands in its place is looked at first and last; what comes there in the moment after is replaced.

    Raises:
        StorageError: it cannot be written, or is there already: it may be the extract itself.
    """
    _require_free(path)
    temporary = path.with_name(f".anpr-share-{secrets.token_hex(16)}.part")
    with writing_rejects(temporary, files) as write:
        yield write
    try:
        _require_free(path)
        with storage_errors("the rejects cannot be written"):
            temporary.replace(path)
            sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing_rejects(path: Path, files: Sequence[str]) -> Iterator[Callable[[int, pl.DataFrame], None]]:
    """A new CSV file of the rows that fail: ``file,row,rule``, a line for each rule that a row fails, and no values.

    What it yields takes a file's number and `Prepared.failures`. Nothing is left after an error.

    Raises:
        StorageError: it cannot be written.
    """
    with storage_errors("the rejects cannot be written"):
        out = open(path, "xb", opener=owner_only)  # noqa: SIM115 - closed below, removed if unfinished
        try:
            with out:
                out.write(b"file,row,rule\n")

                def write(file: int, failures: pl.DataFrame) -> None:
                    _write_rows(out, _inert(files[file]), failures)

                yield write
                out.flush()
                os.fsync(out.fileno())
        except BaseException:
            path.unlink()
            raise


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise StorageError(
            "a file is already where the rejects are to be written", hint="name another, or move the old one away"
        )


def _write_rows(out: IO[bytes], name: str, failures: pl.DataFrame) -> None:
    failures.select(pl.lit(name).alias("file"), "row", "rule").write_csv(out, include_header=False)


def _inert(name: str) -> str:
    """A file's name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name
