"""What the passphrase protects: secrets that open in one place only, and records that nobody else can make."""

from __future__ import annotations

import copy
import hmac
import pickle
import shutil
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anpr_share.errors import FormatError, LockedError, UsageError, VerificationError
from anpr_share.site import database
from anpr_share.site.layout import Paths, create_directories
from anpr_share.site.vault import Vault, require_passphrase, secret_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Vault]:
    """A vault made with the passphrase, once, because Argon2 takes its time; tests work on copies of its file."""
    paths = create_directories(tmp_path_factory.mktemp("made") / "site")
    database.create(paths)
    connection = database.connect(paths)
    try:
        with database.transaction(connection):
            vault = Vault.create(connection, PASSPHRASE, "north-force")
    finally:
        connection.close()
    return paths.root, vault


@pytest.fixture
def paths(made: tuple[Path, Vault], tmp_path: Path) -> Paths:
    shutil.copytree(made[0], tmp_path / "site")
    return Paths(tmp_path / "site")


@pytest.fixture
def db(paths: Paths) -> Iterator[database.Connection]:
    connection = database.connect(paths)
    yield connection
    connection.close()


@pytest.fixture
def stored(made: tuple[Path, Vault]) -> Vault:
    """The vault that was made, open."""
    return made[1]


@pytest.fixture
def vault() -> Vault:
    """A vault in memory, which costs no Argon2."""
    return Vault(bytes(range(32)), "north-force")


def test_a_vault_opens_with_its_passphrase_and_holds_what_was_put(db: database.Connection, stored: Vault) -> None:
    stored.put_secret(db, "linkage", "msv-2026", b"k" * 32)
    again = Vault.open(db, PASSPHRASE)
    assert again.site == "north-force"
    assert again.get_secret(db, "linkage", "msv-2026") == b"k" * 32
    assert again.get_secret(db, "linkage", "other") is None


@pytest.mark.parametrize("wrong", [b"", b"correct horse battery stapl", PASSPHRASE + b"\n", b"x" * 5000])
def test_a_wrong_passphrase_says_no_more_than_that(db: database.Connection, stored: Vault, wrong: bytes) -> None:
    with pytest.raises(LockedError) as caught:
        Vault.open(db, wrong)
    assert caught.value.message == "the passphrase does not open this site"


def test_a_damaged_vault_key_looks_like_a_wrong_passphrase(db: database.Connection, stored: Vault) -> None:
    for damage in ("x''", "x'00'", "zeroblob(60)"):
        db.execute(f"UPDATE vault.opening SET wrapped = {damage}")
        with pytest.raises(LockedError, match="does not open"):
            Vault.open(db, PASSPHRASE)


def test_a_vault_renamed_to_another_site_does_not_open(db: database.Connection, stored: Vault) -> None:
    db.execute("UPDATE vault.opening SET site = 'south-force'")
    with pytest.raises(LockedError):
        Vault.open(db, PASSPHRASE)


@pytest.mark.parametrize(
    "change",
    [
        "memory_kib = 8",
        "memory_kib = 1048577",
        "memory_kib = 9223372036854775807",
        "iterations = 0",
        "iterations = 1000000",
        "lanes = 0",
        "lanes = 17",
        "salt = x'00'",
    ],
)
def test_unusual_parameters_are_refused_before_any_work(db: database.Connection, stored: Vault, change: str) -> None:
    db.execute(f"UPDATE vault.opening SET {change}")
    with pytest.raises(FormatError, match="unusual"):
        Vault.open(db, PASSPHRASE)


def test_a_vault_without_a_key_is_refused(db: database.Connection) -> None:
    db.execute("DELETE FROM vault.opening")
    with pytest.raises(FormatError, match="no vault key"):
        Vault.open(db, PASSPHRASE)


@pytest.mark.parametrize("bad", [b"", b"eleven char", "é".encode() * 11, b"x" * 4097])
def test_a_weak_or_endless_passphrase_is_refused(bad: bytes) -> None:
    with pytest.raises(UsageError, match="passphrase"):
        require_passphrase(bad)


def test_changing_the_passphrase_touches_neither_data_nor_secrets(
    paths: Paths, db: database.Connection, stored: Vault
) -> None:
    stored.put_secret(db, "linkage", "msv-2026", b"k" * 32)
    db.execute("INSERT INTO keys.day_key VALUES ('a', 'reads', '2026-01-01', 'b', ?)", (stored.wrap(("x",), b"y"),))
    secrets = db.rows("SELECT * FROM vault.secret")
    old = db.rows("SELECT wrapped FROM vault.opening")[0][0]
    site, keys = paths.site.read_bytes(), paths.keys.read_bytes()
    with database.transaction(db):
        stored.change_passphrase(db, b"another passphrase")
    assert (paths.site.read_bytes(), paths.keys.read_bytes()) == (site, keys)
    assert db.rows("SELECT * FROM vault.secret") == secrets
    assert old not in paths.vault.read_bytes()
    assert Vault.open(db, b"another passphrase").get_secret(db, "linkage", "msv-2026") == b"k" * 32
    with pytest.raises(LockedError):
        Vault.open(db, PASSPHRASE)


