"""Status: one screen without the passphrase, that changes nothing."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anpr_share.errors import AnprShareError, FormatError, LockedError, PolicyError, StorageError
from anpr_share.site import holdings, publication
from anpr_share.site.opened import OpenSite
from anpr_share.work import reading, requesting
from anpr_share.work.status import StatusResult, status
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, TARGETS, UNI, WYP, World


def seen(world: World, name: str = UNI) -> StatusResult:
    """The status of a site that is locked; its ledger is left as it was."""
    world.close()
    with OpenSite.open(world.root / name, clock=world.clock) as site:
        before = site.ledger.head()
        found = status(site)
        assert site.ledger.head() == before
    return found


def test_a_new_site_holds_nothing(world: World) -> None:
    found = seen(world)
    [agreement] = found.agreements
    assert (found.site, found.role, found.partners, found.requests, found.overdue) == (UNI, "university", 2, (), ())
    assert (agreement.rows, agreement.days, agreement.next_deletion, agreement.in_force) == (0, 0, None, True)


def test_what_is_held_and_what_is_deleted_next(world: World) -> None:
    world.load(world.export(targets=TARGETS))
    found = seen(world)
    [agreement] = found.agreements
    assert (agreement.bundles, agreement.rows, agreement.days) == (1, 8, 3)
    assert (agreement.first_day, agreement.last_day) == (DAYS[0], DAYS[2])
    reads, targets = agreement.held
    assert (reads.source, reads.table, reads.rows, reads.days) == (LANCS, "reads", 6, 3)
    assert (reads.first_day, reads.last_day) == (DAYS[0], DAYS[2])
    assert (reads.next_deletion, reads.next_deletion_days) == (datetime(2027, 9, 30, 23, tzinfo=UTC), 1)
    assert (targets.table, targets.rows, targets.days, targets.first_day) == ("targets", 2, 0, None)
    # Targets are kept for half a year here, so they go first, and no day of reads with them.
    assert agreement.next_deletion == targets.next_deletion == datetime(2027, 4, 11, 23, tzinfo=UTC)
    assert (agreement.next_deletion_days, targets.next_deletion_days) == (0, 0)
    assert {(item.overdue, item.overdue_since) for item in agreement.held} == {(0, None)}
    assert [(item.used, item.open, item.expired) for item in found.requests] == [(1, 0, 0)]
    assert found.overdue == ()
    assert world.cli(UNI, "status") == 0


def test_what_is_held_is_told_by_force(world: World) -> None:
    world.load(world.export())
    world.load(world.export(world.request(DAYS[1], DAYS[2], to=WYP), by=WYP))
    [agreement] = seen(world).agreements
    told = [(item.source, item.days, item.first_day, item.next_deletion_days) for item in agreement.held]
    assert told == [(LANCS, 3, DAYS[0], 1), (WYP, 2, DAYS[1], 1)]
    assert (agreement.days, agreement.next_deletion_days) == (3, 1)
    assert sum(item.rows for item in agreement.held) == agreement.rows


PURGE = NOW + timedelta(days=7)


def test_a_week_without_a_purge_is_a_warning_where_something_is_held(world: World) -> None:
    warning = "no purge has run here yet, in 7 days, though data lie under retention: have it run every night"
    world.clock.now = PURGE + timedelta(seconds=1)
    assert seen(world).warnings == ()
    world.load(world.export())
    assert [item.startswith(warning) for item in seen(world).warnings] == [True]
    assert [item.startswith(warning) for item in seen(world, LANCS).warnings] == [True]
    assert world.cli(UNI, "purge") == 0
    assert seen(world).warnings == ()
    world.clock.now = PURGE + timedelta(days=7)
    assert seen(world).warnings == ()
    world.clock.now += timedelta(days=1, seconds=1)
    assert [item.startswith("no purge has run here for 8 days, ") for item in seen(world).warnings] == [True]


def test_a_leapt_clock_is_told_with_the_purge_that_confirms_the_day(world: World) -> None:
    world.load(world.export(targets=TARGETS))
    world.clock.now = datetime(2027, 10, 1, 12, tzinfo=UTC)
    found = seen(world)
    assert found.warnings[0].startswith("the clock shows 2027-10-01, long after the last line of the ledger")
    assert found.next[0] == "destroy what has expired: anpr-share purge --confirm-date 2027-10-01"
    assert [item.rpartition(": ")[2] for item in found.overdue] == ["anpr-share purge --confirm-date 2027-10-01"] * 2
    assert found.overdue[1].startswith(f"targets from {LANCS} ({AGREEMENT}), since 2027-04-12 00:00 (Europe/London)")


def test_what_should_have_been_destroyed_is_overdue(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets__retention="P12D")
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    found = seen(world)
    brief = next(item for item in found.agreements if item.agreement == "brief")
    assert (brief.overdue_days, brief.days, brief.rows) == (1, 2, 5)
    assert found.overdue == (
        f"1 day of reads from {LANCS} (brief), since 2026-10-13 00:00 (Europe/London): anpr-share purge",
    )
    assert [(item.table, item.days, item.overdue) for item in brief.held] == [("reads", 2, 1), ("targets", 0, 0)]
    assert found.next[0] == "destroy what has expired: anpr-share purge"
    assert world.cli(UNI, "status") == 1
    assert world.cli(UNI, "purge") == 0
    assert seen(world).overdue == ()


def test_a_forces_extracts_past_their_date_are_overdue(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    bundle = world.export(world.request(agreement="brief"))
    found = seen(world, LANCS)
    assert found.overdue == ()
    assert {(item.name, item.kind) for item in found.files} == {(bundle.name, "output"), ("reads.csv", "extract")}
    assert {item.delete_by for item in found.files} == {datetime(2026, 10, 12, 23, tzinfo=UTC)}
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    assert set(seen(world, LANCS).overdue) == {
        f"{name}, since 2026-10-13 00:00 (Europe/London): "
        "delete it yourself, since it lies outside of inbox/ and outbox/"
        for name in (f"{bundle.name} (output)", "reads.csv (extract)")
    }
    assert not any("purge" in line for line in seen(world, LANCS).next)
    assert world.cli(LANCS, "status") == 1
    for item in holdings.registered(world.lancs.db, world.lancs.vault):
        Path(item.path).unlink()
    assert (seen(world, LANCS).overdue, seen(world, LANCS).files) == ((), ())
    assert world.cli(LANCS, "status") == 0


def test_a_file_that_purge_deletes_is_overdue_until_it_ran(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    bundle = world.export(world.request(agreement="brief"))
    inside = world.lancs.paths.outbox / bundle.name
    bundle.rename(inside)
    with world.lancs.transaction():
        place = world.lancs.paths.place(inside)
        assert place == f"outbox/{bundle.name}"
        world.lancs.db.execute("UPDATE registered SET path = ? WHERE kind = 'output'", (place,))
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    found = seen(world, LANCS)
    assert {item.name: item.inside for item in found.files} == {bundle.name: True, "reads.csv": False}
    assert found.next[0] == "destroy what has expired: anpr-share purge"
    assert f"{bundle.name} (output), since 2026-10-13 00:00 (Europe/London): anpr-share purge" in found.overdue
    assert world.cli(LANCS, "purge") == 1
    assert not inside.exists()
    assert [item.name for item in seen(world, LANCS).files] == ["reads.csv"]


def test_windows_are_open_until_they_die(world: World) -> None:
    world.request()
    assert [(item.open, item.expired) for item in seen(world).requests] == [(1, 0)]
    world.clock.now = NOW + timedelta(days=30)
    assert [(item.open, item.expired) for item in seen(world).requests] == [(0, 1)]


def test_each_window_has_its_days_its_state_and_its_end(world: World) -> None:
    world.request(NOW.date(), NOW.date())
    [request] = seen(world).requests
    [window] = request.windows
    assert (window.first, window.last, window.state) == (NOW.date(), NOW.date(), "waiting")
    assert (request.open, request.timezone) == (1, "Europe/London")
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)  # midnight in London
    assert seen(world).requests[0].windows[0].state == "open"
    world.clock.now = window.until
    assert seen(world).requests[0].windows[0].state == "expired"


def test_no_window_is_open_longer_than_its_agreement(world: World) -> None:
    world.agree(id="brief", ends="2026-10-20")
    requesting.request(world.uni, "brief", LANCS, DAYS[0], DAYS[2], None, world.free("request.json"))
    [window] = seen(world).requests[0].windows
    assert window.until == datetime(2026, 10, 20, 23, tzinfo=UTC)  # midnight in London
    world.clock.now = window.until
    assert seen(world).requests[0].windows[0].state == "expired"


def test_what_to_do_next_follows_from_what_is_there(world: World) -> None:
    assert seen(world).next[0].startswith("ask a force: anpr-share request ")
    assert seen(world, LANCS).next[0].startswith("when a request comes: anpr-share export ")
    request = world.request()
    assert seen(world).next == (f"when {LANCS} answers: anpr-share load BUNDLE",)
    world.load(world.export(request))
    assert [line.partition(":")[0] for line in seen(world).next] == ["ask a force", "look at what is held"]


def test_a_force_without_the_linkage_key_is_told_to_take_it_in(world: World) -> None:
    world.lancs.db.execute("DELETE FROM vault.secret WHERE kind = 'linkage'")
    found = seen(world, LANCS)
    assert [item.linkage_key for item in found.agreements] == [False]
    assert found.next == (
        f"take in the linkage key of {AGREEMENT} that the first force sends: anpr-share key accept FILE",
    )


def test_an_agreement_that_has_ended_is_not_in_force(world: World) -> None:
    world.clock.now = datetime(2028, 1, 1, tzinfo=UTC)
    [agreement] = seen(world).agreements
    assert (agreement.agreement, agreement.in_force) == (AGREEMENT, False)


def test_a_clock_that_was_put_back_is_a_warning(world: World) -> None:
    world.clock.now = NOW - timedelta(days=1)
    found = seen(world)
    assert found.now == NOW
    assert "clock reset --reason TEXT" in found.warnings[0]


def test_a_clock_put_right_after_a_leap_is_a_warning_too(world: World) -> None:
    world.clock.now = late = NOW + timedelta(days=40)
    with world.uni.transaction():
        world.uni.record("purge", UNI, {})
    world.clock.now = NOW + timedelta(days=1)
    found = seen(world)
    assert found.now == late
    assert "clock reset" in found.warnings[0]


def test_a_site_restored_without_its_keys_says_so(world: World) -> None:
    world.load(world.export())
    world.close()
    (world.root / UNI / "keys.db").unlink()
    with OpenSite.open(world.root / UNI, clock=world.clock) as site:
        found = status(site)
    assert any("restored" in warning for warning in found.warnings)


RESTORED = "this site was restored from a backup: its data and one-time keys are gone; ask for them anew"


def test_a_restored_site_claims_to_hold_nothing_until_it_loads_again(world: World) -> None:
    world.load(world.export())
    world.close()
    (world.root / UNI / "keys.db").unlink()
    first, second = seen(world), seen(world)
    assert [(item.rows, item.days, item.next_deletion) for item in second.agreements] == [(0, 0, None)]
    assert first.warnings == second.warnings == (RESTORED,)
    with world.uni.transaction():
        world.uni.record("collection", "anew", {})
    world.uni.checkpoint()
    [warning] = seen(world).warnings
    assert warning == "recorded days whose keys, and so data, are gone: 3; ask for them anew"


def test_nobody_is_told_to_ask_anew_for_lost_days_whose_time_is_up(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    world.load(world.export(world.request(agreement="brief")))
    world.close()
    (world.root / UNI / "keys.db").unlink()
    seen(world)
    with world.uni.transaction():
        world.uni.record("collection", "anew", {})
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    assert seen(world).warnings == ("recorded days whose keys, and so data, are gone: 2; ask for them anew",)
    world.clock.now += timedelta(days=2)
    assert seen(world).warnings == ()


def test_a_restored_site_asks_for_its_days_anew_and_gets_them(world: World) -> None:
    waiting = world.request(DAYS[0], DAYS[0])
    bundle = world.export(targets=TARGETS)
    world.load(bundle)
    world.close()
    (world.root / UNI / "keys.db").unlink()
    shutil.rmtree(world.root / UNI / "store")
    states = [window.state for item in seen(world).requests for window in item.windows]
    assert sorted(states) == ["answered", "lost"]
    assert "asked for anew" in world.load(bundle).notes[0]
    with pytest.raises(LockedError):
        world.load(world.export(waiting))

    again = world.load(world.export(targets=TARGETS))

    assert again.rows == {"reads": 6, "targets": 2}
    found = seen(world)
    assert [(item.rows, item.days) for item in found.agreements] == [(8, 3)]
    assert found.warnings == ()
    assert reading.scan(world.uni, "reads", purpose="counting").collect().height == 6
    with pytest.raises(PolicyError, match="3 of these days are held from this force already"):
        world.request()


def test_a_restored_force_has_lost_no_data(world: World) -> None:
    world.export()
    world.close()
    (world.root / LANCS / "keys.db").unlink()
    assert seen(world, LANCS).warnings == ()
    assert world.events(LANCS)[-1] == "restored"
    assert seen(world, LANCS).warnings == ()


MALFORMED_DAY = "; ".join(
    f"UPDATE {table} SET day = 'AB12CDE' WHERE day = '2026-10-01'" for table in ("part", "keys.day_key")
)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ("UPDATE partner SET name = CAST(x'41423132ff' AS TEXT)", StorageError),
        (MALFORMED_DAY, FormatError),
        ("UPDATE bundle SET created = '2026-10-08'", FormatError),
        ("UPDATE request_window SET first = '2026-13-01'", FormatError),
        ("INSERT INTO publication VALUES (lower(hex(zeroblob(16))), 'x' || char(0), 'staging')", FormatError),
    ],
)
def test_a_damaged_row_is_refused_in_our_words(world: World, change: str, refusal: type[AnprShareError]) -> None:
    world.load(world.export())
    for statement in change.split("; "):
        world.uni.db.execute(statement)
    with pytest.raises(refusal) as caught:
        seen(world)
    assert "AB12" not in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("last", ["0001-01-01", "9999-12-31"])
def test_days_at_the_ends_of_time_are_no_fault_of_ours(world: World, last: str) -> None:
    world.load(world.export())
    for table in ("part", "keys.day_key"):
        world.uni.db.execute(f"UPDATE {table} SET day = ? WHERE day = '2026-10-03'", (last,))
    world.uni.db.execute("UPDATE bundle SET created = ?, at = ?", (f"{last}T23:59:59Z", f"{last}T23:59:59Z"))
    assert [item.rows for item in seen(world).agreements] == [5 if last < "2026" else 6]


def test_a_file_that_waits_is_named_with_what_to_do(world: World) -> None:
    site, folder = world.uni, world.root / "share"
    folder.mkdir()
    left = publication.stage(site.db, site.paths, [folder / "answer.json", folder / "AB12CDE.json"])
    assert seen(world).warnings == (
        "answer.json and 1 more, of an interrupted command: the next command that writes finishes or removes it",
    )
    for item in left:
        item.temporary.touch()
    left[1].final.touch()
    assert "the file, of an interrupted command, cannot be finished: move away" in seen(world).warnings[1]
