"""What an exported bundle holds, opened from outside: each token is the HMAC that the specification says, row for row.

Forms of plates and HMACs are those of ``examples/second_implementation.py``, which shares no code with us.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from anpr_share.documents.agreement import Agreement
from anpr_share.synthetic import PLAIN_PROFILE, Scenario, write_reads_csv
from anpr_share.tables.extract import Input
from anpr_share.tables.profile import parse_profile
from anpr_share.work import agreements, exporting
from examples import second_implementation as rules
from tests.support import outside
from tests.support.exchange import LANCS, Read, Target, World, silent

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

FOLDED = str.maketrans("ODQIZSGB", "00012568")


class Tokens:
    """Every token by the second implementation, under the linkage key that the force holds."""

    def __init__(self, world: World, agreement: Agreement) -> None:
        secret = world.lancs.require_vault().get_secret(world.lancs.db, agreements.LINKAGE, agreement.id)
        assert secret is not None
        self.given = {"agreement": agreement.id, "secret_hex": secret.hex()}

    def of(self, field: str, message: bytes) -> str:
        return rules.digest(self.given, field, message)[:16].hex()

    def vehicle(self, vrm: str) -> str:
        return self.of("vrm", vrm.encode())

    def alike(self, vrm: str) -> str:
        return self.of("vrm-alike", vrm.translate(FOLDED).encode())

    def camera(self, name: str) -> str:
        return self.of(f"camera/{LANCS}", rules.camera([name]))

    def sampled(self, vrm: str, rate: Decimal) -> bool:
        return int.from_bytes(rules.digest(self.given, "sample", vrm.encode())[:8]) < rate * 2**64


def rows_of(parts: Iterable[outside.Part], table: str = "reads") -> pl.DataFrame:
    """All rows of a table, as pyarrow decrypts them."""
    tables = [
        pq.read_table(pa.BufferReader(part.content), decryption_properties=pe.create_decryption_properties(part.key))
        for part in parts
        if part.table == table
    ]
    frame = pl.from_arrow(pa.concat_tables(tables))
    assert isinstance(frame, pl.DataFrame)
    return frame


FIRST, DAYS, FILES = date(2026, 10, 22), 7, 3  # London's clocks go back on the 25th
BACK = pl.datetime(2026, 10, 25, 2)


def in_utc(local: pl.Expr) -> pl.Expr:
    """London's time as UTC in this week, the earlier of two: an hour behind until the clocks have gone back."""
    instant = pl.when(local < BACK).then(local - timedelta(hours=1)).otherwise(local)
    return instant.dt.replace_time_zone("UTC")


def looked_up(column: str, table: dict[str, str]) -> pl.Expr:
    return pl.col(column).replace_strict(list(table), list(table.values()), default=None, return_dtype=pl.String)


def test_every_token_of_two_million_exported_rows_is_the_hmac_of_its_plate(world: World, tmp_path: Path) -> None:
    names = ["vehicle", "camera", "captured_at", "vehicle_alike"]
    world.clock.now = datetime.fromisoformat("2026-11-02T09:00:00Z")
    agreement = world.agree(id="tokens-2026", reads__columns=names, reads__resolution="1s", targets=None)
    extracts = [tmp_path / f"reads-{force}.csv" for force in range(FILES)]
    for force, path in enumerate(extracts):
        traffic = Scenario(seed=5, first=FIRST, days=DAYS, reads_per_day=100_000, distinct=0.05, force=force)
        write_reads_csv(path, traffic)
    out = tmp_path / "tokens.anpr.zip"
    asked = world.request(FIRST, FIRST + timedelta(days=DAYS - 1), agreement=agreement.id)

    reads = Input((str(tmp_path / "reads-*.csv"),), parse_profile(PLAIN_PROFILE))
    result = exporting.export(world.lancs, asked, reads, out, progress=silent)
    bundle = outside.exported(world, out)
    found = rows_of(bundle.parts)

    tokens = Tokens(world, agreement)
    rows = pl.concat(pl.read_csv(path, infer_schema=False) for path in extracts)
    spelt = rows["vrm"].drop_nulls().unique().to_list()
    forms = {raw: form for raw in spelt if (form := rules.vrm_1(raw)[1]) is not None}
    vehicles = {raw: tokens.vehicle(form) for raw, form in forms.items()}
    alike = {raw: tokens.alike(form) for raw, form in forms.items()}
    cameras = {name: tokens.camera(name) for name in rows["camera"].unique()}
    local = pl.col("captured_at").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us")
    expected = rows.select(
        vehicle=looked_up("vrm", vehicles),
        camera=looked_up("camera", cameras),
        captured_at=in_utc(local),
        vehicle_alike=looked_up("vrm", alike),
    ).filter(pl.col("vehicle").is_not_null())

    # The input is what it is said to be: many rows, plates in several spellings, alike ones, and unreadable ones.
    assert found.height > 2_000_000
    assert len(set(forms.values())) < 0.9 * len(forms)
    assert 1 < len(set(alike.values())) < len(set(vehicles.values())) == found["vehicle"].n_unique()
    assert 0 < rows.height - expected.height == sum(result.tables[0].rejected.values())
    assert {part.day for part in bundle.parts} == {f"{FIRST + timedelta(days=n)}" for n in range(DAYS)}
    assert found.select(names).sort(names).equals(expected.select(names).sort(names))


@pytest.mark.parametrize("rate", ["0.3", "0.05"])
def test_a_sample_is_the_vehicles_below_the_rate_and_every_target(world: World, rate: str) -> None:
    agreement = world.agree(id="sample-2026", reads__sample=rate)
    tokens = Tokens(world, agreement)
    # So many that a sample under any key holds some: 0.95 to the power of 800 is never.
    plates = [f"{first}{second}{n}ABC" for first in "ABCDEFGH" for second in "ABCDEFGHJK" for n in range(12, 22)]
    sampled = {plate for plate in plates if tokens.sampled(plate, Decimal(rate))}
    assert 0 < len(sampled) < len(plates) - 1
    wanted, unwanted = sorted(set(plates) - sampled)[:2]
    reads: list[Read] = [(plate, "CAM-1", f"2026-10-0{day}T08:00:00Z") for plate in plates for day in (1, 2)]
    targets: list[Target] = [(wanted, "LOG-1", "Trafficking", "", "", "suspect")]

    asked = world.request(agreement=agreement.id)
    bundle = outside.exported(world, world.export(asked, reads, targets))

    found = rows_of(bundle.parts)["vehicle"].to_list()
    assert sorted(found) == sorted(tokens.vehicle(plate) for plate in [*sampled, wanted] * 2)
    assert tokens.vehicle(unwanted) not in found
    assert rows_of(bundle.parts, "targets")["vehicle"].to_list() == [tokens.vehicle(wanted)]
    quality = {item["table"]: item for item in bundle.sealed["quality"]["tables"]}
    assert quality["reads"]["withheld"] == {"not-sampled": 2 * (len(plates) - len(sampled) - 1)}
    assert bundle.sealed["quality"]["sample"] == rate