def test_a_refused_new_passphrase_leaves_the_old_one(db: database.Connection, stored: Vault) -> None:
    with pytest.raises(UsageError), database.transaction(db):
        stored.change_passphrase(db, b"short")
    assert Vault.open(db, PASSPHRASE).site == "north-force"


def test_a_wrapped_secret_opens_in_its_place_only(vault: Vault) -> None:
    wrapped = vault.wrap(("day-key", "msv", "reads", "2026-01-01", "b1"), b"secret")
    assert vault.unwrap(("day-key", "msv", "reads", "2026-01-01", "b1"), wrapped) == b"secret"
    elsewhere = [
        ("day-key", "msv", "reads", "2026-01-02", "b1"),
        ("day-key", "msvreads", "", "2026-01-01", "b1"),
        ("day-key", "msv", "reads", "2026-01-01"),
        ("onetime-key", "msv", "reads", "2026-01-01", "b1"),
    ]
    for place in elsewhere:
        with pytest.raises(VerificationError):
            vault.unwrap(place, wrapped)
    with pytest.raises(VerificationError):
        Vault(bytes(range(32)), "south-force").unwrap(("day-key", "msv", "reads", "2026-01-01", "b1"), wrapped)


def test_every_changed_bit_of_a_wrapped_secret_is_found(vault: Vault) -> None:
    wrapped = vault.wrap(("a",), b"s")
    for position in range(len(wrapped) * 8):
        damaged = bytearray(wrapped)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(VerificationError):
            vault.unwrap(("a",), bytes(damaged))
    for length in range(len(wrapped)):
        with pytest.raises(VerificationError):
            vault.unwrap(("a",), wrapped[:length])


def test_the_same_secret_never_wraps_the_same(vault: Vault) -> None:
    assert len({vault.wrap(("a",), b"s") for _ in range(100)}) == 100


def test_swapped_named_secrets_are_refused(db: database.Connection, vault: Vault) -> None:
    vault.put_secret(db, "linkage", "one", b"1")
    vault.put_secret(db, "linkage", "two", b"2")
    db.execute("UPDATE vault.secret SET wrapped = (SELECT wrapped FROM vault.secret WHERE name = 'two')")
    assert vault.get_secret(db, "linkage", "two") == b"2"
    with pytest.raises(VerificationError, match="altered"):
        vault.get_secret(db, "linkage", "one")


def test_a_deleted_secret_leaves_no_bytes_in_the_file(paths: Paths, db: database.Connection, vault: Vault) -> None:
    vault.put_secret(db, "linkage", "msv", b"1")
    wrapped = db.rows("SELECT wrapped FROM vault.secret")[0][0]
    assert wrapped in paths.vault.read_bytes()
    assert secret_names(db, "linkage") == ("msv",)
    db.execute("DELETE FROM vault.secret")
    assert secret_names(db, "linkage") == ()
    assert wrapped not in paths.vault.read_bytes()


def test_a_mac_tells_kinds_names_types_and_values_apart(vault: Vault) -> None:
    macs = [
        vault.mac("part", {"a": "1", "b": "2"}),
        vault.mac("partner", {"a": "1", "b": "2"}),
        vault.mac("part", {"a": "2", "b": "1"}),
        vault.mac("part", {"a": 1, "b": "2"}),
        vault.mac("part", {"a": b"1", "b": "2"}),
        vault.mac("part", {"a": None, "b": "2"}),
        vault.mac("part", {"a": "", "b": "2"}),
        vault.mac("part", {"a": "1", "c": "2"}),
        vault.mac("part", {"a": "1"}),
        vault.mac("part", {"a1": "", "b": "2"}),
    ]
    assert len(set(macs)) == len(macs)
    assert vault.mac("part", {"b": "2", "a": "1"}) == macs[0]
    vault.check_mac("part", {"a": "1", "b": "2"}, macs[0])
    with pytest.raises(VerificationError, match="part record"):
        vault.check_mac("part", {"a": "1", "b": "3"}, macs[0])


def test_a_mac_is_the_one_that_the_specification_describes(vault: Vault) -> None:
    key = HKDF(SHA256(), 32, salt=None, info=b"anpr-share/1/records").derive(bytes(32))
    message = b"4:part,1:b,5:bytes,1:\xff,1:d,7:integer,2:-5,1:n,4:null,0:,1:t,4:text,2:\xc3\xa9,"
    record: dict[str, str | int | bytes | None] = {"t": "é", "n": None, "d": -5, "b": b"\xff"}
    assert Vault(bytes(32), "north-force").mac("part", record) == hmac.digest(key, message, "sha256")


def test_another_vault_key_makes_another_mac(vault: Vault) -> None:
    assert vault.mac("part", {}) != Vault(bytes(32), "north-force").mac("part", {})


def test_a_vault_is_neither_shown_nor_copied(vault: Vault) -> None:
    assert repr(vault) == "<Vault (secret)>"
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="copied nor pickled"):
            attempt(vault)
