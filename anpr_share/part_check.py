"""Step 8 of verification: the parts of a bundle, decoded in a child process.

A sender holds the keys of its parts, so a part may be anything. It is decoded only here:

- in one child process for all parts of a bundle, which a part may crash or exhaust without harm to the caller. The
  caller kills it when a part takes too long; where the system is Linux its memory is limited, and where there are
  limits at all (not on Windows), the size of the files that it writes;
- after `parquet_layout.examine` has accepted the part: the decoded size is bounded on every system;
- batch by batch and once: the checks and, when a part is loaded, its encryption under a local key share one pass.

What holds of a part that passes: uniformly encrypted, the agreed columns with their exact types and no others, rows
as stated, every cell by the table's schema, every ``captured_at`` inside the part's day, that day inside the window.
If the job says so, also: the bytes that were decoded have the manifest's digest, and nothing is finer than agreed.

The child is a process of the same user, not a sandbox. Keys reach it over its standard input only. What it answers is
read as something that a hostile part may have written; what it says on standard error is thrown away.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
import time
from collections import defaultdict
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self

import polars as pl

from anpr_share.child import Child, limit_this_process
from anpr_share.container import MAX_MEMBER
from anpr_share.errors import AnprShareError, FormatError, StorageError, UsageError, VerificationError
from anpr_share.files import storage_errors
from anpr_share.parquet import KEY_BYTES, PartFile, opening, scan_bytes, sink_part
from anpr_share.parquet_layout import Limits, examine
from anpr_share.periods import RESOLUTIONS, Window, day_end, day_start
from anpr_share.tables.schema import DATES, check_release, load
from anpr_share.tables.times import END_DAY, FIRST_DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from zoneinfo import ZoneInfo

_TIME: Final = "captured_at"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE_ROOM: Final = 64 * 1024 * 1024
_ANSWER_BYTES: Final = 4096
_REASON: Final = re.compile(r"[a-z][a-z :,-]{0,79}")
_DISK = "see whether the disk is well, and run the command again"
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_MAX_THREADS: Final = 4
"""Threads of polars in the child: each decodes a column of its own, so more would only cost memory."""


@dataclass(frozen=True, slots=True)
class PartLimits:
    """What one part may cost: rows, bytes as it lies in the bundle, bytes decoded, bytes of memory, seconds; and what
    all parts of a bundle may cost together.

    ``memory`` is what the child may map beyond what it maps when idle; what it maps is up to twice what it uses. A
    part of ten million rows, no two vehicles alike, uses about 1 GiB, and 10 seconds on two cores: a bundle of the
    most rows would take little more than an hour.
    """

    rows: int = Limits().rows
    size: int = MAX_MEMBER
    decoded: int = Limits().decoded
    memory: int = 4 * 1024**3
    seconds: float = 300.0
    bundle_rows: int = 4_000_000_000
    bundle_decoded: int = 512 * 1024**3
    bundle_seconds: float = 21_600.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Write the part's rows anew, to the new file ``target`` under ``key``."""

    target: Path
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PartRules:
    """What an agreement lets leave of a table's rows, beyond its columns; what None says is not checked.

    ``resolution`` of times is one of 1s, 1m, 15m, 1h and 1d, ``date_resolution`` of targets' dates ``day`` or
    ``month``, ``victims`` whether targets may be those of victims, ``max_offences`` how many different offences all
    parts of the table may name, ``alike`` how many cameras must share each combination of context, in a table whose one
    part tells of each camera once. The rules are those of ``docs/spec/rules-v1.md``, section 6.
    """

    resolution: str | None = None
    date_resolution: str | None = None
    victims: bool = True
    max_offences: int | None = 100
    alike: int | None = None


@dataclass(frozen=True, slots=True)
class PartJob:
    """One part to check: ``size`` bytes at ``offset`` of the file ``path``, or the whole of it if ``size`` is None.

    ``day`` is None for a table without days; ``rows`` is None if the number of rows is not known beforehand.
    ``columns`` are those agreed, in their order; ``zone`` is the agreement's and ``window`` the request's.
    ``sha256`` is the digest (hexadecimal) that the part must have when it is read here; ``rules`` are the agreement's.
    """

    path: Path
    key: bytes = field(repr=False)
    table: str
    day: date | None
    rows: int | None
    columns: tuple[str, ...]
    zone: ZoneInfo
    window: Window
    offset: int = 0
    size: int | None = None
    rewrite: Rewrite | None = None
    sha256: str | None = None
    rules: PartRules | None = None


