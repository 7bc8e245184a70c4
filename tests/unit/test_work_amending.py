"""The next version of an agreement: drafted from the one in force, and what its shorter limits do to what is held."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from anpr_share.documents.draft import parse_draft
from anpr_share.errors import PolicyError, UsageError
from anpr_share.site import catalogue, holdings, records
from anpr_share.site.opened import OpenSite
from anpr_share.wording import spoken_path
from anpr_share.work import agreements, amending, closing, partners, purging, reading, receipting, status
from tests.support.exchange import AGREEMENT, CAMERAS, CONTEXT, LANCS, READS, TARGETS, UNI, WYP, World

ALL = (LANCS, WYP, UNI)
AMENDED = "amended-2026"
FROM_AND_DURING = ("target_source", "day", "during_offence")
# The shared rows, three months older: within twelve months of the tests' day, and past ninety days of it.
JULY = tuple((plate, camera, time.replace("2026-10", "2026-07")) for plate, camera, time in READS)
FIRST, LAST = date(2026, 7, 1), date(2026, 7, 3)


def draft(site: OpenSite, *joining: OpenSite) -> dict[str, object]:
    text = amending.amend(site, AGREEMENT, [item.identity for item in joining]).text
    return parse_draft(text).model_dump(mode="json")


def test_the_draft_is_the_version_in_force_with_the_next_number(world: World) -> None:
    before = agreements.current(world.uni, AGREEMENT)
    world.close()
    with OpenSite.open(world.root / UNI, clock=world.clock) as locked:
        made = draft(locked)
    expected = before.terms.model_dump(mode="json") | {"version": 2, "supersedes": before.digest}
    assert made == expected


def test_it_is_signed_and_accepted_as_it_is_and_tokens_stay(world: World) -> None:
    world.load(world.export(world.request(), targets=TARGETS))
    keys = agreements.list_keys(world.lancs)
    draft_file = world.free("next.toml")
    draft_file.write_text(amending.amend(world.wyp, AGREEMENT, []).text, encoding="utf-8")
    for name in ALL:
        out = world.free("signed.json")
        assert world.cli(name, "agreement", "sign", draft_file, "-o", out, "--yes") == 0
        draft_file = out
    for name in ALL:
        assert world.cli(name, "agreement", "accept", draft_file) == 0
    assert agreements.current(world.uni, AGREEMENT).terms.version == 2
    assert agreements.list_keys(world.lancs) == keys
    later = world.request(date(2026, 10, 4), date(2026, 10, 5))
    world.load(world.export(later, [("AB12CDE", "CAM-1", "2026-10-04T08:00:00Z")]))
    linked = reading.link(world.uni, purpose="counting").collect()
    assert linked["day"].n_unique() == 3
    assert linked.filter(linked["day"] == date(2026, 10, 4)).height == 1


def test_parties_that_join_are_added_and_one_that_is_in_it_is_refused(world: World) -> None:
    made = draft(world.uni, world.create("third-police", "police"))
    assert [party["id"] for party in made["parties"]] == [*ALL, "third-police"]  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="is a party already"):
        draft(world.uni, world.lancs)


def test_a_party_whose_identity_was_replaced_here_is_listed_with_the_new_one(world: World, tmp_path: Path) -> None:
    with World(tmp_path / "elsewhere") as other:
        other.root.mkdir()
        new = other.create(LANCS, "police").identity
    partners.replace(world.uni, new, new.fingerprint, lambda _: True)
    result = amending.amend(world.uni, AGREEMENT, [])
    assert result.replaced == (LANCS,)
    assert [party.fingerprint for party in parse_draft(result.text).parties] == [
        new.fingerprint,
        world.wyp.identity.fingerprint,
        world.uni.identity.fingerprint,
    ]


def test_what_is_unknown_or_closed_has_no_next_version(world: World) -> None:
    with pytest.raises(PolicyError, match="no such agreement"):
        amending.amend(world.uni, "another", [])
    closing.close(world.uni, AGREEMENT, None)
    with pytest.raises(PolicyError, match="was closed on"):
        amending.amend(world.uni, AGREEMENT, [])


# --- shortened limits take effect on what is held


def next_version(world: World, identifier: str = AGREEMENT, **changes: object) -> Path:
    file = world.free("next.json")
    before = agreements.current(world.uni, identifier)
    signed = world.signed(id=identifier, version=before.terms.version + 1, supersedes=before.digest, **changes)
    file.write_bytes(signed.envelope.encode())
    return file


def held_days(world: World) -> set[str]:
    return {place.day for place in holdings.key_places(world.uni.db)}


def store(world: World) -> set[str]:
    return {path.parent.name for path in (world.root / UNI / "store").rglob("*.parquet")}


def tell(world: World) -> receipting.ReceiptResult:
    """The university's receipt of all that is new, as the force takes it."""
    out = world.free("receipt.json")
    receipting.create(world.uni, AGREEMENT, LANCS, out)
    return receipting.accept(world.lancs, out.read_bytes())


