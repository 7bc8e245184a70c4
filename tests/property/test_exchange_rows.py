"""What is exported and loaded is what was accepted, row for row, whatever the agreement lists.

The expectation is plain Python over the rows as they were written: plates and HMACs by
``examples/second_implementation.py``, everything else as rules-v1 says it in words.
"""

from __future__ import annotations

import csv
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from anpr_share.errors import AnprShareError
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import parse_profile
from anpr_share.work import agreements, exporting, reading, receipting
from examples import second_implementation as rules
from tests.support.exchange import LANCS, World, settled, silent, swift

PLATES = [
    *("AB12CDE", "ab12 cde", "AB-I2-CDE", "AB I2 CDE", "AB12CDF", "FG34HJK", "FG34 HJK", "A1", "X99999Y9", "1ABC"),
    "Ａ７ＢＣＤ",
]
NO_PLATES = ["AB12?DE", "", "UNKNOWN", "ÄB12CDE", "000"]
CAMERAS = [
    *(("7", "1", "CAM-1"), (" 7", "1 ", "CAM-1"), ("7", "", "CAM-1"), ("71", "", "CAM-1"), ("007", "1", "CAM-1")),
    *(("7", "1", "Café"), ("7", "1", "Cafe\u0301"), ("", "", "Café")),
]
CONFIDENCES = ["", "0", "49.9", "50", "79.99", "80", "93.5", "100"]
BANDS = [(90, "90-100"), (80, "80-89"), (70, "70-79"), (50, "50-69"), (0, "0-49")]
FIRST, LAST = date(2026, 10, 24), date(2026, 10, 26)  # London's clocks go back on the 25th
NOON, NOW = datetime(2026, 10, 23, 12, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
STEPS = {"1s": 1, "1m": 60, "15m": 900, "1h": 3600}
FOLDED = str.maketrans("ODQIZSGB", "00012568")

READS_PROFILE = """
table = "reads"
[columns]
vrm = "plate"
camera = ["feed", "source", "name"]
confidence = "sure"
[columns.captured_at]
columns = ["at"]
format = "%Y-%m-%dT%H:%M:%S"
timezone = "UTC"
"""
WORDS = ("person_category", "grading_scheme", "source_grade", "information_grade")
DATES = ("offence_from", "offence_to", "convicted_on")
TARGETS_PROFILE = 'table = "targets"\n[columns]\n' + "".join(
    [f'{name} = "{name}"\n' for name in ("vrm", "log", "offence", "handling", *WORDS)]
    + [f'[columns.{name}]\ncolumns = ["{name}"]\nformat = "%Y-%m-%d"\n' for name in DATES]
)
TARGETS_HEADER = ["vrm", "log", "offence", "handling", *WORDS, *DATES]

Cells = tuple[str, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """What is agreed, and what is written into the extracts."""

    zone: str
    resolution: str
    reads: tuple[str, ...]
    sample: str | None
    authority_after: str | None
    authority: str | None
    targets: tuple[str, ...] | None
    date_resolution: str
    victims: bool
    handling: tuple[str, ...] | None
    read_rows: list[tuple[str, tuple[str, str, str], datetime, str]]
    target_rows: list[Cells]


def drawn(seed: int) -> Case:
    """An agreement and its rows, most of them good. Not by strategies: those draw few rows, and mostly alike."""
    source = random.Random(seed)

    def some(names: Sequence[str], always: Sequence[str]) -> tuple[str, ...]:
        chosen = [*always, *(name for name in names if source.random() < 0.5)]
        return tuple(source.sample(chosen, len(chosen)))

    def mostly(good: Sequence[T], bad: Sequence[T]) -> T:
        return source.choice(bad if source.random() < 0.1 else good)

    def target() -> Cells:
        return (
            mostly([*PLATES, "AB12CDE; FG34HJK", "A1/UNKNOWN"], NO_PLATES),
            mostly(["LOG 7", " LOG 7 ", "Ärger-8"], ["", "\u2003"]),
            mostly(["Trafficking", "Modern slavery"], ["", "see log 12"]),
            mostly(["P"], ["C", ""]),
            mostly(["suspect", "witness"], ["victim", ""]),
            *(source.choice(cells) for cells in (["3x5x2", ""], ["1", "B", ""], ["A", "5", ""])),
            *(source.choice(["", "2026-10-02", "2026-10-31", "2024-02-29"]) for _ in DATES),
        )

    return Case(
        zone=source.choice(["Europe/London", "Asia/Kolkata", "UTC"]),
        resolution=source.choice([*STEPS, "1d"]),
        reads=some(["camera", "vehicle_alike", "vrm_family", "confidence"], ["vehicle", "captured_at"]),
        sample=source.choice([None, "0.5", "0.25"]),
        authority_after=source.choice([None, "P7D"]),
        authority=source.choice([None, "Inspector, reference 12"]),
        targets=source.choice([None, *[some(["vehicle_alike", *WORDS, *DATES], ["vehicle", "log", "offence"])] * 3]),
        date_resolution=source.choice(["day", "month"]),
        victims=source.random() < 0.5,
        handling=source.choice([None, ("P",), ("P", "C")]),
        read_rows=[
            (
                mostly(PLATES, NO_PLATES),
                mostly(CAMERAS, [("", " ", "\u2003")]),
                NOON + timedelta(seconds=source.randrange(4 * 86_400)),
                mostly(CONFIDENCES, ["101", "high"]),
            )
            for _ in range(source.choice([1, 80, 80, 80]))
        ],
        target_rows=[target() for _ in range(source.choice([0, 1, 12, 12, 12]))],
    )


class Expected:
    """What the university must find, by the rules in words."""

    def __init__(self, case: Case, secret: bytes) -> None:
        self.case, self.zone = case, ZoneInfo(case.zone)
        self.given = {"agreement": "exact", "secret_hex": secret.hex()}
        self.targets = list(self._targets()) if case.targets is not None else []
        self.wanted = {row["vehicle"] for row in self.targets}
        self.reads = list(self._reads())

    def _token(self, field: str, message: bytes) -> str:
        return rules.digest(self.given, field, message)[:16].hex()

    def _vehicle(self, vrm: str) -> dict[str, str]:
        alike = self._token("vrm-alike", vrm.translate(FOLDED).encode())
        return {"vehicle": self._token("vrm", vrm.encode()), "vehicle_alike": alike}

    def _stays(self, vrm: str) -> bool:
        """Whether the sample leaves this vehicle in the force."""
        if self.case.sample is None or self._token("vrm", vrm.encode()) in self.wanted:
            return False
        number = int.from_bytes(rules.digest(self.given, "sample", vrm.encode())[:8])
        return number >= Decimal(self.case.sample) * 2**64

    def _is_old(self, day: date) -> bool:
        if self.case.authority_after is None or self.case.authority is not None:
            return False
        then = day + timedelta(days=7)
        return datetime(then.year, then.month, then.day, tzinfo=self.zone) <= NOW

    def _floored(self, instant: datetime) -> datetime:
        local = instant.astimezone(self.zone)
        midnight = datetime(local.year, local.month, local.day, tzinfo=self.zone).astimezone(UTC)
        if self.case.resolution == "1d":
            return midnight
        on_the_clock = local.hour * 3600 + local.minute * 60 + local.second
        return max(midnight, instant - timedelta(seconds=on_the_clock % STEPS[self.case.resolution]))

    def _reads(self) -> Iterator[dict[str, Any]]:
        for plate, camera, instant, confidence in self.case.read_rows:
            _, vrm, family, _ = rules.vrm_1(plate or None)
            day = instant.astimezone(self.zone).date()
            spelt = rules.camera(list(camera))
            sure = None
            if "confidence" in self.case.reads and confidence:
                if confidence in {"101", "high"}:
                    continue
                sure = next(name for least, name in BANDS if float(confidence) >= least)
            if vrm is None or spelt == b"0:,0:,0:," or not FIRST <= day <= LAST:
                continue
            if self._is_old(day) or self._stays(vrm):
                continue
            yield {
                **self._vehicle(vrm),
                "camera": self._token(f"camera/{LANCS}", spelt),
                "captured_at": self._floored(instant),
                "vrm_family": family,
                "confidence": sure,
                "day": day,
            }

    def _targets(self) -> Iterator[dict[str, Any]]:
        for cells in self.case.target_rows:
            row = dict(zip(TARGETS_HEADER, cells, strict=True))
            log = row["log"].strip(rules.WHITE_SPACE)
            if not log or row["offence"] in {"", "see log 12"}:
                continue
            if not self.case.victims and row["person_category"] in {"", "victim"}:
                continue
            if self.case.handling is not None and row["handling"] not in self.case.handling:
                continue
            days = {name: date.fromisoformat(row[name]) if row[name] else None for name in DATES}
            if self.case.date_resolution == "month":
                days = {name: day and day.replace(day=1) for name, day in days.items()}
            for plate in row["vrm"].replace("/", ";").split(";"):
                if (vrm := rules.vrm_1(plate or None)[1]) is not None:
                    words = {name: row[name] or None for name in WORDS}
                    token = self._token(f"log/{LANCS}", log.encode())
                    yield {**self._vehicle(vrm), "log": token, "offence": row["offence"], **words, **days}


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], profile: str) -> Input:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return Input((str(path),), parse_profile(profile))


