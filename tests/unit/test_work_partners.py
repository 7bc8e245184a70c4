"""Partners: nobody is trusted whom a person has not confirmed."""

from __future__ import annotations

import pytest

from anpr_share.documents.identity import Identity, spoken
from anpr_share.documents.keys import OpeningKey, SigningKey
from anpr_share.documents.model import Role
from anpr_share.errors import AnprShareError, FormatError, LockedError, PolicyError, UsageError
from anpr_share.site.opened import OpenSite
from anpr_share.work import partners
from tests.support.exchange import LANCS, UNI, World, refuse

NEW = "kent-police"


def identity(name: str = NEW, role: Role = "police") -> Identity:
    return Identity.make(name, name.title(), role, SigningKey.generate(), OpeningKey.generate())


def status(world: World) -> dict[str, str]:
    return {item.id: item.status for item in partners.listed(world.uni)}


def test_a_partner_is_pinned_by_its_fingerprint_however_it_is_spelt(world: World) -> None:
    fresh = identity()
    result = partners.pin(world.uni, fresh, spoken(fresh.fingerprint).upper(), refuse)
    assert (result.id, result.status, result.fingerprint) == (NEW, "pinned", fresh.fingerprint)
    assert partners.require_pinned(world.uni, fresh.fingerprint) == fresh
    assert world.events(UNI)[-1] == "partner-pinned"


def test_without_a_fingerprint_a_person_is_shown_it_and_asked(world: World) -> None:
    asked = []
    fresh = identity()

    def confirm(text: str) -> bool:
        asked.append(text)
        return True

    partners.pin(world.uni, fresh, None, confirm)
    assert spoken(fresh.fingerprint) in asked[0]


@pytest.mark.parametrize(
    ("fingerprint", "kind"),
    [(None, PolicyError), ("ab" * 32, PolicyError), ("ab" * 31, UsageError), ("", UsageError)],
)
def test_what_is_not_confirmed_is_not_pinned(world: World, fingerprint: str | None, kind: type[AnprShareError]) -> None:
    before = world.uni.ledger.head()
    with pytest.raises(kind):
        partners.pin(world.uni, identity(), fingerprint, refuse)
    assert NEW not in status(world)
    assert world.uni.ledger.head() == before


def test_pinning_again_changes_nothing(world: World) -> None:
    before = world.uni.ledger.head()
    partners.pin(world.uni, world.lancs.identity, None, refuse)
    assert world.uni.ledger.head() == before


def test_another_identity_of_a_pinned_site_is_refused_until_it_is_replaced(world: World) -> None:
    fresh = identity(LANCS)
    with pytest.raises(PolicyError, match="pinned with another identity"):
        partners.pin(world.uni, fresh, fresh.fingerprint, refuse)
    with pytest.raises(PolicyError, match="not confirmed"):
        partners.replace(world.uni, fresh, None, refuse)
    assert partners.require_pinned(world.uni, world.lancs.identity.fingerprint) == world.lancs.identity
    partners.replace(world.uni, fresh, fresh.fingerprint, refuse)
    assert partners.require_pinned(world.uni, fresh.fingerprint) == fresh
    with pytest.raises(PolicyError, match="not known"):
        partners.require_pinned(world.uni, world.lancs.identity.fingerprint)
    assert world.events(UNI)[-1] == "partner-replaced"


def test_a_replacement_changes_no_role_and_brings_no_new_partner(world: World) -> None:
    turned = identity(LANCS, "university")
    with pytest.raises(PolicyError, match="role"):
        partners.replace(world.uni, turned, turned.fingerprint, refuse)
    fresh = identity()
    with pytest.raises(PolicyError, match="no partner"):
        partners.replace(world.uni, fresh, fresh.fingerprint, refuse)


def test_a_revoked_partner_is_trusted_no_more_and_comes_back_only_by_replacement(world: World) -> None:
    lancs = world.lancs.identity
    assert partners.revoke(world.uni, LANCS).status == "revoked"
    assert status(world)[LANCS] == "revoked"
    for attempt in (
        lambda: partners.require_pinned(world.uni, lancs.fingerprint),
        lambda: partners.pin(world.uni, lancs, lancs.fingerprint, refuse),
    ):
        with pytest.raises(PolicyError, match="revoked"):
            attempt()
    partners.replace(world.uni, lancs, lancs.fingerprint, refuse)
    assert partners.require_pinned(world.uni, lancs.fingerprint) == lancs


def test_a_revocation_while_a_person_reads_the_prompt_is_not_undone(world: World) -> None:
    fresh = identity()

    def confirm(_text: str) -> bool:
        partners.pin(world.uni, fresh, fresh.fingerprint, refuse)
        partners.revoke(world.uni, NEW)
        return True

    with pytest.raises(PolicyError, match="revoked"):
        partners.pin(world.uni, fresh, None, confirm)
    assert status(world)[NEW] == "revoked"


def test_a_partner_that_was_pinned_while_a_person_was_asked_is_pinned_once(world: World) -> None:
    fresh = identity()
    before = world.events(UNI)

    def confirm(_text: str) -> bool:
        partners.pin(world.uni, fresh, fresh.fingerprint, refuse)
        return True

    assert partners.pin(world.uni, fresh, None, confirm).status == "pinned"
    assert world.events(UNI) == [*before, "partner-pinned"]


def test_a_partner_changed_while_its_replacement_was_confirmed_is_not_replaced(world: World) -> None:
    fresh = identity(LANCS)

    def confirm(_text: str) -> bool:
        partners.revoke(world.uni, LANCS)
        return True

    with pytest.raises(PolicyError, match="was changed"):
        partners.replace(world.uni, fresh, None, confirm)
    assert status(world)[LANCS] == "revoked"
    assert world.events(UNI)[-1] == "partner-revoked"


def test_nobody_unknown_is_revoked_and_nobody_pins_himself(world: World) -> None:
    with pytest.raises(PolicyError):
        partners.revoke(world.uni, NEW)
    with pytest.raises(UsageError):
        partners.pin(world.uni, world.uni.identity, world.uni.identity.fingerprint, refuse)
    assert "partner-revoked" not in world.events(UNI)


def test_a_site_that_is_locked_pins_nobody(world: World) -> None:
    fresh = identity()
    world.close()
    with OpenSite.open(world.root / UNI, clock=world.clock) as locked:
        with pytest.raises(LockedError):
            partners.pin(locked, fresh, fresh.fingerprint, refuse)
        with pytest.raises(LockedError):
            partners.revoke(locked, LANCS)


def test_the_commands_end_with_the_code_of_the_error(world: World) -> None:
    path = world.free("identity.json")
    fresh = identity()
    path.write_bytes(fresh.envelope)
    assert world.cli(UNI, "partner", "add", path, "--fingerprint", "ab" * 32) == PolicyError.exit_code
    assert world.cli(UNI, "partner", "add", path) == UsageError.exit_code  # nobody to ask
    assert world.cli(UNI, "partner", "add", path, "--fingerprint", fresh.fingerprint) == 0
    assert world.cli(UNI, "partner", "revoke", NEW) == 0
    assert world.cli(UNI, "partner", "add", path, "--fingerprint", fresh.fingerprint) == PolicyError.exit_code
    path.write_bytes(fresh.envelope[:-1])
    assert world.cli(UNI, "partner", "add", path, "--fingerprint", fresh.fingerprint) == FormatError.exit_code
