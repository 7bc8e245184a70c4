"""What a researcher sees: nothing expired on any date, nothing changed, nothing unlogged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from anpr_share.api import Site
from anpr_share.errors import AnprShareError, LockedError, PolicyError, StorageError, UsageError, VerificationError
from anpr_share.pseudonyms import LinkageKey
from anpr_share.site import holdings, store
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements, reading
from tests.support.exchange import (
    AGREEMENT,
    DAYS,
    LANCS,
    NOW,
    PASSPHRASE,
    PLATES,
    TARGETS,
    UNI,
    WYP,
    World,
)

PURPOSE = "journey regularity"


def vehicle(world: World, plate: str) -> str:
    return agreements.linkage_key(world.lancs, AGREEMENT).vrm(plate)


@pytest.fixture
def loaded(world: World) -> World:
    world.load(world.export(targets=TARGETS))
    return world


def scanned(world: World, table: str = "reads", **options: Any) -> pl.DataFrame:
    return reading.scan(world.uni, table, purpose=PURPOSE, **options).collect(engine="streaming")


def test_scan_has_the_agreed_columns_then_source_and_day(loaded: World) -> None:
    frame = scanned(loaded)
    assert frame.schema == {
        "vehicle": pl.String(),
        "camera": pl.String(),
        "captured_at": pl.Datetime("us", "UTC"),
        "source": pl.String(),
        "day": pl.Date(),
    }
    assert frame.height == 6
    assert set(frame["source"]) == {LANCS}
    assert set(frame["vehicle"]) == {vehicle(loaded, plate) for plate in PLATES}


def test_scan_is_a_consultation_with_its_purpose_at_each_collect_and_not_before(loaded: World) -> None:
    before = len(loaded.events(UNI))
    frame = reading.scan(loaded.uni, "reads", purpose=f"  {PURPOSE} ")
    assert len(loaded.events(UNI)) == before
    frame.collect()
    frame.select("day").collect(engine="streaming")
    entries = list(loaded.uni.ledger.lines())[before:]
    assert [entry.event for entry in entries] == ["consultation", "consultation"]
    assert entries[0].details["purpose"] == PURPOSE
    assert entries[0].details["tables"] == ["reads"]
    assert loaded.uni.ledger.verify(loaded.uni.identity.signing, UNI).unsigned_tail == 0


def test_link_is_a_combination_and_joins_reads_to_targets(loaded: World) -> None:
    frame = reading.link(loaded.uni, purpose=PURPOSE).collect(engine="streaming").sort("vehicle", "captured_at")
    assert loaded.events(UNI)[-1] == "combination"
    expected = {
        (vehicle(loaded, "AB12CDE"), DAYS[0], False),
        (vehicle(loaded, "AB12CDE"), DAYS[1], True),
        (vehicle(loaded, "LM56NPR"), DAYS[1], None),
    }
    assert set(frame.select("vehicle", "day", "during_offence").iter_rows()) == expected
    assert frame.columns == [
        *("vehicle", "camera", "captured_at", "source", "day"),
        *("log", "offence", "offence_from", "offence_to", "target_source", "target_day", "during_offence"),
    ]


def test_link_takes_predicates_columns_and_heads(loaded: World) -> None:
    frame = reading.link(loaded.uni, purpose=PURPOSE)
    assert frame.filter(pl.col("during_offence")).select("day").collect()["day"].to_list() == [DAYS[1]]
    assert frame.head(1).collect().height == 1
    assert frame.select(pl.len()).collect().item() == 3


def test_at_month_resolution_an_offence_lasts_to_the_end_of_its_month(world: World) -> None:
    world.agree(id="months", targets__date_resolution="month")
    world.load(
        world.export(
            world.request(agreement="months"),
            targets=[("AB12CDE", "LOG-1", "Trafficking", "2026-09-20", "2026-10-01", "suspect")],
        )
    )
    frame = reading.link(world.uni, "months", purpose=PURPOSE).collect(engine="streaming")
    assert frame["during_offence"].to_list() == [True, True]
    assert frame["offence_from"][0] == date(2026, 9, 1)


def test_reads_link_to_the_targets_of_another_force(world: World) -> None:
    world.load(world.export())
    other = [("LM56NPR", "C", "2026-10-01T09:00:00Z")]
    world.load(world.export(reads=other, targets=TARGETS[:1], by=WYP))
    frame = reading.link(world.uni, purpose=PURPOSE).collect(engine="streaming")
    assert set(frame.select("source", "target_source").iter_rows()) == {(LANCS, WYP)}
    assert frame.height == 2


def test_a_site_that_holds_nothing_gives_empty_frames_of_the_right_shape(world: World) -> None:
    assert scanned(world).height == 0
    assert scanned(world).columns == ["vehicle", "camera", "captured_at", "source", "day"]
    assert scanned(world, "targets").height == 0
    assert scanned(world, "coverage").schema == {
        "source": pl.String(),
        "day": pl.Date(),
        "rows": pl.Int64(),
        "rejected": pl.Int64(),
    }
    linked = reading.link(world.uni, purpose=PURPOSE).collect(engine="streaming")
    assert (linked.height, linked.columns[-1]) == (0, "during_offence")


def test_reads_without_targets_link_to_nothing(world: World) -> None:
    world.load(world.export())
    assert reading.link(world.uni, purpose=PURPOSE).collect(engine="streaming").height == 0


def test_a_frame_left_open_shows_nothing_that_expired_since(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets__retention="P1D")
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
    frames = {
        table: reading.scan(world.uni, table, purpose=PURPOSE, agreement="brief")
        for table in ("reads", "targets", "coverage")
    }
    linked = reading.link(world.uni, "brief", purpose=PURPOSE)
    assert linked.collect().height == 3
    midnight = datetime(2026, 10, 12, 23, tzinfo=UTC)
    for now, days, targets in (
        (midnight - timedelta(seconds=1), 3, 2),
        (midnight, 2, 0),
        (midnight + timedelta(days=1), 1, 0),
        (midnight + timedelta(days=2), 0, 0),
        (midnight + timedelta(days=60), 0, 0),
    ):
        world.clock.now = now
        assert frames["reads"].collect()["day"].n_unique() == days
        assert frames["coverage"].collect().height == days
        assert frames["targets"].collect().height == targets
        assert linked.collect().height == (3 if targets else 0)


@pytest.mark.parametrize("table", ["reads", "linked"])
def test_a_frame_taken_in_batches_ends_where_its_days_do(
    world: World, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    world.agree(id="brief", reads__retention="P12D")
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
    batches = store._batches

    def slowly(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
        yield from batches(frame)
        if frame["day"].to_list()[:1] == [DAYS[0]]:
            world.clock.now += timedelta(days=2)

    monkeypatch.setattr(store, "GROUP_PARTS", 1)
    monkeypatch.setattr(store, "_batches", slowly)
    look = reading.scan(world.uni, "reads", purpose=PURPOSE, agreement="brief")
    if table == "linked":
        look = reading.link(world.uni, "brief", purpose=PURPOSE)
    seen = set(look.collect(engine="streaming")["day"])
    assert seen == {DAYS[0], DAYS[2]} - ({DAYS[2]} if table == "linked" else set())  # of the third no target was read


def test_nothing_is_shown_once_the_agreement_has_ended(world: World) -> None:
    world.agree(id="ends-soon", ends="2026-10-12")
    world.load(world.export(world.request(agreement="ends-soon")))
    frame = reading.scan(world.uni, "reads", purpose=PURPOSE, agreement="ends-soon")
    assert frame.collect().height == 6
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    with pytest.raises(PolicyError, match="ended on"):
        frame.collect()


def test_a_clock_that_was_put_back_shows_nothing(loaded: World) -> None:
    frame = reading.scan(loaded.uni, "reads", purpose=PURPOSE)
    loaded.clock.now = NOW - timedelta(minutes=6)
    with pytest.raises(PolicyError, match="clock"):
        frame.collect()


def test_a_day_whose_key_is_gone_is_invisible(loaded: World) -> None:
    uni = loaded.uni
    [place] = [place for place in holdings.key_places(uni.db) if place.day == "2026-10-02"]
    frame = reading.scan(uni, "reads", purpose=PURPOSE)
    with uni.transaction():
        holdings.destroy_day_key(uni.db, place)
    assert set(frame.collect()["day"]) == {DAYS[0], DAYS[2]}


@pytest.mark.parametrize("place", [0, 200, -1])
def test_a_part_that_was_changed_is_refused(loaded: World, place: int) -> None:
    path = next((loaded.root / UNI / "store").rglob("2026-10-02/*.parquet"))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(VerificationError, match="2026-10-02"):
        scanned(loaded)
    assert reading.scan(loaded.uni, "reads", purpose=PURPOSE).filter(day=DAYS[0]).collect().height == 3


def test_a_day_that_the_time_rules_out_is_not_opened(loaded: World) -> None:
    next((loaded.root / UNI / "store").rglob("2026-10-03/*.parquet")).unlink()
    frame = reading.scan(loaded.uni, "reads", purpose=PURPOSE)
    noon = datetime(2026, 10, 1, 12, tzinfo=UTC)
    assert frame.filter(pl.col("captured_at") < noon).collect().height == 3
    with pytest.raises(StorageError):
        frame.filter(pl.col("captured_at") < noon + timedelta(days=2)).collect()


def test_a_day_key_that_was_altered_opens_nothing(loaded: World) -> None:
    with loaded.uni.transaction() as connection:
        connection.execute("UPDATE keys.day_key SET wrapped = zeroblob(60) WHERE day = '2026-10-02'")
    with pytest.raises(VerificationError, match="wrapped secret"):
        scanned(loaded)
    assert reading.scan(loaded.uni, "reads", purpose=PURPOSE).filter(day=DAYS[0]).collect().height == 3


def test_a_look_that_cannot_be_signed_shows_nothing_and_leaves_no_line(loaded: World) -> None:
    with loaded.uni.transaction() as connection:
        connection.execute("DELETE FROM ledger WHERE seq = (SELECT max(seq) FROM checkpoint)")
    before = loaded.uni.ledger.head()
    with pytest.raises(VerificationError, match="contradicts"):
        scanned(loaded)
    assert loaded.uni.ledger.head() == before


@pytest.mark.parametrize("test", [pl.len(), pl.col("vehicle").len(), pl.col("source").len(), pl.col("day").len()])
def test_rows_are_counted_whatever_columns_are_asked_for(loaded: World, test: pl.Expr) -> None:
    assert reading.scan(loaded.uni, "reads", purpose=PURPOSE).select(test).collect().item() == 6


def test_a_part_of_another_size_or_day_is_refused(loaded: World) -> None:
    store = loaded.root / UNI / "store"
    first, second = (next(store.rglob(f"2026-10-0{n}/*.parquet")) for n in (1, 2))
    content = second.read_bytes()
    second.write_bytes(content + b"\0")
    with pytest.raises(VerificationError):
        scanned(loaded)
    second.write_bytes(first.read_bytes())
    with pytest.raises(VerificationError):
        scanned(loaded)
    second.unlink()
    with pytest.raises(StorageError):
        scanned(loaded)
    second.write_bytes(content)
    assert scanned(loaded).height == 6


def test_a_plaintext_file_in_the_store_is_refused(loaded: World) -> None:
    path = next((loaded.root / UNI / "store").rglob("2026-10-02/*.parquet"))
    pl.DataFrame({"vehicle": ["0" * 32]}).write_parquet(path)
    with pytest.raises(VerificationError):
        scanned(loaded)


def test_a_record_that_was_edited_is_refused(loaded: World) -> None:
    with loaded.uni.transaction() as connection:
        connection.execute("UPDATE part SET day = '2027-10-01' WHERE day = '2026-10-01'")
    with pytest.raises(VerificationError):
        scanned(loaded)


@pytest.mark.parametrize(
    ("purpose", "kind"),
    [
        ("where was AB12CDE", PolicyError),
        ("where was ab12 cde", PolicyError),
        ("0123456789abcdef0123456789abcdef", PolicyError),
        ("", UsageError),
        ("   ", UsageError),
        ("two\nlines", UsageError),
    ],
)
def test_a_purpose_is_checked_before_anything_is_read_or_logged(
    loaded: World, purpose: str, kind: type[AnprShareError]
) -> None:
    before = loaded.uni.ledger.head()
    with pytest.raises(kind) as at_scan:
        reading.scan(loaded.uni, "reads", purpose=purpose)
    with pytest.raises(kind) as at_link:
        reading.link(loaded.uni, purpose=purpose)
    assert "AB12" not in f"{at_scan.value} {at_link.value}"
    assert loaded.uni.ledger.head() == before
    assert loaded.cli(UNI, "link", "--purpose", purpose) == kind.exit_code


def test_only_a_university_with_its_passphrase_reads(loaded: World) -> None:
    with pytest.raises(PolicyError):
        reading.scan(loaded.lancs, "reads", purpose=PURPOSE)
    with OpenSite.open(loaded.root / UNI, clock=loaded.clock) as locked, pytest.raises(LockedError):
        reading.scan(locked, "reads", purpose=PURPOSE)
    assert loaded.cli(LANCS, "link", "--purpose", PURPOSE) == PolicyError.exit_code


def test_a_table_or_agreement_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(UsageError):
        reading.scan(world.uni, "plates", purpose=PURPOSE)
    with pytest.raises(PolicyError):
        reading.scan(world.uni, "reads", purpose=PURPOSE, agreement="nothing")
    world.agree(id="reads-only", targets=None)
    with pytest.raises(UsageError, match="2 agreements"):
        reading.scan(world.uni, "reads", purpose=PURPOSE)
    with pytest.raises(PolicyError, match="no targets"):
        reading.scan(world.uni, "targets", purpose=PURPOSE, agreement="reads-only")
    with pytest.raises(PolicyError, match="no targets"):
        reading.link(world.uni, "reads-only", purpose=PURPOSE)


def test_an_error_of_polars_over_a_frame_is_the_researchers_own(loaded: World) -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        reading.scan(loaded.uni, "reads", purpose=PURPOSE).select("plate").collect()


def test_the_library_opens_a_site_and_reads(loaded: World) -> None:
    loaded.close()
    with Site.open(loaded.root / UNI, passphrase=PASSPHRASE, clock=loaded.clock) as site:
        assert site.scan("reads", purpose=PURPOSE).collect().height == 6
        assert site.link(purpose=PURPOSE).collect().height == 3
        left = site.scan("reads", purpose=PURPOSE)
    for late in (left.collect, lambda: site.scan("reads", purpose=PURPOSE), lambda: site.link(purpose=PURPOSE)):
        with pytest.raises(UsageError, match="this site is closed"):
            late()
    with pytest.raises(LockedError):
        Site.open(loaded.root / UNI, passphrase=b"wrong horse battery", clock=loaded.clock)


def test_the_library_refuses_what_is_no_site_as_a_command_does(tmp_path: Path) -> None:
    for name, why in ((".", r"it holds no site\.toml"), ("nosite", "there is no such directory")):
        with pytest.raises(UsageError, match=f"is no site: {why}"):
            Site.open(tmp_path / name, passphrase=PASSPHRASE)


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 5000, None], ids=["empty", "newline", "long", "none"])
def test_the_library_takes_no_file_for_a_passphrase_that_holds_none(world: World, content: bytes | None) -> None:
    file = world.free("passphrase")
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LockedError, match="passphrase file"):
        Site.open(world.root / UNI, passphrase_file=file)


def test_tokens_are_those_of_the_linkage_key(loaded: World) -> None:
    key: LinkageKey = agreements.linkage_key(loaded.lancs, AGREEMENT)
    found = scanned(loaded).filter(pl.col("day") == DAYS[2])
    assert found["camera"].to_list() == [key.camera(LANCS, ["CAM-3"])]
