"""Agreements and linkage keys: only what every party signed is in force, and only forces ever hold the key."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from unittest import mock

import pytest

from anpr_share.documents import agreement as agreement_documents
from anpr_share.documents import canonical, keyshare
from anpr_share.documents import envelope as dsse
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.draft import draft_toml
from anpr_share.documents.identity import spoken
from anpr_share.documents.keys import SigningKey, seal
from anpr_share.errors import (
    AnprShareError,
    FormatError,
    LockedError,
    PolicyError,
    StorageError,
    UsageError,
    VerificationError,
)
from anpr_share.periods import CREATED_TOLERANCE, utc_text
from anpr_share.pseudonyms import LinkageKey
from anpr_share.site import catalogue, holdings, publication
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements, partners
from tests.support.documents import Fields, changed
from tests.support.exchange import AGREEMENT, LANCS, NOW, ROLES, UNI, WYP, World, refuse, terms

SECRET = bytes(range(32))


def share_fields(world: World, agreement: Agreement, sender: OpenSite, recipient: OpenSite) -> Fields:
    info = keyshare.info(sender.identity.fingerprint, recipient.identity.fingerprint, agreement.digest)
    return {
        "format": 1,
        "agreement": agreement.digest,
        "agreement_id": agreement.id,
        "sender": sender.identity.fingerprint,
        "recipient": recipient.identity.fingerprint,
        "created": "2026-10-12T12:00:00Z",
        "key_check": LinkageKey(SECRET, agreement.id).check,
        "sealed": dsse.to_base64(seal(recipient.identity.encryption, info, SECRET)),
        "head": {"seq": 1, "hash": "ab" * 32},
    }


def share(fields: Fields, signer: SigningKey) -> bytes:
    return dsse.sign(keyshare.KIND, canonical.encode(fields), signer).encode()


def accepted(world: World, *names: str, **changes: object) -> Agreement:
    """An agreement in force at all its sites, and no linkage key anywhere but at the first force."""
    agreement = world.signed(*names, **changes)
    for name in names or ROLES:
        world._accept(world.site(name), agreement)
    return agreement


def test_a_draft_is_signed_by_all_and_accepted_by_all(world: World) -> None:
    parties = [world.site(name) for name in ROLES]
    text = draft_toml([party.identity for party in parties], date(2026, 10, 12), None)
    for name, value in (("id", "new-2026"), ("title", "T"), ("purpose", "research"), ("legal_basis", "s.35")):
        text = text.replace(f'{name} = ""', f'{name} = "{value}"', 1)
    shown: list[str] = []

    def confirm(question: str) -> bool:
        shown.append(question)
        return True

    data = text.encode()
    missing = []
    for party in parties:
        out = world.free("agreement.json")
        missing.append(agreements.sign(party, data, out, confirm).missing)
        data = out.read_bytes()
    assert missing == [(WYP, UNI), (UNI,), ()]
    assert all(spoken(party.identity.fingerprint, indent=13) in shown[0] for party in parties)
    results = [agreements.accept(party, data) for party in parties]
    assert [item.key_made for item in results] == [True, False, False]
    [path] = results[0].shares
    assert agreements.accept_key(world.wyp, path.read_bytes()).agreement == "new-2026"
    keys = [agreements.linkage_key(site, "new-2026").check for site in (world.lancs, world.wyp)]
    assert keys[0] == keys[1] != agreements.linkage_key(world.lancs, AGREEMENT).check


def test_signing_pins_the_parties_only_if_a_person_agrees(world: World) -> None:
    world.create("kent-police", "police")
    kent = world.site("kent-police")
    data = world.signed("kent-police", LANCS, UNI, id="new-2026").envelope.encode()
    out = world.free("agreement.json")
    with pytest.raises(PolicyError, match="not confirmed"):
        agreements.sign(kent, data, out, refuse)
    assert not out.exists()
    assert partners.listed(kent) == ()
    agreements.sign(kent, data, out, lambda _: True)
    assert {item.id for item in partners.listed(kent)} == {LANCS, UNI}


def test_nobody_signs_an_agreement_that_he_is_no_party_of(world: World) -> None:
    data = world.signed(LANCS, UNI, id="new-2026").envelope.encode()
    for attempt in (
        lambda: agreements.sign(world.wyp, data, world.free("a"), lambda _: True),
        lambda: agreements.accept(world.wyp, data),
    ):
        with pytest.raises(PolicyError, match="no party"):
            attempt()


def test_nobody_signs_with_a_partner_who_is_revoked_or_has_another_identity(world: World) -> None:
    data = world.signed(id="new-2026").envelope.encode()
    partners.revoke(world.uni, LANCS)
    with pytest.raises(PolicyError, match="revoked"):
        agreements.sign(world.uni, data, world.free("a"), lambda _: True)
    with pytest.raises(PolicyError, match="revoked"):
        agreements.accept(world.uni, data)


def test_a_party_revoked_while_the_terms_are_read_stays_revoked_and_nothing_is_signed(world: World) -> None:
    world.create("kent-police", "police")
    kent = world.site("kent-police")
    data = world.signed("kent-police", LANCS, UNI, id="new-2026").envelope.encode()
    out = world.free("agreement.json")

    def confirm(_text: str) -> bool:
        partners.pin(kent, world.lancs.identity, world.lancs.identity.fingerprint, refuse)
        partners.revoke(kent, LANCS)
        return True

    with pytest.raises(PolicyError, match="revoked"):
        agreements.sign(kent, data, out, confirm)
    assert not out.exists()
    assert [(item.id, item.status) for item in partners.listed(kent)] == [(LANCS, "revoked")]
    assert "agreement-signed" not in world.events("kent-police")


def test_a_signature_that_is_not_recorded_is_not_written_either(world: World) -> None:
    data = world.signed(id="new-2026").envelope.encode()
    out = world.free("agreement.json")
    with (
        mock.patch.object(publication, "commit", side_effect=StorageError("the disk is full")),
        pytest.raises(StorageError),
    ):
        agreements.sign(world.uni, data, out, lambda _: True)
    assert list(out.parent.iterdir()) == []
    assert "agreement-signed" not in world.events(UNI)
    out.write_text("mine")
    with pytest.raises(StorageError, match="already"):
        agreements.sign(world.uni, data, out, lambda _: True)
    assert out.read_text() == "mine"
    assert "agreement-signed" not in world.events(UNI)


@pytest.mark.parametrize("field", ["title", "purpose"])
@pytest.mark.parametrize("text", ["the movements of AB12 CDE", "ab" * 16, f"{'long ' * 30}AB12CDE"])
def test_no_agreement_that_holds_a_plate_is_signed_or_accepted(world: World, field: str, text: str) -> None:
    data = world.signed(id="new-2026", **{field: text}).envelope.encode()
    out = world.free("agreement.json")
    for attempt in (
        lambda: agreements.sign(world.uni, data, out, lambda _: True),
        lambda: agreements.accept(world.uni, data),
    ):
        with pytest.raises(PolicyError, match="plate") as caught:
            attempt()
        assert text not in f"{caught.value.message} {caught.value.hint}"
    assert not out.exists()
    path = world.free("signed.json")
    path.write_bytes(data)
    assert world.cli(UNI, "agreement", "accept", path) == PolicyError.exit_code


def test_an_unknown_agreement_cannot_be_shown(world: World) -> None:
    [shown] = agreements.listed(world.uni, AGREEMENT)
    assert (shown,) == agreements.listed(world.uni)
    with pytest.raises(PolicyError, match="no such agreement"):
        agreements.listed(world.uni, "nothing")
    assert world.cli(UNI, "agreement", "show", "nothing") == PolicyError.exit_code


def test_an_agreement_is_accepted_only_from_pinned_parties(world: World) -> None:
    world.create("kent-police", "police")
    data = world.signed("kent-police", UNI, id="new-2026").envelope.encode()
    with pytest.raises(PolicyError, match="not pinned"):
        agreements.accept(world.uni, data)


def test_an_agreement_without_every_signature_or_with_another_is_refused(world: World) -> None:
    whole = world.signed(id="new-2026").envelope
    for signatures in (whole.signatures[:2], whole.signatures[1:]):
        data = dsse.Envelope(whole.kind, whole.payload, signatures).encode()
        with pytest.raises(VerificationError, match="lacks the signature"):
            agreements.accept(world.uni, data)
    data = dsse.add_signature(whole, SigningKey.generate()).encode()
    with pytest.raises(VerificationError, match="none of its parties"):
        agreements.accept(world.uni, data)
    swapped = (dsse.Signature(whole.signatures[0].key_id, whole.signatures[1].value), *whole.signatures[1:])
    with pytest.raises(VerificationError, match="verify"):
        agreements.accept(world.uni, dsse.Envelope(whole.kind, whole.payload, swapped).encode())
    assert catalogue.agreement(world.uni.db, world.uni.vault, "new-2026") is None


def test_a_draft_that_nobody_signed_is_not_accepted(world: World) -> None:
    fields = terms([world.site(name) for name in ROLES])
    data = dsse.Envelope(agreement_documents.KIND, canonical.encode(fields), ()).encode()
    with pytest.raises(FormatError):
        agreements.accept(world.uni, data)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 1, "title": "Other terms"},
        {"version": 2, "supersedes": "ab" * 32},
        {"version": 3, "supersedes": "ab" * 32},
    ],
)
def test_only_the_successor_of_the_version_in_force_replaces_it(world: World, changes: dict[str, object]) -> None:
    data = world.signed(**changes).envelope.encode()
    with pytest.raises(PolicyError, match="does not replace"):
        agreements.accept(world.uni, data)


def test_a_higher_version_replaces_and_the_linkage_key_stays(world: World) -> None:
    held = catalogue.agreement(world.uni.db, world.uni.vault, AGREEMENT)
    assert held is not None
    before = agreements.linkage_key(world.lancs, AGREEMENT).check
    agreement = accepted(world, version=2, supersedes=held.digest, reads__retention="P6M")
    assert agreements.current(world.uni, AGREEMENT).digest == agreement.digest
    assert agreements.linkage_key(world.lancs, AGREEMENT).check == before
    with pytest.raises(PolicyError, match="does not replace"):
        agreements.accept(world.uni, held.envelope)


def test_a_force_that_becomes_the_first_in_a_later_version_makes_no_second_key(world: World) -> None:
    world.create("kent-police", "police")
    held = catalogue.agreement(world.uni.db, world.uni.vault, AGREEMENT)
    assert held is not None
    agreement = world.signed("kent-police", LANCS, WYP, UNI, version=2, supersedes=held.digest)
    kent = world.site("kent-police")
    for name in ROLES:
        other = world.site(name)
        partners.pin(other, kent.identity, kent.identity.fingerprint, refuse)
        partners.pin(kent, other.identity, other.identity.fingerprint, refuse)
    result = agreements.accept(kent, agreement.envelope.encode())
    assert (result.key_made, result.shares) == (False, ())
    with pytest.raises(LockedError):
        agreements.linkage_key(kent, AGREEMENT)
    shares = agreements.accept(world.lancs, agreement.envelope.encode()).shares
    [path] = [path for path in shares if "kent" in path.name]
    agreements.accept_key(kent, path.read_bytes())
    assert agreements.linkage_key(kent, AGREEMENT).check == agreements.linkage_key(world.lancs, AGREEMENT).check


def test_accepting_again_writes_only_the_shares_that_a_killed_command_did_not(world: World) -> None:
    data = world.signed(id="new-2026").envelope.encode()
    first = agreements.accept(world.lancs, data)
    with pytest.raises(PolicyError, match="accepted already"):
        agreements.accept(world.lancs, data)
    first.shares[0].unlink()
    again = agreements.accept(world.lancs, data)
    assert (again.key_made, again.shares) == (False, first.shares)
    agreements.accept(world.wyp, data)
    checks = agreements.accept_key(world.wyp, again.shares[0].read_bytes()).check
    assert checks == agreements.linkage_key(world.lancs, "new-2026").check
    with pytest.raises(PolicyError, match="accepted already"):
        agreements.accept(world.wyp, data)


def test_the_terms_are_shown_whole(world: World) -> None:
    [shown] = agreements.listed(world.uni)
    text = "\n".join(shown.lines)
    for part in ("vehicle, camera, captured_at", "12 months", "90 days", "without victims", "2026-09-01 to 2027-12-31"):
        assert part in text
    assert (shown.agreement, shown.version) == (AGREEMENT, 1)


def test_without_an_id_the_only_agreement_is_meant(world: World) -> None:
    assert agreements.current(world.uni, None).id == AGREEMENT
    accepted(world, id="second")
    with pytest.raises(UsageError, match="2 agreements"):
        agreements.current(world.uni, None)
    with pytest.raises(PolicyError, match="no such agreement"):
        agreements.current(world.uni, "nothing")


# Key shares.


def test_a_share_gives_the_key_to_the_force_that_it_is_for_and_twice_is_once(world: World) -> None:
    agreement = accepted(world, id="new-2026")
    data = share(share_fields(world, agreement, world.lancs, world.wyp), world.lancs.signing_key)
    assert agreements.accept_key(world.wyp, data).check == LinkageKey(SECRET, "new-2026").check
    lines = len(world.events(WYP))
    agreements.accept_key(world.wyp, data)
    assert len(world.events(WYP)) == lines
    assert [item.document for item in holdings.witnesses(world.wyp.db, world.wyp.vault, LANCS)].count(
        dsse.parse(data, keyshare.KIND).digest
    ) == 1
    assert {item.agreement for item in agreements.list_keys(world.wyp)} == {AGREEMENT, "new-2026"}


def test_a_share_is_not_for_the_force_that_made_it(world: World) -> None:
    agreement = accepted(world, id="new-2026")
    data = share(share_fields(world, agreement, world.lancs, world.wyp), world.lancs.signing_key)
    with pytest.raises(PolicyError, match="made by this very site"):
        agreements.accept_key(world.lancs, data)


def refuse_share(world: World, site: OpenSite, data: bytes, kind: type[AnprShareError], match: str) -> None:
    before = site.ledger.head()
    with pytest.raises(kind, match=match) as caught:
        agreements.accept_key(site, data)
    assert type(caught.value) is kind
    assert site.ledger.head() == before
    assert site.require_vault().get_secret(site.db, agreements.LINKAGE, "new-2026") is None
    path = world.free("share.json")
    path.write_bytes(data)
    code, said = world.told(site.identity.site, "key", "accept", path)
    assert (code, f"error: {caught.value.message}\n" in said) == (kind.exit_code, True)
    assert site.require_vault().get_secret(site.db, agreements.LINKAGE, "new-2026") is None


def test_a_university_never_gets_a_key_and_never_sends_one(world: World) -> None:
    agreement = accepted(world, id="new-2026")
    to_uni = share(share_fields(world, agreement, world.lancs, world.uni), world.lancs.signing_key)
    refuse_share(world, world.uni, to_uni, PolicyError, "only police")
    from_uni = share(share_fields(world, agreement, world.uni, world.wyp), world.uni.signing_key)
    refuse_share(world, world.wyp, from_uni, PolicyError, "not come from a police party")
    with pytest.raises(PolicyError):
        agreements.list_keys(world.uni)
    assert world.cli(UNI, "key", "list") == PolicyError.exit_code


def test_the_share_of_one_force_is_no_use_to_another_or_to_a_university(world: World) -> None:
    world.create("kent-police", "police")
    agreement = accepted(world, LANCS, WYP, "kent-police", UNI, id="new-2026")
    data = share(share_fields(world, agreement, world.lancs, world.wyp), world.lancs.signing_key)
    refuse_share(world, world.site("kent-police"), data, PolicyError, "another force")
    refuse_share(world, world.uni, data, PolicyError, "only police")


@pytest.mark.parametrize(
    ("path", "value", "kind", "match"),
    [
        ("agreement", "ab" * 32, PolicyError, "another version"),
        ("agreement_id", "nothing", PolicyError, "no such agreement"),
        ("sender", "ab" * 32, PolicyError, "not come from a police party"),
        ("created", utc_text(NOW + CREATED_TOLERANCE + timedelta(seconds=1)), PolicyError, "made in the future"),
        ("key_check", "0" * 16, VerificationError, "not the one"),
        ("sealed", dsse.to_base64(bytes(1200)), VerificationError, "does not open"),
        ("format", 2, FormatError, "format"),
    ],
)
def test_a_share_that_does_not_fit_is_refused(
    world: World, path: str, value: object, kind: type[AnprShareError], match: str
) -> None:
    agreement = accepted(world, id="new-2026")
    fields = changed(share_fields(world, agreement, world.lancs, world.wyp), path, value)
    refuse_share(world, world.wyp, share(fields, world.lancs.signing_key), kind, match)


def test_an_impostors_share_and_one_of_a_revoked_force_are_refused(world: World) -> None:
    agreement = accepted(world, id="new-2026")
    fields = share_fields(world, agreement, world.lancs, world.wyp)
    refuse_share(world, world.wyp, share(fields, SigningKey.generate()), VerificationError, "another key")
    partners.revoke(world.wyp, LANCS)
    refuse_share(world, world.wyp, share(fields, world.lancs.signing_key), PolicyError, "revoked")


def test_the_share_of_one_agreement_does_not_open_under_another(world: World) -> None:
    other = accepted(world, id="other-2026")
    agreement = accepted(world, id="new-2026")
    fields = share_fields(world, other, world.lancs, world.wyp)
    fields |= {"agreement": agreement.digest, "agreement_id": agreement.id}
    refuse_share(world, world.wyp, share(fields, world.lancs.signing_key), VerificationError, "does not open")


def test_a_second_different_key_is_refused(world: World) -> None:
    held = agreements.linkage_key(world.wyp, AGREEMENT).check
    fields = share_fields(world, agreements.current(world.wyp, AGREEMENT), world.lancs, world.wyp)
    with pytest.raises(PolicyError, match="another linkage key"):
        agreements.accept_key(world.wyp, share(fields, world.lancs.signing_key))
    assert agreements.linkage_key(world.wyp, AGREEMENT).check == held


def test_the_linkage_key_is_in_no_file_but_wrapped(world: World) -> None:
    secret = world.lancs.require_vault().get_secret(world.lancs.db, agreements.LINKAGE, AGREEMENT)
    assert secret is not None
    files: list[Path] = [path for path in world.root.rglob("*") if path.is_file()]
    assert all(secret not in path.read_bytes() and secret.hex().encode() not in path.read_bytes() for path in files)
