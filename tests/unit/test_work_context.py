"""Cameras' context from one end to the other: in the bundle, in the store, in what a researcher sees."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from unittest import mock

import polars as pl
import pytest

from anpr_share import part_check
from anpr_share.errors import PolicyError, UsageError, VerificationError
from anpr_share.site import holdings
from anpr_share.site.holdings import KeyPlace
from anpr_share.work import agreements, arriving, closing, notifying, purging, reading, receipting
from tests.support import outside
from tests.support.exchange import (
    AGREEMENT,
    CAMERAS,
    CONTEXT,
    DAYS,
    LANCS,
    NOW,
    READS,
    TARGETS,
    UNI,
    WYP,
    World,
    refused,
)
from tests.support.forgery import Forgery

PLACED = "placed-2026"
PURPOSE = "journeys by kind of road"
COLUMNS = ["camera", "kind", "road_class", "area_type"]


@pytest.fixture
def agreed(world: World) -> World:
    world.agree(id=PLACED, cameras=CONTEXT)
    return world


def asked(world: World, *days: int, to: str = LANCS) -> bytes:
    first, last = (DAYS[days[0]], DAYS[days[-1]]) if days else (DAYS[0], DAYS[-1])
    return world.request(first, last, to=to, agreement=PLACED)


def scanned(world: World, table: str = "cameras") -> pl.DataFrame:
    return reading.scan(world.uni, table, purpose=PURPOSE, agreement=PLACED).collect(engine="streaming")


def linked(world: World) -> pl.DataFrame:
    return reading.link(world.uni, PLACED, purpose=PURPOSE).collect(engine="streaming")


def camera(world: World, name: str, *, of: str = LANCS) -> str:
    return agreements.linkage_key(world.lancs, PLACED).camera(of, [name])


# --- in the bundle


def test_from_outside_each_combination_in_a_bundle_is_held_by_k(agreed: World, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    duckdb = pytest.importorskip("duckdb")
    import pyarrow.parquet as pq
    import pyarrow.parquet.encryption as pe

    bundle = outside.exported(agreed, agreed.export(asked(agreed), targets=TARGETS, cameras=CAMERAS))
    [part] = [item for item in bundle.parts if item.table == "cameras"]
    path = part.write(tmp_path)

    table = pq.read_table(path, decryption_properties=pe.create_decryption_properties(part.key))
    rows = list(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))
    with duckdb.connect() as connection:
        connection.execute(f"PRAGMA add_parquet_key('part', '{base64.b64encode(part.key).decode()}')")
        held = connection.execute(
            "SELECT kind, road_class, area_type, count(DISTINCT camera) "
            "FROM read_parquet(?, encryption_config = {footer_key: 'part'}) GROUP BY ALL",
            [str(path)],
        ).fetchall()

    assert table.column_names == COLUMNS
    assert (part.day, part.n, len(rows), len({row[0] for row in rows})) == ("undated", 0, 6, 6)
    assert Counter(row[1:] for row in rows) == {row[:3]: row[3] for row in held}
    assert min(row[3] for row in held) >= CONTEXT["k"]
    assert rows == sorted(rows)


# --- in the store


def test_cameras_are_loaded_whole_and_scanned(agreed: World) -> None:
    bundle = agreed.export(asked(agreed), targets=TARGETS, cameras=CAMERAS)
    sent = agreed.forge(bundle).frame("cameras", "undated")

    with mock.patch.object(arriving, "check_parts", part_check.check_parts):
        result = agreed.load(bundle)

    assert result.rows == {"cameras": 6, "reads": 6, "targets": 2}
    found = scanned(agreed)
    assert found.schema == {**dict.fromkeys(COLUMNS, pl.String), "source": pl.String, "day": pl.Date}
    assert found.select(COLUMNS).sort(COLUMNS).equals(sent)
    assert found.select("source", "day").unique().rows() == [(LANCS, NOW.date())]
    assert receipting.accept(agreed.lancs, result.receipt.read_bytes()).discrepancies == ()


def test_an_agreement_without_cameras_has_no_such_table(world: World) -> None:
    with pytest.raises(PolicyError, match="has no cameras"):
        reading.scan(world.uni, "cameras", purpose=PURPOSE)
    with pytest.raises(UsageError, match="reads, targets, cameras, coverage"):
        reading.scan(world.uni, "camera", purpose=PURPOSE)


def test_newer_cameras_replace_the_older_ones_of_that_force_alone(agreed: World) -> None:
    older = agreed.load(agreed.export(asked(agreed, 0), targets=TARGETS, cameras=CAMERAS))
    agreed.load(agreed.export(asked(agreed, to=WYP), cameras=CAMERAS[:4], by=WYP))
    agreed.clock.now += timedelta(hours=1)
    newer = agreed.load(agreed.export(asked(agreed, 1), cameras=CAMERAS[:2]))

    assert Counter(scanned(agreed)["source"]) == {LANCS: 2, WYP: 4}
    assert scanned(agreed, "targets").height == 2  # a bundle without targets replaces none
    assert KeyPlace(PLACED, "cameras", "undated", older.bundle) not in holdings.key_places(agreed.uni.db)
    assert not list((agreed.root / UNI / "store" / PLACED / "cameras").rglob(f"{older.bundle}*"))
    assert [entry.details["table"] for entry in agreed.uni.ledger.lines() if entry.event == "erasure"] == ["cameras"]
    assert (newer.rows, newer.notes) == ({"cameras": 2, "reads": 2}, ())


def test_older_cameras_never_replace_newer_ones(agreed: World) -> None:
    older = agreed.export(asked(agreed, 0), targets=TARGETS, cameras=CAMERAS)
    agreed.clock.now += timedelta(hours=1)
    agreed.load(agreed.export(asked(agreed, 1), cameras=CAMERAS[:2]))

    result = agreed.load(older)

    assert result.rows == {"cameras": 0, "reads": 3, "targets": 2}  # of targets, these are the newest
    assert result.notes == ("a newer bundle brought cameras already, so these are not kept",)
    assert scanned(agreed).height == 2
    assert "erasure" not in agreed.events(UNI)
    assert receipting.accept(agreed.lancs, result.receipt.read_bytes()).discrepancies == ()


def test_a_bundle_without_cameras_replaces_none(agreed: World) -> None:
    agreed.load(agreed.export(asked(agreed, 0), cameras=CAMERAS))
    agreed.clock.now += timedelta(hours=1)
    agreed.load(agreed.export(asked(agreed, 1)))

    assert scanned(agreed).height == 6


def test_cameras_are_recalled_as_a_whole(agreed: World) -> None:
    agreed.load(agreed.export(asked(agreed), cameras=CAMERAS))
    agreed.clock.now += timedelta(minutes=1)
    notice = agreed.free("notice.json")
    command = ("notice", "recall", PLACED, "--to", UNI, "--table", "cameras", "--day", "undated", "--reason", "old")

    assert agreed.cli(LANCS, *command, "-o", notice) == 0
    result = notifying.apply(agreed.uni, notice.read_bytes(), None)

    assert (result.destroyed, result.rows, scanned(agreed).height) == (("undated",), 6, 0)
    assert receipting.accept(agreed.lancs, result.receipt.read_bytes()).discrepancies == ()


def test_cameras_expire_a_year_after_they_were_made_and_are_purged(agreed: World) -> None:
    agreed.load(agreed.export(asked(agreed), cameras=CAMERAS))
    for months in range(1, 13):  # a clock that leaps is not believed
        agreed.clock.now = NOW + timedelta(days=30 * months)
        purging.purge(agreed.uni)
    agreed.clock.now = datetime.fromisoformat("2027-10-11T22:59:59Z")
    assert scanned(agreed).height == 6

    agreed.clock.now = datetime.fromisoformat("2027-10-11T23:00:00Z")

    assert scanned(agreed).height == 0
    assert [item.day for item in purging.purge(agreed.uni).days if item.table == "cameras"] == ["undated"]


def test_closing_destroys_cameras_too(agreed: World) -> None:
    agreed.load(agreed.export(asked(agreed), cameras=CAMERAS))

    closing.close(agreed.uni, PLACED, None)

    assert not [place for place in holdings.key_places(agreed.uni.db) if place.tbl == "cameras"]
    assert not list((agreed.root / UNI / "store" / PLACED).rglob("*.parquet"))


# --- linked


def test_linked_reads_have_the_context_of_their_camera(agreed: World) -> None:
    agreed.load(agreed.export(asked(agreed), targets=TARGETS, cameras=CAMERAS[1:]))

    frame = linked(agreed)

    context = {row[0]: row[1:] for row in frame.select(COLUMNS).unique().iter_rows()}
    # The first is not in the register that was given; without it the second is alone in its place.
    assert context == {
        camera(agreed, "CAM-1"): (None, None, None),
        camera(agreed, "CAM-2"): ("fixed", None, None),
    }
    assert frame.columns[-4:] == ["kind", "road_class", "area_type", "during_offence"]
    assert agreed.events(UNI)[-1] == "combination"
    assert list(agreed.uni.ledger.lines())[-1].details["tables"] == ["reads", "targets", "cameras"]


def test_linked_reads_are_the_same_but_for_the_context(agreed: World) -> None:
    agreed.load(agreed.export(asked(agreed), targets=TARGETS))
    without = linked(agreed)
    agreed.clock.now += timedelta(hours=1)
    agreed.load(agreed.export(asked(agreed, to=WYP), READS[:1], cameras=CAMERAS, by=WYP))

    found = linked(agreed)

    assert found.schema == without.schema
    ours = found.filter(pl.col("source") == LANCS)
    assert ours.sort(ours.columns).equals(without.sort(without.columns))
    # The other force's cameras are others, whatever they are called.
    assert set(found.filter(pl.col("source") == WYP)["area_type"]) == {"urban"}
    assert ours["kind"].null_count() == ours.height


def test_a_force_says_nothing_of_another_forces_cameras(agreed: World) -> None:
    ours = agreed.forge(agreed.export(asked(agreed), cameras=CAMERAS)).frame("cameras", "undated")
    agreed.load(agreed.export(asked(agreed), targets=TARGETS))
    forged = agreed.forge(agreed.export(asked(agreed, to=WYP), READS[:1], cameras=CAMERAS, by=WYP), by=WYP)
    forged.put("cameras", "undated", ours)
    agreed.load(forged.write())

    assert linked(agreed)["kind"].null_count() == linked(agreed).height == 4


def test_context_can_be_asked_for_alone_and_filtered_by(agreed: World) -> None:
    agreed.load(agreed.export(asked(agreed), targets=TARGETS, cameras=CAMERAS))

    frame = reading.link(agreed.uni, PLACED, purpose=PURPOSE)

    assert frame.filter(pl.col("area_type") == "urban").select(pl.len()).collect().item() == 3
    assert frame.select("road_class").unique().collect().rows() == [("a-road",)]


@pytest.mark.parametrize("changes", [{"cameras": None}, {"reads__columns": ["vehicle", "captured_at"]}])
def test_without_agreed_cameras_or_their_tokens_linked_reads_have_no_context(
    world: World, changes: dict[str, object]
) -> None:
    world.agree(id=PLACED, **{"cameras": CONTEXT, **changes})

    assert not {"kind", "road_class", "area_type"} & set(linked(world).columns)


# --- from a force that does not keep to the rules


def a_camera_twice(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame, frame.head(1)])


def a_camera_in_two_combinations(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(camera=pl.lit(frame["camera"][0]))


def one_alone_in_its_place(frame: pl.DataFrame) -> pl.DataFrame:
    rural = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("rural")).otherwise("area_type")
    return frame.with_columns(area_type=rural)


def one_alone_without_context(frame: pl.DataFrame) -> pl.DataFrame:
    first = pl.int_range(pl.len()) == 0
    return frame.with_columns(pl.when(~first).then(name).alias(name) for name in COLUMNS[1:])


def fewer_than_k(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.head(1)


def a_word_of_its_own(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(area_type=pl.lit("by the school"))


def names_for_tokens(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(camera=pl.format("CAM-{}", pl.int_range(pl.len())))


def no_token(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(camera=pl.lit(None, dtype=pl.String))


def a_column_more(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(latitude=pl.lit("53.7"))


def a_column_fewer(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop("area_type")


def another_type(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(area_type=pl.lit(1))


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (a_camera_twice, "it tells of a camera twice"),
        (a_camera_in_two_combinations, "it tells of a camera twice"),
        (one_alone_in_its_place, "combinations of context that fewer cameras share than agreed"),
        (one_alone_without_context, "combinations of context that fewer cameras share than agreed"),
        (fewer_than_k, "combinations of context that fewer cameras share than agreed"),
        (a_word_of_its_own, "cells that its table does not allow"),
        (names_for_tokens, "cells that its table does not allow"),
        (no_token, "cells that its table does not allow"),
        (a_column_more, "columns are not those agreed"),
        (a_column_fewer, "columns are not those agreed"),
        (another_type, "not of their types"),
    ],
)
def test_cameras_that_break_a_rule_are_refused_at_step_8(
    agreed: World, break_it: Callable[[pl.DataFrame], pl.DataFrame], reason: str
) -> None:
    forged = agreed.forge(agreed.export(asked(agreed), cameras=CAMERAS))
    frame = break_it(forged.frame("cameras", "undated"))
    forged.put("cameras", "undated", frame)
    account = forged.quality("cameras")
    account["rows_in"] = account["rows_out"] = frame.height

    error = refused(agreed, forged.write(), VerificationError, 8)

    assert reason in error.message


def test_cameras_of_which_the_quality_record_counts_others_are_refused(agreed: World) -> None:
    forged: Forgery = agreed.forge(agreed.export(asked(agreed), cameras=CAMERAS))
    account = forged.quality("cameras")
    account["rows_in"] = account["rows_out"] = 7

    error = refused(agreed, forged.write(), VerificationError, 8)

    assert "the parts of cameras have another number of rows" in error.message


def test_cameras_that_are_not_agreed_are_refused(world: World) -> None:
    world.agree(id=PLACED, cameras=CONTEXT)
    forged = world.forge(world.export(asked(world), cameras=CAMERAS))
    plain = agreements.current(world.uni, AGREEMENT)
    assert plain.columns("cameras") == ()
    forged.manifest["tables"][0]["columns"] = ["camera", "kind"]

    error = refused(world, forged.write(), PolicyError, 5)

    assert "the columns of cameras are not those of the agreement" in error.message