@pytest.fixture
def summer(world: World) -> World:
    """Three days of July, and three of October with targets, under twelve months."""
    request = world.request(FIRST, LAST)
    world.load(world.export(request, JULY, authority="Inspector, reference twelve"))
    world.load(world.export(world.request(), targets=TARGETS))
    assert tell(world).discrepancies == ()
    return world


def test_reads_past_a_shorter_limit_are_destroyed_by_the_command_that_accepts_it(
    summer: World, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next_version(summer, reads__retention="P90D")
    lines = summer.uni.ledger.head().seq
    summer.close()
    assert summer.cli(UNI, "agreement", "accept", file) == 0
    said = capsys.readouterr().out
    assert "of what its limits allow no more:" in said
    assert "destroyed: 6 rows of" in said
    assert summer.events(UNI)[lines:] == ["agreement-accepted", "erasure"]
    assert held_days(summer) == store(summer) == {"2026-10-01", "2026-10-02", "2026-10-03", "undated"}
    assert agreements.accept(summer.lancs, file.read_bytes()).version == 2
    told = tell(summer)
    assert (told.deleted, told.discrepancies) == (3, ())


def test_they_are_invisible_at_once_in_the_library_before_anything_is_destroyed(summer: World) -> None:
    frame = reading.scan(summer.uni, "reads", purpose="counting")
    assert len(frame.collect()) == 12
    agreements.accept(summer.uni, next_version(summer, reads__retention="P90D").read_bytes())
    assert len(held_days(summer)) == 7
    assert set(frame.collect()["day"].dt.month()) == {10}
    assert set(reading.scan(summer.uni, "coverage", purpose="counting").collect()["day"].dt.month()) == {10}
    assert set(reading.link(summer.uni, purpose="counting").collect()["day"].dt.month()) == {10}
    assert len(purging.purge(summer.uni).days) == 3


def test_targets_past_a_shorter_limit_go_and_reads_stay(summer: World) -> None:
    summer.clock.now += timedelta(days=8)
    file = next_version(summer, targets__retention="P7D")
    summer.close()
    assert summer.cli(UNI, "agreement", "accept", file) == 0
    assert "undated" not in held_days(summer) | store(summer)
    assert len(reading.scan(summer.uni, "reads", purpose="counting").collect()) == 12
    assert len(reading.scan(summer.uni, "targets", purpose="counting").collect()) == 0
    assert reading.link(summer.uni, purpose="counting").collect().height == 0
    agreements.accept(summer.lancs, file.read_bytes())
    assert (tell(summer).deleted, tell(summer).discrepancies) == (1, ())


def test_an_end_that_has_passed_takes_everything(summer: World) -> None:
    file = next_version(summer, ends="2026-10-20")
    summer.clock.now = datetime(2026, 10, 20, 22, 59, 59, tzinfo=UTC)
    agreements.accept(summer.uni, file.read_bytes())
    assert purging.purge(summer.uni).days == ()
    summer.clock.now += timedelta(seconds=1)
    with pytest.raises(PolicyError, match="ended on 2026-10-20"):
        reading.scan(summer.uni, "reads", purpose="counting").collect()
    assert len(purging.purge(summer.uni).days) == 7
    assert held_days(summer) == store(summer) == set()


def test_an_end_moved_behind_today_takes_everything_with_the_command(summer: World) -> None:
    summer.request(date(2026, 10, 4), date(2026, 10, 5))
    file = next_version(summer, ends="2026-10-20")
    summer.clock.now = datetime(2026, 10, 21, 9, tzinfo=UTC)
    summer.close()
    assert summer.cli(UNI, "agreement", "accept", file) == 0
    assert held_days(summer) == store(summer) == set()
    assert holdings.onetime_places(summer.uni.db) == ()
    agreements.accept(summer.lancs, file.read_bytes())
    assert (tell(summer).deleted, tell(summer).discrepancies) == (7, ())


def test_a_forces_registered_files_fall_due_by_the_new_terms(summer: World, capsys: pytest.CaptureFixture[str]) -> None:
    site = summer.lancs
    inside = site.paths.inbox / "july.csv"
    inside.write_text("vrm,camera,captured_at\n", encoding="utf-8")
    july = [item for item in holdings.registered(site.db, site.vault) if item.day == FIRST]
    [extract] = [item for item in july if item.kind == "extract"]
    [bundle] = [item for item in july if item.kind == "output"]
    with site.transaction():
        holdings.forget_registered(site.db, extract.path)
        records.put(site.db, replace(extract, path=str(inside)), site.vault)
    file = next_version(summer, reads__retention="P90D")
    summer.close()
    assert summer.cli(LANCS, "purge") == 0
    assert summer.cli(LANCS, "agreement", "accept", file) == 0
    said = capsys.readouterr().out
    assert not inside.exists()
    assert "deleted: july.csv" in said
    assert f"overdue: {spoken_path(Path(bundle.path))} lies outside of this site" in said
    assert summer.cli(LANCS, "status") == 1


def test_under_a_clock_that_leapt_it_is_accepted_and_hidden_and_nothing_is_destroyed(summer: World) -> None:
    file = next_version(summer, reads__retention="P90D")
    summer.clock.now += timedelta(days=40)
    summer.close()
    code, said = summer.told(UNI, "agreement", "accept", file)
    assert code == 0
    assert "the clock is far past the last line" in said
    assert len(held_days(summer)) == 7
    assert len(reading.scan(summer.uni, "reads", purpose="counting").collect()) == 6


def test_what_was_asked_under_the_version_before_is_answered_no_more_and_its_key_goes(world: World) -> None:
    bundle = world.export()
    file = next_version(world, reads__retention="P90D")
    world.close()
    assert world.cli(UNI, "agreement", "accept", file) == 0
    assert holdings.onetime_places(world.uni.db) == ()
    assert [window.state for item in status.status(world.uni).requests for window in item.windows] == ["expired"]
    with pytest.raises(PolicyError, match="another version of the agreement"):
        world.load(bundle)
    agreements.accept(world.lancs, file.read_bytes())
    world.load(world.export(world.request()))


def test_a_limit_that_is_only_longer_on_paper_keeps_what_was_already_gone_gone(summer: World) -> None:
    agreements.accept(summer.uni, next_version(summer, reads__retention="P90D").read_bytes())
    purging.purge(summer.uni)
    with pytest.raises(PolicyError, match="nothing lengthens a limit"):
        agreements.accept(summer.uni, next_version(summer, reads__retention="P12M").read_bytes())
    assert catalogue.agreement(summer.uni.db, summer.uni.vault, AGREEMENT).version == 2  # type: ignore[union-attr]


# --- other columns


def test_a_column_agreed_later_is_null_in_what_came_before(world: World) -> None:
    fewer = ["camera", "road_class"]
    world.agree(
        id=AMENDED,
        reads__columns=["vehicle", "camera", "captured_at", "vrm_family"],
        cameras=CONTEXT | {"columns": fewer},
    )
    held = reading.scan(world.uni, "reads", purpose="counting", agreement=AMENDED)
    request = world.request(to=LANCS, agreement=AMENDED)
    world.load(world.export(request, targets=TARGETS, cameras=CAMERAS))
    file = next_version(
        world,
        AMENDED,
        reads__columns=["vehicle", "camera", "captured_at", "confidence"],
        targets__columns=["vehicle", "log", "offence", "convicted_on"],
        cameras=CONTEXT,
    )
    for name in ALL:
        agreements.accept(world.site(name), file.read_bytes())
    later = world.request(date(2026, 10, 4), date(2026, 10, 4), agreement=AMENDED)
    world.load(world.export(later, [("AB12CDE", "CAM-1", "2026-10-04T08:00:00Z")]))

    reads = reading.scan(world.uni, "reads", purpose="counting", agreement=AMENDED)
    found = reads.collect(engine="streaming").sort("day")
    assert found.columns == ["vehicle", "camera", "captured_at", "confidence", "source", "day"]
    assert found["confidence"].to_list() == [None] * 6 + ["90-100"]
    assert reads.filter(pl.col("confidence").is_null()).select(pl.len()).collect().item() == 6
    assert found["vehicle"].null_count() == found["captured_at"].null_count() == 0
    cameras = reading.scan(world.uni, "cameras", purpose="counting", agreement=AMENDED).collect()
    assert (cameras["kind"].null_count(), cameras["road_class"].null_count()) == (6, 4)
    linked = reading.link(world.uni, AMENDED, purpose="counting").collect(engine="streaming")
    assert linked.height == 4
    assert [linked[name].null_count() for name in ("convicted_on", "kind", "confidence")] == [4, 4, 3]
    # A frame that was made under the version before shows what it showed then, and of the newer parts no more.
    assert held.collect(engine="streaming")["vrm_family"].null_count() == 1


@pytest.mark.parametrize(("before", "after"), [("month", "day"), ("day", "month")])
def test_an_offence_lasts_as_long_as_the_version_says_that_its_target_came_under(
    world: World, before: str, after: str
) -> None:
    world.agree(id=AMENDED, targets__date_resolution=before)
    target = [("AB12CDE", "LOG-1", "Trafficking", "2026-09-20", "2026-10-01", "suspect")]
    world.load(world.export(world.request(agreement=AMENDED), targets=target))
    file = next_version(world, AMENDED, targets__date_resolution=after)
    for name in ALL:
        agreements.accept(world.site(name), file.read_bytes())
    other = world.request(agreement=AMENDED, to=WYP)
    world.load(world.export(other, [("AB12CDE", "X", "2026-10-03T09:00:00Z")], targets=target, by=WYP))

    linked = reading.link(world.uni, AMENDED, purpose="counting").collect(engine="streaming")

    found = {(source, day.day): during for source, day, during in linked.select(*FROM_AND_DURING).iter_rows()}
    by_month, by_day = (LANCS, WYP) if before == "month" else (WYP, LANCS)
    assert [found[by_month, day] for day in (1, 2, 3)] == [True] * 3
    assert [found[by_day, day] for day in (1, 2, 3)] == [True, False, False]
