"""An open site: its files agree, its clock holds, its lock excludes, and only the passphrase opens its secrets."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from anpr_share.documents.identity import Identity
from anpr_share.documents.keys import OpeningKey, SigningKey
from anpr_share.errors import LockedError, PolicyError, StorageError, UsageError, VerificationError
from anpr_share.memory import SETTING
from anpr_share.periods import Now
from anpr_share.site import publication
from anpr_share.site.opened import OpenSite, system_clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSPHRASE = b"correct horse battery staple"
NOW = datetime(2026, 10, 8, 16, 30, 51, 999, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site made once; tests work on copies of it."""
    root = tmp_path_factory.mktemp("made") / "site"
    OpenSite.create(
        root,
        role="police",
        name="North Force",
        site_id="north-force",
        passphrase=PASSPHRASE,
        clock=lambda: NOW,
        actor="Alice",
    ).close()
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def site(root: Path, clock: Clock) -> Iterator[OpenSite]:
    with OpenSite.open(root, passphrase=PASSPHRASE, clock=clock, lock_seconds=0.2) as opened:
        yield opened


@pytest.fixture
def locked(root: Path, clock: Clock) -> Iterator[OpenSite]:
    with OpenSite.open(root, clock=clock, lock_seconds=0.2) as opened:
        yield opened


def test_a_new_site_has_an_identity_a_signed_ledger_and_its_keys(site: OpenSite) -> None:
    assert (site.config.id, site.config.role, site.identity.name) == ("north-force", "police", "North Force")
    assert site.signing_key.public == site.identity.signing
    assert site.opening_key.public == site.identity.encryption
    (entry,) = site.ledger.lines()
    assert (entry.event, entry.subject, entry.actor) == ("site-created", "north-force", "Alice")
    assert entry.previous == site.identity.fingerprint
    found = site.ledger.verify(site.identity.signing, "north-force")
    assert (found.lines, found.unsigned_tail) == (1, 0)


def test_a_wrong_passphrase_opens_nothing(root: Path) -> None:
    with pytest.raises(LockedError, match="does not open"):
        OpenSite.open(root, passphrase=b"wrong horse battery staple")


def test_without_the_passphrase_secrets_and_statutory_entries_are_closed(locked: OpenSite) -> None:
    for attempt in (lambda: locked.signing_key, lambda: locked.opening_key, locked.require_vault):
        with pytest.raises(LockedError, match="passphrase"):
            attempt()
    with pytest.raises(LockedError), locked.transaction():
        locked.record("consultation", "msv", {})
    with locked.transaction():
        locked.record("erasure", "msv", {})
        locked.record("purge", "msv", {})
    assert locked.checkpoint() is None
    found = locked.ledger.verify(locked.identity.signing, "north-force")
    assert (found.lines, found.unsigned_tail, found.ok) == (3, 2, True)


def test_a_later_checkpoint_adopts_what_was_left_unsigned(root: Path, locked: OpenSite, clock: Clock) -> None:
    with locked.transaction():
        locked.record("erasure", "msv", {})
    with OpenSite.open(root, passphrase=PASSPHRASE, clock=clock) as site:
        with site.transaction():
            site.record("consultation", "msv", {"rows": 1})
        done = site.checkpoint()
        assert done is not None
        assert (done.adopted, site.checkpoint()) == (2, None)
        assert site.ledger.verify(site.identity.signing, "north-force").unsigned_tail == 0


@pytest.mark.parametrize(
    ("old", "new"), [('"police"', '"university"'), ('"north-force"', '"south-force"'), ("North", "South")]
)
def test_an_edited_config_does_not_open(root: Path, old: str, new: str) -> None:
    path = root / "site.toml"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(VerificationError, match="contradict"):
        OpenSite.open(root)


def test_another_identity_put_in_place_of_ours_does_not_open_with_the_passphrase(root: Path) -> None:
    impostor = Identity.make("north-force", "North Force", "police", SigningKey.generate(), OpeningKey.generate())
    ours = Identity.parse((root / "identity.json").read_bytes())
    (root / "identity.json").write_bytes(impostor.envelope)
    with pytest.raises(VerificationError, match="contradict"):
        OpenSite.open(root)
    config = (root / "site.toml").read_text("utf-8").replace(ours.fingerprint, impostor.fingerprint)
    (root / "site.toml").write_text(config, "utf-8")
    with pytest.raises(VerificationError, match="another identity's"):
        OpenSite.open(root, passphrase=PASSPHRASE)


