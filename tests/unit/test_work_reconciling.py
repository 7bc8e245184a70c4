"""Reconciling: what a university says it destroyed, against what it was sent, may keep and was told to destroy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import receipt as receipts
from anpr_share.work import agreements, notifying, purging, receipting
from tests.support.documents import Fields
from tests.support.exchange import AGREEMENT, DAYS, LANCS, TARGETS, UNI, World
from tests.support.forgery import fields_of

DUE = datetime(2027, 9, 30, 23, tzinfo=UTC)
"""When the first day must be gone: 00:00 of 1 October 2027 in London."""
Change = Callable[[Fields], None]


def everything(world: World) -> Path:
    out = world.free("receipt.json")
    receipting.create(world.uni, None, LANCS, out)
    return out


def accept(world: World, receipt: Path | bytes) -> tuple[str, ...]:
    data = receipt if isinstance(receipt, bytes) else receipt.read_bytes()
    return receipting.accept(world.lancs, data).discrepancies


def resigned(world: World, receipt: Path, change: Change) -> bytes:
    """The receipt as the university would sign it with another content."""
    fields = fields_of(dsse.parse(receipt.read_bytes(), receipts.KIND).payload)
    change(fields)
    return dsse.sign(receipts.KIND, canonical.encode(fields), world.uni.signing_key).encode()


def keep_awake(world: World, until: datetime) -> None:
    """Let time pass for both sites as it does where something is logged every month: no clock leaps."""
    while world.clock.now < until:
        world.clock.now = min(until, world.clock.now + timedelta(days=30))
        for site in (world.uni, world.lancs):
            with site.writing(), site.transaction():
                site.record("purge", site.identity.site, {})


def purged(world: World, at: datetime) -> Path:
    """The receipt of a university that loaded one bundle and purged at this time."""
    accept(world, world.load(world.export()).receipt)
    keep_awake(world, at)
    purging.purge(world.uni)
    return everything(world)


def test_days_destroyed_on_time_agree(world: World) -> None:
    receipt = purged(world, DUE + timedelta(hours=20))
    assert [item.reason for item in receipts.parse(receipt.read_bytes())[0].deleted] == ["expired"]
    assert accept(world, receipt) == ()
    assert [item.discrepancies for item in receipting.listed(world.lancs)] == [(), ()]


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("rows", 2, "3 rows loaded, 2 destroyed"),
        ("day", "2026-10-09", "were not in the bundle"),
        ("table", "targets", "were not in the bundle"),
        ("due", "2027-10-01T00:00:00Z", "due by 2027-10-01 under the agreement, and by 2027-10-01 as"),
        ("due", "2027-11-01T00:00:00Z", "due by 2027-10-01 under the agreement, and by 2027-11-01 as"),
        ("at", "2027-10-01T23:00:01Z", "destroyed late: due by 2027-10-01, on 2027-10-02"),
        ("at", "2027-12-01T00:00:00Z", "after the receipt was made"),
        ("reason", "recalled", "were never recalled here"),
    ],
)
def test_a_deletion_that_does_not_fit_is_told(world: World, field: str, value: object, fault: str) -> None:
    receipt = purged(world, DUE + timedelta(hours=20))

    def change(fields: Fields) -> None:
        fields["created"] = "2027-10-01T23:30:00Z"
        fields["deleted"][0][field] = value

    world.clock.now = datetime(2027, 10, 1, 23, 30, tzinfo=UTC)
    faults = accept(world, resigned(world, receipt, change))
    assert any(fault in item for item in faults), faults
    assert receipting.listed(world.lancs)[-1].discrepancies == faults


def test_a_day_that_is_destroyed_late_is_told(world: World) -> None:
    [fault] = accept(world, purged(world, DUE + timedelta(hours=24, seconds=1)))
    assert "reads of 2026-10-01 were destroyed late: due by 2027-10-01, on 2027-10-02" in fault


def test_a_day_that_is_destroyed_twice_is_told(world: World) -> None:
    receipt = purged(world, DUE + timedelta(hours=20))
    [fault, _] = accept(world, resigned(world, receipt, lambda fields: fields["deleted"].append(fields["deleted"][0])))
    assert "destroyed twice" in fault
    again = resigned(world, receipt, lambda fields: fields["deleted"][0].update(at="2027-10-01T20:00:00Z"))
    later = world.free("later.json")
    later.write_bytes(again)
    data = resigned(world, later, lambda fields: fields.update(created="2027-10-01T22:00:00Z"))
    world.clock.now = datetime(2027, 10, 1, 22, tzinfo=UTC)
    assert any("destroyed twice" in item for item in accept(world, data))


def kept_nothing(fields: Fields) -> None:
    """What a university would say that wants to keep everything, and never be asked for it."""
    for day in fields["loaded"][0]["days"]:
        day.update(rows=0, expired=day["rows"] + day["expired"])


def test_rows_that_are_said_to_have_expired_before_their_time_are_told(world: World) -> None:
    receipt = world.load(world.export(targets=TARGETS)).receipt
    faults = accept(world, resigned(world, receipt, kept_nothing))
    assert len(faults) == 4
    assert "reads of 2026-10-01: 3 rows were not kept on 2026-10-12, and were due by 2027-10-01 only" in faults[0]


def test_targets_need_not_be_kept_if_newer_ones_were_sent(world: World) -> None:
    first = world.load(world.export(world.request(DAYS[0], DAYS[1]), targets=TARGETS)).receipt
    world.clock.now += timedelta(days=1)
    world.export(world.request(DAYS[2], DAYS[2]), targets=TARGETS)
    faults = accept(world, resigned(world, first, kept_nothing))
    assert [item.count("reads") for item in faults] == [1, 1]


def test_what_is_recalled_on_its_way_need_not_be_kept(world: World) -> None:
    bundle = world.export()
    world.clock.now += timedelta(minutes=1)
    notice = world.free("notice.json")
    notifying.recall(world.lancs, AGREEMENT, UNI, "reads", [DAYS[0].isoformat()], "a clock was wrong", notice)
    notifying.apply(world.uni, notice.read_bytes(), world.free("answer.json"))
    assert accept(world, world.load(bundle).receipt) == ()


def test_more_rows_than_were_exported_are_told_without_the_receipt_of_the_load(world: World) -> None:
    world.load(world.export())
    keep_awake(world, DUE)
    purging.purge(world.uni)
    receipt = everything(world)

    def change(rows: int) -> Change:
        return lambda fields: fields.update(loaded=[], deleted=[fields["deleted"][0] | {"rows": rows}])

    assert accept(world, resigned(world, receipt, change(3))) == ()
    assert "3 rows exported, 4 destroyed" in accept(world, resigned(world, receipt, change(4)))[0]


def test_what_is_not_reported_destroyed_is_told_once_a_receipt_of_everything_comes(world: World) -> None:
    accept(world, world.load(world.export()).receipt)
    keep_awake(world, DUE + timedelta(days=1))
    assert accept(world, everything(world)) == ()
    keep_awake(world, DUE + timedelta(days=1, seconds=1))
    silent = everything(world)
    [fault] = accept(world, silent)
    assert "reads of 2026-10-01 were to be destroyed by 2027-10-01, and are not reported destroyed" in fault

    def of_another_scope(fields: Fields) -> None:
        fields["scope"] = "bundle"

    assert accept(world, resigned(world, silent, of_another_scope)) == ()


def test_a_later_receipt_changes_nothing_of_what_an_earlier_one_is_found_to_say(world: World) -> None:
    accept(world, world.load(world.export()).receipt)
    keep_awake(world, DUE + timedelta(days=2))
    silent = accept(world, everything(world))
    world.clock.now += timedelta(seconds=1)
    purging.purge(world.uni)
    late = accept(world, everything(world))
    assert ("not reported destroyed" in silent[0], "destroyed late" in late[0]) == (True, True)
    assert [item.discrepancies for item in receipting.listed(world.lancs)] == [(), silent, late]


def test_receipts_that_come_in_another_order_count_in_the_order_in_which_they_were_made(world: World) -> None:
    load = world.load(world.export()).receipt
    keep_awake(world, DUE + timedelta(hours=1))
    purging.purge(world.uni)
    first = everything(world)
    keep_awake(world, DUE + timedelta(days=1, hours=2))
    purging.purge(world.uni)
    keep_awake(world, DUE + timedelta(days=3))
    purging.purge(world.uni)
    second = everything(world)
    accept(world, load)
    faults = accept(world, second)
    assert any("not reported destroyed" in item for item in faults), faults
    assert accept(world, first) == ()
    by_digest = {item.receipt: item.discrepancies for item in receipting.listed(world.lancs)}
    again = by_digest[dsse.parse(second.read_bytes(), receipts.KIND).digest]
    assert again == tuple(item for item in faults if "not reported destroyed" not in item)


def test_replaced_targets_and_their_successors_agree(world: World) -> None:
    for day in DAYS[:2]:
        accept(world, world.load(world.export(world.request(day, day), targets=TARGETS)).receipt)
        world.clock.now += timedelta(hours=1)
    receipt = everything(world)
    assert [item.reason for item in receipts.parse(receipt.read_bytes())[0].deleted] == ["replaced"]
    assert accept(world, receipt) == ()
    keep_awake(world, datetime(2027, 4, 12, 1, tzinfo=UTC))
    purging.purge(world.uni)
    last = everything(world)
    assert [item.day for item in receipts.parse(last.read_bytes())[0].deleted] == ["undated"]
    assert accept(world, last) == ()


def shortened(world: World, at: datetime) -> None:
    """A second version with a limit of three months, accepted everywhere at this time."""
    first = agreements.current(world.lancs, AGREEMENT)
    second = world.signed(version=2, supersedes=first.digest, reads__retention="P3M")
    keep_awake(world, at)
    for site in (world.lancs, world.wyp, world.uni):
        agreements.accept(site, second.envelope.encode())


def test_after_an_agreement_was_shortened_the_shorter_limit_counts(world: World) -> None:
    accept(world, world.load(world.export()).receipt)
    shortened(world, datetime(2027, 3, 1, 12, tzinfo=UTC))
    keep_awake(world, datetime(2027, 3, 2, 11, tzinfo=UTC))
    silent = everything(world)
    purging.purge(world.uni)
    agreed = everything(world)
    assert accept(world, silent) == ()
    assert accept(world, agreed) == ()
    assert len(receipts.parse(agreed.read_bytes())[0].deleted) == 3


def test_after_an_agreement_was_shortened_days_are_late_from_then_on(world: World) -> None:
    accept(world, world.load(world.export()).receipt)
    shortened(world, datetime(2027, 3, 1, 12, tzinfo=UTC))
    keep_awake(world, datetime(2027, 3, 2, 13, tzinfo=UTC))
    silent = accept(world, everything(world))
    assert len(silent) == 3
    assert all("by 2027-03-01, and are not reported destroyed" in item for item in silent)
    purging.purge(world.uni)
    assert all("late: due by 2027-03-01, on 2027-03-02" in item for item in accept(world, everything(world)))


def test_what_was_destroyed_before_an_agreement_was_shortened_stays_as_it_was(world: World) -> None:
    receipt = purged(world, DUE + timedelta(hours=20))
    assert accept(world, receipt) == ()
    shortened(world, DUE + timedelta(days=5))
    assert receipting.listed(world.lancs)[-1].discrepancies == ()


def recalled(world: World, *days: str) -> Path:
    """The answer to a notice that recalls these days of one bundle."""
    accept(world, world.load(world.export()).receipt)
    notice = world.free("notice.json")
    world.clock.now += timedelta(minutes=1)
    notifying.recall(world.lancs, AGREEMENT, UNI, "reads", days, "a clock was wrong", notice)
    return notifying.apply(world.uni, notice.read_bytes(), None).receipt


def test_a_recalled_day_that_is_not_destroyed_is_told(world: World) -> None:
    answer = recalled(world, "2026-10-01", "2026-10-02")
    [fault] = accept(world, resigned(world, answer, lambda fields: fields["deleted"].pop()))
    assert "reads of 2026-10-02 were recalled by notice" in fault
    assert "are not reported destroyed" in fault
    assert accept(world, answer) == ()


def test_an_answer_to_a_notice_that_was_never_made_is_told(world: World) -> None:
    answer = recalled(world, "2026-10-01")
    faults = accept(world, resigned(world, answer, lambda fields: fields["notices"][0].update(notice="ab" * 32)))
    assert faults == (f"notice {('ab' * 32)[:16]} was never made for {UNI}",)