@dataclass(frozen=True, slots=True)
class PartResult:
    """A part that passed: the rows that it has, and the file that was written if the job asked for one."""

    table: str
    day: date | None
    rows: int
    written: PartFile | None


def check_parts(jobs: Iterable[PartJob], *, limits: PartLimits | None = None) -> Iterator[PartResult]:
    """Check parts, and rewrite those whose job says so, one result for each job in order.

    Stops at the first fault; of the part at fault no file is left, files of earlier results are the caller's to
    remove. The child ends with the iterator: exhaust or close it.

    Raises:
        VerificationError: with step 8, naming table and day, if a part is not what it must be, or its check crashed,
            ran out of memory or took too long.
        StorageError: a file cannot be read or written, or a target exists.
        UsageError: a job contradicts itself: a key that is not 32 bytes, a table or column that is not in the schemas,
            a digest or rule that there is not.
    """
    with _Worker(limits or PartLimits()) as worker:
        for job in jobs:
            yield worker.check(job)


class _Worker(AbstractContextManager["_Worker"]):
    """The child process, as its parent sees it."""

    def __init__(self, limits: PartLimits) -> None:
        self._limits = limits
        self._left = limits.bundle_seconds

    def __enter__(self) -> Self:
        threads = str(min(_MAX_THREADS, os.cpu_count() or 1))
        self._child = Child("anpr_share.part_check", {"POLARS_MAX_THREADS": threads})
        self._child.say(asdict(self._limits) | {"parent": os.getpid()})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close()

    def check(self, job: PartJob) -> PartResult:
        """Let the child check one part."""
        message = _message(job)
        if job.rewrite is None:
            return self._check(job, message)
        if os.path.lexists(job.rewrite.target):
            raise StorageError("a part cannot be created: it exists", hint=_DISK)
        try:
            return self._check(job, message)
        except BaseException:
            self._child.end()
            job.rewrite.target.unlink(missing_ok=True)
            raise

    def _check(self, job: PartJob, message: dict[str, Any]) -> PartResult:
        began = time.monotonic()
        with self._child.within(max(0.0, min(self._limits.seconds, self._left))) as late:
            self._child.say(message)
            line = self._child.line(_ANSWER_BYTES)
        self._left -= time.monotonic() - began
        if late.is_set():
            what = "its check" if self._left > 0 else "the check of the bundle"
            raise _fault(job, f"{what} took too long")
        if not line.endswith(b"\n"):
            raise _fault(job, "its check crashed or needed more memory than allowed")
        return _result(job, line)