@pytest.mark.parametrize("name", ["site.db", "vault.db", "identity.json", "site.toml"])
def test_a_missing_file_stops_the_opening(root: Path, name: str) -> None:
    (root / name).unlink()
    with pytest.raises(StorageError):
        OpenSite.open(root)


def test_a_site_restored_without_its_keys_says_so_once(root: Path, clock: Clock) -> None:
    (root / "keys.db").unlink()
    with OpenSite.open(root, clock=clock) as site:
        assert site.restored
        assert [entry.event for entry in site.ledger.lines()] == ["site-created", "restored"]
    with OpenSite.open(root, clock=clock) as site:
        assert not site.restored
        assert site.ledger.head().seq == 2


@pytest.mark.parametrize("days", [-20, 40])
def test_a_restored_site_opens_whatever_its_clock_shows(root: Path, clock: Clock, days: int) -> None:
    (root / "keys.db").unlink()
    clock.time = NOW + timedelta(days=days)
    with OpenSite.open(root, passphrase=PASSPHRASE, clock=clock, actor="Alice") as site:
        [_, line] = site.ledger.lines()
        expected = max(clock.time, NOW).replace(microsecond=0)
        assert (line.event, line.time, line.leapt, line.actor) == ("restored", expected, days > 31, "Alice")


def test_an_interrupted_renewal_of_the_keys_is_finished(root: Path, clock: Clock) -> None:
    (root / "keys.db").write_bytes(b"")
    with OpenSite.open(root, clock=clock) as site:
        assert site.restored
        assert site.ledger.head().seq == 2


def test_now_is_whole_seconds_and_never_before_the_ledger(site: OpenSite, clock: Clock) -> None:
    assert site.now() == NOW.replace(microsecond=0)
    clock.time = NOW - timedelta(minutes=4)
    assert site.now() == NOW.replace(microsecond=0)
    clock.time = NOW - timedelta(minutes=6)
    with pytest.raises(PolicyError, match="clock"):
        site.now()


def test_entries_after_a_leap_of_the_clock_are_marked(site: OpenSite, clock: Clock) -> None:
    clock.time = NOW + timedelta(days=40)
    assert site.reading().leapt
    with site.transaction():
        site.record("consultation", "msv", {})
    assert site.reading().leapt
    assert [entry.leapt for entry in site.ledger.lines()] == [False, True]


def test_a_clock_put_back_behind_a_leap_is_refused_all_the_same(site: OpenSite, clock: Clock) -> None:
    late = NOW.replace(microsecond=0) + timedelta(days=40)
    clock.time = late
    with site.transaction():
        site.record("consultation", "msv", {})
    clock.time = late - timedelta(minutes=4)
    assert site.reading() == Now(late, leapt=True)
    for behind in (late - timedelta(minutes=6), NOW + timedelta(days=1), NOW):
        clock.time = behind
        with pytest.raises(PolicyError, match="clock") as caught:
            site.now()
        assert caught.value.exit_code == 4


def test_an_actor_is_checked_like_a_purpose(root: Path) -> None:
    with pytest.raises(PolicyError, match="actor"):
        OpenSite.open(root, actor="AB12 CDE")
    with pytest.raises(UsageError, match="actor"):
        OpenSite.open(root, actor="two\nlines")


def test_one_command_writes_at_a_time(root: Path, site: OpenSite, clock: Clock) -> None:
    with OpenSite.open(root, clock=clock, lock_seconds=0.05) as other:
        with site.writing(), pytest.raises(StorageError, match="another command"), other.writing():
            pass
        with other.writing():
            pass


def test_writing_may_be_nested_and_is_given_back_after_an_error(site: OpenSite) -> None:
    with pytest.raises(ZeroDivisionError), site.writing(), site.writing():
        raise ZeroDivisionError
    with site.writing():
        pass


