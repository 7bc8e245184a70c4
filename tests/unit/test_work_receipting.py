"""Receipts: a university says what its records say, and a force compares it with what it exported."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import receipt as receipts
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import AnprShareError, FormatError, PolicyError, StorageError, VerificationError
from anpr_share.periods import utc_text
from anpr_share.site import holdings
from anpr_share.work import partners, receipting
from tests.support.documents import Fields, changed
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, TARGETS, UNI, WYP, World
from tests.support.forgery import fields_of, members, zipped


def receipt_of(world: World) -> Path:
    """The receipt of one bundle of reads and targets that was loaded."""
    return world.load(world.export(targets=TARGETS)).receipt


def altered(world: World, receipt: Path, path: str, value: object) -> bytes:
    """The receipt as the university would sign it with another content."""
    fields = changed(fields_of(dsse.parse(receipt.read_bytes(), receipts.KIND).payload), path, value)
    return signed(world, fields)


def signed(world: World, fields: Fields, key: SigningKey | None = None) -> bytes:
    return dsse.sign(receipts.KIND, canonical.encode(fields), key or world.uni.signing_key).encode()


def test_the_receipt_of_a_load_reconciles(world: World) -> None:
    receipt = receipt_of(world)
    result = receipting.accept(world.lancs, receipt.read_bytes())
    assert (result.loaded, result.discrepancies, result.partner) == (1, (), UNI)
    assert world.events(LANCS)[-1] == "receipt-accepted"
    [listed] = receipting.listed(world.lancs)
    assert (listed.receipt, listed.discrepancies) == (result.receipt, ())
    assert world.cli(LANCS, "receipt", "accept", receipt) == 0
    assert world.cli(LANCS, "receipt", "list") == 0


def test_what_had_expired_on_arrival_is_accounted_for(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D", targets=None)
    bundle = world.export(world.request(agreement="brief"))
    world.clock.now += timedelta(days=1)
    result = world.load(bundle)
    assert result.expired
    assert receipting.accept(world.lancs, result.receipt.read_bytes()).discrepancies == ()


def test_a_receipt_is_recorded_once(world: World) -> None:
    data = receipt_of(world).read_bytes()
    receipting.accept(world.lancs, data)
    lines = world.events(LANCS)
    receipting.accept(world.lancs, data)
    assert world.events(LANCS) == lines
    assert len(holdings.receipts(world.lancs.db)) == 1


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("loaded.0.bundle", "0b9f6f0e-6d0c-4f3e-9a51-0d5f0c6f7a11", "never exported"),
        ("loaded.0.manifest", "ab" * 32, "another content"),
        ("loaded.0.days.0.rows", 2, "3 rows exported, 2 accounted for"),
        ("loaded.0.days.0", ..., "3 rows exported, 0 accounted for"),
        ("loaded.0.days.0.day", "2026-10-09", "0 rows exported, 3 accounted for"),
        ("loaded.0.days.3", {"table": "reads", "day": "2026-10-01", "rows": 3, "expired": 0}, "targets of undated"),
        ("loaded.0.days.4", {"table": "reads", "day": "2026-10-01", "rows": 3, "expired": 0}, "6 accounted for"),
        (
            "deleted.0",
            {
                "bundle": "0b9f6f0e-6d0c-4f3e-9a51-0d5f0c6f7a11",
                "table": "reads",
                "day": "2026-10-01",
                "rows": 1,
                "due": "2027-10-01T00:00:00Z",
                "at": "2027-10-01T00:00:00Z",
                "reason": "expired",
            },
            "never exported",
        ),
    ],
)
def test_a_discrepancy_is_found_and_told(world: World, path: str, value: object, fault: str) -> None:
    data = altered(world, receipt_of(world), path, value)
    result = receipting.accept(world.lancs, data)
    assert any(fault in item for item in result.discrepancies), result.discrepancies
    assert receipting.listed(world.lancs)[0].discrepancies == result.discrepancies
    out = world.free("receipt.json")
    out.write_bytes(data)
    assert world.cli(LANCS, "receipt", "accept", out) == 1
    assert world.cli(LANCS, "receipt", "list") == 1


def test_a_bundle_of_another_university_is_not_accounted_for_by_this_one(world: World) -> None:
    world.create("york-university", "university")
    world.agree(LANCS, WYP, UNI, "york-university", id="two-unis")
    receipt = world.load(world.export(world.request(agreement="two-unis"))).receipt
    york = world.site("york-university")
    fields = fields_of(dsse.parse(receipt.read_bytes(), receipts.KIND).payload)
    fields["sender"] = york.identity.fingerprint
    result = receipting.accept(world.lancs, signed(world, fields, york.signing_key))
    assert "never exported to york-university" in result.discrepancies[0]


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("recipient", "ab" * 32, PolicyError),
        ("sender", "ab" * 32, PolicyError),
        ("agreement", "ab" * 32, PolicyError),
        ("agreement_id", "another", PolicyError),
        ("created", utc_text(NOW + timedelta(minutes=5, seconds=1)), PolicyError),
        ("format", 2, FormatError),
        ("loaded.0.days.0.rows", -1, FormatError),
        ("remark", "AB12CDE", FormatError),
    ],
)
def test_a_receipt_that_is_not_for_this_force_or_none_at_all_is_refused(
    world: World, path: str, value: object, kind: type[AnprShareError]
) -> None:
    data = altered(world, receipt_of(world), path, value)
    before = world.lancs.ledger.head()
    with pytest.raises(kind) as caught:
        receipting.accept(world.lancs, data)
    assert type(caught.value) is kind
    assert "AB12CDE" not in caught.value.message
    assert world.lancs.ledger.head() == before
    assert holdings.receipts(world.lancs.db) == ()
    out = world.free("receipt.json")
    out.write_bytes(data)
    assert world.cli(LANCS, "receipt", "accept", out) == kind.exit_code


def test_a_receipt_that_names_a_version_of_another_agreement_is_refused(world: World) -> None:
    other = world.agree(id="other-2026")
    with pytest.raises(PolicyError, match="version"):
        receipting.accept(world.lancs, altered(world, receipt_of(world), "agreement", other.digest))


def test_an_impostors_receipt_is_refused(world: World) -> None:
    receipt = receipt_of(world)
    fields = fields_of(dsse.parse(receipt.read_bytes(), receipts.KIND).payload)
    with pytest.raises(VerificationError):
        receipting.accept(world.lancs, signed(world, fields, SigningKey.generate()))
    with pytest.raises(VerificationError):
        receipting.accept(world.lancs, signed(world, fields, world.wyp.signing_key))


def test_a_force_cannot_send_a_receipt_and_a_university_accepts_none(world: World) -> None:
    receipt = receipt_of(world)
    fields = fields_of(dsse.parse(receipt.read_bytes(), receipts.KIND).payload)
    fields["sender"] = world.wyp.identity.fingerprint
    with pytest.raises(PolicyError):
        receipting.accept(world.lancs, signed(world, fields, world.wyp.signing_key))
    with pytest.raises(PolicyError):
        receipting.accept(world.uni, receipt.read_bytes())


def test_a_revoked_universitys_receipt_is_refused(world: World) -> None:
    receipt = receipt_of(world)
    partners.revoke(world.lancs, UNI)
    with pytest.raises(PolicyError):
        receipting.accept(world.lancs, receipt.read_bytes())


def made(world: World, to: str = LANCS, agreement: str | None = None) -> receipts.Receipt:
    out = world.free("receipt.json")
    receipting.create(world.uni, agreement, to, out)
    return receipts.parse(out.read_bytes())[0]


def test_a_receipt_has_everything_since_the_last_even_of_the_same_second(world: World) -> None:
    first = world.load(world.export(world.request(DAYS[0], DAYS[0])))
    assert [item.bundle for item in made(world).loaded] == [first.bundle]
    second = world.load(world.export(world.request(DAYS[1], DAYS[1])))
    assert [item.bundle for item in made(world).loaded] == [second.bundle]
    assert made(world).loaded == ()


def test_a_receipt_is_of_one_force_and_one_agreement(world: World) -> None:
    world.agree(id="other-2026")
    mine = world.load(world.export())
    other = world.load(world.export(world.request(agreement="other-2026")))
    world.load(world.export(by=WYP))
    assert [item.bundle for item in made(world, agreement=AGREEMENT).loaded] == [mine.bundle]
    assert [item.bundle for item in made(world, agreement="other-2026").loaded] == [other.bundle]


def test_refusals_and_deletions_are_reported_once_and_reconcile(world: World) -> None:
    bundle = world.export(world.request(DAYS[0], DAYS[0]), targets=TARGETS)
    contents = members(bundle)
    broken = world.free("broken")
    broken.write_bytes(zipped([*contents[:-1], (contents[-1][0], bytes(len(contents[-1][1])))]))
    with pytest.raises(VerificationError):
        world.load(broken)
    world.load(bundle)
    world.clock.now += timedelta(hours=1)
    world.load(world.export(world.request(DAYS[1], DAYS[1]), targets=TARGETS[:1]))
    out = world.free("receipt.json")
    result = receipting.create(world.uni, None, LANCS, out)
    assert (result.loaded, result.refused, result.deleted) == (2, 1, 1)
    receipt = receipts.parse(out.read_bytes())[0]
    assert (receipt.refused[0].step, receipt.refused[0].reason, receipt.deleted[0].rows) == (6, "verification", 2)
    assert receipting.accept(world.lancs, out.read_bytes()).discrepancies == ()
    again = made(world)
    assert (again.loaded, again.refused, again.deleted) == ((), (), ())


def test_a_refusal_is_reported_under_the_agreement_that_it_named(world: World) -> None:
    world.agree(id="other-2026")
    forged = world.forge(world.export(world.request(agreement="other-2026")))
    forged.manifest["normaliser"] = "vrm-2"
    with pytest.raises(PolicyError):
        world.load(forged.write())
    assert made(world, agreement=AGREEMENT).refused == ()
    assert len(made(world, agreement="other-2026").refused) == 1


@pytest.mark.parametrize("to", [UNI, "nobody"])
def test_a_receipt_goes_to_a_force_of_the_agreement(world: World, to: str) -> None:
    out = world.free("receipt.json")
    with pytest.raises(PolicyError):
        receipting.create(world.uni, None, to, out)
    assert not out.exists()


def test_a_receipt_replaces_no_file(world: World) -> None:
    receipt_of(world)
    out = world.free("receipt.json")
    out.write_text("mine")
    before = world.uni.ledger.head()
    with pytest.raises(StorageError):
        receipting.create(world.uni, None, LANCS, out)
    assert (out.read_text(), world.uni.ledger.head()) == ("mine", before)
    assert made(world).loaded
