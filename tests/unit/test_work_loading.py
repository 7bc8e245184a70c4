"""Loading: what comes into the store, what does not, and what is dead afterwards."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from unittest import mock

import polars as pl
import pytest

from anpr_share import container, part_check
from anpr_share.documents import receipt as receipts
from anpr_share.documents.manifest import Quality
from anpr_share.documents.model import validate
from anpr_share.errors import PolicyError, StorageError
from anpr_share.parquet import part_key
from anpr_share.site import catalogue, files, holdings, publication
from anpr_share.site.holdings import KeyPlace
from anpr_share.work import arriving, loading, reading, receipting
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, PLATES, READS, TARGETS, UNI, WYP, World, silent
from tests.support.parts import read_part

DAY_1, DAY_2, DAY_3 = (day.isoformat() for day in DAYS)


def scanned(world: World, table: str, **options: str) -> pl.DataFrame:
    return reading.scan(world.uni, table, purpose="journey regularity", **options).collect(engine="streaming")


def day_keys(world: World) -> dict[KeyPlace, bytes]:
    vault = world.uni.require_vault()
    wrapped = holdings.wrapped_day_keys(world.uni.db, AGREEMENT, "reads")
    return {place: holdings.unwrap_day_key(vault, place, key) for place, key in wrapped.items()}


def test_a_load_is_whole_records_keys_coverage_ledger_and_receipt(world: World) -> None:
    bundle = world.export(targets=TARGETS)
    result = world.load(bundle)
    uni = world.uni
    assert (result.rows, result.expired, result.again, result.sender) == ({"reads": 6, "targets": 2}, 0, False, LANCS)
    held = holdings.held_days(uni.db, uni.vault, AGREEMENT, LANCS, "reads")
    assert {item.day for item in held} == {DAY_1, DAY_2, DAY_3}
    parts = {(item.tbl, item.day): item.rows for item in holdings.parts(uni.db, uni.vault)}
    assert parts == {("reads", DAY_1): 3, ("reads", DAY_2): 2, ("reads", DAY_3): 1, ("targets", "undated"): 2}
    covered = holdings.coverage(uni.db, uni.vault, AGREEMENT)
    assert [(item.day.isoformat(), item.rows, item.rejected) for item in covered] == [
        (DAY_1, 3, 0),
        (DAY_2, 2, 1),
        (DAY_3, 1, 0),
    ]
    assert world.events(UNI)[-1] == "collection"
    assert uni.ledger.verify(uni.identity.signing, UNI).unsigned_tail == 0
    [witness] = holdings.witnesses(uni.db, uni.vault, LANCS)
    assert witness.seq == world.lancs.ledger.head().seq - 2  # before the entries of the export itself
    loaded = receipts.parse(result.receipt.read_bytes())[0].loaded[0]
    assert {(day.table, day.day): (day.rows, day.expired) for day in loaded.days} == {
        place: (rows, 0) for place, rows in parts.items()
    }


def test_with_the_real_child_the_same_rows_come_in(world: World) -> None:
    bundle = world.export()
    sent = {day: world.forge(bundle).frame("reads", day) for day in (DAY_1, DAY_2, DAY_3)}
    with mock.patch.object(arriving, "check_parts", part_check.check_parts):
        world.load(bundle)
    found = scanned(world, "reads")
    keys = day_keys(world)
    for part in holdings.parts(world.uni.db, world.uni.vault, tbl="reads"):
        frame = sent[part.day]
        rows = found.filter(pl.col("day") == date.fromisoformat(part.day)).drop("source", "day")
        assert rows.sort(rows.columns).equals(frame.sort(rows.columns))
        key = part_key(keys[KeyPlace(AGREEMENT, "reads", part.day, part.bundle)], part.bundle, "reads", part.day, 0)
        assert read_part(world.uni.paths.root / part.path, key).equals(frame)  # in the order in which it came


def test_the_stored_parts_are_under_fresh_keys_and_the_bundle_is_dead(world: World) -> None:
    bundle = world.export()
    forged = world.forge(bundle)
    sent = {day: forged.key("reads", day) for day in (DAY_1, DAY_2, DAY_3)}
    world.load(bundle)
    uni = world.uni
    assert holdings.onetime_places(uni.db) == ()
    keys = day_keys(world)
    assert len(set(keys.values()) | set(sent.values())) == 6
    content = bundle.read_bytes()
    for part in holdings.parts(uni.db, uni.vault):
        path = uni.paths.root / part.path
        assert path.read_bytes() not in content
        assert hashlib.sha256(path.read_bytes()).hexdigest() == part.sha256
        key = keys[KeyPlace(AGREEMENT, "reads", part.day, part.bundle)]
        assert read_part(path, part_key(key, part.bundle, "reads", part.day, part.n)).height == part.rows
        assert path.stat().st_mode & 0o077 == 0


def test_no_plate_and_no_camera_reaches_the_university(world: World) -> None:
    world.load(world.export(targets=TARGETS))
    everything = b"".join(path.read_bytes() for path in (world.root / UNI).rglob("*") if path.is_file())
    for text in (*PLATES, "AB12 CDE", "GH56?JK", "CAM-1", "LOG-1"):
        assert text.encode() not in everything


def test_duplicate_rows_are_kept_and_counted(world: World) -> None:
    result = world.load(world.export())
    found = scanned(world, "reads")
    assert found.height - found.n_unique() == 1
    known = holdings.bundle(world.uni.db, world.uni.vault, result.bundle)
    assert known is not None
    assert known.quality is not None
    quality = validate(Quality, known.quality, "quality record").of("reads")
    assert quality is not None
    assert (quality.duplicates, quality.rows_in, quality.rejected) == (1, 7, {"vrm-partial": 1})


def test_what_has_expired_on_arrival_is_counted_and_not_kept(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets__retention="P12D")
    bundle = world.export(world.request(agreement="brief"), targets=TARGETS)
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)  # midnight in London, when the first day goes
    result = world.load(bundle)
    assert (result.rows, result.expired) == ({"reads": 3, "targets": 2}, 3)
    [note] = result.notes
    assert re.fullmatch(
        r"the agreement keeps reads for .+, so only those from [0-9-]{10} on may be shared now \(Europe/London\)", note
    )
    assert DAY_1 not in world.stored()
    assert {place.day for place in holdings.key_places(world.uni.db)} == {DAY_2, DAY_3, "undated"}
    found = scanned(world, "reads", agreement="brief")
    assert found["day"].unique().sort().to_list() == [DAYS[1], DAYS[2]]
    coverage = scanned(world, "coverage", agreement="brief")
    assert coverage["day"].to_list() == [DAYS[1], DAYS[2]]
    loaded = receipts.parse(result.receipt.read_bytes())[0].loaded[0]
    assert {(day.day, day.rows, day.expired) for day in loaded.days if day.table == "reads"} == {
        (DAY_1, 0, 3),
        (DAY_2, 2, 0),
        (DAY_3, 1, 0),
    }


def test_a_bundle_that_has_expired_as_a_whole_is_recorded_and_nothing_kept(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    bundle = world.export(world.request(agreement="brief"))
    world.clock.now = NOW + timedelta(days=20)
    result = world.load(bundle)
    assert (result.rows, result.expired) == ({"reads": 0}, 6)
    assert holdings.key_places(world.uni.db) == ()
    assert not [name for name in world.stored() if name.endswith(".parquet")]
    assert world.load(bundle).expired == 6


def targets_of(world: World) -> list[int]:
    found = scanned(world, "targets")
    return sorted(found.group_by("source").len()["len"].to_list())


def test_a_newer_snapshot_of_targets_replaces_the_older_one_of_that_force_alone(world: World) -> None:
    older = world.load(world.export(world.request(DAYS[0], DAYS[0]), targets=TARGETS))
    world.load(world.export(world.request(to=WYP), targets=TARGETS, by=WYP))
    world.clock.now += timedelta(hours=1)
    world.load(world.export(world.request(DAYS[1], DAYS[1]), targets=TARGETS[:1]))
    assert targets_of(world) == [1, 2]
    assert not list((world.root / UNI / "store" / AGREEMENT / "targets").rglob(f"{older.bundle}*"))
    places = holdings.key_places(world.uni.db)
    assert KeyPlace(AGREEMENT, "targets", "undated", older.bundle) not in places
    assert world.events(UNI).count("erasure") == 1


def test_an_older_snapshot_never_replaces_a_newer_one(world: World) -> None:
    older = world.export(world.request(DAYS[0], DAYS[0]), targets=TARGETS)
    world.clock.now += timedelta(hours=1)
    world.load(world.export(world.request(DAYS[1], DAYS[1]), targets=TARGETS[:1]))
    result = world.load(older)
    assert result.rows == {"reads": 3, "targets": 0}
    assert targets_of(world) == [1]
    assert "erasure" not in world.events(UNI)


def test_a_bundle_without_targets_replaces_none(world: World) -> None:
    world.load(world.export(world.request(DAYS[0], DAYS[0]), targets=TARGETS))
    world.clock.now += timedelta(hours=1)
    world.load(world.export(world.request(DAYS[1], DAYS[1])))
    assert targets_of(world) == [2]


def test_a_receipt_that_cannot_be_written_stops_the_load(world: World) -> None:
    bundle = world.export()
    taken = world.free("receipt.json")
    taken.write_text("mine")
    with pytest.raises(StorageError):
        loading.load(world.uni, bundle, taken, silent)
    assert taken.read_text() == "mine"
    assert world.stored() == []
    assert "load-refused" not in world.events(UNI)
    assert world.load(bundle).rows == {"reads": 6}


def test_a_load_that_fails_in_its_transaction_leaves_nothing(world: World) -> None:
    bundle = world.export()
    with (
        mock.patch.object(holdings, "destroy_onetime_key", side_effect=StorageError("the disk is full")),
        pytest.raises(StorageError),
    ):
        world.load(bundle)
    assert world.stored() == []
    assert list(world.uni.paths.outbox.iterdir()) == []
    assert holdings.bundles(world.uni.db, world.uni.vault) == ()
    assert holdings.unreported_refusals(world.uni.db, LANCS) == ()
    assert world.load(bundle).rows == {"reads": 6}


def test_an_interrupted_load_is_undone_by_the_next(world: World) -> None:
    bundle = world.export()

    def stop(text: str) -> None:
        if text.startswith("2 of"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loading.load(world.uni, bundle, None, stop)
    assert world.stored() == []
    assert world.load(bundle).rows == {"reads": 6}


def test_one_window_after_another_of_a_standing_request(world: World) -> None:
    from anpr_share.periods import Duration
    from anpr_share.work import requesting

    out = world.free("request.json")
    requesting.request(world.uni, AGREEMENT, LANCS, DAYS[0], DAYS[2], Duration.parse("P1D"), out)
    rows = [world.load(world.export(out.read_bytes())).rows["reads"] for _ in DAYS]
    assert rows == [3, 2, 1]
    [known] = catalogue.requests(world.uni.db, world.uni.vault)
    assert {item.state for item in catalogue.windows(world.uni.db, None, known.digest)} == {"used"}
    assert holdings.onetime_places(world.uni.db) == ()


def test_a_bundle_is_staged_only_if_the_disk_has_room_for_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = world.export()
    with bundle.open("rb") as file:
        size = sum(item.size for item in container.read(file) if item.name.startswith("data/"))
    room = SimpleNamespace(free=size + size // 8 - 1)
    with monkeypatch.context() as full:
        full.setattr(files, "shutil", SimpleNamespace(disk_usage=lambda _: room))
        full.setattr(publication, "publishing", mock.Mock(side_effect=AssertionError))
        with pytest.raises(StorageError, match="not the room"):
            world.load(bundle)
    assert "load-refused" not in world.events(UNI)
    monkeypatch.setattr(files, "shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=room.free + 1)))
    assert world.load(bundle).rows == {"reads": 6}


def test_a_store_that_was_not_restored_is_made_again(world: World) -> None:
    world.uni.paths.store.rmdir()
    assert world.load(world.export()).rows == {"reads": 6}


def test_what_went_wrong_here_is_not_reported_to_the_force(world: World) -> None:
    bundle = world.export()
    taken = world.free("receipt.json")
    taken.write_text("mine")
    with pytest.raises(StorageError):
        loading.load(world.uni, bundle, taken, silent)
    world.load(bundle)
    with pytest.raises(StorageError):
        loading.load(world.uni, bundle, taken, silent)
    world.clock.now -= timedelta(minutes=6)
    with pytest.raises(PolicyError, match="clock"):
        world.load(bundle)
    assert holdings.unreported_refusals(world.uni.db, LANCS) == ()
    assert "load-refused" not in world.events(UNI)


def test_a_table_of_which_nothing_may_leave_is_accounted_for_and_loaded_as_none(world: World) -> None:
    forged = world.forge(world.export(targets=TARGETS))
    forged.manifest["tables"] = [item for item in forged.manifest["tables"] if item["name"] == "reads"]
    forged.sealed["keys"] = [item for item in forged.sealed["keys"] if item["table"] == "reads"]
    forged.parts = {name: part for name, part in forged.parts.items() if "/targets/" not in name}
    account = forged.quality("targets")
    account["withheld"]["victim"] = account["withheld"].get("victim", 0) + account.pop("rows_out")
    account["rows_out"] = 0
    result = world.load(forged.write())
    assert result.rows == {"reads": 6}
    [bundle] = holdings.bundles(world.uni.db, world.uni.vault)
    assert bundle.quality is not None
    quality = validate(Quality, bundle.quality, "quality record").of("targets")
    assert quality is not None
    assert (quality.rows_out, quality.withheld["victim"]) == (0, 3)
    assert receipting.accept(world.lancs, result.receipt.read_bytes()).loaded == 1


def test_the_rows_of_a_bundle_are_those_that_were_accepted(world: World) -> None:
    assert world.load(world.export()).rows["reads"] == sum("?" not in plate for plate, _, _ in READS)
