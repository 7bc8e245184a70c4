"""What a partner, or one side alone, has tried and shall not get: each of these worked once."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from anpr_share.documents import manifest
from anpr_share.errors import FormatError, InputError, PolicyError, UsageError, VerificationError
from anpr_share.site import database
from anpr_share.work import agreements, partners, reading
from tests.support.exchange import AGREEMENT, DAYS, READS, TARGETS, UNI, World, refuse, refused


def successor(world: World, *names: str, **changes: object) -> bytes:
    held = agreements.current(world.uni, AGREEMENT)
    return world.signed(*names, version=2, supersedes=held.digest, **changes).envelope.encode()


def test_a_version_that_leaves_out_a_party_is_refused(world: World) -> None:
    puppet = world.create("sock-puppet", "police").identity
    partners.pin(world.uni, puppet, puppet.fingerprint, refuse)
    with pytest.raises(PolicyError, match="leaves out lancashire-police"):
        agreements.accept(world.uni, successor(world, "sock-puppet", UNI))
    assert agreements.current(world.uni, AGREEMENT).terms.version == 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"ends": "2028-01-01"}, "longer"),
        ({"targets__retention": "P7M"}, "longer"),
        ({"targets__retention": "P182D"}, "longer"),
        ({"timezone": "UTC"}, "time zone"),
    ],
)
def test_no_version_keeps_data_longer_even_if_everybody_signs(
    world: World, change: dict[str, object], match: str
) -> None:
    with pytest.raises(PolicyError, match=match):
        agreements.accept(world.uni, successor(world, **change))
    assert agreements.current(world.uni, AGREEMENT).terms.version == 1


@pytest.mark.parametrize(
    "change", [{"ends": "2027-06-30"}, {"reads__retention": "P364D"}, {"targets__retention": "P1M"}]
)
def test_a_version_may_shorten(world: World, change: dict[str, object]) -> None:
    agreements.accept(world.uni, successor(world, **change))
    assert agreements.current(world.uni, AGREEMENT).terms.version == 2


def test_days_that_are_still_to_come_are_refused_whatever_the_sender_signs(world: World) -> None:
    request = world.request(DAYS[0], date(2027, 9, 30))
    world.clock.now = datetime(2027, 10, 1, 9, tzinfo=UTC)
    rows = [("AB12CDE", "CAM-1", "2027-09-30T08:00:10Z")]
    bundle = world.export(request, rows)
    world.clock.now += timedelta(minutes=1)
    forged = world.forge(bundle)
    forged.manifest["created"] = "2026-10-13T09:00:00Z"
    refused(world, forged.write(), PolicyError, 5)


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("notes", ["AB12CDE Northgate"], VerificationError),
        ("notes", ["x"] * 21, FormatError),
        ("authority", "seen as AB12 CDE", VerificationError),
        ("disclosure_risk", {"ab12cde": "1"}, FormatError),
        ("disclosure_risk", {"unicity": "AB12CDE"}, FormatError),
        ("disclosure_risk", {"unicity4": "1.0001"}, FormatError),
    ],
)
def test_the_quality_record_carries_no_marks(world: World, path: str, value: object, kind: type) -> None:
    forged = world.forge(world.export())
    forged.sealed["quality"][path] = value
    error = refused(world, forged.write(), kind, 7)
    assert "cde" not in error.message.lower()


def test_names_of_counts_carry_no_marks(world: World) -> None:
    forged = world.forge(world.export())
    forged.quality("reads")["families"] = {"ab12cde": 6}
    refused(world, forged.write(), FormatError, 7)


@pytest.mark.skipif(os.name != "posix", reason="links need no privilege there")
def test_a_link_in_the_store_leads_no_deletion_out_of_it(world: World, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    kept = victim / "0b0c0d0e-0000-4000-8000-000000000000-0.parquet"
    kept.write_bytes(b"mine")
    planted = world.uni.paths.store / "x" / "targets"
    planted.mkdir(parents=True)
    (planted / "undated").symlink_to(victim)
    world.load(world.export(targets=TARGETS))
    assert kept.read_bytes() == b"mine"


@pytest.mark.parametrize("newest_too", [True, False])
def test_targets_that_were_withdrawn_do_not_come_back_with_old_rows(world: World, newest_too: bool) -> None:
    world.load(world.export(world.request(DAYS[0], DAYS[0]), targets=TARGETS))
    root, old = world.root / UNI, world.root / "old"
    world.close()
    shutil.copytree(root, old)
    world.clock.now += timedelta(hours=1)
    world.load(world.export(world.request(DAYS[1], DAYS[1]), targets=TARGETS[1:]))
    world.close()

    for name, table in (("site.db", "part"), ("keys.db", "day_key")):
        with closing(sqlite3.connect(root / name)) as connection:
            connection.execute("ATTACH ? AS old", (str(old / name),))
            if not newest_too:
                connection.execute(f"DELETE FROM {table} WHERE tbl = 'targets'")
            connection.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM old.{table}")
            connection.commit()
    shutil.copytree(old / "store", root / "store", dirs_exist_ok=True)

    held = reading.scan(world.uni, "targets", purpose="counting").collect()
    assert held.height == (1 if newest_too else 0)


def test_two_snapshots_of_one_second_leave_the_one_that_was_loaded_last(world: World) -> None:
    requests = [world.request(DAYS[n], DAYS[n]) for n in range(2)]
    world.load(world.export(requests[0], targets=TARGETS))
    world.load(world.export(requests[1], targets=TARGETS[1:]))
    assert reading.scan(world.uni, "targets", purpose="counting").collect().height == 1


def test_targets_without_end_are_refused_and_sent_by_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = world.export(targets=TARGETS)
    few = manifest.Limits(uncounted_rows=1)
    monkeypatch.setattr("anpr_share.work.arriving.LIMITS", few)
    assert "more targets than a bundle may hold" in refused(world, bundle, VerificationError, 8).message
    monkeypatch.setattr("anpr_share.work.targeting.LIMITS", few)
    with pytest.raises(InputError, match="more than 1 targets would leave"):
        world.export(world.request(DAYS[0], DAYS[0]), targets=TARGETS)


def test_targets_that_repeat_one_vehicle_without_end_do_not_stop_a_linking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_LINKED_ROWS", 6)
    monkeypatch.setattr(reading, "_JOINED_ROWS", 2)
    world.load(world.export(targets=[TARGETS[0]] * 2))
    linked = reading.link(world.uni, purpose="the reads of targets").collect()
    assert linked.height == 2 * sum(vrm.replace(" ", "") == "AB12CDE" for vrm, _, _ in READS)
    monkeypatch.setattr(reading, "MAX_LINKED_ROWS", 3)
    with pytest.raises(InputError, match="far too many"):
        reading.link(world.uni, purpose="the reads of targets").collect()


@pytest.mark.skipif(os.name != "posix", reason="an open file is not replaced there")
def test_a_part_that_is_exchanged_while_it_is_read_is_not_what_comes_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import polars as pl

    from anpr_share import parquet
    from anpr_share.site import store

    world.load(world.export())
    part = next(world.uni.paths.store.rglob("*.parquet"))
    fake = pl.DataFrame(
        {"vehicle": ["f" * 32], "camera": ["f" * 32], "captured_at": [datetime(2019, 1, 1, tzinfo=UTC)]}
    )
    genuine = parquet.scan_open

    def exchanging(file: object, key: bytes, columns: dict[str, pl.DataType]) -> pl.LazyFrame:
        frame = genuine(file, key, columns)  # type: ignore[arg-type]
        if part.exists():
            part.unlink()
            fake.write_parquet(part)
        return frame

    monkeypatch.setattr(store, "scan_open", exchanging)
    with pytest.raises(VerificationError, match="written to while it was read"):
        reading.scan(world.uni, "reads", purpose="a look").collect()
    with pytest.raises(VerificationError, match="size"):
        reading.scan(world.uni, "reads", purpose="a look").collect()


def test_a_filter_that_fails_is_not_blamed_on_the_store_and_shows_no_token(world: World) -> None:
    import polars as pl

    world.load(world.export())
    frame = reading.scan(world.uni, "reads", purpose="a look")
    with pytest.raises(UsageError, match="filter") as caught:
        frame.filter(pl.col("vehicle").str.to_integer() > 0).collect()
    assert not any(token in str(caught.value) for token in frame.collect()["vehicle"].to_list())


@pytest.mark.parametrize(
    ("table", "day", "column", "value"),
    [
        ("reads", "2026-10-01", "captured_at", datetime(2026, 10, 1, 8, 0, 10, tzinfo=UTC)),
        ("targets", "undated", "person_category", "victim"),
        ("targets", "undated", "person_category", None),
        ("targets", "undated", "offence_from", date(2026, 3, 17)),
    ],
)
def test_what_the_agreement_keeps_back_is_not_loaded_whatever_the_sender_puts_in(
    world: World, table: str, day: str, column: str, value: object
) -> None:
    import polars as pl

    columns = ["vehicle", "log", "offence", "offence_from", "person_category"]
    world.agree(id="careful", targets__columns=columns, targets__date_resolution="month")
    bundle = world.export(world.request(agreement="careful"), targets=TARGETS)
    forged = world.forge(bundle)
    frame = forged.frame(table, day)
    forged.put(table, day, frame.with_columns(pl.lit(value).cast(frame.schema[column]).alias(column)))
    refused(world, forged.write(), VerificationError, 8)


def test_a_look_notices_that_records_were_removed_while_the_site_was_open(world: World) -> None:
    world.load(world.export())
    frame = reading.scan(world.uni, "reads", purpose="a look")
    assert frame.collect().height == 6
    with world.uni.connection() as other:
        other.execute("DELETE FROM partner")
    with pytest.raises(VerificationError, match="removed or put back"):
        frame.collect()


def test_a_line_that_somebody_wrote_into_the_ledger_stays_a_finding_after_it_is_signed(world: World) -> None:
    uni = world.uni
    with database.transaction(uni.db):
        uni.ledger.append("disclosure", AGREEMENT, {"rows": 1}, now=world.clock.now)
    forged = uni.ledger.head().seq
    for _ in range(2):
        world.request()
        found = uni.ledger.verify(uni.identity.signing, UNI)
        assert (found.out_of_place, found.unsigned_tail) == ((forged,), 0)
        assert world.cli(UNI, "ledger", "verify") == 1
