"""Steps 7 and 8: a partner who signs and seals correctly, and breaks the rules inside."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import date, timedelta
from unittest import mock

import polars as pl
import pytest

from anpr_share import part_check
from anpr_share.documents import canonical
from anpr_share.documents.keys import OpeningKey
from anpr_share.errors import FormatError, LockedError, VerificationError
from anpr_share.site import catalogue, holdings
from anpr_share.work import arriving
from tests.support.documents import changed
from tests.support.exchange import AGREEMENT, DAYS, LANCS, TARGETS, World, refused
from tests.support.forgery import Forgery

FIRST, SECOND = "2026-10-01", "2026-10-02"
TOKEN = "0123456789abcdef" * 2


def test_keys_that_are_sealed_to_somebody_else_do_not_open(world: World) -> None:
    forged = world.forge(world.export())
    refused(world, forged.write(public=OpeningKey.generate().public), VerificationError, 7)


def test_keys_that_are_sealed_for_another_bundle_do_not_open(world: World) -> None:
    forged = world.forge(world.export())
    refused(world, forged.write(info=b"another place"), VerificationError, 7)


@pytest.mark.parametrize("plaintext", [b"", b"\xff", b"{}", b"[" * 1000, b'{"format":1,"keys":[],"quality":null}'])
def test_sealed_bytes_that_are_no_keys_are_refused(world: World, plaintext: bytes) -> None:
    refused(world, world.forge(world.export()).write(plaintext=plaintext), FormatError, 7)


def reuse_key(forged: Forgery) -> None:
    forged.set_key("reads", SECOND, forged.key("reads", FIRST))
    forged.put("reads", SECOND, forged.encrypt(forged.frame("reads", FIRST).clear(), "reads", SECOND))


def short_key(forged: Forgery) -> None:
    forged.set_key("reads", FIRST, bytes(31))


def no_key(forged: Forgery) -> None:
    del forged.sealed["keys"][0]


def key_of_another_day(forged: Forgery) -> None:
    forged.set_key("reads", "2026-10-04", secrets.token_bytes(32))


def key_twice(forged: Forgery) -> None:
    forged.sealed["keys"].insert(0, dict(forged.sealed["keys"][0]))


def key_of_another_table(forged: Forgery) -> None:
    forged.set_key("targets", "undated", secrets.token_bytes(32))


def rows_that_do_not_add_up(forged: Forgery) -> None:
    forged.quality("reads")["rows_in"] += 1


def rows_of_days_that_do_not_add_up(forged: Forgery) -> None:
    forged.quality("reads")["days"][0]["rows"] += 1


def other_rows_than_the_manifest(forged: Forgery) -> None:
    first, second, *_ = forged.quality("reads")["days"]
    first["rows"], second["rows"] = first["rows"] + 1, second["rows"] - 1


def quality_of_another_table(forged: Forgery) -> None:
    forged.sealed["quality"]["tables"].append(dict(forged.quality("reads"), table="targets", days=[]))


def quality_missing(forged: Forgery) -> None:
    forged.sealed["quality"]["tables"] = []


def days_counted_twice(forged: Forgery) -> None:
    quality = forged.quality("reads")
    quality["days"].append(dict(quality["days"][-1]))
    extra = quality["days"][-1]["rows"]
    quality["rows_out"] += extra
    quality["rows_in"] += extra


def days_outside_the_window(forged: Forgery) -> None:
    forged.quality("reads")["days"].append({"day": "2026-10-09", "rows": 0, "rejected": 5})


@pytest.mark.parametrize(
    "fault",
    [
        reuse_key,
        short_key,
        no_key,
        key_of_another_day,
        key_twice,
        key_of_another_table,
        rows_that_do_not_add_up,
        rows_of_days_that_do_not_add_up,
        other_rows_than_the_manifest,
        quality_of_another_table,
        quality_missing,
        days_counted_twice,
        days_outside_the_window,
    ],
    ids=lambda fault: fault.__name__,
)
def test_sealed_content_that_does_not_fit_is_refused(world: World, fault: Callable[[Forgery], None]) -> None:
    forged = world.forge(world.export())
    fault(forged)
    error = refused(world, forged.write(), _kind(fault), 7)
    assert "key" in error.message or "sealed" in error.message or "quality" in error.message


def _kind(fault: Callable[[Forgery], None]) -> type[VerificationError]:
    later = (
        no_key,
        key_of_another_day,
        key_of_another_table,
        other_rows_than_the_manifest,
        quality_of_another_table,
        quality_missing,
        days_counted_twice,
        days_outside_the_window,
    )
    return VerificationError if fault in later else FormatError


def test_a_day_key_of_an_earlier_bundle_is_refused(world: World) -> None:
    old = world.forge(world.export(world.request(DAYS[0], DAYS[0])))
    world.load(old.source)
    forged = world.forge(world.export(world.request(DAYS[1], DAYS[1])))
    frame = forged.frame("reads", SECOND)
    forged.set_key("reads", SECOND, old.key("reads", FIRST))
    forged.put("reads", SECOND, frame)
    assert "used before" in refused(world, forged.write(), VerificationError, 7).message


def test_without_the_one_time_key_nothing_opens(world: World) -> None:
    bundle = world.export()
    uni = world.uni
    [known] = catalogue.requests(uni.db, uni.vault)
    with uni.transaction():
        assert holdings.destroy_onetime_key(uni.db, known.digest, DAYS[0])
    assert "one-time key" in refused(world, bundle, LockedError, 7).message


def day_mislabelled(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.frame("reads", SECOND))


def one_read_of_the_next_day(forged: Forgery) -> None:
    frame = forged.frame("reads", FIRST)
    late = frame.head(1).with_columns(pl.col("captured_at").dt.offset_by("1d"))
    forged.put("reads", FIRST, pl.concat([frame, late]))


def one_read_of_an_expired_day(forged: Forgery) -> None:
    frame = forged.frame("reads", FIRST)
    old = frame.head(1).with_columns(pl.col("captured_at").dt.offset_by("-2y"))
    forged.put("reads", FIRST, pl.concat([frame, old]))


def parts_swapped_with_their_keys(forged: Forgery) -> None:
    first, second = forged.frame("reads", FIRST), forged.frame("reads", SECOND)
    forged.put("reads", FIRST, second)
    forged.put("reads", SECOND, first)


def plaintext_part(forged: Forgery) -> None:
    path = forged.world.free("plain")
    forged.frame("reads", FIRST).write_parquet(path)
    forged.put("reads", FIRST, path.read_bytes())


def clear_columns(forged: Forgery) -> None:
    path = forged.world.free("clear")
    key = forged._part_key("reads", FIRST, 0)
    encryption = pl.ParquetEncryptionProperties(footer_key=key, column_keys={"vehicle": key})
    forged.frame("reads", FIRST).write_parquet(path, encryption=encryption)
    forged.put("reads", FIRST, path.read_bytes())


def clear_footer(forged: Forgery) -> None:
    path = forged.world.free("clear")
    encryption = pl.ParquetEncryptionProperties(footer_key=forged._part_key("reads", FIRST, 0), plaintext_footer=True)
    forged.frame("reads", FIRST).write_parquet(path, encryption=encryption)
    forged.put("reads", FIRST, path.read_bytes())


def key_of_another_part(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.encrypt(forged.frame("reads", FIRST), "reads", FIRST, n=1))


def bare_day_key(forged: Forgery) -> None:
    path = forged.world.free("bare")
    encryption = pl.ParquetEncryptionProperties(footer_key=forged.key("reads", FIRST))
    forged.frame("reads", FIRST).write_parquet(path, encryption=encryption)
    forged.put("reads", FIRST, path.read_bytes())


def column_not_agreed(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.frame("reads", FIRST).with_columns(pl.lit("90-100").alias("confidence")))


def column_missing(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.frame("reads", FIRST).drop("camera"))


def times_as_text(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.frame("reads", FIRST).with_columns(pl.col("captured_at").cast(pl.String)))


def plate_in_place_of_a_token(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.frame("reads", FIRST).with_columns(pl.lit("AB12CDE").alias("vehicle")))


def rows_overstated(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.frame("reads", FIRST), rows=4)


def rows_understated(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.frame("reads", FIRST), rows=0)


def no_parquet(forged: Forgery) -> None:
    forged.put("reads", FIRST, b"PARE" + bytes(100) + b"PARE")


def cut_short(forged: Forgery) -> None:
    forged.put("reads", FIRST, forged.encrypt(forged.frame("reads", FIRST), "reads", FIRST)[:-20])


def targets_with_free_text(forged: Forgery) -> None:
    frame = forged.frame("targets", "undated").with_columns(pl.lit("seen at 12 High Street").alias("offence"))
    forged.put("targets", "undated", frame)


def targets_of_another_number(forged: Forgery) -> None:
    frame = forged.frame("targets", "undated")
    forged.put("targets", "undated", pl.concat([frame, frame]))


PARTS = [
    day_mislabelled,
    one_read_of_the_next_day,
    one_read_of_an_expired_day,
    parts_swapped_with_their_keys,
    plaintext_part,
    clear_columns,
    clear_footer,
    key_of_another_part,
    bare_day_key,
    column_not_agreed,
    column_missing,
    times_as_text,
    plate_in_place_of_a_token,
    rows_overstated,
    rows_understated,
    no_parquet,
    cut_short,
    targets_with_free_text,
    targets_of_another_number,
]


@pytest.mark.parametrize("fault", PARTS, ids=lambda fault: fault.__name__)
def test_a_part_that_is_not_what_was_agreed_is_refused(world: World, fault: Callable[[Forgery], None]) -> None:
    forged = world.forge(world.export(targets=TARGETS))
    fault(forged)
    refused(world, forged.write(), VerificationError, 8)


def test_the_last_part_at_fault_leaves_nothing_of_those_before_it(world: World) -> None:
    forged = world.forge(world.export())
    forged.put("reads", "2026-10-03", forged.frame("reads", FIRST))
    with mock.patch.object(arriving, "check_parts", part_check.check_parts):
        refused(world, forged.write(), VerificationError, 8)


def test_a_part_that_decodes_to_gigabytes_is_refused(world: World) -> None:
    forged = world.forge(world.export())
    instant = forged.frame("reads", FIRST)["captured_at"][0]
    bomb = pl.select(
        vehicle=pl.repeat(TOKEN, 700_000),
        camera=pl.lit("f" * 4096),
        captured_at=pl.lit(instant).dt.cast_time_unit("us"),
    )
    forged.put("reads", FIRST, bomb)
    assert len(forged.parts["data/reads/2026-10-01-0.parquet"]) < 1_000_000
    with mock.patch.object(arriving, "check_parts", part_check.check_parts):
        refused(world, forged.write(), VerificationError, 8)


def test_a_few_targets_in_several_parts_are_loaded(world: World) -> None:
    forged = world.forge(world.export(targets=TARGETS))
    frame = forged.frame("targets", "undated")
    forged.put("targets", "undated", frame.head(1))
    forged.put("targets", "undated", frame.tail(1), n=1)
    assert world.load(forged.write()).rows == {"reads": 6, "targets": 2}


def test_a_newer_snapshot_in_one_part_replaces_one_in_several(world: World) -> None:
    forged = world.forge(world.export(world.request(DAYS[0], DAYS[0]), targets=TARGETS))
    frame = forged.frame("targets", "undated")
    forged.put("targets", "undated", frame.head(1))
    forged.put("targets", "undated", frame.tail(1), n=1)
    world.load(forged.write())
    world.clock.now += timedelta(hours=1)
    world.load(world.export(world.request(DAYS[1], DAYS[1]), targets=TARGETS[:1]))
    assert [item.rows for item in holdings.unreported_deletions(world.uni.db, LANCS)] == [2]
    assert world.events(world.uni.identity.site).count("erasure") == 1
    live = holdings.parts(world.uni.db, world.uni.vault, agreement=AGREEMENT, tbl="targets")
    assert [item.rows for item in live] == [1]


def test_a_bundle_says_nothing_of_days_that_are_held(world: World) -> None:
    request = world.request(DAYS[1], DAYS[2])
    world.load(world.export(world.request(DAYS[0], DAYS[1])))
    before = holdings.coverage(world.uni.db, world.uni.vault, AGREEMENT)
    forged = world.forge(world.export(request, [("AB12CDE", "C", "2026-10-03T12:00:00Z")]))
    forged.quality("reads")["days"].insert(0, {"day": SECOND, "rows": 0, "rejected": 9})
    world.load(forged.write())
    after = {item.day: item for item in holdings.coverage(world.uni.db, world.uni.vault, AGREEMENT)}
    assert {item.day: item for item in before}.items() <= after.items()
    assert after[date(2026, 10, 3)].rows == 1


def test_a_bundle_of_targets_alone_is_loaded(world: World) -> None:
    forged = world.forge(world.export(targets=TARGETS))
    forged.manifest["tables"] = forged.manifest["tables"][1:]
    forged.sealed["keys"] = [item for item in forged.sealed["keys"] if item["table"] == "targets"]
    forged.sealed["quality"]["tables"] = [forged.quality("targets")]
    forged.parts = {name: content for name, content in forged.parts.items() if "targets" in name}
    assert world.load(forged.write()).rows == {"targets": 2}


def test_no_message_of_a_hostile_bundle_repeats_what_it_holds(world: World) -> None:
    forged = world.forge(world.export())
    forged.sealed = changed(forged.sealed, "quality.AB12CDE", "LM56NPR")
    error = refused(world, forged.write(plaintext=canonical.encode(forged.sealed)), FormatError, 7)
    assert "AB12" not in f"{error.message}{error.hint}"
