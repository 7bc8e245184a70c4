"""The end of an agreement: all of it goes from a site, is certified, and nothing brings it back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from anpr_share.cli import main
from anpr_share.documents import certificate as certificates
from anpr_share.documents import envelope as dsse
from anpr_share.documents.agreement import Agreement
from anpr_share.documents.certificate import CertifiedTable
from anpr_share.errors import LockedError, PolicyError, StorageError, UsageError, VerificationError
from anpr_share.site import catalogue, holdings, records
from anpr_share.site.opened import OpenSite
from anpr_share.site.vault import secret_names
from anpr_share.wording import spoken_path
from anpr_share.work import agreements, closing, loading, purging, reading, receipting, requesting, status
from tests.support.exchange import AGREEMENT, DAYS, LANCS, NOW, PLATES, TARGETS, UNI, WYP, World

CLOSED = f"this agreement was closed on {NOW.date()}"


@pytest.fixture
def held(world: World) -> World:
    """Three days of reads and the targets of one force, and a window of the other that is still open."""
    world.load(world.export(world.request(), targets=TARGETS))
    world.request(to=WYP)
    return world


def close(site: OpenSite, **more: str) -> closing.CloseResult:
    return closing.close(site, AGREEMENT, None, **more)


def files(world: World) -> list[Path]:
    return list((world.root / UNI / "store").rglob("*"))


def everything(site: OpenSite) -> tuple[object, ...]:
    """What a closing must destroy, of all agreements."""
    return holdings.key_places(site.db), holdings.onetime_places(site.db), holdings.parts(site.db, site.vault)


def test_at_a_university_every_key_part_and_file_of_it_goes(held: World) -> None:
    result = close(held.uni)
    assert everything(held.uni) == ((), (), ())
    assert files(held) == []
    assert (result.closed_on, result.again, result.elsewhere) == (NOW.date(), False, ())
    assert held.events(UNI)[-4:] == ["erasure", "erasure", "onetime-keys-destroyed", "agreement-closed"]
    lines = [item for item in held.uni.ledger.lines() if item.event == "erasure"]
    assert {item.details["reason"] for item in lines} == {"closed"}
    assert [(item.details["table"], item.details["rows"]) for item in lines] == [("reads", 6), ("targets", 2)]
    assert held.uni.ledger.verify(held.uni.signing_key.public, UNI).unsigned_tail == 0


def test_what_belongs_to_another_agreement_stays(held: World) -> None:
    held.agree(id="other")
    held.load(held.export(held.request(agreement="other")))
    held.request(to=WYP, agreement="other")
    close(held.uni)
    assert {place.agreement for place in holdings.key_places(held.uni.db)} == {"other"}
    assert len(holdings.onetime_places(held.uni.db)) == 1
    assert len(reading.scan(held.uni, "reads", purpose="counting").collect()) == 6  # the one that is left needs no name
    close(held.lancs)
    assert secret_names(held.lancs.db, agreements.LINKAGE) == ("other",)
    held.export(
        held.request(date(2026, 10, 4), date(2026, 10, 5), agreement="other"),
        [("AB12CDE", "CAM-1", "2026-10-04T08:00:00Z")],
    )


def test_the_certificate_says_what_was_destroyed_and_is_signed(held: World) -> None:
    head = held.uni.ledger.head()
    result = close(held.uni, backups="tapes of 2026 were shredded", witness="A. Hussain")
    said, envelope = certificates.parse(result.path.read_bytes())
    assert said == result.certificate
    dsse.verify(envelope, held.uni.identity.signing)
    [bundle] = holdings.bundles(held.uni.db, held.uni.vault)
    assert (said.agreement_id, said.version, said.site, said.role) == (AGREEMENT, 1, UNI, "university")
    assert said.fingerprint == held.uni.identity.fingerprint
    assert [(item.bundle, item.manifest, item.partner) for item in said.bundles] == [
        (bundle.id, bundle.manifest, LANCS)
    ]
    assert (said.first, said.last, said.created) == (DAYS[0], DAYS[2], NOW)
    assert said.tables == (
        CertifiedTable(table="reads", rows=6, destroyed_before=0, destroyed_now=6),
        CertifiedTable(table="targets", rows=2, destroyed_before=0, destroyed_now=2),
    )
    assert (said.keys.day_keys, said.keys.onetime_keys, said.keys.linkage_key) == (4, 1, False)
    assert (said.files.deleted, said.files.elsewhere) == (0, 0)
    assert (said.backups, said.witness) == ("tapes of 2026 were shredded", "A. Hussain")
    # It anchors the lines of the closing, and its own line names it.
    lines = {item.seq: item for item in held.uni.ledger.lines()}
    assert said.head.seq > head.seq
    assert said.head.hash == lines[said.head.seq].hash
    assert lines[said.head.seq + 1].details["certificate"] == result.digest
    text = envelope.payload.decode()
    assert not any(word in text for word in (*PLATES, "CAM-1", "LOG-1"))


def test_anybody_can_read_the_certificate_and_a_partner_proves_it(
    held: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = close(held.uni, witness="A. Hussain").path
    monkeypatch.chdir(held.root)
    for command, expected, proof in (
        (["inspect", path], 0, "nothing of this is proved"),
        (["verify", path], 1, "nothing of this is proved"),
        (["verify", path, "--sender", held.uni.paths.identity], 0, f"signed by {UNI}"),
        (["verify", path, "--sender", held.lancs.paths.identity], 4, ""),
        (["--site", held.lancs.paths.root, "verify", path], 0, f"signed by {UNI}"),
    ):
        assert main.run([str(word) for word in command], clock=held.clock) == expected, command
        said = capsys.readouterr().out
        assert proof in said
        assert ("A. Hussain" in said) is bool(proof)
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"AAAA', 1))
    assert main.run(["verify", str(path), "--sender", str(held.uni.paths.identity)], clock=held.clock) == 3


def test_what_a_purge_had_destroyed_is_counted_apart(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D")
    world.load(world.export(world.request(agreement="brief")))
    world.clock.now = datetime(2026, 10, 13, tzinfo=UTC)
    purging.purge(world.uni)
    [reads] = closing.close(world.uni, "brief", None).certificate.tables
    assert (reads.rows, reads.destroyed_before, reads.destroyed_now) == (6, 3, 3)


def test_texts_that_may_name_somebody_or_are_empty_are_refused_before_anything_is_destroyed(held: World) -> None:
    before = everything(held.uni)
    for more in ({"witness": "AB12 CDE"}, {"backups": "car AB12CDE"}):
        with pytest.raises(PolicyError, match="plate or a token"):
            close(held.uni, **more)
    for more in ({"witness": ""}, {"backups": " "}, {"witness": "n" * 201}, {"backups": "a\nb"}):
        with pytest.raises(UsageError):
            close(held.uni, **more)
    assert everything(held.uni) == before


def ask(world: World) -> object:
    return requesting.request(world.uni, AGREEMENT, LANCS, DAYS[0], DAYS[2], None, world.free("request.json"))


AT_THE_UNIVERSITY: dict[str, Callable[[World], object]] = {
    "request": ask,
    "scan": lambda world: reading.scan(world.uni, "reads", purpose="counting"),
    "coverage": lambda world: reading.scan(world.uni, "coverage", purpose="counting", agreement=AGREEMENT),
    "link": lambda world: reading.link(world.uni, AGREEMENT, purpose="counting"),
    "the same agreement": lambda world: agreements.accept(world.uni, world.signed().envelope.encode()),
    "a next version": lambda world: agreements.accept(world.uni, second(world).envelope.encode()),
}


def second(world: World, **changes: object) -> Agreement:
    return world.signed(version=2, supersedes=agreements.recorded(world.uni, AGREEMENT).digest, **changes)


@pytest.mark.parametrize("work", AT_THE_UNIVERSITY)
def test_nothing_more_is_done_under_it_at_the_university(held: World, work: str) -> None:
    close(held.uni)
    with pytest.raises(PolicyError, match=CLOSED):
        AT_THE_UNIVERSITY[work](held)


def test_a_frame_that_was_made_before_shows_nothing_after(held: World) -> None:
    frame = reading.scan(held.uni, "reads", purpose="counting")
    assert len(frame.collect()) == 6
    lines = held.uni.ledger.head().seq
    close(held.uni)
    with pytest.raises(PolicyError, match=CLOSED):
        frame.collect()
    assert "consultation" not in held.events(UNI)[lines:]


def test_a_bundle_on_its_way_is_refused_at_step_5(world: World) -> None:
    bundle = world.export()
    close(world.uni)
    with pytest.raises(PolicyError, match=CLOSED) as at_verify:
        loading.verify(world.uni, bundle)
    with pytest.raises(PolicyError, match=CLOSED) as at_load:
        world.load(bundle)
    assert at_verify.value.step == at_load.value.step == 5


def test_a_force_answers_nothing_more_and_takes_no_key(held: World) -> None:
    request = held.request(date(2026, 10, 4), date(2026, 10, 5))
    share = next(held.lancs.paths.outbox.glob(f"{AGREEMENT}*.keyshare.json"))
    for name in (LANCS, WYP):
        close(held.site(name))
        assert secret_names(held.site(name).db, agreements.LINKAGE) == ()
    with pytest.raises(PolicyError, match=CLOSED):
        held.export(request)
    with pytest.raises(PolicyError, match=CLOSED):
        agreements.accept_key(held.wyp, share.read_bytes())
    with pytest.raises(PolicyError, match=CLOSED):
        agreements.accept(held.lancs, second(held).envelope.encode())


def test_the_next_receipt_tells_the_force_even_if_it_has_closed_too(held: World) -> None:
    close(held.uni)
    close(held.lancs)
    out = held.free("receipt.json")
    made = receipting.create(held.uni, AGREEMENT, LANCS, out)
    assert made.deleted == 4
    accepted = receipting.accept(held.lancs, out.read_bytes())
    assert (accepted.deleted, accepted.discrepancies) == (4, ())
    deleted = json.loads(dsse.parse(out.read_bytes(), "receipt").payload)["deleted"]
    assert {item["reason"] for item in deleted} == {"closed"}
    assert {(item["due"], item["at"]) for item in deleted} == {("2026-10-12T12:00:00Z",) * 2}
    assert receipting.create(held.uni, None, LANCS, held.free("next.json")).deleted == 0


def test_what_was_overdue_already_is_not_made_to_look_in_time(world: World) -> None:
    world.agree(id="brief", reads__retention="P12D")
    world.load(world.export(world.request(agreement="brief")))
    world.clock.now = datetime(2026, 10, 13, tzinfo=UTC)
    closing.close(world.uni, "brief", None)  # the command would have destroyed what has expired first
    due = {item.day: item.due for item in holdings.unreported_deletions(world.uni.db, LANCS)}
    assert due["2026-10-01"] == datetime(2026, 10, 12, 23, tzinfo=UTC)
    assert due["2026-10-02"] == world.clock.now


def test_its_terms_are_still_shown_and_that_it_was_closed(held: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert [item.closed_on for item in agreements.listed(held.uni)] == [None]
    close(held.uni)
    assert [item.closed_on for item in agreements.listed(held.uni, AGREEMENT)] == [NOW.date()]
    held.close()
    assert [held.cli(UNI, *words) for words in (["agreement", "show"], ["status"], ["ledger", "verify"])] == [0, 0, 0]
    said = capsys.readouterr().out
    assert f"closed       on {NOW.date()}: it is in force at this site no more" in said
    assert f"  closed on {NOW.date()}; was to run 2026-09-01 to 2027-12-31" in said


def test_status_says_so_and_warns_of_nothing(held: World) -> None:
    close(held.uni)
    [item] = (told := status.status(held.uni)).agreements
    assert (item.closed_on, item.in_force, item.days, item.rows) == (NOW.date(), False, 0, 0)
    assert (told.warnings, told.overdue, told.next) == ((), (), ())
    assert sorted(window.state for request in told.requests for window in request.windows) == ["answered", "expired"]
    close(held.lancs)
    [item] = (told := status.status(held.lancs)).agreements
    assert (item.closed_on, item.key_destroyed_on, item.linkage_key) == (NOW.date(), NOW.date(), False)
    assert told.warnings == told.next == ()


def test_run_again_it_only_writes_the_certificate_where_it_is_missing(held: World) -> None:
    first = close(held.uni, witness="A. Hussain")
    lines = held.uni.ledger.head().seq
    data = first.path.read_bytes()
    first.path.unlink()
    held.clock.now = NOW + timedelta(days=3)
    for out in (None, held.free("certificate.json")):
        again = closing.close(held.uni, AGREEMENT, out)
        assert (again.again, again.closed_on, again.certificate) == (True, NOW.date(), first.certificate)
        assert again.path.read_bytes() == data
    assert held.uni.ledger.head().seq == lines
    first.path.write_text("something else", encoding="utf-8")
    with pytest.raises(StorageError, match="already where"):
        close(held.uni)


def test_a_place_that_is_taken_is_refused_before_anything_is_destroyed(held: World) -> None:
    out = held.free("certificate.json")
    out.write_text("mine", encoding="utf-8")
    before = everything(held.uni)
    with pytest.raises(StorageError, match="already where"):
        closing.close(held.uni, AGREEMENT, out)
    assert everything(held.uni) == before
    assert len(reading.scan(held.uni, "reads", purpose="counting").collect()) == 6


def test_a_certificate_that_was_altered_is_not_printed_again(held: World) -> None:
    close(held.uni).path.unlink()
    held.uni.db.execute("UPDATE certificate SET envelope = CAST(replace(envelope, 'A', 'B') AS BLOB)")
    with pytest.raises(VerificationError):
        close(held.uni)


def test_an_agreement_that_is_not_known_is_refused(world: World) -> None:
    with pytest.raises(PolicyError, match="no such agreement"):
        closing.close(world.uni, "another", None)


def test_it_needs_the_passphrase(held: World) -> None:
    held.close()
    with OpenSite.open(held.root / UNI, clock=held.clock) as locked, pytest.raises(LockedError):
        close(locked)


@pytest.mark.parametrize("ends", ["2026-10-10", "2026-10-12"])
def test_an_agreement_that_is_over_is_closed_as_well(world: World, ends: str) -> None:
    world.agree(id="brief", ends=ends)
    assert closing.close(world.uni, "brief", None).certificate.bundles == ()


# --- killed, restored, brought back


def test_a_closing_that_failed_before_its_transaction_changed_nothing(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(held.uni)
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "close", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            close(held.uni)
    assert everything(held.uni) == before
    assert len(reading.scan(held.uni, "reads", purpose="counting").collect()) == 6
    assert not list(held.uni.paths.outbox.glob("*certificate*"))
    assert close(held.uni).again is False


def test_a_closing_that_died_before_the_files_went_is_finished_by_a_purge(
    held: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(closing, "remove_erased", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            close(held.uni)
    assert everything(held.uni) == ((), (), ())
    assert files(held) != []
    held.close()
    with OpenSite.open(held.root / UNI, clock=held.clock) as locked:
        purging.purge(locked)
    assert files(held) == []
    assert close(held.uni).again is True


def test_keys_that_a_copy_brings_back_go_with_the_next_run_and_open_nothing_meanwhile(held: World) -> None:
    copies = {UNI: "keys.db", LANCS: "vault.db"}
    for name, copied in copies.items():
        held.site(name)
        held.close()
        shutil.copyfile(held.root / name / copied, held.root / copied)
        close(held.site(name))
        held.close()
        shutil.copyfile(held.root / copied, held.root / name / copied)
    with pytest.raises(PolicyError, match=CLOSED):
        reading.scan(held.uni, "reads", purpose="counting", agreement=AGREEMENT)
    assert [item.check for item in agreements.list_keys(held.lancs)] == [None]
    for name in copies:
        assert close(held.site(name)).again is True
    assert everything(held.uni) == ((), (), ())
    assert secret_names(held.lancs.db, agreements.LINKAGE) == ()
    assert held.events(UNI).count("agreement-closed") == 1
    assert held.events(LANCS).count("linkage-key-destroyed") == 2


def test_a_site_without_its_keys_closes_with_its_files_and_tells_the_force(held: World) -> None:
    held.close()
    (held.root / UNI / "keys.db").unlink()
    assert files(held) != []
    said = close(held.uni).certificate
    assert (said.keys.day_keys, [item.destroyed_now for item in said.tables]) == (0, [6, 2])
    assert files(held) == []
    assert len(holdings.unreported_deletions(held.uni.db, LANCS)) == 4
    assert status.status(held.uni).agreements[0].closed_on == NOW.date()


# --- a force's files


def test_a_forces_files_go_from_its_own_directories_and_others_are_named_until_they_are_gone(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = world.export()
    site = world.lancs
    inside = site.paths.inbox / "extract.csv"
    inside.write_text("vrm,camera,captured_at\n", encoding="utf-8")
    [extract] = [item for item in holdings.registered(site.db, site.vault) if item.kind == "extract"]
    with site.transaction():
        holdings.forget_registered(site.db, extract.path)
        records.put(site.db, replace(extract, path=str(inside)), site.vault)
    world.close()
    assert world.cli(LANCS, "close", AGREEMENT) == 1
    assert not inside.exists()
    assert bundle.exists()
    said = capsys.readouterr().out
    assert "1 deleted, 1 elsewhere" in said
    assert f"overdue: {spoken_path(bundle)} lies outside of this site" in said
    assert world.events(LANCS)[-3:] == ["linkage-key-destroyed", "erasure", "agreement-closed"]
    world.close()
    assert [world.cli(LANCS, *words) for words in (["purge"], ["status"], ["close", AGREEMENT])] == [1, 1, 1]
    bundle.unlink()
    assert [world.cli(LANCS, *words) for words in (["purge"], ["status"], ["close", AGREEMENT])] == [0, 0, 0]


def test_files_in_the_clear_go_first_and_a_run_that_died_after_them_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = world.lancs.paths.outbox / "october.anpr.zip"
    shutil.move(world.export(), out)
    site = world.lancs
    with site.transaction():
        for item in holdings.registered(site.db, site.vault):
            holdings.forget_registered(site.db, item.path)
        bundle = holdings.Registered(str(out), "output", AGREEMENT, "reads", DAYS[0], NOW)
        records.put(site.db, bundle, site.vault)
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "close", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            close(site)
    assert not out.exists()
    assert secret_names(site.db, agreements.LINKAGE) == (AGREEMENT,)
    result = close(site)
    assert (result.again, result.certificate.files.deleted) == (False, 1)
    assert holdings.registered(site.db, site.vault) == ()


# --- the linkage key


def test_a_destroyed_linkage_key_ends_all_further_linkage_at_that_force_alone(world: World) -> None:
    request = world.request()
    result = closing.destroy_key(world.lancs, AGREEMENT)
    assert (result.destroyed_on, result.again) == (NOW.date(), False)
    assert secret_names(world.lancs.db, agreements.LINKAGE) == ()
    assert world.events(LANCS)[-1] == "linkage-key-destroyed"
    with pytest.raises(LockedError, match=f"was destroyed here on {NOW.date()}"):
        world.export(request)
    assert agreements.share_key(world.lancs, agreements.current(world.lancs, AGREEMENT)) == ()
    [key] = agreements.list_keys(world.lancs)
    assert (key.check, key.destroyed_on) == (None, NOW.date())
    [item] = (told := status.status(world.lancs)).agreements
    assert (item.linkage_key, item.key_destroyed_on, item.closed_on) == (False, NOW.date(), None)
    assert not any("key accept" in text for text in told.next)
    world.load(world.export(by=WYP))


def test_nothing_brings_a_destroyed_linkage_key_back(world: World) -> None:
    [share] = world.lancs.paths.outbox.glob(f"{AGREEMENT}*.keyshare.json")
    closing.destroy_key(world.wyp, AGREEMENT)
    with pytest.raises(PolicyError, match="and that is final"):
        agreements.accept_key(world.wyp, share.read_bytes())
    share.unlink()
    closing.destroy_key(world.lancs, AGREEMENT)
    version = second(world).envelope.encode()
    made = agreements.accept(world.lancs, version)
    assert (made.key_made, made.shares, secret_names(world.lancs.db, agreements.LINKAGE)) == (False, (), ())
    assert [item.destroyed_on for item in agreements.list_keys(world.lancs)] == [NOW.date()]


def test_destroying_it_twice_is_said_and_logged_once(world: World) -> None:
    closing.destroy_key(world.lancs, AGREEMENT)
    world.clock.now = NOW + timedelta(days=2)
    again = closing.destroy_key(world.lancs, AGREEMENT)
    assert (again.destroyed_on, again.again) == (NOW.date(), True)
    assert world.events(LANCS).count("linkage-key-destroyed") == 1
    assert close(world.lancs).certificate.keys.linkage_key is True


def test_a_linkage_key_that_was_tampered_with_goes_like_any_other(world: World) -> None:
    world.lancs.db.execute("UPDATE vault.secret SET wrapped = X'00' WHERE kind = 'linkage'")
    assert closing.destroy_key(world.lancs, AGREEMENT).again is False
    assert secret_names(world.lancs.db, agreements.LINKAGE) == ()


def test_only_a_force_that_has_one_destroys_it(world: World) -> None:
    with pytest.raises(PolicyError, match="never holds"):
        closing.destroy_key(world.uni, AGREEMENT)
    agreement = world.signed(id="keyless")
    agreements.accept(world.wyp, agreement.envelope.encode())
    with pytest.raises(LockedError, match="not at this site"):
        closing.destroy_key(world.wyp, "keyless")