def _message(job: PartJob) -> dict[str, Any]:
    """What the child is told; everything that it needs, checked for sense."""
    load("release", job.table).polars(job.columns)
    for key in (job.key, *([job.rewrite.key] if job.rewrite else [])):
        if len(key) != KEY_BYTES:
            raise UsageError("a part key is 32 bytes")
    if job.sha256 is not None and not _HEX.fullmatch(job.sha256):
        raise UsageError("a digest is 64 hexadecimal digits")
    if (_TIME in job.columns) != (job.day is not None):
        raise _fault(job, "a table with times has no day, or one without times has one")
    times = offsets = None
    if job.day is not None:
        if not job.window.contains(job.day) or job.day == date.max:
            raise _fault(job, "its day is outside the window")
        bounds = day_start(job.day, job.zone), day_end(job.day, job.zone)
        times = [(bound - _EPOCH) // timedelta(microseconds=1) for bound in bounds]
        # A time that was floored over a change of the clocks is even by the offset after it.
        offsets = [_offset(instant, job.zone) for instant in (bounds[0], bounds[1] - timedelta(microseconds=1))]
    return {
        "path": str(job.path.absolute()),
        "offset": job.offset,
        "size": job.size,
        "key": _armour(job.key),
        "table": job.table,
        "columns": job.columns,
        "rows": job.rows,
        "times": times,
        "offsets": offsets,
        "sha256": job.sha256,
        "rules": None if job.rules is None else _sensible(job.rules),
        "target": str(job.rewrite.target.absolute()) if job.rewrite else None,
        "target_key": _armour(job.rewrite.key) if job.rewrite else None,
    }


def _offset(instant: datetime, zone: ZoneInfo) -> int:
    return (instant.astimezone(zone).utcoffset() or timedelta()) // timedelta(microseconds=1)


def _sensible(rules: PartRules) -> dict[str, Any]:
    if rules.resolution not in {None, *RESOLUTIONS} or rules.date_resolution not in {None, "day", "month"}:
        raise UsageError("a part is checked for a resolution that no agreement has")
    return asdict(rules)


def _result(job: PartJob, line: bytes) -> PartResult:
    """Read the child's answer, which a part that took the child over may have chosen."""
    try:
        answer = json.loads(line)
        reason, storage = answer["reason"], answer["storage"]
        rows, size, sha256 = answer["rows"], answer["size"], answer["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _fault(job, "its check gave no answer") from None
    if isinstance(reason, str) and _REASON.fullmatch(reason):
        raise StorageError(f"a part of {job.table}: {reason}", hint=_DISK) if storage is True else _fault(job, reason)
    written = None
    if job.rewrite is not None and type(size) is int and isinstance(sha256, str) and _HEX.fullmatch(sha256):
        written = PartFile(rows, size, sha256)
    stated = type(rows) is int and rows >= 0 and job.rows in {None, rows}
    if reason is not None or not stated or (written is None) != (job.rewrite is None):
        raise _fault(job, "its check gave no answer")
    return PartResult(job.table, job.day, rows, written)


def _fault(job: PartJob, reason: str) -> VerificationError:
    when = "" if job.day is None else f" of {job.day}"
    return VerificationError(
        f"a part of {job.table}{when} is not acceptable: {reason}", hint="ask the sender for the bundle anew", step=8
    )


def _armour(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")


def main(jobs: IO[bytes], answers: IO[bytes]) -> None:
    """The child: limits and its parent on the first line, then a job a line; an answer a line."""
    told = json.loads(jobs.readline())
    parent = told.pop("parent")
    limits = PartLimits(**told)
    limit_this_process(memory=limits.memory, file_size=limits.decoded + _PAGE_ROOM)
    seen = Seen()
    for line in jobs:
        answer = _answer(line, limits, seen)
        if os.getppid() != parent:
            # The command was killed, and the next one may have cleared away before this part was even begun.
            _forget(line)
            return
        answers.write(answer)
        answers.flush()


def _forget(line: bytes) -> None:
    if (target := json.loads(line)["target"]) is not None:
        Path(target).unlink(missing_ok=True)


@dataclass(slots=True)
class Seen:
    """What the parts of a bundle that were checked so far have in all: rows, decoded bytes, each table's offences."""

    rows: int = 0
    decoded: int = 0
    offences: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def _answer(line: bytes, limits: PartLimits, seen: Seen) -> bytes:
    answer: dict[str, Any] = {"reason": None, "storage": False, "rows": None, "size": None, "sha256": None}
    try:
        answer |= _check_one(json.loads(line), limits, seen)
    except AnprShareError as error:
        # The system's own names of errors are in capitals, which no reason may have that a parent believes.
        answer |= {"reason": error.message.lower(), "storage": isinstance(error, StorageError)}
    return json.dumps(answer).encode() + b"\n"


def _check_one(job: dict[str, Any], limits: PartLimits, seen: Seen) -> dict[str, Any]:
    part = _content(Path(job["path"]), job["offset"], job["size"], limits.size)
    if job["sha256"] not in {None, hashlib.sha256(part).hexdigest()}:
        raise FormatError("it is not what the manifest lists")
    key = base64.b64decode(job["key"])
    columns: list[str] = job["columns"]
    left_rows, left_bytes = limits.bundle_rows - seen.rows, limits.bundle_decoded - seen.decoded
    layout = examine(part, key, Limits(rows=min(limits.rows, left_rows), decoded=min(limits.decoded, left_bytes)))
    seen.rows, seen.decoded = seen.rows + layout.rows, seen.decoded + layout.decoded
    if sorted(layout.columns) != sorted(columns):
        raise FormatError("its columns are not those agreed")
    if job["rows"] not in {None, layout.rows}:
        raise FormatError("it has another number of rows than stated")
    schema = load("release", job["table"])
    with opening():
        frame = scan_bytes(part, key)
        found = frame.collect_schema()
    if list(found.items()) != list(schema.polars(columns).items()):
        raise FormatError("its columns are not those agreed, or not of their types")
    heights: list[int] = []
    bad_cells: list[int] = []
    bad_times: list[int] = []
    terms = None
    if job["rules"] is not None:
        terms = _Terms(PartRules(**job["rules"]), job["times"], job["offsets"], seen.offences[job["table"]])

    # Called from several threads of polars; appending to a list is atomic.
    def check(batch: pl.DataFrame) -> pl.DataFrame:
        heights.append(batch.height)
        bad_cells.append(sum(check_release(batch, schema, columns).values()))
        if job["times"] is not None:
            start, end = job["times"]
            instant = batch.get_column(_TIME).to_physical()
            bad_times.append(((instant < start) | (instant >= end)).sum())
        if terms is not None:
            terms.look(batch)
        return batch

    checked = frame.map_batches(check, schema=found, streamable=True)
    answer: dict[str, Any] = {}
    if job["target"] is None:
        with opening():
            checked.select(pl.len()).collect(engine="streaming")
    else:
        size, sha256 = sink_part(checked, Path(job["target"]), base64.b64decode(job["target_key"]))
        answer = {"size": size, "sha256": sha256}
    if sum(heights) != layout.rows:
        raise FormatError("it has another number of rows than stated")
    if any(bad_cells):
        raise FormatError("it has cells that its table does not allow")
    if any(bad_times):
        raise FormatError("it has times outside its day")
    if terms is not None:
        terms.require_kept()
    return answer | {"rows": layout.rows}


class _Terms:
    """What was seen in the batches of one part that its agreement does not let leave a force."""

    def __init__(
        self, rules: PartRules, times: list[int] | None, offsets: list[int] | None, offences: set[str]
    ) -> None:
        self._rules = rules
        self._start = times[0] if times else None
        self._offsets = offsets or []
        # Both are only ever added to, which is safe from several threads of polars.
        self._broken: set[str] = set()
        self._offences = offences
        self._cameras: list[pl.DataFrame] = []

    def look(self, batch: pl.DataFrame) -> None:
        """Take note of the rules that a batch breaks."""
        rules = self._rules
        if rules.resolution is not None and _TIME in batch.columns:
            instant = batch.get_column(_TIME).to_physical()
            even = instant == self._start
            if (step := RESOLUTIONS[rules.resolution]) is not None:
                for offset in self._offsets:
                    even |= (instant + offset) % step == 0
            if not even.all():
                self._broken.add("its times are finer than agreed")
        for name in set(DATES) & set(batch.columns):
            if not batch.get_column(name).is_between(FIRST_DAY, END_DAY, closed="left").fill_null(value=True).all():
                self._broken.add("it has dates of years that no extract can have")
        if rules.date_resolution == "month":
            for name in set(DATES) & set(batch.columns):
                if (batch.get_column(name).dt.day() != 1).any():
                    self._broken.add("its dates are finer than agreed")
        if not rules.victims and "person_category" in batch.columns:
            category = batch.get_column("person_category")
            if (category == "victim").any():
                self._broken.add("it has victims, whom the agreement leaves out")
            # Who is of no category may be a victim, so the force keeps such rows back (docs/decisions/0010).
            if category.has_nulls():
                self._broken.add("it has rows without a category, and the agreement leaves victims out")
        if rules.max_offences is not None and "offence" in batch.columns:
            self._offences.update(batch.get_column("offence").drop_nulls().unique())
            if len(self._offences) > rules.max_offences:
                self._broken.add("it names more different offences than allowed")
        if rules.alike is not None:
            self._cameras.append(batch)

    def require_kept(self) -> None:
        """Raise :class:`FormatError` if a batch broke a rule, or all batches together do."""
        if self._rules.alike is not None and self._cameras:
            cameras = pl.concat(self._cameras)
            if not cameras.get_column("camera").is_unique().all():
                self._broken.add("it tells of a camera twice")
            context = [name for name in cameras.columns if name != "camera"]
            if context and cameras.select((pl.len().over(context) < self._rules.alike).any()).item():
                self._broken.add("it has combinations of context that fewer cameras share than agreed")
        if self._broken:
            raise FormatError(min(self._broken))


def _content(path: Path, offset: int, size: int | None, limit: int) -> bytes:
    with storage_errors("it cannot be read"), path.open("rb") as file:
        file.seek(offset)
        content = file.read(limit + 1 if size is None else min(size, limit + 1))
    if len(content) > limit:
        raise FormatError("it is larger than allowed")
    if size is not None and len(content) != size:
        raise FormatError("it is cut short")
    return content


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