def test_writing_first_does_what_a_killed_command_left_undone(site: OpenSite) -> None:
    (item,) = publication.stage(site.db, site.paths, [site.paths.outbox / "out.json"])
    item.temporary.write_bytes(b"half")
    with site.writing():
        assert not item.temporary.exists()
        assert publication.pending(site.db, site.paths) == ()


def test_a_decided_file_that_somebody_removed_is_not_forgotten(site: OpenSite) -> None:
    (item,) = publication.stage(site.db, site.paths, [site.paths.outbox / "out.json"])
    with site.transaction() as connection:
        publication.commit(connection, [item])
    with site.writing():
        assert site.lost == [site.paths.outbox / "out.json"]
    with site.writing():
        assert site.lost == [site.paths.outbox / "out.json"]


def test_another_thread_uses_a_connection_of_its_own(site: OpenSite) -> None:
    outcome: list[object] = []

    def work() -> None:
        try:
            _ = site.db
        except RuntimeError as error:
            outcome.append(str(error))
        outcome.append(site.signing_key.public == site.identity.signing)
        with site.connection() as connection:
            with_transaction = sqlite3.Connection.execute(connection, "SELECT 1").fetchone()
            outcome.append(with_transaction)
            connection.execute("BEGIN IMMEDIATE")
            site.record("consultation", "msv", {"rows": 3}, connection=connection)
            connection.execute("COMMIT")
            site.checkpoint(connection)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == ["a site's own connection belongs to the thread that opened it; use connection()", True, (1,)]
    assert [entry.event for entry in site.ledger.lines()] == ["site-created", "consultation"]
    assert site.ledger.verify(site.identity.signing, "north-force").unsigned_tail == 0


def test_many_threads_append_at_once(site: OpenSite) -> None:
    site._lock_seconds = 60

    def work() -> None:
        for _ in range(5):
            with site.connection() as connection:
                connection.execute("BEGIN IMMEDIATE")
                site.record("consultation", "msv", {}, connection=connection)
                connection.execute("COMMIT")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.ledger.verify(site.identity.signing, "north-force").lines == 21


def test_a_closed_site_has_forgotten_its_vault(root: Path) -> None:
    site = OpenSite.open(root, passphrase=PASSPHRASE, clock=lambda: NOW)
    site.close()
    assert site.vault is None
    with pytest.raises(UsageError, match="this site is closed"):
        site.require_vault()
    with pytest.raises(UsageError, match="this site is closed"):
        site.db.rows("SELECT 1")


def test_a_site_does_not_open_where_polars_may_spill(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "100")
    with pytest.raises(StorageError, match="temporary files"):
        OpenSite.open(root)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"passphrase": b"short"}, "passphrase"),
        ({"name": "two\nlines"}, "name"),
        ({"site_id": "North Force"}, "id"),
        ({"role": "army"}, "role"),
    ],
)
def test_a_site_that_cannot_be_made_leaves_nothing(tmp_path: Path, change: dict[str, object], match: str) -> None:
    wanted: dict[str, object] = {
        "role": "police", "name": "North Force", "site_id": "north-force", "passphrase": PASSPHRASE
    } | change  # fmt: skip
    with pytest.raises(UsageError, match=match):
        OpenSite.create(tmp_path / "site", **wanted)  # type: ignore[arg-type]
    assert not (tmp_path / "site").exists()


def test_a_disk_that_fails_while_a_site_is_made_leaves_an_empty_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("anpr_share.site.opened.write_config", full)
    with pytest.raises(StorageError, match="full"):
        OpenSite.create(
            tmp_path / "site", role="police", name="North", site_id="north", passphrase=PASSPHRASE, clock=lambda: NOW
        )
    assert list((tmp_path / "site").iterdir()) == []


def test_no_secret_lies_in_the_clear_in_any_file(root: Path, site: OpenSite) -> None:
    secrets = [site.signing_key.secret(), site.opening_key.secret(), PASSPHRASE]
    for path in root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret in content or secret.hex().encode() in content for secret in secrets)


def test_the_system_clock_is_in_utc() -> None:
    assert system_clock().utcoffset() == timedelta(0)
