"""The table schemas: valid Frictionless, one source, and `check_release` by one fault each."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import frictionless
import polars as pl
import pytest

from anpr_share.errors import UsageError
from anpr_share.tables.schema import Kind, check_release, load, tables
from anpr_share.vrm import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
KINDS: tuple[Kind, ...] = ("extract", "release")
TOKEN = "0123456789abcdef" * 2
READS = load("release", "reads")
TIME = datetime(2026, 10, 8, 16, 30, 51, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "table"), [(kind, table) for kind in KINDS for table in tables(kind)])
def test_every_schema_is_a_valid_table_schema_with_its_columns_explained(kind: Kind, table: str) -> None:
    raw = json.loads((ROOT / "schemas" / kind / f"{table}.json").read_text(encoding="utf-8"))

    assert frictionless.Schema.from_descriptor(raw).field_names == list(load(kind, table).names)
    for field in load(kind, table).fields:
        assert field.title
        assert field.description.endswith(".")
        assert field.provenance.endswith(".")


def test_no_schema_file_is_without_its_table() -> None:
    found = {(path.parent.name, path.stem) for kind in KINDS for path in (ROOT / "schemas" / kind).iterdir()}

    assert found == {(kind, table) for kind in KINDS for table in tables(kind)}


def test_released_text_is_a_token_or_a_closed_vocabulary() -> None:
    for table in ("reads", "targets", "cameras"):
        for field in load("release", table).fields:
            assert field.type != "string" or field.enum is not None or field.pattern is not None, field.name


def test_the_families_are_those_of_the_normaliser() -> None:
    assert set(READS.field("vrm_family").enum or ()) == set(FAMILIES)


def test_columns_have_one_type_each() -> None:
    assert READS.polars(["captured_at", "vehicle"]) == {"captured_at": pl.Datetime("us", "UTC"), "vehicle": pl.String()}
    assert load("release", "targets").polars(["convicted_on"]) == {"convicted_on": pl.Date()}
    assert load("release", "cameras").names == ("camera", "kind", "road_class", "area_type")


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no such column"):
        READS.polars(["vrm"])
    with pytest.raises(UsageError, match="no release table"):
        load("release", "../extract/reads")


def reads(**columns: pl.Series) -> pl.DataFrame:
    good = {
        "vehicle": pl.Series([TOKEN, TOKEN]),
        "camera": pl.Series([TOKEN, TOKEN]),
        "captured_at": pl.Series([TIME, TIME], dtype=pl.Datetime("us", "UTC")),
        "confidence": pl.Series(["90-100", None]),
    }
    return pl.DataFrame(good | columns)


COLUMNS = ("vehicle", "camera", "captured_at", "confidence")


def test_good_rows_break_no_rule() -> None:
    assert check_release(reads(), READS, COLUMNS) == {}
    assert check_release(reads().clear(), READS, COLUMNS) == {}


@pytest.mark.parametrize(
    ("column", "values", "rule"),
    [
        ("vehicle", pl.Series([TOKEN, None], dtype=pl.String), "vehicle:required"),
        ("vehicle", pl.Series([TOKEN, TOKEN.upper()]), "vehicle:pattern"),
        ("vehicle", pl.Series([TOKEN, TOKEN + "\n"]), "vehicle:pattern"),
        ("vehicle", pl.Series([TOKEN, "AB12CDE"]), "vehicle:pattern"),
        ("vehicle", pl.Series([TOKEN, TOKEN[:-1]]), "vehicle:pattern"),
        ("confidence", pl.Series(["90-100", "93"]), "confidence:enum"),
        ("captured_at", pl.Series([TIME, TIME], dtype=pl.Datetime("ms", "UTC")), "captured_at:type"),
        ("captured_at", pl.Series([TIME.replace(tzinfo=None)] * 2), "captured_at:type"),
        ("vehicle", pl.Series([1, 2]), "vehicle:type"),
    ],
)
def test_a_bad_row_is_counted_under_its_rule(column: str, values: pl.Series, rule: str) -> None:
    assert check_release(reads(**{column: values}), READS, COLUMNS) == {rule: 1}


def test_columns_that_were_not_agreed_are_found() -> None:
    assert check_release(reads(plate=pl.Series(["AB12CDE"] * 2)), READS, COLUMNS) == {"columns": 1}
    assert check_release(reads().drop("camera"), READS, COLUMNS) == {"columns": 1}
    assert "columns" in check_release(reads().select(reversed(COLUMNS)), READS, COLUMNS)


def test_the_field_dictionary_is_current() -> None:
    script = [sys.executable, "scripts/make_fields.py", "--check"]

    assert subprocess.run(script, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False).returncode == 0
