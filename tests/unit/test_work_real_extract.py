"""A real week of reads and a made-up log, from a force's files to a university's linked reads, every row accounted for.

What must come out is worked out from the files row by row, with the second implementation of the rules, which shares
no code with the library. Skipped where the files are not there: they are not ours to hand on.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from anpr_share.documents.manifest import TableQuality
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import parse_profile
from anpr_share.work import exporting, loading, reading, requesting
from examples.second_implementation import vrm_1
from tests.support.exchange import LANCS, World, settled, silent
from tests.support.week import READS, READS_PROFILE, TARGETS, TARGETS_PROFILE, needed

LONDON = ZoneInfo("Europe/London")
HANDLING = ["P"]

pytestmark = needed


@cache
def rows_of_reads() -> tuple[dict[str, str], ...]:
    with gzip.open(READS, "rt", encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file, delimiter="|"))


def rows_of_targets() -> Iterator[dict[str, str]]:
    with TARGETS.open(encoding="cp1252", newline="") as file:
        yield from csv.DictReader(file)


@cache
def vehicle(cell: str) -> str | None:
    """The vehicle that a plate's cell names, by the second implementation."""
    status, vrm, _, _ = vrm_1(None if cell == "NA" else cell)
    return vrm if status == "ok" else None


@cache
def local(text: str) -> datetime:
    return datetime.strptime(text, "%m/%d/%Y - %H:%M:%S").replace(tzinfo=LONDON)


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, exporting.ExportResult, pl.DataFrame]]:
    """The week exported, loaded and linked."""
    with settled(tmp_path_factory.mktemp("week") / "sites") as world:
        world.clock.now = datetime(2026, 10, 20, 9, tzinfo=UTC)
        world.agree(id="week", targets__handling=HANDLING, reads__resolution="1m")
        request, bundle = world.free("request.json"), world.free("week.anpr.zip")
        requesting.request(world.uni, "week", LANCS, date(2026, 10, 1), date(2026, 10, 10), None, request)
        result = exporting.export(
            world.lancs,
            request.read_bytes(),
            Input((str(READS),), parse_profile(READS_PROFILE)),
            bundle,
            targets=Input((str(TARGETS),), parse_profile(TARGETS_PROFILE)),
            progress=silent,
        )
        loading.load(world.uni, bundle, None, silent)
        linked = reading.link(world.uni, "week", purpose="the whole way of a real week").collect()
        yield world, result, linked


def account(result: exporting.ExportResult, table: str) -> TableQuality:
    return next(item for item in result.tables if item.table == table)


@cache
def expected_reads() -> Counter[tuple[str, str, datetime]]:
    """Vehicle, device and minute of every read that may leave."""
    found: Counter[tuple[str, str, datetime]] = Counter()
    for row in rows_of_reads():
        vrm = vehicle(row["plate"])
        if vrm is not None:
            found[vrm, row["device"], local(row["dt"]).replace(second=0).astimezone(UTC)] += 1
    return found


def expected_targets() -> list[tuple[str, date | None, date | None]]:
    """Vehicle and offence dates of every target row that may leave, a row for each plate of a cell."""

    def day(text: str) -> date | None:
        return datetime.strptime(text, "%d/%m/%Y").replace(tzinfo=UTC).date() if text else None

    return [
        (vrm, day(row["Offence From"]), day(row["Offence To"]))
        for row in rows_of_targets()
        for cell in re.split(r"[;,/\r\n]", row["VRM"])
        if row["Handling"] in HANDLING and row["Person Category"] != "victim"
        if (vrm := vehicle(cell)) is not None
    ]


def test_every_row_of_both_files_is_accounted_for(
    exchanged: tuple[World, exporting.ExportResult, pl.DataFrame],
) -> None:
    _, result, _ = exchanged
    for table, count in (("reads", len(rows_of_reads())), ("targets", sum(1 for _ in rows_of_targets()))):
        found = account(result, table)
        assert found.rows_in == count
        gone = sum(found.rejected.values()) + sum(found.withheld.values())
        assert found.rows_in + found.split == found.rows_out + gone
    assert account(result, "reads").rows_out == expected_reads().total()
    assert account(result, "targets").rows_out == len(expected_targets())


def test_the_university_holds_what_was_accepted_row_for_row(
    exchanged: tuple[World, exporting.ExportResult, pl.DataFrame],
) -> None:
    from anpr_share.work.agreements import linkage_key

    world, _, _ = exchanged
    key = linkage_key(world.lancs, "week")
    tokens: dict[tuple[str, str], tuple[str, str]] = {}
    expected: Counter[tuple[str, str, datetime]] = Counter()
    for (vrm, device, minute), rows in expected_reads().items():
        if (vrm, device) not in tokens:
            tokens[vrm, device] = (key.vrm(vrm), key.camera(LANCS, [device]))
        expected[(*tokens[vrm, device], minute)] += rows
    loaded = reading.scan(world.uni, "reads", purpose="a look at each row", agreement="week").collect()
    assert Counter(loaded.select("vehicle", "camera", "captured_at").iter_rows()) == expected
    assert loaded.columns == ["vehicle", "camera", "captured_at", "source", "day"]
    coverage = reading.scan(world.uni, "coverage", purpose="what came", agreement="week").collect()
    assert coverage["rows"].sum() == loaded.height


def test_linking_finds_each_read_of_each_target_and_whether_it_was_during_the_offence(
    exchanged: tuple[World, exporting.ExportResult, pl.DataFrame],
) -> None:
    _, _, linked = exchanged
    days: dict[str, list[date]] = {}
    for row in rows_of_reads():
        vrm = vehicle(row["plate"])
        if vrm is not None:
            days.setdefault(vrm, []).append(local(row["dt"]).date())
    expected: Counter[bool | None] = Counter()
    for vrm, first, last in expected_targets():
        for day in days.get(vrm, []):
            expected[None if first is None or last is None else first <= day <= last] += 1
    assert Counter(linked["during_offence"].to_list()) == expected
    assert linked.height == expected.total() > 0


def test_no_plate_device_address_or_reference_is_in_anything_that_the_university_has(
    exchanged: tuple[World, exporting.ExportResult, pl.DataFrame],
) -> None:
    world, _, linked = exchanged
    texts = {row[name] for row in rows_of_reads() for name in ("plate", "device", "address", "lon", "lat")}
    texts |= {row[name] for row in rows_of_targets() for name in ("VRM", "Log Ref", "Free Text")}
    secrets = sorted(text.encode() for text in texts if len(text) >= 7)
    assert len(secrets) > 10_000
    published = b"\n".join(path.read_bytes() for path in world.uni.paths.root.rglob("*") if path.is_file())
    published += linked.write_csv().encode()
    beginnings = {text[:7] for text in secrets}
    assert not any(published[start : start + 7] in beginnings for start in range(len(published)))
