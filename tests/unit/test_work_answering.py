"""Which requests a force answers, and which of their windows, and when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from anpr_share.documents import canonical
from anpr_share.documents import envelope as dsse
from anpr_share.documents import request as requests
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import (
    AnprShareError,
    FormatError,
    InputError,
    LockedError,
    PolicyError,
    VerificationError,
)
from anpr_share.periods import Duration
from anpr_share.site import catalogue
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements, exporting, partners, requesting
from tests.support.documents import changed
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, READS, UNI, WYP, World, silent
from tests.support.exports import export, refused, written
from tests.support.forgery import fields_of


def test_a_window_is_answered_once(world: World) -> None:
    request = world.request()
    world.export(request)
    refused(world, request, written(world), PolicyError, "answered already")


def test_a_standing_request_is_answered_window_by_window(world: World) -> None:
    out = world.free("request.json")
    requesting.request(world.uni, AGREEMENT, LANCS, DAYS[0], DAYS[2], Duration.parse("P1D"), out)
    request = out.read_bytes()
    second = export(world, request, written(world), world.free("b.anpr.zip"), window=DAYS[1])
    assert (second.first, second.last) == (DAYS[1], DAYS[1])
    refused(world, request, written(world), PolicyError, "answered already", window=DAYS[1])
    refused(world, request, written(world), PolicyError, "no window", window=date(2026, 10, 4))
    assert export(world, request, written(world), world.free("b.anpr.zip")).first == DAYS[0]
    refused(world, request, written(world, READS[:1]), InputError, "no row is left")


def test_the_oldest_open_window_that_the_extract_reaches_is_taken(world: World) -> None:
    out = world.free("request.json")
    requesting.request(world.uni, AGREEMENT, LANCS, DAYS[0], DAYS[2], Duration.parse("P1D"), out)
    late = [row for row in READS if row[2] > "2026-10-02"]
    assert export(world, out.read_bytes(), written(world, late), world.free("b.anpr.zip")).first == DAYS[1]
    elsewhere = [("AB12CDE", "CAM-1", "2026-09-01T08:00:00Z")]
    refused(world, out.read_bytes(), written(world, elsewhere), InputError, "no read of any")


@pytest.mark.parametrize(("now", "answered"), [("2026-10-13T22:59:59Z", False), ("2026-10-13T23:00:00Z", True)])
def test_a_window_whose_last_day_has_not_ended_is_not_answered(world: World, now: str, answered: bool) -> None:
    request = world.request(DAYS[0], date(2026, 10, 13))
    world.clock.now = datetime.fromisoformat(now)
    if answered:
        assert world.export(request).exists()
    else:
        refused(world, request, written(world), PolicyError, "has not ended")


def test_a_window_that_has_expired_is_not_answered(world: World) -> None:
    request = world.request()
    world.clock.now = NOW + timedelta(days=30)
    refused(world, request, written(world), PolicyError, "expired")


def resigned(world: World, request: bytes, path: str, value: object, key: SigningKey | None = None) -> bytes:
    fields = changed(fields_of(requests.parse(request)[1].payload), path, value)
    return dsse.sign(requests.KIND, canonical.encode(fields), key or world.uni.signing_key).encode()


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("recipient", "ab" * 32, PolicyError),
        ("sender", "ab" * 32, PolicyError),
        ("agreement", "ab" * 32, PolicyError),
        ("agreement_id", "nothing", PolicyError),
        ("created", "2026-10-12T12:05:01Z", PolicyError),
        ("format", 2, FormatError),
        ("windows", [], FormatError),
        ("windows.0.key", "AAAA", FormatError),
        ("windows.0.first", "2026-10-04", FormatError),
    ],
)
def test_a_request_that_does_not_fit_is_refused(
    world: World, path: str, value: object, kind: type[AnprShareError]
) -> None:
    request = resigned(world, world.request(), path, value)
    refused(world, request, written(world), kind, "")
    out, document = world.free("b.anpr.zip"), world.free("request.json")
    document.write_bytes(request)
    argv = ["--request", document, "--reads", *written(world).paths, "--profile", "plain-reads", "-o", out]
    assert world.cli(LANCS, "export", *argv) == kind.exit_code
    assert not out.exists()


def test_an_impostors_request_is_refused(world: World) -> None:
    forged = resigned(world, world.request(), "format", 1, SigningKey.generate())
    refused(world, forged, written(world), VerificationError, "another key")


def test_the_request_of_a_revoked_university_is_refused(world: World) -> None:
    request = world.request()
    partners.revoke(world.lancs, UNI)
    refused(world, request, written(world), PolicyError, "revoked")


def test_a_force_asks_for_nothing_and_a_university_exports_nothing(world: World) -> None:
    request = resigned(world, world.request(), "sender", world.wyp.identity.fingerprint, world.wyp.signing_key)
    refused(world, request, written(world), PolicyError, "not come from a university")
    with pytest.raises(PolicyError, match="only a force"):
        exporting.export(world.uni, world.request(), written(world), world.free("b"), progress=silent)


def test_without_the_linkage_key_nothing_is_exported(world: World) -> None:
    request = world.request()
    with world.lancs.transaction():
        world.lancs.db.execute("DELETE FROM vault.secret WHERE kind = ?", (agreements.LINKAGE,))
    refused(world, request, written(world), LockedError, "linkage key")


def test_the_linkage_key_of_another_agreement_is_never_taken(world: World) -> None:
    agreement = world.signed(LANCS, WYP, UNI, id="other-2026")
    for site in (world.wyp, world.uni):
        world._accept(site, agreement)
    request = world.request(to=WYP, agreement="other-2026")
    with pytest.raises(LockedError):
        world.export(request, by=WYP)


def test_a_superseded_agreement_and_one_that_has_ended_let_nothing_out(world: World) -> None:
    world.agree(id="ends-soon", ends="2026-10-12")
    ended, superseded = world.request(agreement="ends-soon"), world.request()
    held = catalogue.agreement(world.lancs.db, world.lancs.vault, AGREEMENT)
    assert held is not None
    world.agree(version=2, supersedes=held.digest)
    refused(world, superseded, written(world), PolicyError, "another version")
    world.clock.now = datetime(2026, 10, 12, 23, tzinfo=UTC)
    refused(world, ended, written(world), PolicyError, "ended on")


def test_a_locked_site_exports_nothing(world: World) -> None:
    request = world.request()
    world.close()
    with OpenSite.open(world.root / LANCS, clock=world.clock) as locked, pytest.raises(LockedError):
        exporting.export(locked, request, written(world), world.free("b"), progress=silent)