def agreed(world: World, case: Case) -> bytes:
    """Bring the agreement into force; the linkage key that it has."""
    world.clock.now = NOW
    terms: dict[str, Any] = {
        "timezone": case.zone,
        "authority_after": case.authority_after,
        "reads__columns": list(case.reads),
        "reads__resolution": case.resolution,
        "reads__sample": case.sample,
    }
    if case.targets is None:
        terms["targets"] = None
    else:
        terms["targets__columns"] = list(case.targets)
        terms["targets__date_resolution"] = case.date_resolution
        terms["targets__victims"] = case.victims
        terms["targets__handling"] = None if case.handling is None else list(case.handling)
    world.agree(id="exact", **terms)
    secret = world.lancs.require_vault().get_secret(world.lancs.db, agreements.LINKAGE, "exact")
    assert secret is not None
    return secret


def as_rows(rows: list[dict[str, Any]], columns: Sequence[str]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[name] for name in columns) for row in rows)


@settings(max_examples=40, phases=[Phase.generate])
@given(seed=st.integers(0, 2**64))
def test_what_is_loaded_is_what_was_accepted_row_for_row(seed: int) -> None:
    case = drawn(seed)
    with tempfile.TemporaryDirectory() as directory, swift(), settled(Path(directory) / "sites") as world:
        expected = Expected(case, agreed(world, case))
        read_rows = [
            [plate, *camera, f"{instant:%Y-%m-%dT%H:%M:%S}", confidence]
            for plate, camera, instant, confidence in case.read_rows
        ]
        header = ["plate", "feed", "source", "name", "at", "sure"]
        reads = write(world.free("reads.csv"), header, read_rows, READS_PROFILE)
        targets = write(world.free("targets.csv"), TARGETS_HEADER, case.target_rows, TARGETS_PROFILE)
        out = world.free("exact.anpr.zip")

        def export() -> None:
            exporting.export(
                world.lancs,
                world.request(FIRST, LAST, agreement="exact"),
                reads,
                out,
                targets=targets if case.targets is not None and case.target_rows else None,
                authority=case.authority,
                progress=silent,
            )

        if not expected.reads:
            with pytest.raises(AnprShareError, match="no row is left"):
                export()
            return
        export()
        result = world.load(out)
        tables = {"reads": (case.reads, expected.reads)}
        if expected.targets:
            assert case.targets is not None
            tables["targets"] = (case.targets, expected.targets)
        assert result.rows == {table: len(rows) for table, (_, rows) in tables.items()}
        for table, (agreed_columns, rows) in tables.items():
            columns = [*agreed_columns, *(["day"] if table == "reads" else [])]
            frame = reading.scan(world.uni, table, purpose="journeys", agreement="exact").collect(engine="streaming")
            assert set(frame.columns) == {*agreed_columns, "day", "source"}
            assert Counter(frame.select(columns).iter_rows()) == as_rows(rows, columns)
        assert receipting.accept(world.lancs, result.receipt.read_bytes()).discrepancies == ()
