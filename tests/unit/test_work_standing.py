"""Step 5: a bundle that is genuine, and still not to be taken now, here, from them or under this agreement."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from anpr_share.documents.agreement import Agreement
from anpr_share.errors import AnprShareError, PolicyError
from anpr_share.site import catalogue, holdings
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements, loading
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, UNI, WYP, World, refused
from tests.support.forgery import members, zipped

SECOND_UNI = "york-university"
KEY_DIES = NOW + timedelta(days=30)


def successor(world: World, **changes: object) -> Agreement:
    """The next version of the agreement, in force at all sites."""
    held = catalogue.agreement(world.uni.db, world.uni.vault, AGREEMENT)
    assert held is not None
    return world.agree(version=held.version + 1, supersedes=held.digest, **changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("agreement", "ab" * 32),
        ("agreement_id", "another-agreement"),
        ("request", "ab" * 32),
        ("recipient", "ab" * 32),
        ("sender", "ab" * 32),
        ("window", {"first": "2026-09-30", "last": "2026-10-03"}),
        ("window", {"first": "2026-10-01", "last": "2026-10-04"}),
        ("created", "2026-10-12T12:05:01Z"),
        ("created", "2999-12-31T00:00:00Z"),
        ("normaliser", "vrm-2"),
    ],
)
def test_a_manifest_that_does_not_fit_what_this_site_knows_is_refused(world: World, field: str, value: object) -> None:
    forged = world.forge(world.export())
    forged.manifest[field] = value
    refused(world, forged.write(), PolicyError, 5)


def test_a_bundle_made_within_the_tolerance_of_the_clocks_is_loaded(world: World) -> None:
    forged = world.forge(world.export())
    forged.manifest["created"] = "2026-10-12T12:05:00Z"
    assert world.load(forged.write()).rows == {"reads": 6}


def test_another_party_of_the_agreement_cannot_be_named_as_the_sender(world: World) -> None:
    forged = world.forge(world.export())
    forged.manifest["sender"] = world.wyp.identity.fingerprint
    refused(world, forged.write(), PolicyError, 5)


def test_another_force_cannot_answer_a_request_that_was_put_to_this_one(world: World) -> None:
    forged = world.forge(world.export())
    forged.signer = world.wyp.signing_key
    forged.manifest["sender"] = world.wyp.identity.fingerprint
    refused(world, forged.write(), PolicyError, 5)


def test_a_request_to_the_other_force_does_not_let_this_one_answer(world: World) -> None:
    forged = world.forge(world.export())
    world.request(to=WYP)
    [digest] = [item.digest for item in catalogue.requests(world.uni.db, None) if item.partner == WYP]
    forged.manifest["request"] = digest
    refused(world, forged.write(), PolicyError, 5)


def test_a_bundle_for_one_university_is_refused_by_another_and_by_a_force(world: World) -> None:
    world.create(SECOND_UNI, "university")
    world.agree(LANCS, WYP, UNI, SECOND_UNI, id="two-unis")
    bundle = world.export(world.request(agreement="two-unis"))
    for other, step in ((SECOND_UNI, 5), (WYP, None)):
        with pytest.raises(PolicyError) as caught:
            loading.load(world.site(other), bundle, None, lambda _: None)
        assert caught.value.step == step
        assert world.cli(other, "load", bundle) == PolicyError.exit_code
        assert world.cli(other, "verify", bundle) == PolicyError.exit_code
    assert world.load(bundle).rows == {"reads": 6}


def test_a_university_cannot_be_a_sender(world: World) -> None:
    world.create(SECOND_UNI, "university")
    world.agree(LANCS, WYP, UNI, SECOND_UNI, id="two-unis")
    forged = world.forge(world.export(world.request(agreement="two-unis")))
    forged.signer = world.site(SECOND_UNI).signing_key
    forged.manifest["sender"] = world.site(SECOND_UNI).identity.fingerprint
    refused(world, forged.write(), PolicyError, 5)


def test_a_window_is_answered_once(world: World) -> None:
    request = world.request()
    forged = world.forge(world.export(request))
    world.load(forged.source)
    forged.manifest["bundle"] = "0b9f6f0e-6d0c-4f3e-9a51-0d5f0c6f7a11"
    forged.manifest["tables"][0]["parts"] = forged.manifest["tables"][0]["parts"][:1]
    forged.parts = dict(list(forged.parts.items())[:1])
    error = refused(world, forged.write(), PolicyError, 5)
    assert "answered already" in error.message


def test_another_bundle_under_the_id_of_one_that_is_loaded_is_refused(world: World) -> None:
    forged = world.forge(world.export())
    world.load(forged.source)
    forged.manifest["created"] = "2026-10-12T11:00:00Z"
    refused(world, forged.write(), PolicyError, 5)


def test_another_force_cannot_take_the_id_of_a_bundle_that_is_loaded(world: World) -> None:
    first = world.export()
    forged = world.forge(world.export(by=WYP), by=WYP)
    forged.manifest["bundle"] = world.load(first).bundle
    refused(world, forged.write(), PolicyError, 5)


@pytest.mark.parametrize(("now", "loads"), [(KEY_DIES - timedelta(seconds=1), True), (KEY_DIES, False)])
def test_a_window_dies_thirty_days_after_it_was_asked_for(world: World, now: datetime, loads: bool) -> None:
    bundle = world.export()
    world.clock.now = now
    if loads:
        assert world.load(bundle).rows == {"reads": 6}
    else:
        assert "expired" in refused(world, bundle, PolicyError, 5, lapsed=True).message


def test_a_day_already_held_from_this_force_is_refused(world: World) -> None:
    request = world.request(DAYS[1], DAYS[2])
    world.load(world.export(world.request(DAYS[0], DAYS[1])))
    bundle = world.export(request)
    error = refused(world, bundle, PolicyError, 5)
    assert (
        "1 of the 2 days of the bundle are held from this force already, the first of them 2026-10-02" in error.message
    )
    assert error.hint == "ask for the other days alone"


def test_the_same_day_of_another_force_is_not_an_overlap(world: World) -> None:
    world.load(world.export())
    assert world.load(world.export(by=WYP)).rows == {"reads": 6}


def test_a_day_outside_the_window_is_refused(world: World) -> None:
    forged = world.forge(world.export(world.request(DAYS[0], DAYS[1])))
    forged.set_key("reads", "2026-10-03", secrets.token_bytes(32))
    forged.put("reads", "2026-10-03", forged.frame("reads", "2026-10-02"))
    refused(world, forged.write(), PolicyError, 5)


@pytest.mark.parametrize(
    "columns",
    [
        ["vehicle", "camera"],
        ["vehicle", "camera", "captured_at", "confidence"],
        ["camera", "vehicle", "captured_at"],
        ["vehicle", "camera", "captured_at", "address"],
    ],
)
def test_other_columns_than_the_agreed_ones_are_refused(world: World, columns: list[str]) -> None:
    forged = world.forge(world.export())
    forged.manifest["tables"][0]["columns"] = columns
    refused(world, forged.write(), PolicyError, 5)


def test_a_table_that_the_agreement_does_not_have_is_refused(world: World) -> None:
    world.agree(id="reads-only", targets=None)
    forged = world.forge(world.export(world.request(agreement="reads-only")))
    forged.manifest["tables"].append({"name": "targets", "columns": ["vehicle", "log", "offence"], "parts": []})
    forged.set_key("targets", "undated", secrets.token_bytes(32))
    forged.put("targets", "undated", forged.frame("reads", "2026-10-01"))
    refused(world, forged.write(), PolicyError, 5)


def use_another_linkage_key(site: OpenSite) -> None:
    with site.transaction():
        site.require_vault().put_secret(site.db, agreements.LINKAGE, AGREEMENT, secrets.token_bytes(32))


def test_two_forces_with_different_linkage_keys_cannot_silently_fail_to_link(world: World) -> None:
    world.load(world.export())
    use_another_linkage_key(world.wyp)
    error = refused(world, world.export(by=WYP), PolicyError, 5)
    assert f"another linkage key than what is held from {LANCS}:" in error.message
    assert f"compare anpr-share key list with {LANCS}, who made the key" in str(error.hint)


def test_the_force_that_made_the_key_is_told_whose_data_stand_in_its_way(world: World) -> None:
    use_another_linkage_key(world.wyp)
    world.load(world.export(by=WYP))
    error = refused(world, world.export(), PolicyError, 5)
    assert f"what is held from {WYP}:" in error.message
    assert f"with {LANCS}, who made the key" in str(error.hint)


def test_a_key_under_which_nothing_is_held_any_more_stands_in_nobodys_way(world: World) -> None:
    use_another_linkage_key(world.wyp)
    gone = world.load(world.export(by=WYP))
    for place in holdings.key_places(world.uni.db):
        assert place.bundle == gone.bundle
        holdings.destroy_day_key(world.uni.db, place)
    assert world.load(world.export()).rows == {"reads": 6}


def test_a_superseded_version_of_the_agreement_is_refused(world: World) -> None:
    bundle = world.export()
    successor(world, reads__retention="P6M")
    assert "another version" in refused(world, bundle, PolicyError, 5, lapsed=True).message


def test_an_agreement_that_has_ended_lets_nothing_in(world: World) -> None:
    world.agree(id="ends-soon", ends="2026-10-12")
    bundle = world.export(world.request(agreement="ends-soon"))
    world.clock.now = datetime.fromisoformat("2026-10-12T22:59:59Z")
    assert loading.verify(world.uni, bundle).complete
    world.clock.now = datetime.fromisoformat("2026-10-12T23:00:00Z")
    assert "ended on 2026-10-12" in refused(world, bundle, PolicyError, 5, lapsed=True).message


def test_an_agreement_that_has_not_begun_lets_nothing_be_asked_for(world: World) -> None:
    world.agree(id="begins-later", starts="2026-10-13")
    with pytest.raises(PolicyError, match="begins on 2026-10-13"):
        world.request(agreement="begins-later")
    assert holdings.onetime_places(world.uni.db) == ()


def test_a_clock_that_was_put_back_stops_verification(world: World) -> None:
    bundle = world.export()
    world.clock.now = NOW - timedelta(minutes=6)
    with pytest.raises(PolicyError, match="clock"):
        loading.verify(world.uni, bundle)
    assert world.cli(UNI, "load", bundle) == PolicyError.exit_code
    assert world.stored() == []


def test_loading_a_loaded_bundle_again_only_prints_its_receipt_again(world: World) -> None:
    bundle = world.export()
    first = world.load(bundle)
    before, stored = world.uni.ledger.head(), world.stored()
    content = first.receipt.read_bytes()
    first.receipt.unlink()
    again = world.load(bundle)
    assert (again.again, again.rows, again.bundle) == (True, first.rows, first.bundle)
    assert again.receipt.read_bytes() == content
    assert (world.uni.ledger.head(), world.stored()) == (before, stored)


def test_of_a_loaded_bundle_what_needs_no_key_is_verified_again(world: World) -> None:
    bundle = world.export()
    world.load(bundle)
    result = loading.verify(world.uni, bundle)
    assert (result.steps, result.complete, result.sender) == ((1, 2, 3, 4, 5, 6), True, LANCS)
    assert result.note is not None
    assert "7 and 8" in result.note


@pytest.mark.parametrize("ended", ["the window", "the agreement", "the version"])
def test_a_step_that_would_not_pass_now_is_not_said_to_have_passed(world: World, ended: str) -> None:
    world.agree(id="ends-soon", ends="2026-11-30" if ended == "the window" else "2026-10-30")
    bundle = world.export(world.request(agreement="ends-soon"))
    world.load(bundle)
    if ended == "the version":
        held = catalogue.agreement(world.uni.db, world.uni.vault, "ends-soon")
        assert held is not None
        world.agree(id="ends-soon", ends="2026-10-29", version=2, supersedes=held.digest)
    else:
        world.clock.now = KEY_DIES if ended == "the window" else datetime.fromisoformat("2026-10-31T00:00:00Z")
    result = loading.verify(world.uni, bundle)
    assert (result.steps, result.complete) == ((1, 2, 3, 4, 6), True)
    assert result.note is not None
    assert "5, 7 and 8 passed then" in result.note
    assert world.cli(UNI, "verify", bundle) == 0


def test_the_receipt_is_printed_again_only_where_there_is_room(world: World) -> None:
    bundle = world.export()
    world.load(bundle)
    precious = world.free("precious")
    precious.write_text("mine")
    with pytest.raises(AnprShareError):
        loading.load(world.uni, bundle, precious, lambda _: None)
    assert precious.read_text() == "mine"


def test_a_damaged_copy_of_a_loaded_bundle_is_refused(world: World) -> None:
    bundle = world.export()
    world.load(bundle)
    contents = members(bundle)
    damaged: Path = world.free("damaged")
    damaged.write_bytes(zipped([*contents[:-1], (contents[-1][0], bytes(len(contents[-1][1])))]))
    with pytest.raises(AnprShareError) as caught:
        world.load(damaged)
    assert getattr(caught.value, "step", None) == 6
