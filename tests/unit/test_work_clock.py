"""A clock that was wrong is put back once it is right; never behind what others have signed; and it stays told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from anpr_share.documents import canonical
from anpr_share.errors import LockedError, PolicyError, UsageError
from anpr_share.periods import CREATED_TOLERANCE, utc_text
from anpr_share.site import holdings
from anpr_share.site.ledger import parse_line
from anpr_share.site.opened import OpenSite
from anpr_share.work import clock, purging, reading, receipting
from tests.support.exchange import DAYS, LANCS, NOW, UNI, World

WHY = "the day was set wrong"
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
AHEAD = timedelta(days=20)


@pytest.fixture
def held(world: World) -> World:
    """Three days of reads, kept for twelve days."""
    world.agree(id="brief", reads__retention="P12D", targets=None)
    world.load(world.export(world.request(agreement="brief")))
    return world


def days_seen(world: World) -> int:
    return reading.scan(world.uni, "reads", purpose="counting", agreement="brief").collect()["day"].n_unique()


def use(world: World, name: str, at: datetime) -> None:
    """Have a site work at a time that its clock shows, right or wrong."""
    world.clock.now = at
    with world.site(name).transaction():
        world.site(name).record("purge", name, {})
    world.site(name).checkpoint()


def reset(world: World, name: str, at: datetime) -> clock.ResetResult:
    world.clock.now = at
    return clock.reset(world.site(name), WHY)


def refused(world: World, name: str, at: datetime, match: str) -> PolicyError:
    before = world.site(name).ledger.head()
    with pytest.raises(PolicyError, match=match) as caught:
        reset(world, name, at)
    assert world.site(name).ledger.head() == before
    assert caught.value.exit_code == 4
    return caught.value


def test_a_reset_is_one_signed_line_after_which_the_site_goes_by_the_clock(held: World) -> None:
    use(held, UNI, NOW + AHEAD)
    held.clock.now = now = NOW + MINUTE
    with pytest.raises(PolicyError, match="behind the ledger") as caught:
        held.uni.now()
    assert "anpr-share clock reset --reason TEXT" in (caught.value.hint or "")
    before = held.uni.ledger.head().seq

    assert clock.reset(held.uni, WHY) == clock.ResetResult(NOW + AHEAD, now, ahead=0)

    [line] = held.uni.ledger.lines(before + 1)
    assert (line.event, line.subject, line.time, line.leapt) == ("clock-reset", UNI, now, False)
    assert line.details == {"from": utc_text(NOW + AHEAD), "reason": WHY}
    assert held.uni.ledger.last_time() == held.uni.ledger.latest_time() == held.uni.now() == now
    found = held.uni.ledger.verify(held.uni.identity.signing, UNI)
    assert (found.unsigned_tail, found.out_of_place, found.clock_resets, found.ok) == (0, (), 1, False)
    held.close()
    assert held.cli(UNI, "ledger", "verify") == 1


def test_what_was_only_hidden_is_seen_again_and_what_was_destroyed_is_not(held: World) -> None:
    held.clock.now = datetime(2026, 10, 14, tzinfo=NOW.tzinfo)
    assert days_seen(held) == 1
    reset(held, UNI, NOW + MINUTE)
    assert days_seen(held) == 3

    held.clock.now = datetime(2026, 10, 14, tzinfo=NOW.tzinfo)
    assert len(purging.purge(held.uni).days) == 2
    reset(held, UNI, NOW + 2 * MINUTE)
    assert days_seen(held) == 1
    assert {place.day for place in holdings.key_places(held.uni.db)} == {DAYS[2].isoformat()}


def test_the_command_itself_destroys_nothing_and_the_next_one_goes_by_the_clock(held: World) -> None:
    use(held, UNI, NOW + AHEAD)
    held.close()
    held.clock.now = NOW + MINUTE
    assert held.cli(UNI, "purge") == 4
    assert held.cli(UNI, "clock", "reset", "--reason", WHY) == 0
    assert held.cli(UNI, "purge") == 0
    assert held.events(UNI)[-2:] == ["clock-reset", "purge"]
    assert days_seen(held) == 3


@pytest.mark.parametrize("back", [timedelta(0), 5 * MINUTE])
def test_a_clock_that_is_not_behind_is_not_reset(held: World, back: timedelta) -> None:
    use(held, UNI, NOW + AHEAD)
    error = refused(held, UNI, NOW + AHEAD - back, "nothing to reset")
    assert "set it right first" in (error.hint or "")
    reset(held, UNI, NOW + AHEAD - 5 * MINUTE - SECOND)


def test_a_clock_that_has_leapt_forward_is_confirmed_instead(held: World) -> None:
    error = refused(held, UNI, NOW + timedelta(days=40), "nothing to reset")
    assert "purge --confirm-date 2026-11-21" in (error.hint or "")


def test_a_site_that_was_used_after_a_leap_is_put_right_and_counts_again(held: World) -> None:
    use(held, UNI, NOW + timedelta(days=40))
    assert held.uni.reading().leapt
    held.clock.now = NOW + timedelta(days=1)
    with pytest.raises(PolicyError, match="behind the ledger"):
        held.uni.now()
    reset(held, UNI, held.clock.now)
    assert held.uni.ledger.last_time() == held.clock.now
    use(held, UNI, NOW + timedelta(days=32))
    assert not held.uni.reading().leapt
    assert [entry.leapt for entry in held.uni.ledger.lines()][-3:] == [True, False, False]


def test_a_university_is_not_put_back_behind_a_bundle_that_it_loaded(held: World) -> None:
    held.clock.now = made = NOW + timedelta(days=1)
    bundle = held.export(held.request(agreement="brief", to="west-yorkshire-police"), by="west-yorkshire-police")
    held.clock.now += timedelta(hours=6)
    held.load(bundle)
    error = refused(
        held, UNI, made - CREATED_TOLERANCE - SECOND, "west-yorkshire-police signed at 2026-10-13T12:00:00Z"
    )
    assert error.hint
    assert reset(held, UNI, made - CREATED_TOLERANCE).now == made - CREATED_TOLERANCE


def test_a_force_is_not_put_back_behind_a_request_that_it_answered(held: World) -> None:
    use(held, LANCS, NOW + AHEAD)
    refused(held, LANCS, NOW - CREATED_TOLERANCE - SECOND, "leeds-university signed at")
    reset(held, LANCS, NOW - CREATED_TOLERANCE)


def test_a_force_is_not_put_back_behind_a_receipt_that_it_accepted(held: World) -> None:
    held.clock.now = made = NOW + timedelta(days=1)
    out = held.free("receipt.json")
    receipting.create(held.uni, "brief", LANCS, out)
    held.clock.now += timedelta(hours=1)
    receipting.accept(held.lancs, out.read_bytes())
    refused(held, LANCS, made - CREATED_TOLERANCE - SECOND, "leeds-university signed at")
    reset(held, LANCS, made - CREATED_TOLERANCE)


def test_a_receipt_that_somebody_planted_holds_no_reset_up(held: World) -> None:
    held.clock.now = NOW + AHEAD
    out = held.free("receipt.json")
    receipting.create(held.uni, "brief", LANCS, out)
    with closing(sqlite3.connect(held.root / LANCS / "site.db")) as raw, raw:
        raw.execute(
            "INSERT INTO receipt VALUES (?, 'received', ?, 'brief', ?, ?)",
            ("d" * 64, UNI, out.read_bytes(), utc_text(NOW)),
        )
    use(held, LANCS, NOW + AHEAD)
    reset(held, LANCS, NOW)


def test_documents_of_this_site_hold_no_reset_up_and_are_counted(held: World) -> None:
    held.clock.now = NOW + timedelta(days=2)
    held.request(agreement="brief", to="west-yorkshire-police")
    assert reset(held, UNI, NOW + timedelta(days=1)).ahead == 1
    with pytest.raises(PolicyError, match="made in the future"):
        held.export(newest_request(held), by="west-yorkshire-police")
    asked_anew = held.request(agreement="brief", to="west-yorkshire-police")
    assert held.load(held.export(asked_anew, by="west-yorkshire-police")).rows["reads"] > 0


def newest_request(world: World) -> bytes:
    rows = world.uni.db.rows("SELECT envelope FROM request ORDER BY created DESC")
    assert isinstance(rows[0][0], bytes)
    return rows[0][0]


def test_no_reset_goes_behind_an_earlier_one(world: World) -> None:
    use(world, UNI, NOW + AHEAD)
    first = NOW + timedelta(days=5)
    reset(world, UNI, first)
    for _ in range(3):
        use(world, UNI, NOW + AHEAD)
        refused(world, UNI, first - SECOND, "the clock was reset at 2026-10-17T12:00:00Z before")
        reset(world, UNI, first)


def test_a_site_that_has_exchanged_nothing_may_be_put_back_behind_its_first_line(world: World) -> None:
    world.clock.now = NOW + timedelta(days=365)
    world.create("new-police", "police")
    reset(world, "new-police", NOW)
    assert world.site("new-police").now() == NOW


def test_a_reset_needs_the_passphrase_and_a_reason_without_marks(held: World) -> None:
    use(held, UNI, NOW + AHEAD)
    before = held.uni.ledger.head()
    held.clock.now = NOW
    for reason, kind in ((" ", UsageError), ("two\nlines", UsageError), ("as AB12 CDE said", PolicyError)):
        with pytest.raises(kind, match="reason"):
            clock.reset(held.uni, reason)
    with OpenSite.open(held.root / UNI, clock=held.clock) as locked, pytest.raises(LockedError):
        clock.reset(locked, WHY)
    assert held.uni.ledger.head() == before


def test_a_restored_site_can_be_reset(held: World) -> None:
    use(held, UNI, NOW + AHEAD)
    held.close()
    (held.root / UNI / "keys.db").unlink()
    held.clock.now = NOW + MINUTE
    assert held.cli(UNI, "status") == 0
    assert held.cli(UNI, "clock", "reset", "--reason", WHY) == 0
    assert held.events(UNI)[-2:] == ["restored", "clock-reset"]
    assert held.cli(UNI, "purge") == 0


def test_a_reset_that_somebody_without_the_passphrase_wrote_shows_nothing_again(held: World) -> None:
    held.clock.now = NOW + AHEAD
    assert days_seen(held) == 0
    last = parse_line(list(held.uni.ledger.stored())[-1])
    held.close()
    line = canonical.encode(
        {
            "account": last.account,
            "actor": None,
            "details": {"reason": WHY},
            "event": "clock-reset",
            "leapt": False,
            "previous": last.hash,
            "seq": last.seq + 1,
            "subject": UNI,
            "time": utc_text(NOW),
        }
    )
    with closing(sqlite3.connect(held.root / UNI / "site.db")) as raw, raw:
        raw.execute("INSERT INTO ledger VALUES (?, ?, NULL)", (last.seq + 1, line))
    assert held.uni.ledger.head().seq == last.seq + 1
    held.clock.now = NOW
    with pytest.raises(PolicyError, match="behind the ledger"):
        days_seen(held)
    assert held.uni.ledger.verify(held.uni.identity.signing, UNI).out_of_place == (last.seq + 1,)


def test_checkpoints_and_receipts_go_on_after_a_reset(held: World) -> None:
    use(held, UNI, NOW + AHEAD)
    held.clock.now = NOW + AHEAD
    early = held.free("receipt.json")
    receipting.create(held.uni, "brief", LANCS, early)
    reset(held, UNI, NOW + MINUTE)
    out = held.free("receipt.json")
    receipting.create(held.uni, "brief", LANCS, out)
    receipting.accept(held.lancs, out.read_bytes())
    held.close()
    found = held.uni.ledger.verify(held.uni.identity.signing, UNI)
    assert (found.unsigned_tail, found.out_of_place) == (0, ())
