"""Parts are standard encrypted Parquet: other readers open them with the part key and nothing else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from anpr_share import parquet
from tests.support import outside
from tests.support.exchange import READS, TARGETS
from tests.support.parts import read_part

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.exchange import World

pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")

import pyarrow.parquet as pq  # noqa: E402 - after the skip
import pyarrow.parquet.encryption as pe  # noqa: E402 - after the skip

DAY_KEY = bytes(range(32))
ROWS = [
    ("00000000000000000000000000000001", datetime(2026, 3, 1, 0, 0, 0, tzinfo=UTC), "current"),
    ("00000000000000000000000000000002", datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC), None),
    ("ffffffffffffffffffffffffffffffff", datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC), "other"),
]


@pytest.fixture
def key() -> bytes:
    return parquet.part_key(DAY_KEY, "a-bundle", "reads", "2026-03-01", 0)


@pytest.fixture(params=[parquet.write_part, parquet.write_padded])
def part(tmp_path: Path, key: bytes, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "2026-03-01-0.parquet"
    schema = pl.Schema({"vehicle": pl.String(), "captured_at": pl.Datetime("us", "UTC"), "vrm_family": pl.String()})
    request.param(pl.DataFrame(ROWS, schema=schema, orient="row"), path, key)
    return path


def test_pyarrow_reads_a_part_with_its_key(part: Path, key: bytes) -> None:
    table = pq.read_table(part, decryption_properties=pe.create_decryption_properties(key))
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == ROWS
    assert [str(field.type) for field in table.schema][1] == "timestamp[us, tz=UTC]"


def test_pyarrow_opens_nothing_without_a_key(part: Path, key: bytes) -> None:
    with pq.ParquetFile(part, decryption_properties=pe.create_decryption_properties(key)) as file:
        assert file.metadata.num_rows == 3
    with pytest.raises(OSError, match="no decryption"):
        pq.read_table(part)


def test_pyarrow_refuses_another_key(part: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the wording is pyarrow's
        pq.read_table(part, decryption_properties=pe.create_decryption_properties(bytes(32)))


def test_duckdb_reads_a_part_with_its_key(part: Path, key: bytes) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"PRAGMA add_parquet_key('part', '{base64.b64encode(key).decode()}')")
        found = connection.execute(
            "SELECT vehicle, epoch_us(captured_at), vrm_family "
            "FROM read_parquet(?, encryption_config = {footer_key: 'part'})",
            [str(part)],
        ).fetchall()
    assert found == [(vehicle, int(time.timestamp()) * 10**6, family) for vehicle, time, family in ROWS]


def test_duckdb_refuses_another_key(part: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"PRAGMA add_parquet_key('part', '{base64.b64encode(bytes(32)).decode()}')")
        with pytest.raises(duckdb.Error):
            connection.execute("SELECT * FROM read_parquet(?, encryption_config = {footer_key: 'part'})", [str(part)])


# How many rows of the world's usual reads and targets may leave, by table and day.
EXPORTED = {
    ("reads", "2026-10-01"): 3,
    ("reads", "2026-10-02"): 2,
    ("reads", "2026-10-03"): 1,
    ("targets", "undated"): 2,
}


@pytest.fixture
def bundle(world: World) -> outside.Bundle:
    """An exported bundle, its day keys out of its sealed keys, its part keys by HKDF from those."""
    return outside.exported(world, world.export(reads=READS, targets=TARGETS))


def test_pyarrow_reads_every_part_of_an_exported_bundle(bundle: outside.Bundle, tmp_path: Path) -> None:
    tables = {
        (part.table, part.day): pq.read_table(
            part.write(tmp_path), decryption_properties=pe.create_decryption_properties(part.key)
        )
        for part in bundle.parts
    }
    assert {place: table.num_rows for place, table in tables.items()} == EXPORTED
    columns = {item["name"]: item["columns"] for item in bundle.manifest["tables"]}
    assert all(table.column_names == columns[name] for (name, _), table in tables.items())
    vehicles = [set(tables[place]["vehicle"].to_pylist()) for place in EXPORTED]
    assert [len(each) for each in vehicles] == [2, 2, 1, 2]
    assert vehicles[3] == vehicles[1]  # the second day has the two targets, and no other vehicle


def test_duckdb_reads_every_part_of_an_exported_bundle(bundle: outside.Bundle, tmp_path: Path) -> None:
    found, expected = {}, {}
    with duckdb.connect() as connection:
        for number, part in enumerate(bundle.parts):
            path = part.write(tmp_path)
            connection.execute(f"PRAGMA add_parquet_key('part{number}', '{base64.b64encode(part.key).decode()}')")
            # Whole numbers, because a time with a zone needs one more library.
            time = "* REPLACE (epoch_us(captured_at) AS captured_at)" if part.table == "reads" else "*"
            found[part.table, part.day] = connection.execute(
                f"SELECT {time} FROM read_parquet(?, encryption_config = {{footer_key: 'part{number}'}})", [str(path)]
            ).fetchall()
            table = pq.read_table(path, decryption_properties=pe.create_decryption_properties(part.key))
            rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
            expected[part.table, part.day] = [
                tuple(int(cell.timestamp()) * 10**6 if isinstance(cell, datetime) else cell for cell in row)
                for row in rows
            ]
    assert {place: len(rows) for place, rows in found.items()} == EXPORTED
    assert found == expected


def test_a_part_of_an_exported_bundle_opens_with_no_other_parts_key(bundle: outside.Bundle, tmp_path: Path) -> None:
    keys = [part.key for part in bundle.parts]
    assert len(set(keys)) == len(EXPORTED)
    for part, other in zip(bundle.parts, [*keys[1:], keys[0]], strict=True):
        with pytest.raises(OSError):  # noqa: PT011 - the wording is pyarrow's
            pq.read_table(part.write(tmp_path), decryption_properties=pe.create_decryption_properties(other))


def test_a_part_that_pyarrow_wrote_is_read(part: Path, key: bytes, tmp_path: Path) -> None:
    table = pq.read_table(part, decryption_properties=pe.create_decryption_properties(key))
    other = tmp_path / "pyarrow.parquet"
    pq.write_table(table, other, encryption_properties=pe.create_encryption_properties(key))
    assert read_part(other, key).rows() == ROWS
