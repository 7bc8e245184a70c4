"""Rolling deletion: what has expired goes, and nothing else; the ledger says so; a killed run is finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from anpr_share.documents import request as requests
from anpr_share.errors import PolicyError, StorageError
from anpr_share.site import catalogue, holdings, records
from anpr_share.site.opened import OpenSite
from anpr_share.wording import spoken_path
from anpr_share.work import erasing, exporting, purging, reading, receipting
from anpr_share.work.erasing import leaves_files
from tests.support.exchange import DAYS, LANCS, NOW, TARGETS, UNI, World, reads_input, silent

# Retention is twelve months, and the clock of a site must not leap: so agreements here keep reads for days.
FIRST_DUE = datetime(2026, 10, 12, 23, tzinfo=UTC)  # 12 days after 1 October, at midnight in London
EACH = timedelta(days=1)


@pytest.fixture
def held(world: World) -> World:
    """Three days of reads and the targets of one force, kept for twelve days and twelve months."""
    world.agree(id="brief", reads__retention="P12D")
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
    return world


def files(world: World) -> set[str]:
    return {path.parent.name for path in (world.root / UNI / "store").rglob("*.parquet")}


def keys(world: World) -> set[str]:
    return {place.day for place in holdings.key_places(world.uni.db)}


def reads(world: World) -> set[date]:
    return set(reading.scan(world.uni, "reads", purpose="counting", agreement="brief").collect()["day"])


def test_nothing_is_touched_while_nothing_has_expired(held: World) -> None:
    held.clock.now = FIRST_DUE - timedelta(seconds=1)
    result = purging.purge(held.uni)
    assert (result.days, result.windows, result.files, result.elsewhere) == ((), 0, (), ())
    assert held.events(UNI)[-2:] == ["collection", "purge"]
    assert keys(held) == files(held) == {"2026-10-01", "2026-10-02", "2026-10-03", "undated"}


def test_a_day_goes_at_its_delete_by_with_its_key_its_file_and_a_line(held: World) -> None:
    held.clock.now = FIRST_DUE
    result = purging.purge(held.uni)
    [gone] = result.days
    assert (gone.day, gone.source, gone.table, gone.rows, gone.due) == ("2026-10-01", LANCS, "reads", 3, FIRST_DUE)
    assert keys(held) == files(held) == {"2026-10-02", "2026-10-03", "undated"}
    assert reads(held) == {DAYS[1], DAYS[2]}
    [entry] = [item for item in held.uni.ledger.lines() if item.event == "erasure"]
    assert (entry.details["days"], entry.details["rows"], entry.details["table"]) == (["2026-10-01"], 3, "reads")
    assert entry.details["due"] == "2026-10-12T23:00:00Z"
    assert [item.due for item in result.later] == [FIRST_DUE + EACH, FIRST_DUE + 2 * EACH, result.later[-1].due]


def test_it_needs_no_passphrase_and_happens_once(held: World) -> None:
    held.clock.now = FIRST_DUE + EACH
    held.close()
    with OpenSite.open(held.root / UNI, clock=held.clock) as locked:
        assert [item.day for item in purging.purge(locked).days] == ["2026-10-01", "2026-10-02"]
        assert purging.purge(locked).days == ()
    assert keys(held) == files(held) == {"2026-10-03", "undated"}
    assert held.uni.ledger.verify(held.uni.signing_key.public, UNI).out_of_place == ()


def test_a_dry_run_changes_nothing_and_says_the_same(held: World) -> None:
    held.clock.now = FIRST_DUE + EACH
    before = held.uni.ledger.head()
    dry = purging.preview(held.uni)
    assert (keys(held), held.uni.ledger.head()) == ({"2026-10-01", "2026-10-02", "2026-10-03", "undated"}, before)
    wet = purging.purge(held.uni)
    assert (dry.days, dry.later, dry.windows) == (wet.days, wet.later, wet.windows)
    assert (dry.dry_run, wet.dry_run) == (True, False)


def test_the_end_of_an_agreement_takes_everything(world: World) -> None:
    world.agree(id="brief", ends="2026-10-20")
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
    world.clock.now = datetime(2026, 10, 20, 23, tzinfo=UTC)
    assert len(purging.purge(world.uni).days) == 4
    assert keys(world) == files(world) == set()


def test_a_clock_that_leapt_destroys_nothing_until_its_day_is_confirmed(held: World) -> None:
    held.clock.now = NOW + timedelta(days=40)
    today = held.clock.now.date()
    for confirmed in (None, today - EACH, today + EACH):
        with pytest.raises(PolicyError, match="nothing was destroyed"):
            purging.purge(held.uni, confirmed=confirmed)
    assert len(purging.preview(held.uni).days) == 3
    assert keys(held) == files(held) == {"2026-10-01", "2026-10-02", "2026-10-03", "undated"}
    assert len(purging.purge(held.uni, confirmed=today).days) == 3


@pytest.fixture
def leapt(held: World) -> World:
    """The clock is 40 days past the last line, in which everything but the targets has expired."""
    held.clock.now = NOW + timedelta(days=40)
    return held


def lines_since(world: World, seq: int) -> list[tuple[str, bool]]:
    return [(entry.event, entry.leapt) for entry in world.uni.ledger.lines(seq + 1)]


def test_from_the_confirmation_on_lines_count_again(leapt: World) -> None:
    before = leapt.uni.ledger.head().seq
    assert reads(leapt) == set()
    assert purging.expire(leapt.uni) is False
    today = leapt.clock.now.date()
    purging.purge(leapt.uni, confirmed=today)
    assert lines_since(leapt, before) == [
        ("consultation", True),
        ("clock-confirmed", False),
        ("erasure", False),
        ("purge", False),
    ]
    [line] = [entry for entry in leapt.uni.ledger.lines() if entry.event == "clock-confirmed"]
    assert (line.subject, line.details) == (UNI, {"date": today.isoformat()})
    leapt.clock.now += timedelta(days=31)
    purging.purge(leapt.uni)
    assert lines_since(leapt, before)[-1] == ("purge", False)
    leapt.clock.now += timedelta(days=31, seconds=1)
    with pytest.raises(PolicyError, match="long after the last line"):
        purging.purge(leapt.uni)


def test_killed_right_after_the_confirmation_the_next_purge_goes_on(
    leapt: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(purging._Due, "now", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            purging.purge(leapt.uni, confirmed=leapt.clock.now.date())
    assert leapt.events(UNI)[-1] == "clock-confirmed"
    assert len(purging.purge(leapt.uni).days) == 3
    assert leapt.events(UNI).count("clock-confirmed") == 1


def test_what_others_write_before_the_confirmation_confirms_nothing(leapt: World) -> None:
    for _ in range(3):
        reads(leapt)
        leapt.clock.now += EACH
        with pytest.raises(PolicyError, match="long after the last line"):
            purging.purge(leapt.uni)
    assert keys(leapt) == {"2026-10-01", "2026-10-02", "2026-10-03", "undated"}


@pytest.mark.parametrize("days", [0, 40])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_day_that_is_not_the_clocks_is_refused_whether_one_is_needed_or_not(held: World, days: int, off: int) -> None:
    held.clock.now = NOW + days * EACH
    before = held.uni.ledger.head()
    for command in (purging.purge, purging.preview):
        with pytest.raises(PolicyError, match="and not 2026"):
            command(held.uni, confirmed=held.clock.now.date() + off * EACH)
    assert held.uni.ledger.head() == before


def test_a_day_that_needs_no_confirming_is_not_logged_as_confirmed(held: World) -> None:
    purging.purge(held.uni, confirmed=NOW.date())
    assert held.events(UNI)[-1] == "purge"
    assert "clock-confirmed" not in held.events(UNI)


def die_before_the_files_go(held: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge at the first day's time whose transaction is done and whose files are not."""
    held.clock.now = FIRST_DUE
    with monkeypatch.context() as patch:
        patch.setattr(purging, "remove_erased", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            purging.purge(held.uni)


def test_a_run_that_died_before_the_files_went_is_finished_by_the_next(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_before_the_files_go(held, monkeypatch)
    assert "2026-10-01" in files(held) - keys(held)
    held.clock.now += timedelta(minutes=1)
    assert purging.purge(held.uni).days == ()
    assert files(held) == keys(held)


def test_a_note_of_a_deletion_that_somebody_planted_takes_no_file_whose_key_lives(held: World) -> None:
    [place] = [item for item in holdings.key_places(held.uni.db) if item.day == "2026-10-03"]
    held.uni.db.execute(
        "INSERT INTO deletion SELECT bundle, tbl, day, agreement, source, rows, ?, ?, 'expired', NULL "
        "FROM part WHERE day = ?",
        ("2026-10-01T00:00:00Z", "2026-10-01T00:00:00Z", place.day),
    )
    purging.purge(held.uni)
    assert "2026-10-03" in files(held)


def test_a_window_that_nobody_may_answer_any_more_loses_its_key(world: World) -> None:
    world.request()
    assert len(holdings.onetime_places(world.uni.db)) == 1
    world.clock.now = NOW + timedelta(days=30) - timedelta(seconds=1)
    assert purging.purge(world.uni).windows == 0
    world.clock.now += timedelta(seconds=1)
    assert purging.purge(world.uni).windows == 1
    assert holdings.onetime_places(world.uni.db) == ()
    assert world.events(UNI)[-2:] == ["onetime-keys-destroyed", "purge"]


def test_a_window_whose_request_is_not_recorded_keeps_its_key(world: World) -> None:
    world.request()
    world.uni.db.execute("UPDATE keys.onetime_key SET request = ?", ("0" * 64,))
    world.clock.now = NOW + timedelta(days=31)
    assert purging.purge(world.uni).windows == 0
    assert len(holdings.onetime_places(world.uni.db)) == 1


@pytest.mark.parametrize("table", ["reads", "targets"])
def test_what_every_command_destroys_first_is_what_a_purge_would(world: World, table: str) -> None:
    world.agree(id="brief", **{f"{table}__retention": "P12D"})
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
    due = FIRST_DUE if table == "reads" else datetime(2026, 10, 23, 23, tzinfo=UTC)
    world.clock.now = due - timedelta(seconds=1)
    before = keys(world)
    assert purging.expire(world.uni)
    assert keys(world) == files(world) == before
    world.clock.now = due
    expected = {item.day for item in purging.preview(world.uni).days}
    assert expected == {"2026-10-01" if table == "reads" else "undated"}
    assert purging.expire(world.uni)
    assert keys(world) == files(world) == before - expected


def test_while_nothing_has_expired_no_record_of_a_part_and_no_key_of_a_request_is_looked_at(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.request(DAYS[0] + timedelta(days=7), DAYS[0] + timedelta(days=8), agreement="brief")
    monkeypatch.setattr(holdings, "parts", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(requests, "parse", lambda *_: 1 / 0)
    assert purging.expire(held.uni)
    held.clock.now = FIRST_DUE
    with pytest.raises(ZeroDivisionError):
        purging.expire(held.uni)


def test_of_the_store_only_days_that_were_destroyed_are_looked_into(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Path] = []
    listing = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        listed.append(path)
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    held.clock.now = FIRST_DUE
    purging.purge(held.uni)
    days = [path.name for path in listed if path.parent.name == "reads"]
    assert set(days) == {"2026-10-01"}
    listed.clear()
    purging.purge(held.uni)
    assert not [path for path in listed if path.parent.name == "reads"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_link_in_the_store_leads_no_deletion_out_of_it(
    held: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, depth: int
) -> None:
    die_before_the_files_go(held, monkeypatch)
    place = held.uni.paths.store.joinpath(*("brief", "reads", "2026-10-01")[:depth])
    outside = tmp_path / "outside"
    place.rename(outside)
    place.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    assert not leaves_files(held.uni)
    purging.purge(held.uni)
    assert (sorted(outside.rglob("*")), place.is_symlink()) == (before, True)


def test_a_directory_that_a_killed_run_left_empty_is_removed(held: World, monkeypatch: pytest.MonkeyPatch) -> None:
    held.clock.now = FIRST_DUE + 2 * EACH
    with monkeypatch.context() as patch:
        patch.setattr(erasing, "_remove_if_empty", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            purging.purge(held.uni)
    reads = held.uni.paths.store / "brief" / "reads"
    assert len(list(reads.iterdir())) == 3
    purging.purge(held.uni)
    assert not reads.exists()


def test_what_was_destroyed_is_in_the_next_receipt(held: World) -> None:
    held.clock.now = FIRST_DUE
    purging.purge(held.uni)
    out = held.free("receipt.json")
    made = receipting.create(held.uni, "brief", LANCS, out)
    assert made.deleted == 1
    accepted = receipting.accept(held.lancs, out.read_bytes())
    assert (accepted.deleted, accepted.discrepancies) == (1, ())


def test_a_forces_files_go_from_its_inbox_and_outbox_and_others_are_named(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    site = world.lancs
    bundle = world.export(world.request(agreement="brief"))
    inside = site.paths.inbox / "extract.csv"
    inside.write_text("vrm,camera,captured_at\n", encoding="utf-8")
    [extract] = [item for item in holdings.registered(site.db, site.vault) if item.kind == "extract"]
    with site.transaction():
        site.db.execute("UPDATE registered SET path = ? WHERE path = ?", (str(inside), extract.path))
    world.close()
    world.clock.now = FIRST_DUE
    with OpenSite.open(world.root / LANCS, clock=world.clock) as locked:
        result = purging.purge(locked)
        assert (result.files, result.elsewhere) == (("extract.csv",), (spoken_path(bundle),))
        assert [Path(item.path) for item in holdings.registered(locked.db, None)] == [bundle]
    assert not inside.exists()
    assert bundle.exists()
    assert world.cli(LANCS, "purge") == 1
    bundle.unlink()
    assert world.cli(LANCS, "purge") == 0


def test_a_name_that_is_used_again_after_its_time_is_another_file(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    extract = world.root / "weekly.csv"

    def exported(day: date) -> None:
        rows = reads_input(extract, [("AB12CDE", "CAM-1", f"{day}T08:00:10Z")])
        exporting.export(
            world.lancs, world.request(day, day, agreement="brief"), rows, world.free("b.zip"), progress=silent
        )

    exported(DAYS[0])
    world.clock.now = FIRST_DUE
    assert spoken_path(extract) in purging.purge(world.lancs).elsewhere
    exported(date(2026, 10, 11))
    assert spoken_path(extract) not in purging.purge(world.lancs).elsewhere
    world.clock.now += 11 * EACH
    assert spoken_path(extract) in purging.purge(world.lancs).elsewhere


def test_a_link_leads_no_deletion_out_of_the_inbox(world: World, tmp_path: Path) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    world.export(world.request(agreement="brief"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.csv").write_text("kept", encoding="utf-8")
    planted = world.lancs.paths.inbox / "in"
    planted.symlink_to(outside)
    world.lancs.db.execute("UPDATE registered SET path = ? WHERE kind = 'extract'", (str(planted / "mine.csv"),))
    world.close()
    world.clock.now = FIRST_DUE
    with OpenSite.open(world.root / LANCS, clock=world.clock) as locked:
        purging.purge(locked)
    assert (outside / "mine.csv").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize(
    ("path", "agreement"),
    [
        pytest.param("/" + "x" * 300, "brief", id="a name that no disk has, as of a share that is gone"),
        pytest.param("inbox/" + "x" * 300, "brief", id="the same inside"),
        pytest.param("inbox", "brief", id="the inbox itself"),
        pytest.param("inbox/..", "brief", id="the site itself"),
        pytest.param("/nowhere", "unknown", id="an agreement that nobody made"),
    ],
)
def test_no_path_of_a_registered_file_keeps_days_from_being_destroyed(held: World, path: str, agreement: str) -> None:
    forged = holdings.Registered(path, "extract", agreement, "reads", DAYS[0], NOW)
    records.put(held.uni.db, forged, held.uni.vault)
    held.close()
    held.clock.now = FIRST_DUE
    with OpenSite.open(held.root / UNI, clock=held.clock) as locked, suppress(StorageError):
        purging.purge(locked)
    assert keys(held) == files(held) == {"2026-10-02", "2026-10-03", "undated"}


def test_a_directory_in_place_of_a_file_is_named_and_stops_nothing(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    world.export(world.request(agreement="brief"))
    world.lancs.paths.inbox.joinpath("a.csv").mkdir()
    inside = world.lancs.paths.inbox / "b.csv"
    inside.touch()
    for kind, path in (("extract", "inbox/a.csv"), ("output", "inbox/b.csv")):
        world.lancs.db.execute("UPDATE registered SET path = ? WHERE kind = ?", (path, kind))
    world.close()
    world.clock.now = FIRST_DUE
    with OpenSite.open(world.root / LANCS, clock=world.clock) as locked:
        result = purging.purge(locked)
    assert (result.files, result.elsewhere) == (("b.csv",), ("inbox/a.csv",))
    assert not inside.exists()
    assert world.events(LANCS)[-2:] == ["erasure", "purge"]


def test_requests_of_a_force_are_left_alone(world: World) -> None:
    world.export()
    assert [item.direction for item in catalogue.requests(world.lancs.db, world.lancs.vault)] == ["received"]
    world.clock.now = NOW + timedelta(days=30)
    assert purging.purge(world.lancs).windows == 0


def test_a_key_that_no_record_explains_dies_when_no_agreement_could_keep_it(held: World) -> None:
    uni = held.uni
    uni.db.execute("UPDATE keys.day_key SET bundle = 'another', day = '2025-10-13' WHERE day = '2026-10-01'")
    held.clock.now = datetime(2026, 10, 13, 11, 59, 59, tzinfo=UTC)
    assert purging.purge(uni).days == ()
    held.clock.now += timedelta(seconds=1)
    [gone] = purging.purge(uni).days
    assert (gone.day, gone.source, gone.rows) == ("2025-10-13", "unknown", 0)
    assert keys(held) == {"2026-10-02", "2026-10-03", "undated"}
