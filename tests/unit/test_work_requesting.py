"""Requests: one force, one agreement, a fresh key for each window, and nothing half-made."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from anpr_share import periods
from anpr_share.documents import envelope as dsse
from anpr_share.documents import request as requests
from anpr_share.errors import AnprShareError, PolicyError, StorageError, UsageError
from anpr_share.periods import Duration, Window
from anpr_share.site import catalogue, holdings
from anpr_share.site.opened import OpenSite
from anpr_share.work import partners, requesting
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, UNI, WYP, World

ENDS = date(2027, 12, 31)  # the last day of the agreement


def ask(
    site: OpenSite, out: Path, *, to: str = LANCS, first: date = DAYS[0], last: date = DAYS[2], every: str | None = None
) -> requesting.RequestResult:
    return requesting.request(site, AGREEMENT, to, first, last, None if every is None else Duration.parse(every), out)


def test_a_request_is_signed_recorded_and_logged(world: World) -> None:
    out = world.free("request.json")
    result = ask(world.uni, out)
    document, envelope = requests.parse(out.read_bytes())
    dsse.verify(envelope, world.uni.identity.signing)
    assert (document.sender, document.recipient) == (
        world.uni.identity.fingerprint,
        world.lancs.identity.fingerprint,
    )
    assert (result.request, result.windows) == (envelope.digest, (Window(DAYS[0], DAYS[2]),))
    assert result.expires == NOW + timedelta(days=30)
    assert world.events(UNI)[-1] == "request-made"
    assert document.head.seq == world.uni.ledger.head().seq - 1


def test_each_window_has_a_key_of_its_own_that_the_vault_holds(world: World) -> None:
    out = world.free("request.json")
    ask(world.uni, out, every="P1D")
    document, envelope = requests.parse(out.read_bytes())
    assert len({window.key for window in document.windows}) == 3
    for window in document.windows:
        key = holdings.onetime_key(world.uni.db, world.uni.require_vault(), envelope.digest, window.first)
        assert key is not None
        assert dsse.to_base64(key.public) == window.key
        assert key.secret() not in b"".join(p.read_bytes() for p in (world.root / UNI).rglob("*") if p.is_file())
    assert len(catalogue.windows(world.uni.db, world.uni.vault, envelope.digest)) == 3


@pytest.mark.parametrize(
    ("to", "first", "last", "every", "kind"),
    [
        (UNI, DAYS[0], DAYS[2], None, PolicyError),
        ("nobody", DAYS[0], DAYS[2], None, PolicyError),
        (LANCS, DAYS[2], DAYS[0], None, UsageError),
        (LANCS, date(2000, 1, 1), DAYS[2], None, UsageError),
        (LANCS, date(2024, 1, 1), DAYS[2], "P1D", UsageError),
        (LANCS, DAYS[0], ENDS, None, PolicyError),
        (LANCS, DAYS[0], ENDS, "P7D", PolicyError),
        (LANCS, date(2025, 6, 1), date(2025, 6, 7), None, PolicyError),
        (LANCS, date(2025, 6, 1), DAYS[2], "P7D", PolicyError),
    ],
)
def test_a_request_that_may_not_be_made_leaves_nothing(
    world: World, to: str, first: date, last: date, every: str | None, kind: type[AnprShareError]
) -> None:
    out = world.free("request.json")
    before = world.uni.ledger.head()
    with pytest.raises(kind):
        ask(world.uni, out, to=to, first=first, last=last, every=every)
    assert not list(out.parent.iterdir())
    assert holdings.onetime_places(world.uni.db) == ()
    assert catalogue.requests(world.uni.db, world.uni.vault) == ()
    assert world.uni.ledger.head() == before
    argv = ["--to", to, "--from", first.isoformat(), "--until", last.isoformat(), "-o", out]
    assert world.cli(UNI, "request", AGREEMENT, *argv, *(["--every", every] if every else [])) == kind.exit_code


def test_only_a_university_asks_and_only_a_trusted_force(world: World) -> None:
    with pytest.raises(PolicyError):
        ask(world.lancs, world.free("request.json"))
    partners.revoke(world.uni, LANCS)
    with pytest.raises(PolicyError, match=f"the force {LANCS} was revoked"):
        ask(world.uni, world.free("request.json"))


def test_what_ends_with_the_agreement_is_not_said_to_last_longer(world: World) -> None:
    world.agree(id="brief", ends="2026-10-20")
    result = requesting.request(world.uni, "brief", LANCS, DAYS[0], DAYS[2], None, world.free("request.json"))
    assert result.expires == datetime(2026, 10, 20, 23, tzinfo=UTC)  # midnight in London


def test_the_days_before_the_last_may_be_asked_for_and_no_later_ones(world: World) -> None:
    with pytest.raises(PolicyError) as refused:
        ask(world.uni, world.free("request.json"), last=ENDS)
    assert refused.value.hint == f"ask for days until {ENDS - timedelta(days=1)}"
    result = ask(world.uni, world.free("request.json"), last=ENDS - timedelta(days=1))
    # The force has the last day of the agreement to answer.
    assert result.expires == periods.day_start(ENDS + timedelta(days=1), ZoneInfo("Europe/London"))


def test_the_oldest_day_that_may_be_asked_for_is_the_oldest_that_may_be_held(world: World) -> None:
    with pytest.raises(PolicyError) as refused:
        ask(world.uni, world.free("request.json"), first=date(2025, 6, 1), last=date(2025, 6, 7))
    assert refused.value.hint is not None
    oldest = date.fromisoformat(refused.value.hint.split()[-2])
    before = oldest - timedelta(days=1)
    with pytest.raises(PolicyError):
        ask(world.uni, world.free("request.json"), first=before, last=before)
    assert ask(world.uni, world.free("request.json"), first=before, last=oldest).windows == (Window(before, oldest),)


def test_days_that_are_held_are_not_asked_for_again(world: World) -> None:
    world.load(world.export(world.request(DAYS[0], DAYS[1])))
    with pytest.raises(PolicyError, match="1 of these days are held from this force already: 2026-10-02 to 2026-10-02"):
        ask(world.uni, world.free("request.json"), first=DAYS[1])
    ask(world.uni, world.free("request.json"), first=DAYS[2])
    ask(world.uni, world.free("request.json"), to=WYP)


def test_a_request_replaces_no_file(world: World) -> None:
    out = world.free("request.json")
    out.write_text("mine")
    with pytest.raises(StorageError):
        ask(world.uni, out)
    assert out.read_text() == "mine"
    assert holdings.onetime_places(world.uni.db) == ()


@pytest.mark.parametrize("day", ["2026-10-32", "1/10/2026", "yesterday"])
def test_a_day_that_is_none_is_wrong_usage(world: World, day: str) -> None:
    argv = ["--to", LANCS, "--from", day, "--until", "2026-10-03", "-o", world.free("request.json")]
    assert world.cli(UNI, "request", AGREEMENT, *argv) == UsageError.exit_code
