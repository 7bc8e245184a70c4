"""Status: one screen without the passphrase, that changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from anpr_share.site.opened import OpenSite
from anpr_share.work.status import StatusResult, status
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, TARGETS, UNI, World


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
    assert (agreement.next_deletion, agreement.next_deletion_days) == (datetime(2027, 9, 30, 23, tzinfo=UTC), 1)
    assert [(item.used, item.open, item.expired) for item in found.requests] == [(1, 0, 0)]
    assert found.overdue == ()
    assert world.cli(UNI, "status") == 0


def test_what_should_have_been_destroyed_is_overdue(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets__retention="P12D")
    world.load(world.export(world.request(agreement="brief"), targets=TARGETS))
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    found = seen(world)
    brief = next(item for item in found.agreements if item.agreement == "brief")
    assert (brief.overdue_days, brief.days, brief.rows) == (1, 2, 5)
    assert found.overdue == ("brief: 1 days held past their delete-by",)
    assert world.cli(UNI, "status") == 1


def test_a_forces_extracts_past_their_date_are_overdue(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    world.export(world.request(agreement="brief"))
    assert seen(world, LANCS).overdue == ()
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    assert len(seen(world, LANCS).overdue) == 1
    assert world.cli(LANCS, "status") == 1


def test_windows_are_open_until_they_die(world: World) -> None:
    world.request()
    assert [(item.open, item.expired) for item in seen(world).requests] == [(1, 0)]
    world.clock.now = NOW + timedelta(days=30)
    assert [(item.open, item.expired) for item in seen(world).requests] == [(0, 1)]


def test_an_agreement_that_has_ended_is_not_in_force(world: World) -> None:
    world.clock.now = datetime(2028, 1, 1, tzinfo=UTC)
    [agreement] = seen(world).agreements
    assert (agreement.agreement, agreement.in_force) == (AGREEMENT, False)


def test_a_clock_that_was_put_back_is_a_warning(world: World) -> None:
    world.clock.now = NOW - timedelta(days=1)
    found = seen(world)
    assert found.now == NOW
    assert "clock" in found.warnings[0]


def test_a_site_restored_without_its_keys_says_so(world: World) -> None:
    world.load(world.export())
    world.close()
    (world.root / UNI / "keys.db").unlink()
    with OpenSite.open(world.root / UNI, clock=world.clock) as site:
        found = status(site)
    assert any("restored" in warning for warning in found.warnings)
